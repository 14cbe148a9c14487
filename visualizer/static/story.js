// What was decided and what happened, latest first.

import { h, setText } from "./dom.js";
import { clockTime, count, dateTime, duration, percent, plural } from "./format.js";

const SHOWN = 100;

/** When something was: since acceptance, with the date behind it. */
function moment(at, row) {
  const text = row?.created_at ? duration(Math.max(0, Math.round(at - row.created_at))) : clockTime(at);
  return h("time", { datetime: new Date(at * 1000).toISOString(), title: dateTime(at) }, text);
}

function card(title, list, extra = null) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, title), extra), list);
}

/** The decisions with their reasons; those to hold on demand. */
export class Decisions {
  constructor() {
    this.holds = h("input", { type: "checkbox", id: "holds", onchange: () => this.#show() });
    this.held = h("span", { id: "held" });
    this.holdsLine = h("label", { class: "small muted", id: "holds-line", hidden: true }, this.holds, this.held);
    this.list = h("ol", { class: "log decisions", id: "decisions", tabindex: "0", "aria-label": "Decisions, latest first" });
    this.element = card("Decisions", this.list, this.holdsLine);
    this.decisions = [];
  }

  update(decisions, row) {
    Object.assign(this, { decisions, row });
    this.#show();
  }

  #show() {
    const { decisions, row } = this;
    const changes = decisions.filter((one) => one.granted !== one.previous);
    const held = decisions.length - changes.length;
    setText(this.held, `Also the ${plural(held, "decision")} to hold`);
    this.holdsLine.hidden = held === 0;
    const shown = this.holds.checked ? decisions : changes;
    const rows = shown.slice(-SHOWN).reverse().map((one) => h("li", {},
      moment(one.at, row),
      h("span", { class: "move", "data-move": one.granted > one.previous ? "up" : one.granted < one.previous ? "down" : "hold" },
        one.granted === one.previous ? count(one.granted) : `${count(one.previous)} → ${count(one.granted)}`,
        h("span", { class: "sr" }, " replicas")),
      h("span", { class: "why" }, one.reason, notes(one))));
    const empty = decisions.length ? "No change of replicas so far." : "No decision yet.";
    this.list.replaceChildren(...(rows.length ? rows : [h("li", { class: "empty small" }, empty)]));
  }
}

function notes(decision) {
  const told = [];
  if (decision.wanted !== decision.granted) told.push(`the law wanted ${count(decision.wanted)}`);
  if (decision.forecast?.chance !== null && decision.forecast?.chance !== undefined) told.push(`in time with ${percent(decision.forecast.chance)}`);
  if (!decision.feasible) told.push("the deadline cannot be met");
  return told.length ? h("span", { class: "muted" }, ` (${told.join("; ")})`) : null;
}

/** The events, warnings marked. */
export class Events {
  constructor() {
    this.list = h("ol", { class: "log", id: "events", tabindex: "0", "aria-label": "Events, latest first" });
    this.element = card("Events", this.list);
  }

  update(events, row) {
    const rows = events.slice(-SHOWN).reverse().map((one) => h("li", { "data-warning": one.warning ? "yes" : null },
      moment(one.at, row),
      h("span", { class: "kind" }, one.kind),
      h("span", { class: "why" }, one.warning ? h("strong", {}, "Warning: ") : null, one.message)));
    this.list.replaceChildren(...(rows.length ? rows : [h("li", { class: "empty small" }, "Nothing has happened yet.")]));
  }
}
