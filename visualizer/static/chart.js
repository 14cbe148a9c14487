// Small time charts in SVG: lines, steps and stacked areas with one crosshair for all charts of a page.
// A fan beyond the last point shows what is expected. Each can be read by mouse, touch, arrow keys, and as a (visually hidden) table.

import { h, s, setAttribute, setText } from "./dom.js";
import { UNKNOWN, duration } from "./format.js";

const HEIGHT = 190;
const PAD = { top: 12, right: 14, bottom: 24, left: 46 };
const BLOCKS = { stack: " solid", steparea: " block" };
const TABLE_ROWS = 12;
const TABLE_EVERY = 10000;

/** The moment all charts point at (seconds since the start), or null. */
export class Crosshair {
  #listeners = [];
  at = null;

  listen(listener) { this.#listeners.push(listener); }

  set(at) {
    if (at === this.at) return;
    this.at = at;
    for (const listener of this.#listeners) listener(at);
  }
}

/**
 * series: [{ name, color: "blue", kind: "line" | "dash" | "step" | "stepdash" | "steparea" | "stack" | "sign", fill? }]
 * format(value) for read-outs, tick(value, step) for the axis. low/high: what the y axis shows at least; whole: integer ticks,
 * inTime: values are seconds.
 * fan: the name of what is expected; its place in the legend is there while there is one.
 */
export class Chart {
  constructor({ title, note, series, format, tick = format, low = 0, high = null, whole = false, empty, crosshair, fan = null, wide = false, inTime = false }) {
    Object.assign(this, { title, series, format, tick, low, high, whole, crosshair, inTime });
    this.times = [];
    this.values = series.map(() => []);
    this.ahead = { markAt: null, until: null, fan: null };
    this.tableAt = 0;
    this.legend = series.map((one) => {
      const value = h("span", { class: "value" }, UNKNOWN);
      const sample = s("svg", { class: "sample", width: one.kind in BLOCKS ? 12 : 18, height: 10, "aria-hidden": "true" }, sampleOf(one));
      return { value, element: h("li", {}, sample, h("span", { class: "key" }, one.name), value) };
    });
    if (fan) {
      this.fanText = h("span", { class: "value" }, UNKNOWN);
      this.fanLegend = h("li", { hidden: true }, s("svg", { class: "sample", width: 12, height: 10, "aria-hidden": "true" }, s("rect", { class: "fan", width: 12, height: 10, rx: 2 })),
        h("span", { class: "key" }, fan), this.fanText);
    }
    this.when = h("span", { class: "when" });
    this.svg = s("svg", { class: "plot", height: HEIGHT, tabindex: "0", role: "img", "aria-label": `${title}. Left and right arrow keys read values.` });
    this.spoken = h("p", { class: "sr", "aria-live": "polite" });
    this.table = h("table", { class: "sr" });
    this.empty = h("p", { class: "chart-empty" }, empty);
    this.stage = h("div", { class: "stage" }, this.svg, this.empty);
    this.element = h("section", { class: wide ? "chart wide-chart" : "chart", "aria-label": title },
      h("div", { class: "chart-head" }, h("h3", {}, title), this.when),
      note ? h("p", { class: "chart-note" }, note) : null,
      h("ul", { class: "legend" }, ...this.legend.map((entry) => entry.element), this.fanLegend ?? null),
      this.stage, this.spoken, this.table);
    this.#listen();
  }

  /**
   * times: seconds since the start; values: one list per series (null: unknown). ahead: { markAt: where the deadline is,
   * until: where the axis ends at least, fan: { value, early, likely, late }: when `value` is reached, expectedly }.
   */
  update(times, values, ahead = {}) {
    this.times = times;
    this.values = values;
    this.ahead = { markAt: null, until: null, fan: null, ...ahead };
    this.draw();
  }

  draw() {
    const width = this.stage.clientWidth;
    const shown = this.times.length > 1 && width > 0;
    this.empty.hidden = shown;
    setAttribute(this.svg, "visibility", shown ? null : "hidden");
    setAttribute(this.svg, "tabindex", shown ? "0" : "-1");
    if (shown) {
      this.#scale(width);
      this.svg.replaceChildren(...this.#axes(), ...this.#fan(), ...this.series.flatMap((one, index) => this.#shape(one, index)), ...this.#mark());
      this.pointer = s("g", { class: "pointer" });
      this.svg.append(this.pointer);
    }
    this.#read();
    this.#tabulate();
  }

  #scale(width) {
    const stacked = this.series.some((one) => one.kind === "stack");
    this.tops = stacked ? this.#stacks() : this.values;
    const numbers = this.tops.flat().filter((value) => value !== null);
    let low = Math.min(this.low ?? 0, ...extent(numbers, Math.min));
    let high = Math.max(this.high ?? 0, ...extent(numbers, Math.max));
    if (this.series[0].kind === "sign") high = -(low = -Math.max(-low, high, 0.02));
    if (high <= low) high = low + 1;
    this.ticks = niceTicks(low, high, this.whole, this.inTime ? STEPS : null);
    this.low0 = Math.min(low, this.ticks[0]);
    this.high0 = this.high !== null && high <= this.high ? this.high : Math.max(high, this.ticks.at(-1));
    // Time counts from acceptance; a gap before the first point that would waste the width is left out.
    const to = Math.max(this.times.at(-1), this.ahead.until ?? -Infinity);
    const from = this.times[0] < 0.1 * to ? Math.min(0, this.times[0]) : this.times[0];
    const span = to - from || 1;
    const inner = { width: width - PAD.left - PAD.right, height: HEIGHT - PAD.top - PAD.bottom };
    this.width = width;
    this.from = from;
    this.to = to;
    this.x = (time) => PAD.left + ((time - from) / span) * inner.width;
    this.y = (value) => PAD.top + (1 - (value - this.low0) / (this.high0 - this.low0)) * inner.height;
    this.timeAt = (x) => from + (Math.min(Math.max(x - PAD.left, 0), inner.width) / inner.width) * span;
    setAttribute(this.svg, "width", String(width));
    setAttribute(this.svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
  }

  #stacks() {
    const sums = this.times.map(() => 0);
    return this.values.map((list) => list.map((value, index) => (sums[index] += value ?? 0)));
  }

  #axes() {
    const parts = [];
    for (const value of this.ticks) {
      const y = Math.round(this.y(value)) + 0.5;
      parts.push(s("line", { class: value === 0 ? "axis" : "grid", x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y }));
      parts.push(s("text", { class: "tick", x: PAD.left - 8, y: y + 3.5, "text-anchor": "end" }, this.tick(value, this.ticks[1] - this.ticks[0])));
    }
    const many = Math.max(2, Math.floor(this.width / 80));
    for (const time of timeTicks(this.from, this.to, many)) {
      const x = this.x(time);
      const anchor = x > this.width - PAD.right - 16 ? "end" : x < PAD.left + 8 ? "start" : "middle";
      parts.push(s("text", { class: "tick", x, y: HEIGHT - 6, "text-anchor": anchor }, axisTime(time)));
    }
    return parts;
  }

  /** From the last point to where it is expected to arrive: the likely way, and the band around it. */
  #fan() {
    const { fan } = this.ahead;
    if (this.fanLegend) this.fanLegend.hidden = fan === null;
    const list = this.values[0];
    const last = list.at(-1);
    if (fan === null || last === null || last === undefined) return [];
    const start = `${this.x(this.times.at(-1)).toFixed(1)} ${this.y(last).toFixed(1)}`;
    const y = this.y(fan.value).toFixed(1);
    const point = (time) => `${this.x(Math.max(time, this.times.at(-1))).toFixed(1)} ${y}`;
    setText(this.fanText, fan.text);
    return [
      s("path", { class: "fan", d: `M${start}L${point(fan.early)}L${point(fan.late)}Z` }),
      s("path", { class: "line c-blue dashed", d: `M${start}L${point(fan.likely)}` }),
    ];
  }

  #mark() {
    const { markAt } = this.ahead;
    if (markAt === null || markAt > this.to || markAt < this.from) return [];
    const x = this.x(markAt);
    const before = x > this.width - PAD.right - 60;
    return [
      s("line", { class: "deadline", x1: x, x2: x, y1: PAD.top, y2: HEIGHT - PAD.bottom }),
      s("text", { class: "tick deadline-text", x: before ? x - 5 : x + 5, y: HEIGHT - PAD.bottom - 6, "text-anchor": before ? "end" : "start" }, "deadline"),
    ];
  }

  #shape(one, index) {
    const tops = this.tops[index];
    if (one.kind === "stack") return [this.#area(one, tops, index > 0 ? this.tops[index - 1] : tops.map(() => 0))];
    if (one.kind === "sign") return this.#signed(tops);
    const step = one.kind.startsWith("step");
    const floor = tops.map((value) => (value === null ? null : this.low0));
    if (one.kind === "steparea") return [this.#area(one, tops, floor, true)];
    const parts = [];
    if (one.fill) parts.push(this.#area(one, tops, floor, step));
    const dash = one.kind.endsWith("dash") ? " dashed" : "";
    parts.push(s("path", { class: `line c-${one.color}${dash}`, d: this.#path(tops, step) }));
    return parts;
  }

  #path(list, step) {
    let path = "";
    let before = null;
    list.forEach((value, index) => {
      if (value === null) { before = null; return; }
      const x = this.x(this.times[index]).toFixed(1);
      const y = this.y(value).toFixed(1);
      path += before === null ? `M${x} ${y}` : step ? `H${x}V${y}` : `L${x} ${y}`;
      before = value;
    });
    return path;
  }

  #area(one, tops, bottoms, step = false) {
    const points = this.times.map((time, index) => [this.x(time), tops[index], bottoms[index]]).filter(([, top]) => top !== null);
    if (points.length === 0) return s("path", {});
    const edge = (list, at) => list.map(([x, top, bottom], index) => {
      const y = this.y(at === 1 ? top : bottom).toFixed(1);
      if (index === 0) return `${x.toFixed(1)} ${y}`;
      return step && at === 1 ? `H${x.toFixed(1)}V${y}` : `L${x.toFixed(1)} ${y}`;
    }).join("");
    return s("path", { class: `area c-${one.color}${BLOCKS[one.kind] ?? ""}`, d: `M${edge(points, 1)}L${edge([...points].reverse(), 2)}Z` });
  }

  /** A line whose area says by its side of zero (and its colour) whether it is ahead or late. */
  #signed(list) {
    const zero = list.map((value) => (value === null ? null : 0));
    const cut = (test) => list.map((value) => (value === null ? null : test(value) ? value : 0));
    return [
      this.#area({ color: "green" }, cut((value) => value > 0), zero),
      this.#area({ color: "red" }, cut((value) => value < 0), zero),
      s("path", { class: "line c-ink", d: this.#path(list, false) }),
    ];
  }

  #listen() {
    const move = (event) => {
      if (this.times.length < 2 || !this.timeAt) return;
      this.crosshair.set(this.timeAt(event.clientX - this.svg.getBoundingClientRect().left));
    };
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerdown", move);
    this.svg.addEventListener("pointerleave", () => this.crosshair.set(null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.svg.addEventListener("blur", () => this.crosshair.set(null));
    this.crosshair.listen(() => this.#read());
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  #key(event) {
    const last = this.times.length - 1;
    if (last < 1) return;
    const here = this.crosshair.at === null ? last : this.#nearest(this.crosshair.at);
    const leap = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
    const to = { ArrowLeft: here - leap, ArrowRight: here + leap, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.crosshair.set(null);
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, to));
    this.crosshair.set(this.times[index]);
    setText(this.spoken, `${duration(this.times[index])}: ${this.#words(index)}`);
  }

  #words(index) {
    return this.series.map((one, number) => `${one.name} ${this.format(this.values[number][index] ?? null)}`).join(", ");
  }

  /** The index of the sample that holds at a moment: the last one not after it. */
  #nearest(time) {
    if (time >= this.times.at(-1)) return this.times.length - 1;
    let low = 0;
    let high = this.times.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return high > low ? low : low + 1 < this.times.length && this.times[low + 1] - time < time - this.times[low] ? low + 1 : low;
  }

  /** The legend tells the values at the crosshair, else the latest. */
  #read() {
    const pointed = this.crosshair.at !== null && this.times.length > 1;
    const index = pointed ? this.#nearest(this.crosshair.at) : this.times.length - 1;
    setText(this.when, pointed ? `at ${duration(this.times[index])}` : "");
    this.legend.forEach((entry, number) => setText(entry.value, this.format(this.values[number][index] ?? null)));
    if (!this.pointer) return;
    this.pointer.replaceChildren();
    if (!pointed) return;
    const x = this.x(this.times[index]);
    this.pointer.append(s("line", { class: "cross", x1: x, x2: x, y1: PAD.top, y2: HEIGHT - PAD.bottom }));
    this.series.forEach((one, number) => {
      const value = this.tops[number][index];
      if (value === null || value === undefined) return;
      this.pointer.append(s("circle", { class: `spot c-${one.color}`, cx: x, cy: this.y(value), r: 3.5 }));
    });
  }

  #tabulate() {
    const now = performance.now();
    if (this.times.length < 2 || (this.tableAt && now - this.tableAt < TABLE_EVERY)) return;
    this.tableAt = now;
    const rows = Math.min(TABLE_ROWS, this.times.length);
    const picks = Array.from({ length: rows }, (_, row) => Math.round((row * (this.times.length - 1)) / (rows - 1)));
    this.table.replaceChildren(
      h("caption", {}, this.title),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "time"), ...this.series.map((one) => h("th", { scope: "col" }, one.name)))),
      h("tbody", {}, ...picks.map((index) => h("tr", {}, h("th", { scope: "row" }, duration(this.times[index])),
        ...this.values.map((list) => h("td", {}, this.format(list[index] ?? null)))))));
  }
}

function sampleOf(one) {
  if (one.kind in BLOCKS) return s("rect", { class: `area${BLOCKS[one.kind]} c-${one.color}`, x: 0, y: 0, width: 12, height: 10, rx: 2 });
  const dash = one.kind.endsWith("dash") ? " dashed" : "";
  return s("path", { class: `line c-${one.kind === "sign" ? "ink" : one.color}${dash}`, d: "M0 5H18" });
}

function extent(numbers, pick) {
  return numbers.length === 0 ? [] : [numbers.reduce((a, b) => pick(a, b))];
}

/** Three to five round values that cover the range; `steps` are round ones of another kind, from 1 on. */
export function niceTicks(low, high, whole, steps = null) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const other = rough > 0.5 ? steps?.find((size) => size >= rough) : undefined;
  const step = other ?? [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough && (!whole || Number.isInteger(size))) ?? 1;
  const ticks = [];
  for (let value = Math.floor(low / step + 1e-9) * step; value < high + step * 0.999; value += step) {
    ticks.push(Math.abs(value) < step * 1e-9 ? 0 : Number(value.toPrecision(10)));
    if (value >= high - step * 1e-9) break;
  }
  return ticks;
}

/** Short: 0, 30s, 2m, 1h 30m */
export function axisTime(time) {
  return time === 0 ? "0" : duration(time).replace(/ 00[sm]$/, "").replace(/ 00h$/, "");
}

const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

function timeTicks(from, to, many) {
  const step = STEPS.find((size) => (to - from) / size <= many) ?? Math.ceil((to - from) / many / 86400) * 86400;
  const ticks = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) ticks.push(time);
  return ticks;
}
