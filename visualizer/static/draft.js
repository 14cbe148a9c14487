// The simple fields of a submission, and the document they make. Whatever else a submission may say is for the document.

import { h } from "./dom.js";
import { field } from "./fields.js";

export class Draft {
  constructor() {
    const text = (path, label, rest = {}) => field({ path, label, ...rest });
    this.name = text("name", "Name", { hint: "Lower case letters, digits and dashes." });
    this.run = text("run", "Command for one item", { placeholder: "python measure.py {item}", hint: "{item} is the item; its standard output is the result.", required: true });
    this.image = text("image", "Container image", { hint: "Any with Python 3.8 or newer; the local cluster needs none.", placeholder: "python:3.12-slim" });
    this.origin = field({ path: "origin", label: "Items", kind: "select", options: [["items", "written here, one per line"], ["url", "from an address: one per line"], ["glob", "each file that matches a pattern"]] });
    this.items = text("workload.items", "One item per line", { kind: "area", rows: 6 });
    this.url = text("workload.url", "Address", { placeholder: "https://host/items.txt", hint: "http, https, s3 or file." });
    this.glob = text("workload.glob", "Pattern", { placeholder: "/data/*.csv" });
    this.kind = field({ path: "kind", label: "Kind", kind: "select", options: [["batch", "a pile, to be finished by a deadline"], ["stream", "a stream: items arrive over time"]] });
    this.deadline = text("deadline", "Deadline", { value: "30m", hint: "90s, 30m, 1h30m; empty: none." });
    this.latency = text("target.latency", "Each item done within", { value: "10s", hint: "From its arrival to its result." });
    this.time = text("expected_item_time", "An item takes about", { placeholder: "2s", hint: "Helps to foresee; may be left out." });
    this.min = text("replicas.min", "Fewest replicas", { kind: "number", value: "1" });
    this.max = text("replicas.max", "Most replicas", { kind: "number", value: "10" });
    this.cpu = text("resources.cpu", "CPU a replica", { placeholder: "500m" });
    this.memory = text("resources.memory", "Memory a replica", { placeholder: "256Mi" });
    this.retries = text("retries", "Retries of an item", { kind: "number", value: "3" });
    this.priority = field({ path: "priority", label: "Priority", kind: "select", value: "normal", options: [["low", "low"], ["normal", "normal"], ["high", "high"]] });
    this.fields = [this.name, this.run, this.image, this.kind, this.origin, this.items, this.url, this.glob, this.deadline, this.latency, this.time,
      this.min, this.max, this.cpu, this.memory, this.retries, this.priority];
    const group = (title, ...fields) => h("fieldset", {}, h("legend", {}, title), h("div", { class: "field-grid" }, ...fields.map((one) => one.element)));
    this.element = h("div", { class: "draft" },
      group("What is done", this.name, this.image, this.run),
      group("With what", this.kind, this.origin, this.items, this.url, this.glob),
      group("Until when", this.deadline, this.latency, this.time),
      group("With how much", this.min, this.max, this.cpu, this.memory, this.retries, this.priority));
    for (const wide of [this.run, this.items, this.url, this.glob]) wide.element.classList.add("wide-field");
    for (const one of [this.origin, this.kind]) one.control.addEventListener("change", () => this.arrange());
    this.arrange();
  }

  /** Only what belongs to the kind of work is shown. */
  arrange() {
    const stream = this.kind.control.value === "stream";
    const origin = stream ? "" : this.origin.control.value;
    for (const name of ["items", "url", "glob"]) this[name].element.hidden = origin !== name;
    this.origin.element.hidden = stream;
    this.deadline.element.hidden = stream;
    this.latency.element.hidden = !stream;
  }

  /** The document: what is left empty is left out. */
  document() {
    const document = {};
    const put = (path, value) => {
      if (value === "" || value === null) return;
      const [name, inner] = path.split(".");
      if (inner) document[name] = { ...document[name], [inner]: value };
      else document[name] = value;
    };
    for (const one of this.fields) {
      if (one === this.kind || one === this.origin || one.element.hidden) continue;
      const text = one.control.value.trim();
      const whole = one.control.inputMode === "numeric" && /^\d+$/.test(text);
      if (one === this.items) put(one.path, text === "" ? [] : one.control.value.split("\n").map((line) => line.trimEnd()).filter((line) => line !== ""));
      else put(one.path, whole ? Number(text) : text);
    }
    return document;
  }
}
