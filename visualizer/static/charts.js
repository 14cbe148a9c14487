// The charts of a submission: which there are, and the series they draw.

import { Chart, Crosshair, axisTime } from "./chart.js";
import { TERMINAL } from "./common.js";
import { h } from "./dom.js";
import { UNKNOWN, count, digitsFor, duration, percent, quantity, signedPercent } from "./format.js";

const MOST_POINTS = 2400;
const WAITING = "Nothing measured yet: the first points appear here as soon as it runs.";
const PLACES = [["done", "green", "done"], ["leased", "blue", "in work"], ["ready", "grey", "ready"], ["delayed", "yellow", "to retry"], ["dead", "red", "dead"]];
const share = { format: (value) => percent(value, 1), tick: (value, step) => percent(value, digitsFor(step * 100)) };

export class Charts {
  #charts = null;
  #shape = "";
  #drawing = false;

  constructor() {
    this.series = {}; // name -> { at: [...], field: [...] }
    this.since = 0; // the moment all series reach (Unix seconds)
    this.element = h("div", { class: "charts", id: "charts" });
    this.ends = { at: [], p50: [], p90: [] }; // when the end was expected, from decision to decision
    this.row = null;
    this.outlook = null;
  }

  /** The submission as it is now; `outlook` is when it is expected to end, each decision had its own forecast. */
  update(row, outlook, decisions) {
    const shape = `${row.kind} ${Boolean(row.deadline)}`;
    const foreseen = decisions.filter((one) => typeof one.forecast?.p50 === "number");
    this.ends = { at: foreseen.map((one) => one.at), p50: foreseen.map((one) => one.forecast.p50), p90: foreseen.map((one) => one.forecast.p90) };
    Object.assign(this, { row, outlook });
    if (shape !== this.#shape) this.#make(row);
    this.#shape = shape;
    this.#schedule();
  }

  /** Points that are new; those known already are dropped. */
  add(tables) {
    for (const [name, fresh] of Object.entries(tables)) {
      const held = (this.series[name] ??= Object.fromEntries(Object.keys(fresh).map((field) => [field, []])));
      const begin = fresh.at.findIndex((at) => at > (held.at.at(-1) ?? -Infinity));
      if (begin < 0) continue;
      for (const field of Object.keys(held)) held[field].push(...(fresh[field] ?? fresh.at.map(() => null)).slice(begin));
      if (held.at.length > MOST_POINTS) for (const field of Object.keys(held)) held[field] = held[field].filter((_, index) => index % 2 === 0 || index > MOST_POINTS - 200);
    }
    // The oldest of what the series reach: what others have beyond it comes again and is dropped above.
    this.since = Math.min(...Object.values(this.series).filter((one) => one.at.length > 0).map((one) => one.at.at(-1)), Infinity);
    if (!Number.isFinite(this.since)) this.since = 0;
    this.#schedule();
  }

  #make(row) {
    const crosshair = new Crosshair();
    const stream = row.kind === "stream";
    const timed = Boolean(row.deadline);
    const chart = (options) => new Chart({ crosshair, empty: WAITING, ...options });
    const done = {
      pick: ["progress", (one) => [one.value, timed ? this.#aligned("time", "value", one.at) : null]],
      ahead: () => this.#ahead(),
      chart: chart({
        title: timed ? "Progress against time" : "Progress", ...share, high: 1, fan: "expected end", wide: true,
        series: [{ name: "work done", color: "blue", kind: "line", fill: true }, ...(timed ? [{ name: "time used", color: "orange", kind: "dash" }] : [])],
      }),
    };
    const error = {
      pick: ["error", (one) => [one.value]],
      chart: chart({
        title: "Progress error", format: (value) => signedPercent(value), tick: (value, step) => signedPercent(value, digitsFor(step * 100)), low: null,
        series: [{ name: "ahead (+) or late (−)", color: "ink", kind: "sign" }],
      }),
    };
    const replicas = {
      pick: ["replicas", (one) => [one.desired, one.observed, one.pending]],
      chart: chart({
        title: "Replicas", format: count, whole: true, high: 2, wide: stream,
        series: [{ name: "wanted", color: "orange", kind: "stepdash" }, { name: "running", color: "blue", kind: "step", fill: true }, { name: "starting", color: "purple", kind: "steparea" }],
      }),
    };
    const places = PLACES.filter(([place]) => !(stream && place === "done"));
    const queue = {
      pick: ["queue", (one) => places.map(([place]) => one[place])],
      chart: chart({ title: "Items by place", format: count, tick: short, whole: true, high: 1, series: places.map(([, color, name]) => ({ name, color, kind: "stack" })) }),
    };
    const flow = {
      pick: ["flow", (one) => (stream ? [one.throughput, one.arrival_rate] : [one.throughput])],
      chart: chart({
        title: "Throughput", wide: stream || !timed, format: (value) => (value === null ? UNKNOWN : `${quantity(value)}/s`), tick: short,
        series: [{ name: "settled", color: "blue", kind: "line", fill: true }, ...(stream ? [{ name: "arriving", color: "orange", kind: "dash" }] : [])],
      }),
    };
    const times = (title, name, wide) => ({
      pick: [name, (one) => [one.p50, one.p95]],
      chart: chart({ title, wide, format: duration, tick: axisTime, inTime: true, series: [{ name: "median", color: "blue", kind: "line" }, { name: "95 % within", color: "orange", kind: "dash" }] }),
    });
    const service = times("Time per item", "service", stream);
    const wait = times("Wait in the queue", "wait", false);
    const end = {
      pick: ["ends", (one) => [one.p50, one.p90, timed ? one.at.map(() => this.row.deadline) : null]],
      chart: chart({
        title: "Expected end", format: (value) => (value === null ? UNKNOWN : axisText(value)), tick: axisTime, inTime: true,
        empty: "No forecast yet: each decision makes one, once there is something to tell it from.",
        series: [{ name: "median", color: "blue", kind: "line" }, { name: "90 % by", color: "purple", kind: "line" }, ...(timed ? [{ name: "deadline", color: "orange", kind: "dash" }] : [])],
      }),
    };
    this.#charts = stream ? [replicas, queue, wait, flow, service] : timed ? [done, replicas, queue, end, error, flow, service] : [done, replicas, queue, end, flow, service];
    this.element.replaceChildren(...this.#charts.map((one) => one.chart.element));
  }

  /** A field of another series at the same moments (they are written together; a moment it lacks stays unknown). */
  #aligned(name, field, moments) {
    const other = this.series[name];
    if (!other) return moments.map(() => null);
    const byMoment = new Map(other.at.map((at, index) => [at, other[field][index]]));
    return moments.map((at) => byMoment.get(at) ?? null);
  }

  /** What lies ahead of the progress: the deadline, and the band in which the end is expected. */
  #ahead() {
    const { row, outlook } = this;
    const start = this.#start();
    if (TERMINAL.has(row.state)) return { markAt: row.deadline };
    const at = (moment) => (moment === null || moment === undefined ? null : moment - start);
    const likely = at(outlook?.p50 ?? row.ends_at);
    if (likely === null) return { markAt: row.deadline, until: row.deadline };
    const [early, late] = [at(outlook?.p10) ?? likely, at(outlook?.p90) ?? likely];
    const text = early === late ? axisText(likely) : `${axisText(early)} to ${axisText(late)}`;
    // A forecast far beyond the deadline would press all that was measured to the left edge.
    const most = row.deadline ? 2 * row.deadline : Infinity;
    return { markAt: row.deadline, until: Math.min(most, Math.max(row.deadline ?? 0, late)), fan: { value: 1, early: Math.min(early, most), likely: Math.min(likely, most), late: Math.min(late, most), text } };
  }

  #start() {
    const starts = Object.values(this.series).map((one) => one.at[0]).filter((at) => at !== undefined);
    return this.row.created_at ?? (starts.length ? Math.min(...starts) : 0);
  }

  #schedule() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => { this.#drawing = false; this.#draw(); });
  }

  #draw() {
    if (!this.#charts || !this.row) return;
    const start = this.#start();
    for (const { pick: [name, values], ahead, chart } of this.#charts) {
      const one = name === "ends" ? this.ends : this.series[name];
      if (!one) continue;
      chart.update(one.at.map((at) => at - start), values(one).filter((list) => list !== null), ahead ? ahead() : { markAt: this.row.deadline });
    }
  }
}

function axisText(seconds) {
  return duration(Math.round(seconds));
}

function short(value, step) {
  if (value >= 1e6) return `${quantity(value / 1e6)}M`;
  return value >= 1e4 ? `${Math.round(value / 1e3)}k` : step < 1 || !Number.isInteger(step) ? value.toFixed(digitsFor(step)) : count(value);
}
