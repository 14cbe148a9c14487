// What all pages show alike: the connection, services that are away, states, deadlines, progress bars.

import { byId, h, setAttribute, setText } from "./dom.js";
import { clockTime, duration, percent, progress, ticking } from "./format.js";

export const TERMINAL = new Set(["completed", "failed", "stopped", "terminated", "error"]);
const CLEARLY = 0.05;
const LINK = {
  live: "live",
  polling: "live, by polling",
  away: "connection lost, trying again",
  ended: "ended",
};

export function showLink(state) {
  const place = byId("link-state");
  setAttribute(place, "data-link", state);
  setText(place.querySelector(".text"), LINK[state]);
}

/** One banner per service that does not answer. */
export function showProblems(problems) {
  const place = byId("problems");
  const lines = problems.map((problem) => {
    const age = problem.known_at === null ? "Nothing is known yet." : `Shown is what was known at ${clockTime(problem.known_at)}.`;
    return h("div", { class: "banner warn" },
      h("strong", {}, `The ${problem.service} does not answer. `),
      `${age} Trying again… `,
      h("span", { class: "small mono" }, problem.message));
  });
  place.replaceChildren(...lines);
}

export function stateBadge(state) {
  return h("span", { class: "badge", "data-state": state }, state);
}

export function updateBadge(badge, state) {
  setAttribute(badge, "data-state", state);
  setText(badge, state);
}

/** Share of the deadline used at `now` (or at the end); null without a deadline. */
export function timeShare(row, now) {
  if (!row.deadline || row.created_at === null) return null;
  return Math.max(0, (row.finished_at ?? now) - row.created_at) / row.deadline;
}

/** What the deadline says at `now`: { text, tone }. */
export function deadlineText(row, now) {
  if (row.kind === "stream" && row.target !== null) return { text: `each in ${duration(row.target)}`, tone: "muted" };
  if (!row.deadline || row.created_at === null) return { text: "none", tone: "muted" };
  const at = row.created_at + row.deadline;
  if (!TERMINAL.has(row.state)) {
    return now <= at ? { text: `${ticking(at - now)} left`, tone: "" } : { text: `${ticking(now - at)} over`, tone: "bad" };
  }
  if (row.state !== "completed") return { text: `was ${ticking(row.deadline)}`, tone: "muted" };
  const margin = row.deadline_margin ?? (row.finished_at === null ? null : at - row.finished_at);
  if (margin === null) return { text: `was ${ticking(row.deadline)}`, tone: "muted" };
  return margin >= 0 ? { text: `met, ${ticking(margin)} early`, tone: "good" } : { text: `missed by ${ticking(-margin)}`, tone: "bad" };
}

/** A bar of the work done with a mark at the time used. */
export class ProgressBar {
  constructor() {
    this.fill = h("span", { class: "fill" });
    this.mark = h("span", { class: "mark" });
    this.element = h("span", { class: "bar", role: "img" }, this.fill, this.mark);
  }

  update(row, now) {
    const time = timeShare(row, now);
    const done = row.progress ?? 0;
    this.fill.style.width = `${done * 100}%`;
    this.mark.hidden = time === null || TERMINAL.has(row.state);
    this.mark.style.left = `${Math.min(1, time ?? 0) * 100}%`;
    setAttribute(this.element, "data-tone", barTone(row, now));
    const used = time === null ? "" : `, ${percent(Math.min(1, time))} of the time used`;
    setAttribute(this.element, "aria-label", row.progress === null ? "progress unknown" : `${progress(row.progress)} done${used}`);
  }
}

function barTone(row, now) {
  if (row.state === "completed") return "good";
  if (row.state === "failed" || row.state === "error") return "bad";
  if (row.state === "stopped" || row.state === "terminated") return "muted";
  return isLate(row, now) ? "late" : "";
}

/** Whether it will miss or has missed its deadline: by its forecast, else when clearly behind time. */
export function isLate(row, now) {
  if (TERMINAL.has(row.state)) return row.deadline_met === false;
  const time = timeShare(row, now);
  if (time === null) return false;
  if (time > 1 || row.feasible === false) return true;
  if (row.ends_at !== null) return row.ends_at > row.created_at + row.deadline;
  return row.progress !== null && time - row.progress > CLEARLY;
}
