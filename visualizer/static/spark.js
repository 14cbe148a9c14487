// A line the size of a word.

import { s, setAttribute } from "./dom.js";
import { quantity } from "./format.js";

const WIDTH = 92;
const HEIGHT = 24;

export class Spark {
  constructor() {
    this.line = s("path", { class: "line c-blue" });
    this.area = s("path", { class: "area c-blue" });
    this.element = s("svg", { class: "spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "throughput not known" }, this.area, this.line);
  }

  update(values) {
    if (values.length < 2) return;
    const top = Math.max(...values, 1e-9);
    const points = values.map((value, index) => `${((index / (values.length - 1)) * (WIDTH - 2) + 1).toFixed(1)} ${(HEIGHT - 2 - (value / top) * (HEIGHT - 5)).toFixed(1)}`);
    const path = `M${points.join("L")}`;
    setAttribute(this.line, "d", path);
    setAttribute(this.area, "d", `${path}L${WIDTH - 1} ${HEIGHT - 1}L1 ${HEIGHT - 1}Z`);
    setAttribute(this.element, "aria-label", `throughput lately: ${quantity(values.at(-1))} items a second, at most ${quantity(top)}`);
  }
}
