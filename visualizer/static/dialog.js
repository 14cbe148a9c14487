// A question before something is changed. The browser's own dialog: focus stays inside, Escape closes, the page waits.

import { byId, h, setText } from "./dom.js";
import { clearRefusal, showRefusal } from "./fields.js";

/**
 * ask({ title, text, fields, choices: [{ label, tone, run() }] }). `run` returns null (nothing to do), or the promise
 * of { ok, answer }: the dialog closes when it was carried out, else it shows why not. `told` is then said on the page.
 */
export function ask({ title, text, fields = [], choices }) {
  const summary = h("div", { class: "refusal", role: "alert", tabindex: "-1", hidden: true });
  const cancel = h("button", { type: "button", onclick: () => box.close() }, "Cancel");
  const buttons = choices.map((choice) => h("button", { type: "submit", class: choice.tone ?? "", onclick: () => { chosen = choice; } }, choice.label));
  let chosen = choices[0];
  const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); carryOut(); } },
    h("h2", { id: "dialog-title" }, title), text ? h("p", { class: "muted" }, text) : null,
    ...fields.map((one) => one.element), summary,
    h("div", { class: "dialog-buttons" }, cancel, ...buttons));
  const box = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => box.remove() }, form);

  async function carryOut() {
    const wish = chosen.run();
    if (wish === null) return box.close();
    clearRefusal(fields, summary);
    for (const button of [...buttons, cancel]) button.disabled = true;
    const { ok, answer } = await wish;
    for (const button of [...buttons, cancel]) button.disabled = false;
    if (!ok) return showRefusal(answer, fields, summary);
    box.close();
    if (chosen.done) chosen.done(answer);
    if (chosen.told) say(chosen.told);
  }

  document.body.append(box);
  box.showModal();
  (fields[0]?.control ?? cancel).focus();
}

/** Say what was done, to eyes and to screen readers. */
export function say(text) {
  const place = byId("said");
  setText(place, text);
  place.hidden = false;
  setTimeout(() => { if (place.textContent === text) place.hidden = true; }, 8000);
}
