// One submission as a line of the list.

import { ProgressBar, TERMINAL, deadlineText, isLate, stateBadge, timeShare, updateBadge } from "./common.js";
import { h, setAttribute, setText } from "./dom.js";
import { UNKNOWN, count, dateTime, percent, progress } from "./format.js";
import { Spark } from "./spark.js";

export class Line {
  constructor(id) {
    this.badge = stateBadge("");
    this.link = h("a", { href: `/submissions/${encodeURIComponent(id)}` });
    this.idText = h("span", { class: "mono" }, id);
    this.kind = h("span", { class: "kind-text" });
    this.bar = new ProgressBar();
    this.share = h("span", { class: "share" });
    this.drift = h("span", { class: "drift" });
    this.spark = new Spark();
    this.replicas = h("span", { class: "number" });
    this.wanted = h("span", { class: "muted small" });
    this.deadline = h("span", { class: "number" });
    this.reason = h("span", { class: "reason-text" });
    const cell = (name, ...children) => h("td", { role: "cell", class: `c-${name}` }, ...children);
    this.element = h("tr", { role: "row" },
      cell("state", this.badge),
      h("th", { scope: "row", role: "rowheader", class: "c-name" }, this.link, h("span", { class: "under" }, this.idText, this.kind)),
      cell("progress", h("div", { class: "progress-line" }, this.bar.element, this.share), this.drift),
      cell("spark", h("span", { class: "label" }, "Throughput "), this.spark.element),
      cell("replicas", h("span", { class: "label" }, "Replicas "), this.replicas, this.wanted),
      cell("deadline", h("span", { class: "label" }, "Deadline "), this.deadline),
      cell("reason", this.reason));
  }

  update(row, now) {
    this.row = row;
    updateBadge(this.badge, row.state);
    setText(this.link, row.name || row.id);
    setAttribute(this.link, "title", row.created_at === null ? null : `accepted ${dateTime(row.created_at)}`);
    setText(this.kind, row.kind === "batch" ? "" : row.kind);
    setText(this.share, row.kind === "stream" ? "" : progress(row.progress));
    this.#replicas(row);
    setText(this.reason, row.reason);
    setAttribute(this.reason, "title", row.reason || null);
    this.tick(now);
  }

  #replicas(row) {
    const now = row.replicas;
    if (TERMINAL.has(row.state) || !now) {
      setText(this.replicas, row.final_replicas === null ? UNKNOWN : count(row.final_replicas));
      setText(this.wanted, "");
      return;
    }
    setText(this.replicas, count(now.observed));
    setText(this.wanted, now.desired === now.observed ? "" : ` of ${count(now.desired)}`);
  }

  tick(now) {
    const { row } = this;
    this.bar.update(row, now);
    this.bar.element.hidden = row.kind === "stream";
    const time = timeShare(row, now);
    const drift = row.state !== "ongoing" || time === null || row.progress === null ? null : row.progress - Math.min(time, 1);
    setText(this.drift, row.kind === "stream" ? queueText(row) : driftText(drift, isLate(row, now)));
    setAttribute(this.drift, "data-tone", isLate(row, now) ? "late" : "");
    const { text, tone } = deadlineText(row, now);
    setText(this.deadline, text);
    setAttribute(this.deadline, "data-tone", tone);
  }
}

function driftText(drift, late) {
  if (drift === null) return "";
  if (late && drift >= 0) return "on time so far, expected late";
  if (Math.abs(drift) < 0.005) return "on time";
  return `${percent(Math.abs(drift))} ${drift < 0 ? "behind" : "ahead of"} time`;
}

function queueText(row) {
  const { counts } = row;
  if (!counts) return "";
  return `${count(counts.done)} done · ${count(counts.ready + counts.delayed)} waiting · ${count(counts.leased)} in work`;
}
