// Labelled fields, and the faults an answer finds in them shown beside them.

import { h, setText } from "./dom.js";

/**
 * One labelled field: { path, label, hint?, kind?: "text" | "area" | "select" | "number", value?, options?: [[value, text]], ... }.
 * `path` is its place in the document, as faults name it. Other attributes go to the control.
 */
export function field({ path, label, hint = "", kind = "text", value = "", options = [], ...rest }) {
  const id = `field-${path.replaceAll(".", "-")}`;
  const noted = `${id}-note`;
  const attributes = { id, "data-field": path, "aria-describedby": noted, autocomplete: "off", spellcheck: "false", ...rest };
  const control = kind === "area" ? h("textarea", { rows: 5, ...attributes })
    : kind === "select" ? h("select", attributes, ...options.map(([one, text]) => h("option", { value: one }, text)))
      : h("input", { type: "text", inputmode: kind === "number" ? "numeric" : null, ...attributes });
  if (kind !== "select" || value !== "") control.value = value;
  const note = h("p", { class: "field-note", id: noted }, hint);
  const element = h("div", { class: "field" }, h("label", { for: id }, label), control, note);
  const clear = () => { element.classList.remove("wrong"); control.removeAttribute("aria-invalid"); setText(note, hint); };
  control.addEventListener("input", clear);
  return { path, element, control, clear, hint(text) { hint = text; if (!element.classList.contains("wrong")) setText(note, text); },
    fault(problem) { element.classList.add("wrong"); control.setAttribute("aria-invalid", "true"); setText(note, problem); } };
}

/** Show the faults of a refusal: beside the fields they are of, the others (and the message, if there are none) in `summary`. */
export function showRefusal(answer, fields, summary) {
  for (const one of fields) one.clear();
  const details = answer.details ?? [];
  const elsewhere = [];
  let first = null;
  for (const { field: path, problem } of details) {
    const place = placeOf(path, fields);
    if (!place) { elsewhere.push(`${path}: ${problem}`); continue; }
    place.fault(place.path === path ? problem : `${path}: ${problem}`);
    first ??= place;
  }
  const lines = details.length === 0 ? [answer.error_message ?? "It was refused."] : elsewhere;
  summary.replaceChildren(...lines.map((text) => h("p", {}, text)));
  summary.hidden = lines.length === 0;
  (first?.control ?? summary).focus();
}

export function clearRefusal(fields, summary) {
  for (const one of fields) one.clear();
  summary.hidden = true;
}

function placeOf(path, fields) {
  const shown = fields.filter((one) => one.element.isConnected && !one.element.closest("[hidden]"));
  return shown.find((one) => one.path === path)
    ?? shown.find((one) => path.startsWith(`${one.path}.`))
    ?? shown.find((one) => one.path.startsWith(`${path}.`));
}

/** The seconds of "90s", "1h30m", "45" (as the manager reads them), null for anything else. */
export function seconds(text) {
  const plain = text.trim();
  if (/^\d+(\.\d+)?$/.test(plain)) return Number(plain);
  if (!/^(\d+(\.\d+)?(ms|[smhd]))+$/.test(plain)) return null;
  const sizes = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  return [...plain.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)].reduce((sum, [, size, unit]) => sum + Number(size) * sizes[unit], 0);
}

/** Seconds as a user writes them: 90s, 8m, 1h30m. */
export function written(value) {
  if (!Number.isInteger(value)) return `${value}s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  let left = value;
  let text = "";
  for (const [size, unit] of parts) {
    if (left >= size) text += `${Math.floor(left / size)}${unit}`;
    left %= size;
  }
  return text || "0s";
}
