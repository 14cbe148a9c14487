// The one place where the pages ask for changes. See visualizer/actions.py for what it demands.

import { logIn } from "./live.js";

const LIMIT = 60000;

/**
 * Ask for a change: { ok, status, answer }. `body` is text in content type `type`; `key` makes a repeated request one.
 * Never throws: that nobody answers is an answer too.
 */
export async function act(method, path, { body = null, type = "application/json", key = "" } = {}) {
  const headers = { Accept: "application/json", "X-Requested-With": "asperathos-pages" };
  if (body !== null) headers["Content-Type"] = type;
  if (key) headers["Idempotency-Key"] = key;
  try {
    const response = await fetch(path, { method, headers, body, signal: AbortSignal.timeout(LIMIT), cache: "no-store" });
    if (response.status === 401) logIn();
    return { ok: response.ok, status: response.status, answer: await answerOf(response) };
  } catch (error) {
    return { ok: false, status: 0, answer: { error_message: "There was no answer. Try again; nothing is asked for twice by that.", details: [] } };
  }
}

async function answerOf(response) {
  try {
    return (await response.json()) ?? {};
  } catch (error) {
    return response.ok ? {} : { error_message: `The answer was ${response.status}.`, details: [] };
  }
}
