// The figures at the top of a submission's page: will it make it, what is it doing, what does it cost, what went wrong.

import { ProgressBar, TERMINAL, deadlineText, timeShare } from "./common.js";
import { h, setAttribute, setText } from "./dom.js";
import { UNKNOWN, clockTime, count, duration, percent, plural, progress, quantity, ticking } from "./format.js";

class Tile {
  constructor(title, extra = null) {
    this.title = h("dt", {}, title);
    this.value = h("dd", { class: "figure" }, UNKNOWN);
    this.note = h("dd", { class: "note" });
    this.element = h("div", { class: "tile" }, this.title, this.value, extra, this.note);
  }

  show(value, note = "", tone = "") {
    setText(this.value, value);
    setText(this.note, note);
    setAttribute(this.value, "data-tone", tone);
  }
}

/** `state` is the page's; `replicas` the columns of the replicas' series, as far as they are known. */
export class Tiles {
  constructor() {
    this.bar = new ProgressBar();
    this.progress = new Tile("Progress", h("dd", { class: "bar-cell" }, this.bar.element));
    this.deadline = new Tile("Deadline");
    this.end = new Tile("Expected end");
    this.replicas = new Tile("Replicas");
    this.rate = new Tile("Throughput");
    this.service = new Tile("Time per item");
    this.cost = new Tile("Cost (replica time)");
    this.wrong = new Tile("Went wrong");
    const all = [this.progress, this.deadline, this.end, this.replicas, this.rate, this.service, this.cost, this.wrong];
    this.element = h("dl", { class: "tiles" }, ...all.map((tile) => tile.element));
  }

  update({ row, details, events }, replicas, now) {
    const seen = details?.observation ?? null;
    const over = TERMINAL.has(row.state);
    this.#progress(row, now);
    this.#deadline(row, now, over);
    this.#end(row, details, now, over);
    this.#replicas(row, details, over);
    this.#rate(row, details, seen, over);
    const times = seen?.service;
    this.service.show(times?.count ? duration(times.p50) : UNKNOWN, times?.count ? `median · 95 % within ${duration(times.p95)}` : "");
    this.#cost(details, seen, replicas, over);
    this.#wrong(row, seen, events);
  }

  #progress(row, now) {
    const items = row.counts;
    this.bar.update(row, now);
    this.bar.element.hidden = row.kind === "stream";
    if (row.kind === "stream") {
      setText(this.progress.title, "Items");
      this.progress.show(items ? count(items.done) : UNKNOWN, items ? `done · ${count(items.ready + items.delayed)} waiting · ${count(items.leased)} in work` : "");
      return;
    }
    const settled = items ? items.done + items.dead : null;
    this.progress.show(progress(row.progress, 1), items && items.total !== null ? `${count(settled)} of ${plural(items.total, "item")}` : items ? `${count(settled)} done` : "");
  }

  #deadline(row, now, over) {
    if (row.kind === "stream") {
      setText(this.deadline.title, "Target");
      return this.deadline.show(row.target === null ? UNKNOWN : duration(row.target), "from arrival to result");
    }
    const { text, tone } = deadlineText(row, now);
    if (!row.deadline) return this.deadline.show(text, "", tone);
    const used = `${percent(Math.min(9.99, timeShare(row, now)))} used`;
    if (over && row.state !== "completed") return this.deadline.show(duration(row.deadline), used);
    this.deadline.show(text, over ? `of ${duration(row.deadline)}` : `of ${duration(row.deadline)} · ${used}`, tone);
  }

  #end(row, details, now, over) {
    setText(this.end.title, over ? "Duration" : "Expected end");
    if (over) {
      const took = details?.execution_time ?? (row.finished_at !== null && row.created_at !== null ? row.finished_at - row.created_at : null);
      return this.end.show(took === null ? UNKNOWN : duration(took), row.finished_at === null ? "taken in all" : `until ${clockTime(row.finished_at)}`);
    }
    if (row.ends_at === null) return this.end.show(UNKNOWN, row.kind === "stream" ? "when it is stopped" : "not known yet");
    const sure = row.chance === null ? "" : ` · in time with ${percent(row.chance)}`;
    this.end.show(row.ends_at > now ? `in ${ticking(row.ends_at - now)}` : "any moment", `at ${clockTime(row.ends_at)}${sure}`, row.chance !== null && row.chance < 0.5 ? "bad" : "");
  }

  #replicas(row, details, over) {
    if (over) {
      const most = details?.peak_replicas ? `at the end · ${count(details.peak_replicas)} at most` : "at the end";
      return this.replicas.show(row.final_replicas === null ? UNKNOWN : count(row.final_replicas), most);
    }
    const now = row.replicas;
    if (!now) return this.replicas.show(UNKNOWN);
    const parts = [`${count(now.desired)} wanted`];
    if (now.pending) parts.push(`${count(now.pending)} starting`);
    if (now.leaving) parts.push(`${count(now.leaving)} leaving`);
    this.replicas.show(count(now.observed), parts.join(" · "));
  }

  #rate(row, details, seen, over) {
    if (seen && !over) {
      const stream = `${quantity(seen.arrival_rate)}/s arriving`;
      return this.rate.show(`${quantity(seen.throughput)}/s`, row.kind === "stream" ? stream : "items settled");
    }
    const settled = row.counts ? row.counts.done + row.counts.dead : null;
    const took = details?.execution_time ?? (row.finished_at ?? NaN) - (row.created_at ?? NaN);
    this.rate.show(settled && took > 0 ? `${quantity(settled / took)}/s` : UNKNOWN, over ? "on average" : "");
  }

  #cost(details, seen, replicas, over) {
    const outlook = details?.outlook;
    const spent = details?.replica_seconds ?? outlook?.spent_seconds ?? spentSeconds(replicas);
    if (spent === null || spent === undefined) return this.cost.show(UNKNOWN, "not known yet");
    const price = seen?.price ?? null;
    const money = outlook?.spent ?? (price === null ? null : (spent / 3600) * price);
    const all = over ? null : outlook?.projected_seconds ?? null;
    const notes = [money === null ? null : `${quantity(money)} money`, all === null ? (over ? "in all" : null) : `${duration(all)} expected in all`];
    this.cost.show(duration(Math.round(spent)), notes.filter((note) => note !== null).join(" · "));
  }

  #wrong(row, seen, events) {
    const dead = row.counts?.dead ?? 0;
    const failed = seen?.failures ?? 0;
    const warnings = events.filter((one) => one.warning).length;
    const notes = [failed ? plural(failed, "failed attempt") : null, warnings ? plural(warnings, "warning") : null].filter((note) => note !== null);
    const quiet = dead === 0 && notes.length === 0;
    this.wrong.show(dead ? plural(dead, "dead item") : quiet ? "nothing" : "no item lost", notes.join(" · "), dead ? "bad" : quiet ? "good" : "");
  }
}

/** Replica-seconds in the series so far: each count holds until the next one. Null while there is no series. */
function spentSeconds(replicas) {
  if (!replicas || replicas.at.length < 2) return null;
  return replicas.at.reduce((sum, at, index) => (index === 0 ? 0 : sum + (at - replicas.at[index - 1]) * (replicas.observed[index - 1] ?? 0)), 0);
}
