// Which submissions of the list are shown, in which order, on which page. Kept in the address, so that it can be shared.

import { TERMINAL, isLate } from "./common.js";

export const PAGE = 50;

export const GROUPS = [
  ["all", "All", () => true],
  ["active", "Active", (row) => !TERMINAL.has(row.state)],
  ["late", "Late", (row, now) => isLate(row, now)],
  ["completed", "Completed", (row) => row.state === "completed"],
  ["failed", "Failed", (row) => row.state === "failed" || row.state === "error"],
  ["stopped", "Stopped", (row) => row.state === "stopped" || row.state === "terminated"],
];

export const COLUMNS = [
  ["state", "State", (row) => row.state],
  ["name", "Name", (row) => row.name.toLowerCase()],
  ["progress", "Progress", (row) => row.progress ?? -1],
  ["spark", "Throughput", null],
  ["replicas", "Replicas", (row) => row.replicas?.observed ?? row.final_replicas ?? -1],
  ["deadline", "Deadline", (row) => deadlineOrder(row)],
  ["reason", "Reason", null],
];

/** Those that run come first, the nearest deadline first; then the ended ones. */
function deadlineOrder(row) {
  const at = row.deadline && row.created_at !== null ? row.created_at + row.deadline : Infinity;
  return TERMINAL.has(row.state) ? 1e12 + at : at;
}

/** Reads and keeps the choice in the address. */
export class Selection {
  constructor() {
    const told = new URLSearchParams(location.search);
    const one = (name, known) => (known.includes(told.get(name)) ? told.get(name) : null);
    this.group = one("state", GROUPS.map(([key]) => key)) ?? "all";
    this.kind = one("kind", ["batch", "stream"]) ?? "";
    this.text = told.get("q") ?? "";
    this.sort = one("sort", COLUMNS.filter(([, , value]) => value).map(([key]) => key));
    this.down = told.get("order") === "down";
    this.page = Math.max(1, Number.parseInt(told.get("page") ?? "1", 10) || 1);
  }

  /** Another choice: back to its first page, unless the page itself is chosen. */
  choose(changes) {
    Object.assign(this, { page: 1 }, changes);
    const told = new URLSearchParams();
    const entries = { state: this.group === "all" ? "" : this.group, kind: this.kind, q: this.text, sort: this.sort ?? "", order: this.sort && this.down ? "down" : "", page: this.page > 1 ? String(this.page) : "" };
    for (const [name, value] of Object.entries(entries)) if (value) told.set(name, value);
    const query = told.toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
  }

  sortBy(key) {
    this.choose({ sort: key, down: this.sort === key ? !this.down : false });
  }

  /** { rows: those of the page, matching: how many match, groups: how many in each, pages } */
  of(all, now) {
    const text = this.text.trim().toLowerCase();
    const found = all.filter((row) => (!this.kind || row.kind === this.kind) && (!text || searched(row).includes(text)));
    const groups = Object.fromEntries(GROUPS.map(([key, , belongs]) => [key, found.filter((row) => belongs(row, now)).length]));
    const belongs = GROUPS.find(([key]) => key === this.group)[2];
    const matching = found.filter((row) => belongs(row, now)).sort((a, b) => this.#compare(a, b));
    const pages = Math.max(1, Math.ceil(matching.length / PAGE));
    const page = Math.min(this.page, pages);
    return { rows: matching.slice((page - 1) * PAGE, page * PAGE), matching: matching.length, groups, page, pages };
  }

  /** As chosen; else those that run first, and the newest first. */
  #compare(a, b) {
    if (this.sort !== null) {
      const value = COLUMNS.find(([key]) => key === this.sort)[2];
      const [x, y] = [value(a), value(b)];
      const sign = x < y ? -1 : x > y ? 1 : 0;
      if (sign !== 0) return this.down ? -sign : sign;
    } else {
      const ended = TERMINAL.has(a.state) - TERMINAL.has(b.state);
      if (ended !== 0) return ended;
    }
    return (b.created_at ?? 0) - (a.created_at ?? 0) || (a.id < b.id ? -1 : 1);
  }
}

function searched(row) {
  return `${row.name}\n${row.id}\n${row.reason}\n${row.state}`.toLowerCase();
}
