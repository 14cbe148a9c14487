// The pods' logs, read while they are looked at and only then.

import { TERMINAL } from "./common.js";
import { h, setText } from "./dom.js";
import { plural } from "./format.js";
import { getJson } from "./live.js";

const EVERY = 3000;
const NAMES_EVERY = 5;
const TAIL = 300;

export class Logs {
  #timer = null;
  #turn = 0;

  constructor(address) {
    this.address = `${address}/log`;
    this.select = h("select", { id: "pod", "aria-label": "Replica whose log is shown", onchange: () => this.#look() });
    this.note = h("span", { class: "small muted", role: "status" });
    this.text = h("pre", { class: "log-text", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Log", id: "log-text" });
    this.box = h("details", { class: "card fold", id: "logs", ontoggle: () => this.#toggle() }, h("summary", {}, h("h2", {}, "Logs")),
      h("div", { class: "card-head" }, this.select, this.note), this.text);
    this.element = this.box;
  }

  update(row) {
    this.over = TERMINAL.has(row.state);
  }

  #toggle() {
    clearTimeout(this.#timer);
    if (this.box.open) this.#look();
  }

  async #look() {
    clearTimeout(this.#timer);
    try {
      if (this.#turn % NAMES_EVERY === 0 || !this.select.value) await this.#names();
      this.#turn += 1;
      if (this.select.value) await this.#read(this.select.value);
    } catch (error) {
      setText(this.note, error.status === 404 ? "This log is not kept any more." : "The log cannot be read now. Trying again…");
    }
    if (this.box.open && !this.over) this.#timer = setTimeout(() => this.#look(), EVERY);
  }

  async #names() {
    const { value } = await getJson(`${this.address}?tail=0`);
    const names = Object.keys(value.pods);
    const chosen = names.includes(this.select.value) ? this.select.value : names.at(-1);
    if (names.join() !== [...this.select.options].map((one) => one.value).join()) {
      this.select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    }
    this.select.hidden = names.length === 0;
    if (chosen) this.select.value = chosen;
    setText(this.note, names.length ? `${plural(names.length, "replica")}, the last ${TAIL} lines of each` : "No replica has a log yet.");
  }

  async #read(pod) {
    const { value } = await getJson(`${this.address}?tail=${TAIL}&pod=${encodeURIComponent(pod)}`);
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 40;
    setText(this.text, value.pods[pod] || "(nothing written yet)");
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
  }
}
