// The page of all submissions.

import { ProgressBar, TERMINAL, deadlineText, isLate, showLink, showProblems, stateBadge, timeShare, updateBadge } from "./common.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { UNKNOWN, count, dateTime, percent, plural, progress } from "./format.js";
import { ServerClock, getJson, watch } from "./live.js";

const GROUPS = [
  ["all", "All", () => true],
  ["active", "Active", (row) => !TERMINAL.has(row.state)],
  ["late", "Late", (row, now) => isLate(row, now)],
  ["completed", "Completed", (row) => row.state === "completed"],
  ["failed", "Failed", (row) => row.state === "failed" || row.state === "error"],
  ["stopped", "Stopped", (row) => row.state === "stopped" || row.state === "terminated"],
];
const COLUMNS = [
  ["state", "State", (row) => row.state],
  ["name", "Name", (row) => row.name.toLowerCase()],
  ["progress", "Progress", (row) => row.progress ?? -1],
  ["replicas", "Replicas", (row) => row.replicas?.observed ?? row.final_replicas ?? -1],
  ["deadline", "Deadline", (row) => deadlineOrder(row)],
  ["reason", "Reason", null],
];

const clock = new ServerClock();
const lines = new Map(); // id -> Line
const choice = { group: "all", text: "", sort: null, down: false };
let known = false;
let order = [];
let last = null;

/** Those that run come first, the nearest deadline first; then the ended ones. */
function deadlineOrder(row) {
  const at = row.deadline && row.created_at !== null ? row.created_at + row.deadline : Infinity;
  return TERMINAL.has(row.state) ? 1e12 + at : at;
}

function driftText(drift) {
  if (drift === null) return "";
  if (Math.abs(drift) < 0.005) return "on time";
  return `${percent(Math.abs(drift))} ${drift < 0 ? "behind" : "ahead of"} time`;
}

class Line {
  constructor(id) {
    this.badge = stateBadge("");
    this.link = h("a", { href: `/submissions/${encodeURIComponent(id)}` });
    this.idText = h("span", { class: "mono muted small" }, id);
    this.bar = new ProgressBar();
    this.share = h("span", { class: "share" });
    this.drift = h("span", { class: "drift" });
    this.replicas = h("span", { class: "number" });
    this.wanted = h("span", { class: "muted small" });
    this.deadline = h("span", { class: "number" });
    this.reason = h("span", { class: "reason-text" });
    const cell = (name, ...children) => h("td", { role: "cell", class: `c-${name}` }, ...children);
    this.element = h("tr", { role: "row" },
      cell("state", this.badge),
      h("th", { scope: "row", role: "rowheader", class: "c-name" }, this.link, this.idText),
      cell("progress", h("div", { class: "progress-line" }, this.bar.element, this.share), this.drift),
      cell("replicas", h("span", { class: "label" }, "Replicas "), this.replicas, this.wanted),
      cell("deadline", h("span", { class: "label" }, "Deadline "), this.deadline),
      cell("reason", this.reason));
  }

  update(row) {
    this.row = row;
    this.search = `${row.name}\n${row.id}\n${row.reason}\n${row.state}`.toLowerCase();
    updateBadge(this.badge, row.state);
    setText(this.link, row.name || row.id);
    setAttribute(this.link, "title", row.created_at === null ? null : `accepted ${dateTime(row.created_at)}`);
    setText(this.share, progress(row.progress));
    this.#replicas(row);
    setText(this.reason, row.reason);
    setAttribute(this.reason, "title", row.reason || null);
    this.tick(clock.now());
  }

  #replicas(row) {
    const now = row.replicas;
    if (TERMINAL.has(row.state) || !now) {
      setText(this.replicas, row.final_replicas === null ? UNKNOWN : count(row.final_replicas));
      setText(this.wanted, "");
      return;
    }
    setText(this.replicas, count(now.observed));
    setText(this.wanted, now.desired === now.observed ? "" : ` of ${count(now.desired)}`);
  }

  tick(now) {
    const row = this.row;
    this.bar.update(row, now);
    const time = timeShare(row, now);
    const drift = row.state !== "ongoing" || time === null || row.progress === null ? null : row.progress - Math.min(time, 1);
    setText(this.drift, driftText(drift));
    setAttribute(this.drift, "data-tone", isLate(row, now) ? "late" : "");
    const { text, tone } = deadlineText(row, now);
    setText(this.deadline, text);
    setAttribute(this.deadline, "data-tone", tone);
  }
}

const headers = new Map(COLUMNS.map(([key, title, value]) => {
  const inner = value ? h("button", { type: "button", onclick: () => sortBy(key) }, title) : title;
  return [key, h("th", { scope: "col", role: "columnheader", class: `c-${key}` }, inner)];
}));
const body = h("tbody", { role: "rowgroup" });
const table = h("table", { class: "list", role: "table", "aria-label": "Submissions" },
  h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...headers.values())), body);
const nothing = h("p", { class: "empty" });
const chips = new Map(GROUPS.map(([key, title]) => {
  const number = h("span", { class: "count" });
  const button = h("button", { type: "button", "aria-pressed": "false", onclick: () => { choice.group = key; arrange(); } }, title, number);
  return [key, { button, number }];
}));

function sortBy(key) {
  choice.down = choice.sort === key ? !choice.down : false;
  choice.sort = key;
  arrange();
}

function compare(a, b) {
  if (choice.sort !== null) {
    const value = COLUMNS.find(([key]) => key === choice.sort)[2];
    const [x, y] = [value(a.row), value(b.row)];
    const sign = x < y ? -1 : x > y ? 1 : 0;
    if (sign !== 0) return choice.down ? -sign : sign;
  }
  return (b.row.created_at ?? 0) - (a.row.created_at ?? 0) || (a.row.id < b.row.id ? -1 : 1);
}

function arrange() {
  const now = clock.now();
  const all = [...lines.values()];
  for (const [key, , belongs] of GROUPS) {
    const { button, number } = chips.get(key);
    setText(number, count(all.filter((line) => belongs(line.row, now)).length));
    setAttribute(button, "aria-pressed", String(choice.group === key));
  }
  for (const [key, header] of headers) {
    setAttribute(header, "aria-sort", choice.sort === key ? (choice.down ? "descending" : "ascending") : null);
  }
  const belongs = GROUPS.find(([key]) => key === choice.group)[2];
  const shown = all.filter((line) => belongs(line.row, now) && line.search.includes(choice.text)).sort(compare);
  place(shown);
  const empty = shown.length === 0;
  table.hidden = empty;
  nothing.hidden = !empty;
  nothing.replaceChildren(...emptyText(all.length));
  byId("controls").hidden = all.length === 0;
  setText(byId("summary"), all.length === 0 ? "" : summary(all.length, shown.length));
}

/** Move only what stands wrong: focus and scroll stay, and a thousand rows cost nothing when nothing changed. */
function place(shown) {
  const wanted = shown.map((line) => line.element);
  if (wanted.length === order.length && wanted.every((element, index) => element === order[index])) return;
  const keep = new Set(wanted);
  for (const element of order) if (!keep.has(element)) element.remove();
  let next = body.firstChild;
  for (const element of wanted) {
    if (element === next) next = next.nextSibling;
    else body.insertBefore(element, next);
  }
  order = wanted;
}

function emptyText(total) {
  if (!known) return ["Nothing is known yet: waiting for the manager."];
  if (total > 0) return ["No submission matches."];
  return [h("strong", {}, "There is no submission yet."), " Hand one in with ", h("code", {}, "asperathos submit FILE"),
    " or POST it to the manager; it appears here at once."];
}

function summary(total, shown) {
  return shown === total ? plural(total, "submission") : `${count(shown)} of ${plural(total, "submission")}`;
}

function receive(document, whole) {
  clock.set(document.now);
  if (document.known !== undefined) known = document.known;
  if (document.problems) showProblems(document.problems);
  const rows = document.rows ?? {};
  for (const [id, row] of Object.entries(rows)) {
    if (!lines.has(id)) lines.set(id, new Line(id));
    lines.get(id).update(row);
  }
  const gone = whole && known ? [...lines.keys()].filter((id) => !(id in rows)) : document.gone ?? [];
  for (const id of gone) lines.delete(id);
  arrange();
}

async function poll() {
  const answer = await getJson("/api/submissions", last);
  if (answer !== last) receive(answer.value, true);
  last = answer;
}

byId("chips").append(...[...chips.values()].map(({ button }) => button));
byId("filter").addEventListener("input", (event) => { choice.text = event.target.value.trim().toLowerCase(); arrange(); });
nothing.hidden = true;
table.hidden = true;
let first = true;
watch({
  streamUrl: () => { first = true; return "/api/stream/submissions"; },
  events: {
    list: (document) => {
      if (first) byId("list").replaceChildren(table, nothing);
      receive(document, first);
      first = false;
    },
  },
  poll: async () => { await poll(); if (!table.isConnected) byId("list").replaceChildren(table, nothing); },
  told: (state) => { if (state === "live") first = true; showLink(state); },
});
setInterval(() => { const now = clock.now(); for (const line of lines.values()) if (!TERMINAL.has(line.row.state)) line.tick(now); }, 1000);
