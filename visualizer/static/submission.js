// The page of one submission, live.

import { Chart, Crosshair } from "./chart.js";
import { ProgressBar, TERMINAL, deadlineText, showLink, showProblems, stateBadge, timeShare, updateBadge } from "./common.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { UNKNOWN, clockTime, count, dateTime, digitsFor, duration, percent, plural, progress, quantity, signedPercent, ticking } from "./format.js";
import { ServerClock, getJson, watch } from "./live.js";

const MOST_POINTS = 2400;
const root = byId("submission");
const id = root.dataset.id;
const address = `/api/submissions/${encodeURIComponent(id)}`;
const clock = new ServerClock();
const state = { row: null, verdict: null, details: null, decisions: [], events: [], errors: [], known: false };
const series = {};
let since = 0;
let last = null;

/* ---- the numbers at the top ---- */

class Tile {
  constructor(title, extra = null) {
    this.value = h("dd", { class: "figure" }, UNKNOWN);
    this.note = h("dd", { class: "note" });
    this.element = h("div", { class: "tile" }, h("dt", {}, title), this.value, extra, this.note);
  }

  show(value, note = "", tone = "") {
    setText(this.value, value);
    setText(this.note, note);
    setAttribute(this.value, "data-tone", tone);
  }
}

const bar = new ProgressBar();
const tiles = {
  progress: new Tile("Progress", h("dd", { class: "bar-cell" }, bar.element)),
  deadline: new Tile("Deadline"),
  end: new Tile("Expected end"),
  replicas: new Tile("Replicas"),
  rate: new Tile("Throughput"),
  service: new Tile("Time per item"),
};

function showTiles() {
  const { row, details } = state;
  if (!row) return;
  const now = clock.now();
  const seen = details?.observation;
  const over = TERMINAL.has(row.state);
  const items = row.counts;
  const settled = items ? items.done + items.dead : null;
  bar.update(row, now);
  tiles.progress.show(progress(row.progress, 1), items && items.total !== null ? `${count(settled)} of ${plural(items.total, "item")}` : items ? `${count(settled)} done` : "");
  showDeadline(row, now, over);
  showEnd(row, now, over);
  showReplicas(row, over, details);
  tiles.rate.show(seen && !over ? `${quantity(seen.throughput)}/s` : averageRate(row, details, settled), seen && !over ? rateNote(row, seen) : over ? "on average" : "");
  const times = seen?.service;
  tiles.service.show(times?.count ? duration(times.p50) : UNKNOWN, times?.count ? `median · 95 % within ${duration(times.p95)}` : "");
}

function showDeadline(row, now, over) {
  const { text, tone } = deadlineText(row, now);
  if (!row.deadline) return tiles.deadline.show(text, "", tone);
  const used = `${percent(Math.min(9.99, timeShare(row, now)))} used`;
  if (over && row.state !== "completed") return tiles.deadline.show(duration(row.deadline), used);
  tiles.deadline.show(text, over ? `of ${duration(row.deadline)}` : `of ${duration(row.deadline)} · ${used}`, tone);
}

function showEnd(row, now, over) {
  if (over) {
    const took = state.details?.execution_time ?? (row.finished_at !== null && row.created_at !== null ? row.finished_at - row.created_at : null);
    tiles.end.show(took === null ? UNKNOWN : duration(took), row.finished_at === null ? "taken in all" : `taken, until ${clockTime(row.finished_at)}`);
    setText(tiles.end.element.querySelector("dt"), "Duration");
  } else if (row.ends_at === null) {
    tiles.end.show(UNKNOWN, "not known yet");
  } else {
    const sure = row.chance === null ? "" : ` · in time with ${percent(row.chance)}`;
    tiles.end.show(row.ends_at > now ? `in ${ticking(row.ends_at - now)}` : "any moment", `at ${clockTime(row.ends_at)}${sure}`);
  }
}

function showReplicas(row, over, details) {
  if (over) {
    tiles.replicas.show(row.final_replicas === null ? UNKNOWN : count(row.final_replicas), details?.peak_replicas ? `at the end · ${count(details.peak_replicas)} at most` : "at the end");
    return;
  }
  const now = row.replicas;
  if (!now) return tiles.replicas.show(UNKNOWN);
  const parts = [`${count(now.desired)} wanted`];
  if (now.pending) parts.push(`${count(now.pending)} starting`);
  tiles.replicas.show(count(now.observed), parts.join(" · "));
}

function averageRate(row, details, settled) {
  const took = details?.execution_time ?? (row.finished_at ?? NaN) - (row.created_at ?? NaN);
  return settled && took > 0 ? `${quantity(settled / took)}/s` : UNKNOWN;
}

function rateNote(row, seen) {
  if (row.kind === "stream") return `${quantity(seen.arrival_rate)}/s arriving`;
  return seen.failures ? plural(seen.failures, "failed attempt") : "items settled";
}

/* ---- charts ---- */

const crosshair = new Crosshair();
const share = { format: (value) => percent(value, 1), tick: (value, step) => percent(value, digitsFor(step * 100)) };
const waiting = "Nothing measured yet: the first points appear here as soon as it runs.";
let charts = null;

function makeCharts(row) {
  const stream = row.kind === "stream";
  const timed = Boolean(row.deadline);
  const progressChart = {
    pick: ["progress", (one) => [one.value, timed ? aligned("time", "value", one.at) : null]],
    chart: new Chart({
      title: timed ? "Progress against time" : "Progress", crosshair, ...share, high: 1, empty: waiting,
      series: [{ name: "work done", color: "blue", kind: "line", fill: true }, ...(timed ? [{ name: "time used", color: "orange", kind: "dash" }] : [])],
    }),
  };
  const errorChart = {
    pick: ["error", (one) => [one.value]],
    chart: new Chart({
      title: "Progress error", crosshair, format: (value) => signedPercent(value), tick: (value, step) => signedPercent(value, digitsFor(step * 100)), low: null, empty: waiting,
      series: [{ name: "ahead (+) or late (−)", color: "ink", kind: "sign" }],
    }),
  };
  const replicas = {
    pick: ["replicas", (one) => [one.desired, one.observed, one.pending]],
    chart: new Chart({
      title: "Replicas", crosshair, format: count, whole: true, high: 2, empty: waiting,
      series: [{ name: "wanted", color: "orange", kind: "stepdash" }, { name: "running", color: "blue", kind: "step", fill: true }, { name: "starting", color: "purple", kind: "steparea" }],
    }),
  };
  const places = [["done", "green"], ["leased", "blue"], ["ready", "grey"], ["delayed", "yellow"], ["dead", "red"]].filter(([place]) => !(stream && place === "done"));
  const words = { done: "done", leased: "in work", ready: "ready", delayed: "to retry", dead: "dead" };
  const queue = {
    pick: ["queue", (one) => places.map(([place]) => one[place])],
    chart: new Chart({
      title: "Items by place", crosshair, format: count, tick: short, whole: true, high: 1, empty: waiting,
      series: places.map(([place, color]) => ({ name: words[place], color, kind: "stack" })),
    }),
  };
  const flow = {
    pick: ["flow", (one) => (stream ? [one.throughput, one.arrival_rate] : [one.throughput])],
    chart: new Chart({
      title: "Throughput", crosshair, format: (value) => (value === null ? UNKNOWN : `${quantity(value)}/s`), tick: short, empty: waiting,
      series: [{ name: "settled", color: "blue", kind: "line", fill: true }, ...(stream ? [{ name: "arriving", color: "orange", kind: "dash" }] : [])],
    }),
  };
  const service = {
    pick: ["service", (one) => [one.p50, one.p95]],
    chart: new Chart({
      title: "Time per item", crosshair, format: duration, tick: duration, empty: waiting,
      series: [{ name: "median", color: "blue", kind: "line" }, { name: "95 % within", color: "orange", kind: "dash" }],
    }),
  };
  charts = stream ? [queue, replicas, flow, service] : timed ? [progressChart, replicas, errorChart, queue, flow, service] : [progressChart, replicas, queue, flow, service];
  byId("charts").replaceChildren(...charts.map((one) => one.chart.element));
}

function short(value, step) {
  if (value >= 1e6) return `${quantity(value / 1e6)}M`;
  return value >= 1e4 ? `${Math.round(value / 1e3)}k` : step < 1 || !Number.isInteger(step) ? value.toFixed(digitsFor(step)) : count(value);
}

/** A field of another series at the same moments (they are written together; a moment it lacks stays unknown). */
function aligned(name, field, moments) {
  const other = series[name];
  if (!other) return moments.map(() => null);
  const byMoment = new Map(other.at.map((at, index) => [at, other[field][index]]));
  return moments.map((at) => byMoment.get(at) ?? null);
}

function drawCharts() {
  const { row } = state;
  if (!charts || !row) return;
  const starts = Object.values(series).map((one) => one.at[0]).filter((at) => at !== undefined);
  const start = row.created_at ?? (starts.length ? Math.min(...starts) : 0);
  for (const { pick: [name, values], chart } of charts) {
    const one = series[name];
    if (!one) continue;
    chart.update(one.at.map((at) => at - start), values(one).filter((list) => list !== null), row.deadline);
  }
}

let drawing = false;
function scheduleCharts() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawCharts(); });
}

let seriesProblem = "";
function showSeriesProblem() {
  const place = byId("series-problem");
  if (!place) return;
  setText(place, seriesProblem ? `The measurements cannot be read now: ${seriesProblem}` : "");
  place.hidden = !seriesProblem;
}

function receiveSeries(document) {
  clock.set(document.now);
  seriesProblem = document.problem;
  showSeriesProblem();
  for (const [name, fresh] of Object.entries(document.series)) {
    const held = (series[name] ??= Object.fromEntries(Object.keys(fresh).map((field) => [field, []])));
    const begin = fresh.at.findIndex((at) => at > (held.at.at(-1) ?? -Infinity));
    if (begin < 0) continue;
    for (const field of Object.keys(held)) held[field].push(...(fresh[field] ?? fresh.at.map(() => null)).slice(begin));
    if (held.at.length > MOST_POINTS) for (const field of Object.keys(held)) held[field] = held[field].filter((_, index) => index % 2 === 0 || index > MOST_POINTS - 200);
  }
  // The oldest of what the series reach: what others have beyond it comes again and is dropped above.
  since = Math.min(...Object.values(series).filter((one) => one.at.length > 0).map((one) => one.at.at(-1)), Infinity);
  if (!Number.isFinite(since)) since = 0;
  scheduleCharts();
}

/* ---- decisions, events, errors ---- */

const holds = h("input", { type: "checkbox", id: "holds", onchange: () => showDecisions() });

function elapsed(at) {
  const { row } = state;
  return row?.created_at ? duration(Math.max(0, Math.round(at - row.created_at))) : clockTime(at);
}

function showDecisions() {
  const changes = state.decisions.filter((one) => holds.checked || one.granted !== one.previous);
  const held = state.decisions.length - state.decisions.filter((one) => one.granted !== one.previous).length;
  setText(byId("held"), `Also the ${plural(held, "decision")} to hold`);
  byId("holds-line").hidden = held === 0;
  const rows = changes.slice(-100).reverse().map((one) => h("li", {},
    h("time", { datetime: new Date(one.at * 1000).toISOString(), title: dateTime(one.at) }, elapsed(one.at)),
    h("span", { class: "move", "data-move": one.granted > one.previous ? "up" : one.granted < one.previous ? "down" : "hold" },
      one.granted === one.previous ? count(one.granted) : `${count(one.previous)} → ${count(one.granted)}`,
      h("span", { class: "sr" }, " replicas")),
    h("span", { class: "why" }, one.reason, one.wanted !== one.granted ? h("span", { class: "muted" }, ` (the law wanted ${count(one.wanted)})`) : null)));
  byId("decisions").replaceChildren(...(rows.length ? rows : [h("li", { class: "empty small" }, state.decisions.length ? "No change of replicas so far." : "No decision yet.")]));
}

function showEvents() {
  const rows = state.events.slice(-100).reverse().map((one) => h("li", { "data-warning": one.warning ? "yes" : null },
    h("time", { datetime: new Date(one.at * 1000).toISOString(), title: dateTime(one.at) }, elapsed(one.at)),
    h("span", { class: "kind" }, one.kind),
    h("span", { class: "why" }, one.warning ? h("strong", {}, "Warning: ") : null, one.message)));
  byId("events").replaceChildren(...(rows.length ? rows : [h("li", { class: "empty small" }, "Nothing has happened yet.")]));
}

function showErrors() {
  byId("errors-card").hidden = state.errors.length === 0;
  byId("errors").replaceChildren(...state.errors.map((text) => h("li", {}, h("pre", {}, text))));
}

function showFacts() {
  const { row, details } = state;
  if (!row || !details) return;
  const facts = [
    ["Id", row.id], ["Kind", row.kind], ["Law", details.law || UNKNOWN],
    details.cluster ? ["Cluster", details.cluster] : null,
    ["Accepted", row.created_at === null ? UNKNOWN : dateTime(row.created_at)],
    row.finished_at !== null ? ["Ended", dateTime(row.finished_at)] : null,
    row.target !== null ? ["Target", `within ${duration(row.target)}`] : null,
    details.scalings !== null ? ["Scalings", count(details.scalings)] : null,
    details.replica_seconds !== null ? ["Replica-seconds", count(details.replica_seconds)] : null,
  ].filter((fact) => fact !== null);
  byId("facts").replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  byId("warnings").replaceChildren(...details.warnings.map((text) => h("li", {}, text)));
  byId("warnings").hidden = details.warnings.length === 0;
}

/* ---- the whole ---- */

function build() {
  if (byId("charts")) return;
  root.replaceChildren(
    h("dl", { class: "tiles" }, ...Object.values(tiles).map((tile) => tile.element)),
    h("p", { class: "banner warn", id: "series-problem", role: "status", hidden: true }),
    h("h2", { class: "sr" }, "Charts"),
    h("div", { class: "charts", id: "charts" }),
    h("section", { class: "card errors", id: "errors-card", hidden: true }, h("h2", {}, "Errors"), h("ul", { id: "errors" })),
    h("div", { class: "columns" },
      h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, "Decisions"),
        h("label", { class: "small muted", id: "holds-line", hidden: true }, holds, h("span", { id: "held" }))), h("ol", { class: "log decisions", id: "decisions", tabindex: "0", "aria-label": "Decisions, latest first" })),
      h("section", { class: "card" }, h("h2", {}, "Events"), h("ol", { class: "log", id: "events", tabindex: "0", "aria-label": "Events, latest first" }))),
    h("section", { class: "card" }, h("h2", {}, "About it"), h("dl", { class: "facts", id: "facts" }), h("ul", { class: "notes", id: "warnings", hidden: true })));
}

function showHead() {
  const { row, verdict } = state;
  setText(byId("name"), row.name || row.id);
  document.title = `${row.progress !== null && !TERMINAL.has(row.state) ? `${progress(row.progress)} ` : ""}${row.name || row.id} · Asperathos`;
  const badge = byId("state").firstElementChild;
  if (badge) updateBadge(badge, row.state);
  else byId("state").append(stateBadge(row.state));
  setText(byId("verdict"), verdict?.text ?? "");
  setAttribute(byId("verdict"), "data-level", verdict?.level ?? "neutral");
  setText(byId("reason"), row.reason);
  byId("reason").hidden = !row.reason;
}

function receive(document) {
  clock.set(document.now);
  const shape = state.row && `${state.row.kind} ${Boolean(state.row.deadline)}`;
  for (const part of Object.keys(state)) if (part in document) state[part] = document[part];
  if (document.problems) showProblems(document.problems);
  if (!state.known) {
    if (byId("loading")) setText(byId("loading"), "Nothing is known of this submission yet: waiting for the manager.");
    return;
  }
  build();
  showSeriesProblem();
  if (!charts || shape !== `${state.row.kind} ${Boolean(state.row.deadline)}`) {
    makeCharts(state.row);
    scheduleCharts();
  }
  if ("row" in document || "verdict" in document) showHead();
  if ("row" in document || "details" in document) showFacts();
  if ("decisions" in document || "row" in document) showDecisions();
  if ("events" in document || "row" in document) showEvents();
  if ("errors" in document) showErrors();
  showTiles();
}

function gone() {
  watching.stop();
  showLink("ended");
  byId("problems").replaceChildren(h("div", { class: "banner warn" }, "This submission has been deleted; what is shown is the last that was known of it."));
}

async function poll() {
  try {
    const answer = await getJson(address, last);
    if (answer !== last) receive(answer.value);
    last = answer;
    receiveSeries((await getJson(`${address}/series?since=${since}`)).value);
  } catch (error) {
    if (error.status === 404 && state.known) return gone();
    throw error;
  }
}

const watching = watch({
  streamUrl: () => `/api/stream/submissions/${encodeURIComponent(id)}?since=${since}`,
  events: { submission: receive, series: receiveSeries, gone },
  poll,
  told: showLink,
});
setInterval(showTiles, 1000);
