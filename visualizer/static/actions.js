// What may be done with a submission, each wish with a confirmation.

import { act } from "./api.js";
import { TERMINAL } from "./common.js";
import { ask, say } from "./dialog.js";
import { h } from "./dom.js";
import { field, seconds, written } from "./fields.js";
import { clockTime, duration, plural } from "./format.js";

/** The buttons of a submission. `now()` is the server's time. */
export class Actions {
  #shown = "";

  constructor(id, now) {
    this.id = id;
    this.now = now;
    this.address = `/api/submissions/${encodeURIComponent(id)}`;
    this.element = h("div", { class: "actions", role: "group", "aria-label": "Actions" });
  }

  update(row, spec, acting) {
    const over = TERMINAL.has(row.state);
    const dead = row.counts?.dead ?? 0;
    const shape = [over, dead > 0, acting, row.state].join();
    this.row = row;
    this.spec = spec;
    if (shape === this.#shown) return;
    this.#shown = shape;
    const page = `/submissions/${encodeURIComponent(this.id)}`;
    const button = (text, run, tone = "") => h("button", { type: "button", class: tone, onclick: run }, text);
    const link = (text, href) => h("a", { class: "button", href }, text);
    const known = row.state !== "unknown";
    this.element.replaceChildren(...[
      acting && known && !over ? button("Change…", () => this.#change()) : null,
      acting && known && !over ? button("Stop…", () => this.#stop(), "risky") : null,
      acting && over && dead ? button("Retry dead items…", () => this.#retry()) : null,
      acting ? link("Submit again", `/submit?from=${encodeURIComponent(this.id)}`) : null,
      over ? link("Report", `${page}/report?format=html`) : null,
      link("Results", `${page}/results`),
      acting && over ? button("Delete…", () => this.#delete(), "risky") : null,
    ].filter((one) => one !== null));
  }

  #stop() {
    const choice = (label, way, tone, told) => ({ label, tone, told, run: () => act("PUT", `${this.address}/${way}`) });
    ask({
      title: `Stop ${this.row.name || this.id}?`,
      text: "Stopping lets the workers finish the items they hold. Terminating ends them at once; what they hold is lost work. Either way the results so far are kept, and it cannot be taken up again.",
      choices: [
        choice("Terminate at once", "terminate", "risky", "Its termination was asked for."),
        choice("Stop", "stop", "main", "Its stop was asked for."),
      ],
    });
  }

  #retry() {
    const dead = this.row.counts.dead;
    ask({
      title: `Retry ${plural(dead, "dead item")}?`,
      text: "They become a submission of their own, with the same specification.",
      choices: [{ label: "Retry", tone: "main", run: () => act("POST", `${this.address}/retry`), done: (answer) => open(answer.job_id) }],
    });
  }

  #delete() {
    ask({
      title: `Delete ${this.row.name || this.id}?`,
      text: "Its results, logs, events and report are gone for good.",
      choices: [{ label: "Delete for good", tone: "risky", run: () => act("DELETE", this.address), done: () => location.assign("/") }],
    });
  }

  #change() {
    const { row, spec } = this;
    const bounds = spec.replicas ?? {};
    const stream = row.kind === "stream";
    const was = {
      ...(stream ? { "target.latency": row.target === null ? "" : written(row.target) } : { deadline: row.deadline ? written(row.deadline) : "" }),
      "replicas.min": String(bounds.min ?? ""), "replicas.max": String(bounds.max ?? ""), priority: spec.priority ?? "normal",
    };
    const goal = stream
      ? field({ path: "target.latency", label: "Target: each item done within", value: was["target.latency"] })
      : field({ path: "deadline", label: "Deadline, counted from acceptance", value: was.deadline, hint: "30m, 1h30m; empty: none" });
    const fields = [goal,
      field({ path: "replicas.min", label: "Fewest replicas", kind: "number", value: was["replicas.min"] }),
      field({ path: "replicas.max", label: "Most replicas", kind: "number", value: was["replicas.max"] }),
      field({ path: "priority", label: "Priority", kind: "select", value: was.priority, options: [["low", "low"], ["normal", "normal"], ["high", "high"]] })];
    const hint = () => {
      const total = seconds(goal.control.value);
      if (stream || row.created_at === null) return;
      if (total === null) return goal.hint("30m, 1h30m; empty: none");
      const left = row.created_at + total - this.now();
      goal.hint(left > 0 ? `That is at ${clockTime(row.created_at + total)}, in ${duration(Math.round(left))}.` : `That was ${duration(Math.round(-left))} ago.`);
    };
    goal.control.addEventListener("input", hint);
    hint();
    const run = () => {
      const patch = {};
      for (const { path, control } of fields) {
        const text = control.value.trim();
        if (text === was[path]) continue;
        const [name, inner] = path.split(".");
        const value = text === "" ? null : path.startsWith("replicas.") && /^\d+$/.test(text) ? Number(text) : text;
        if (inner) patch[name] = { ...patch[name], [inner]: value };
        else patch[name] = value;
      }
      return Object.keys(patch).length === 0 ? null : act("PATCH", this.address, { body: JSON.stringify(patch) });
    };
    const done = (answer) => say(Object.keys(answer.changed ?? {}).length ? `Changed: ${Object.keys(answer.changed).join(", ")}.` : "Nothing was to be changed.");
    ask({ title: `Change ${row.name || this.id}`, fields, choices: [{ label: "Change", tone: "main", run, done }] });
  }
}

function open(id) {
  location.assign(`/submissions/${encodeURIComponent(id)}`);
}
