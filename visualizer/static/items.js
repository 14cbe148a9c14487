// Where the items are, and what went wrong with them, each error told once.

import { h, setText } from "./dom.js";
import { count, plural } from "./format.js";

const PLACES = [["done", "done", "green"], ["leased", "in work", "blue"], ["ready", "ready", "grey"], ["delayed", "to retry", "yellow"], ["dead", "dead", "red"]];
const SORTS = { dead: ["dead item", "dead items"], attempt: ["failed attempt", "failed attempts"], pod: ["pod", "pods"], other: ["", ""] };

export class Items {
  constructor() {
    this.parts = PLACES.map(([name, text, color]) => {
      const value = h("span", { class: "value" }, "0");
      const piece = h("span", { class: `piece b-${color}` });
      return { name, value, piece, legend: h("li", {}, h("span", { class: `dot b-${color}`, "aria-hidden": "true" }), h("span", { class: "key" }, text), value) };
    });
    this.total = h("span", { class: "small muted" });
    this.troubles = h("ul", { class: "troubles", id: "troubles" });
    this.element = h("section", { class: "card", id: "items" }, h("div", { class: "card-head" }, h("h2", {}, "Items and errors"), this.total),
      h("div", { class: "pieces", "aria-hidden": "true" }, ...this.parts.map((part) => part.piece)),
      h("ul", { class: "legend" }, ...this.parts.map((part) => part.legend)), this.troubles);
  }

  update(row, troubles) {
    const counts = row.counts ?? {};
    const sum = this.parts.reduce((all, { name }) => all + (counts[name] ?? 0), 0);
    setText(this.total, sum ? `${plural(sum, "item")} so far` : "");
    for (const { name, value, piece } of this.parts) {
      setText(value, count(counts[name] ?? 0));
      piece.style.width = `${sum ? ((counts[name] ?? 0) / sum) * 100 : 0}%`;
    }
    if (troubles === this.shown) return;
    this.shown = troubles;
    this.troubles.replaceChildren(...(troubles.length ? troubles.map(trouble) : [h("li", { class: "empty small" }, "No error so far.")]));
  }
}

function trouble({ sort, text, count: times, items }) {
  const [one, many] = SORTS[sort];
  const what = sort === "other" ? (times > 1 ? `${count(times)} times` : "") : `${count(times)} ${times === 1 ? one : many}`;
  const which = items.length ? `: ${items.join(", ")}${times > items.length && sort !== "attempt" ? ", …" : ""}` : "";
  return h("li", { "data-sort": sort }, what ? h("p", { class: "small" }, h("strong", {}, what), h("span", { class: "muted" }, which)) : null, h("pre", { tabindex: "0", "aria-label": "Error" }, text));
}
