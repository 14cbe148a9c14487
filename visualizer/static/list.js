// The page of all submissions: what is chosen of them, fifty at a time, so that thousands stay quick.

import { TERMINAL, showLink, showProblems } from "./common.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { count, plural } from "./format.js";
import { Line } from "./listline.js";
import { ServerClock, getJson, watch } from "./live.js";
import { COLUMNS, GROUPS, PAGE, Selection } from "./selection.js";

const SPARKS_EVERY = 15000;
const SPARKS_SOON = 300;
const clock = new ServerClock();
const choice = new Selection();
const rows = new Map(); // id -> row
const lines = new Map(); // id -> Line, of those on the page
let known = false;
let last = null;

const headers = new Map(COLUMNS.map(([key, title, value]) => {
  const inner = value ? h("button", { type: "button", onclick: () => { choice.sortBy(key); arrange(); } }, title) : title;
  return [key, h("th", { scope: "col", role: "columnheader", class: `c-${key}` }, inner)];
}));
const body = h("tbody", { role: "rowgroup" });
const table = h("table", { class: "list", role: "table", "aria-label": "Submissions", hidden: true },
  h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...headers.values())), body);
const nothing = h("p", { class: "empty", hidden: true });
const chips = new Map(GROUPS.map(([key, title]) => {
  const number = h("span", { class: "count" });
  const button = h("button", { type: "button", "aria-pressed": "false", onclick: () => { choice.choose({ group: key }); arrange(); } }, title, number);
  return [key, { button, number }];
}));
const before = h("button", { type: "button", onclick: () => turn(-1) }, "← Newer");
const after = h("button", { type: "button", onclick: () => turn(1) }, "Older →");
const where = h("span", { class: "muted" });
const pager = h("nav", { class: "pager", "aria-label": "Pages of the list", hidden: true }, before, where, after);

function turn(by) {
  choice.choose({ page: choice.page + by });
  arrange();
  byId("controls").scrollIntoView({ block: "nearest" });
}

function arrange() {
  const now = clock.now();
  const shown = choice.of([...rows.values()], now);
  choice.page = shown.page;
  for (const [key, { button, number }] of chips) {
    setText(number, count(shown.groups[key]));
    setAttribute(button, "aria-pressed", String(choice.group === key));
  }
  for (const [key, header] of headers) {
    setAttribute(header, "aria-sort", choice.sort === key ? (choice.down ? "descending" : "ascending") : null);
  }
  const fresh = place(shown.rows, now);
  table.hidden = shown.matching === 0;
  nothing.hidden = shown.matching > 0;
  nothing.replaceChildren(...emptyText(rows.size));
  byId("controls").hidden = rows.size === 0;
  showPager(shown);
  setText(byId("summary"), rows.size === 0 ? "" : shown.matching === rows.size ? plural(rows.size, "submission") : `${count(shown.matching)} of ${plural(rows.size, "submission")}`);
  if (fresh) sparksIn(SPARKS_SOON);
}

function showPager({ page, pages, matching }) {
  pager.hidden = pages === 1;
  before.disabled = page === 1;
  after.disabled = page === pages;
  const [newer, older] = choice.sort === null ? ["← Newer", "Older →"] : ["← Before", "After →"];
  setText(before, newer);
  setText(after, older);
  setText(where, `${count((page - 1) * PAGE + 1)} to ${count(Math.min(page * PAGE, matching))} of ${count(matching)}`);
}

/** Put the rows into the table; whether there are new ones. Moves only what stands wrong: focus and scroll stay. */
function place(wanted, now) {
  let fresh = false;
  const keep = new Set(wanted.map((row) => row.id));
  for (const [id, line] of lines) if (!keep.has(id)) { line.element.remove(); lines.delete(id); }
  let next = body.firstChild;
  for (const row of wanted) {
    let line = lines.get(row.id);
    if (!line) { lines.set(row.id, line = new Line(row.id)); fresh = true; }
    if (line.row !== row) line.update(row, now);
    if (line.element === next) next = next.nextSibling;
    else body.insertBefore(line.element, next);
  }
  return fresh;
}

function emptyText(total) {
  if (!known) return ["Nothing is known yet: waiting for the manager."];
  if (total > 0) return ["No submission matches."];
  return [h("strong", {}, "There is no submission yet."), " Hand one in with ", h("code", {}, "asperathos submit FILE"),
    ", ", h("a", { href: "/submit" }, "on this page"), ", or POST it to the manager; it appears here at once."];
}

function receive(document, whole) {
  clock.set(document.now);
  if (document.known !== undefined) known = document.known;
  if (document.problems) showProblems(document.problems);
  const told = document.rows ?? {};
  for (const [id, row] of Object.entries(told)) rows.set(id, row);
  const gone = whole && known ? [...rows.keys()].filter((id) => !(id in told)) : document.gone ?? [];
  for (const id of gone) rows.delete(id);
  if (!table.isConnected) byId("list").replaceChildren(table, nothing, pager);
  arrange();
}

async function poll() {
  const answer = await getJson("/api/submissions", last);
  if (answer !== last) receive(answer.value, true);
  last = answer;
}

let sparksTimer = null;
function sparksIn(wait) {
  clearTimeout(sparksTimer);
  sparksTimer = setTimeout(sparks, wait);
}

/** Sparklines are asked for by themselves, for what is on the page: they never hold up the list. */
async function sparks() {
  const ids = [...lines.keys()];
  try {
    if (ids.length > 0 && !document.hidden) {
      const { value } = await getJson(`/api/sparks?ids=${ids.map(encodeURIComponent).join(",")}`);
      for (const [id, values] of Object.entries(value.sparks)) lines.get(id)?.spark.update(values);
    }
  } catch (error) {
    // The list itself says when nobody answers.
  }
  sparksIn(SPARKS_EVERY);
}

byId("chips").append(...[...chips.values()].map(({ button }) => button));
byId("filter").value = choice.text;
byId("kind").value = choice.kind;
byId("filter").addEventListener("input", (event) => { choice.choose({ text: event.target.value }); arrange(); });
byId("kind").addEventListener("change", (event) => { choice.choose({ kind: event.target.value }); arrange(); });
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  event.preventDefault();
  byId("filter").focus();
});
let first = true;
watch({
  streamUrl: () => { first = true; return "/api/stream/submissions"; },
  events: { list: (document) => { receive(document, first); first = false; } },
  poll,
  told: (state) => { if (state === "live") first = true; showLink(state); },
});
setInterval(() => { const now = clock.now(); for (const line of lines.values()) if (!TERMINAL.has(line.row.state)) line.tick(now); }, 1000);
