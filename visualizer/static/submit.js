// The page to submit: simple fields or a document, checked by the manager before and when it is sent.

import { act } from "./api.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { Draft } from "./draft.js";
import { clearRefusal, field, showRefusal } from "./fields.js";
import { getJson } from "./live.js";
import { plan } from "./plan.js";
import { lean, toYaml } from "./yaml.js";

const EXAMPLE = `# YAML or JSON, the payloads of the original Asperathos too
name: hashes
run: "sha256sum {item}"
workload:
  glob: "/usr/share/common-licenses/*"
deadline: 2m
replicas: {min: 1, max: 4}
`;
const draft = new Draft();
const paper = field({ path: "document", label: "Document", kind: "area", rows: 26, value: "", class: "mono" });
paper.element.classList.add("wide-field");
const modes = { fields: byId("mode-fields"), document: byId("mode-document") };
const summary = byId("refusal");
const answer = byId("answer");
let mode = "fields";
let touched = false; // whether the document says more than the fields
let key = newKey();

function newKey() {
  return `page-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function choose(wanted) {
  mode = wanted;
  if (mode === "document" && !touched) paper.control.value = draft.run.control.value.trim() ? `${toYaml(draft.document())}\n` : EXAMPLE;
  for (const [name, button] of Object.entries(modes)) setAttribute(button, "aria-pressed", String(name === mode));
  byId("fields").hidden = mode !== "fields";
  byId("paper").hidden = mode !== "document";
  clear();
}

function clear() {
  clearRefusal([...draft.fields, paper], summary);
  answer.hidden = true;
}

/** What is sent, as it stands. */
function sent() {
  if (mode === "fields") return { body: JSON.stringify(draft.document()), type: "application/json" };
  return { body: paper.control.value, type: "application/yaml" };
}

async function send(dry) {
  clear();
  busy(true, dry ? "Checking…" : "Submitting…");
  const path = dry ? "/api/submissions?dry_run=true" : "/api/submissions";
  const { ok, answer: told } = await act("POST", path, { ...sent(), key: dry ? "" : key });
  busy(false, "");
  if (!ok) return showRefusal(told, mode === "fields" ? draft.fields : [], summary);
  if (!dry) return location.assign(`/submissions/${encodeURIComponent(told.job_id)}`);
  byId("plan").replaceChildren(...plan(told));
  answer.hidden = false;
  answer.focus();
}

function busy(working, text) {
  for (const button of [byId("check"), byId("send")]) button.disabled = working;
  setText(byId("busy"), text);
}

/** Another submission's specification, to be changed and sent again. */
async function copy(id) {
  try {
    const { value } = await getJson(`/api/submissions/${encodeURIComponent(id)}/spec`);
    paper.control.value = `# as ${id}; values that are "(hidden)" have to be written again\n${toYaml(lean(value.spec))}\n`;
    touched = true;
    choose("document");
  } catch (error) {
    summary.replaceChildren(h("p", {}, error.status === 404 ? `There is no submission ${id} to copy.` : `${id} cannot be read now.`));
    summary.hidden = false;
  }
}

byId("fields").append(draft.element);
byId("paper").append(paper.element);
paper.control.addEventListener("input", () => { touched = paper.control.value.trim() !== ""; });
// A changed document is another wish: the same key would ask for the one before.
byId("form").addEventListener("input", () => { key = newKey(); answer.hidden = true; });
byId("form").addEventListener("submit", (event) => { event.preventDefault(); send(false); });
byId("check").addEventListener("click", () => send(true));
for (const [name, button] of Object.entries(modes)) button.addEventListener("click", () => choose(name));
const from = new URLSearchParams(location.search).get("from");
choose("fields");
if (from) copy(from);
byId("form").hidden = false;
