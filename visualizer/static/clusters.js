// The page of the clusters: what they have, and who uses it.

import { showLink, showProblems, stateBadge } from "./common.js";
import { byId, h, setText } from "./dom.js";
import { UNKNOWN, bytes, clockTime, count, duration, plural, quantity } from "./format.js";
import { ServerClock, getJson, watch } from "./live.js";

const clock = new ServerClock();
const state = { known: false, clusters: [] };
let last = null;

/** A bar of what is used of what there is; null: no limit known. */
function meter(title, used, offered, format) {
  const share = offered ? Math.min(1, used / offered) : 0;
  const fill = h("span", { class: "fill" });
  fill.style.width = `${share * 100}%`;
  const text = offered === null ? `${format(used)}, no limit known` : `${format(used)} of ${format(offered)}`;
  return h("div", { class: "meter" }, h("p", {}, h("span", { class: "muted" }, title), h("strong", {}, text)),
    h("span", { class: "bar", "data-tone": share > 0.95 ? "late" : "", role: "img", "aria-label": `${title}: ${text}` }, fill));
}

function meters({ capacity, offered, used }) {
  const limit = (name) => capacity?.[name] ?? null;
  const nodes = offered.pods > 0;
  return h("div", { class: "meters" },
    limit("replicas") !== null || !nodes ? meter("Replicas", used.replicas, limit("replicas"), count) : meter("Pods", used.pods, offered.pods, count),
    meter("CPU cores", used.cpu, limit("cpu") ?? (nodes ? offered.cpu : null), quantity),
    meter("Memory", used.memory, limit("memory") ?? (nodes ? offered.memory : null), bytes),
    limit("gpus") || offered.gpus || used.gpus ? meter("GPUs", used.gpus, limit("gpus") ?? offered.gpus, count) : null);
}

function table(title, heads, rows) {
  return h("table", { class: "plain" }, h("caption", { class: "sr" }, title), h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows));
}

function users({ users: all, name, used }, now) {
  if (all.length === 0) return h("p", { class: "empty small" }, used.pods ? "Only submissions of others use it now." : "No submission uses it now.");
  const rows = all.map((one) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `/submissions/${encodeURIComponent(one.id)}` }, one.name), one.state ? stateBadge(one.state) : null),
    h("td", {}, one.observed === null ? UNKNOWN : count(one.observed)),
    h("td", {}, one.granted === null ? UNKNOWN : count(one.granted)),
    h("td", {}, one.wanted === null ? UNKNOWN : count(one.wanted)),
    h("td", {}, asked(one.requests)),
    h("td", {}, one.priority || UNKNOWN),
    h("td", {}, one.deadline_at === null ? UNKNOWN : clockTime(one.deadline_at),
      one.waiting_since === null ? null : h("span", { class: "waits" }, `waits for ${duration(Math.round(now - one.waiting_since))}`))));
  return table(`Submissions on ${name}`, ["Submission", "Running", "Granted", "Wanted", "A replica asks for", "Priority", "Deadline"], rows);
}

function asked({ cpu, memory, gpus }) {
  const parts = [cpu ? `${quantity(cpu)} CPU` : null, memory ? bytes(memory) : null, gpus ? plural(gpus, "GPU") : null].filter((part) => part !== null);
  return parts.join(" · ") || "nothing said";
}

function nodes({ nodes: all, name }) {
  if (all.length === 0) return h("p", { class: "empty small" }, "Its nodes are not known.");
  const rows = all.map((node) => h("tr", {},
    h("th", { scope: "row", class: "mono" }, node.name),
    h("td", {}, h("span", { class: "badge", "data-state": node.ready ? "completed" : "failed" }, node.ready ? "ready" : "not ready")),
    h("td", {}, quantity(node.cpu)), h("td", {}, bytes(node.memory)), h("td", {}, node.gpus ? count(node.gpus) : UNKNOWN), h("td", {}, count(node.pods))));
  return table(`Nodes of ${name}`, ["Node", "State", "CPU cores", "Memory", "GPUs", "Pods"], rows);
}

function section(cluster, now) {
  const marks = [cluster.active ? "takes new submissions" : null, cluster.default ? "the default one" : null, cluster.server || null].filter((mark) => mark !== null);
  const id = `cluster-${cluster.name}`;
  return h("section", { class: "card cluster", "aria-labelledby": id },
    h("div", { class: "card-head" }, h("h2", { id }, cluster.name), h("span", { class: "small muted" }, marks.join(" · "))),
    ...cluster.problems.map((problem) => h("div", { class: "banner warn" }, problem)),
    meters(cluster),
    h("h3", {}, "Who uses it"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Submissions on ${cluster.name}` }, users(cluster, now)),
    h("h3", {}, "Nodes"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Nodes of ${cluster.name}` }, nodes(cluster)));
}

function receive(document) {
  clock.set(document.now);
  for (const part of Object.keys(state)) if (part in document) state[part] = document[part];
  if (document.problems) showProblems(document.problems);
  const { clusters, known } = state;
  setText(byId("summary"), known ? plural(clusters.length, "cluster") : "");
  if (!known) return setText(byId("loading") ?? byId("summary"), "Nothing is known yet: waiting for the manager.");
  if ("clusters" in document) byId("clusters").replaceChildren(...clusters.map((one) => section(one, clock.now())));
}

async function poll() {
  const answer = await getJson("/api/clusters", last);
  if (answer !== last) receive(answer.value);
  last = answer;
}

watch({ streamUrl: () => "/api/stream/clusters", events: { clusters: receive }, poll, told: showLink });
