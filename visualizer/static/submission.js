// The page of one submission, live.

import { About } from "./about.js";
import { Actions } from "./actions.js";
import { Charts } from "./charts.js";
import { TERMINAL, showLink, showProblems, stateBadge, updateBadge } from "./common.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { progress } from "./format.js";
import { Items } from "./items.js";
import { ServerClock, getJson, watch } from "./live.js";
import { Logs } from "./logs.js";
import { Decisions, Events } from "./story.js";
import { Tiles } from "./tiles.js";

const root = byId("submission");
const { id } = root.dataset;
const acting = root.dataset.acting === "yes";
const address = `/api/submissions/${encodeURIComponent(id)}`;
const clock = new ServerClock();
const state = { row: null, verdict: null, details: null, decisions: [], events: [], troubles: [], spec: {}, known: false };
const actions = new Actions(id, () => clock.now());
const tiles = new Tiles();
const charts = new Charts();
const items = new Items();
const decisions = new Decisions();
const events = new Events();
const logs = new Logs(address);
const about = new About();
const seriesProblem = h("p", { class: "banner warn", id: "series-problem", role: "status", hidden: true });
let last = null;

/** Make the page, once; whether it was made now. */
function build() {
  if (charts.element.isConnected) return false;
  byId("actions").append(actions.element);
  root.replaceChildren(
    tiles.element, seriesProblem,
    h("h2", { class: "sr" }, "Charts"), charts.element,
    h("div", { class: "columns" }, items.element, decisions.element),
    h("div", { class: "columns" }, events.element, about.element),
    logs.element, about.fold);
  return true;
}

function showTiles() {
  if (state.row) tiles.update(state, charts.series.replicas, clock.now());
}

function showHead() {
  const { row, verdict } = state;
  setText(byId("name"), row.name || row.id);
  document.title = `${row.progress !== null && !TERMINAL.has(row.state) ? `${progress(row.progress)} ` : ""}${row.name || row.id} · Asperathos`;
  const badge = byId("state").firstElementChild;
  if (badge) updateBadge(badge, row.state);
  else byId("state").append(stateBadge(row.state));
  setText(byId("verdict"), verdict?.text ?? "");
  setAttribute(byId("verdict"), "data-level", verdict?.level ?? "neutral");
  setText(byId("reason"), row.reason);
  byId("reason").hidden = !row.reason;
}

function receive(document) {
  clock.set(document.now);
  for (const part of Object.keys(state)) if (part in document) state[part] = document[part];
  if (document.problems) showProblems(document.problems);
  if (!state.known) {
    if (byId("loading")) setText(byId("loading"), "Nothing is known of this submission yet: waiting for the manager.");
    return;
  }
  const whole = build();
  const changed = (...parts) => whole || parts.some((part) => part in document);
  const { row, details, spec } = state;
  if (changed("row", "verdict")) showHead();
  if (changed("row", "spec")) actions.update(row, spec, acting);
  if (changed("row", "details", "decisions")) charts.update(row, details?.outlook ?? null, state.decisions);
  if (changed("row", "details", "spec")) about.update(row, details, spec);
  if (changed("row", "troubles")) items.update(row, state.troubles);
  if (changed("decisions")) decisions.update(state.decisions, row);
  if (changed("events")) events.update(state.events, row);
  logs.update(row);
  showTiles();
}

function receiveSeries(document) {
  clock.set(document.now);
  setText(seriesProblem, document.problem ? `The measurements cannot be read now: ${document.problem}` : "");
  seriesProblem.hidden = !document.problem;
  charts.add(document.series);
}

function gone() {
  watching.stop();
  showLink("ended");
  byId("problems").replaceChildren(h("div", { class: "banner warn" }, "This submission has been deleted; what is shown is the last that was known of it."));
}

async function poll() {
  try {
    const answer = await getJson(address, last);
    if (answer !== last) receive(answer.value);
    last = answer;
    receiveSeries((await getJson(`${address}/series?since=${charts.since}`)).value);
  } catch (error) {
    if (error.status === 404 && state.known) return gone();
    throw error;
  }
}

const watching = watch({
  streamUrl: () => `/api/stream/submissions/${encodeURIComponent(id)}?since=${charts.since}`,
  events: { submission: receive, series: receiveSeries, gone },
  poll,
  told: showLink,
});
setInterval(showTiles, 1000);
