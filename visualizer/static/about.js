// What a submission is: its facts, its warnings, and its specification.

import { h } from "./dom.js";
import { UNKNOWN, count, dateTime, duration } from "./format.js";
import { lean, toYaml } from "./yaml.js";

export class About {
  constructor() {
    this.facts = h("dl", { class: "facts", id: "facts" });
    this.warnings = h("ul", { class: "notes", id: "warnings", hidden: true });
    this.spec = h("pre", { class: "spec", id: "spec", tabindex: "0", "aria-label": "Specification" });
    this.fold = h("details", { class: "card fold", hidden: true }, h("summary", {}, h("h2", {}, "Specification")), this.spec);
    this.element = h("section", { class: "card" }, h("h2", {}, "About it"), this.facts, this.warnings);
  }

  update(row, details, spec) {
    const facts = [
      ["Id", row.id], ["Kind", row.kind], ["Law", details.law || UNKNOWN],
      details.cluster ? ["Cluster", details.cluster] : null,
      spec.priority ? ["Priority", spec.priority] : null,
      spec.image ? ["Image", spec.image] : null,
      spec.run || spec.command ? ["Command", spec.run ?? spec.command.join(" ")] : null,
      ["Accepted", row.created_at === null ? UNKNOWN : dateTime(row.created_at)],
      row.finished_at !== null ? ["Ended", dateTime(row.finished_at)] : null,
      row.target !== null ? ["Target", `within ${duration(row.target)}`] : null,
      spec.replicas ? ["Replicas allowed", `${spec.replicas.min} to ${spec.replicas.max}`] : null,
      details.scalings !== null ? ["Scalings", count(details.scalings)] : null,
      details.replica_seconds !== null ? ["Replica-seconds", count(details.replica_seconds)] : null,
    ].filter((fact) => fact !== null);
    const told = JSON.stringify([facts, details.warnings, spec]);
    if (told === this.told) return; // whoever marks a text here keeps the mark
    this.told = told;
    this.facts.replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    this.warnings.replaceChildren(...details.warnings.map((text) => h("li", {}, text)));
    this.warnings.hidden = details.warnings.length === 0;
    this.fold.hidden = Object.keys(spec).length === 0;
    this.spec.textContent = toYaml(lean(spec));
  }
}
