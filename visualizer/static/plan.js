// The answer to "what would become of it": when it would end, whether in time, at what cost.

import { h } from "./dom.js";
import { UNKNOWN, count, duration, percent, plural, quantity } from "./format.js";

const whole = (seconds) => (seconds === null || seconds === undefined ? UNKNOWN : duration(Math.round(seconds)));

/** The dry run's answer as elements. */
export function plan(answer) {
  const { forecast } = answer;
  const { finish, cost, replicas } = forecast;
  const facts = [
    ["Items", answer.items === null ? (answer.kind === "stream" ? "as they come" : UNKNOWN) : count(answer.items)],
    ["Expected to take", finish.p50 === null ? UNKNOWN : whole(finish.p50)],
    ["Most likely between", finish.p10 === null ? UNKNOWN : `${whole(finish.p10)} and ${whole(finish.p90)}`],
    ["Deadline", answer.deadline === null ? "none" : whole(answer.deadline)],
    ["In time with", forecast.chance === null ? UNKNOWN : percent(forecast.chance)],
    ["Replicas at first", replicas.granted === null ? UNKNOWN : `${count(replicas.granted)}${replicas.granted === replicas.wanted ? "" : ` of ${count(replicas.wanted)} wanted`}`],
    ["Cost", cost.replica_hours === null ? UNKNOWN : `${quantity(cost.replica_hours)} replica-hours${cost.money ? `, ${quantity(cost.money)} money` : ""}`],
    ["Law", replicas.law],
  ];
  const [tone, text] = verdict(answer);
  return [
    h("p", { class: "verdict", "data-level": tone }, text),
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    replicas.reason ? h("p", { class: "muted small" }, replicas.reason) : null,
    answer.warnings.length ? h("ul", { class: "notes" }, ...answer.warnings.map((warning) => h("li", {}, warning))) : null,
  ].filter((part) => part !== null);
}

function verdict({ forecast, deadline, kind }) {
  if (forecast.endangered?.length) return ["warn", `Valid, but beside it ${plural(forecast.endangered.length, "other submission")} would miss a deadline.`];
  if (kind === "stream") return ["good", "Valid. A stream runs until it is stopped."];
  if (forecast.finish.p50 === null) return ["neutral", "Valid. How long it will take cannot be told yet: say how long an item takes about."];
  if (deadline === null) return ["good", "Valid, and without a deadline to miss."];
  if (forecast.feasible === false || forecast.fits === false) return ["bad", `Valid, but it cannot meet its deadline${forecast.late_by ? `: ${whole(forecast.late_by)} late` : ""}.`];
  if (forecast.chance !== null && forecast.chance < 0.9) return ["warn", "Valid, but its deadline is tight."];
  return ["good", "Valid, and expected to end in time."];
}
