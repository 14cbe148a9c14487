// Keeps a page up to date: server-sent events while there is a place for us, else polling. Always finds its way back.

const POLL = 3000;
const MOST_WAIT = 8000;
const STREAM_AGAIN = 30000;
const HIDDEN_FOR = 30000;

/**
 * watch({ streamUrl(), events: {name: handle(data)}, poll(): Promise, told(state) })
 * `told` hears "live", "polling" or "away" (the visualizer itself does not answer). Returns { stop() }.
 */
export function watch({ streamUrl, events, poll, told }) {
  let source = null;
  let timer = null;
  let hidden = null;
  let failures = 0;
  let streamAt = 0;
  let stopped = false;

  function stream() {
    close();
    if (stopped) return;
    source = new EventSource(streamUrl());
    source.onopen = () => { failures = 0; told("live"); };
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) {
        streamAt = Date.now() + STREAM_AGAIN;
        close();
        look();
      } else {
        told("away");
      }
    };
    for (const [name, handle] of Object.entries(events)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  }

  async function look() {
    if (stopped || source) return;
    try {
      await poll();
      // It was away and is back: no need to wait for a place that was never refused.
      if (failures > 0) streamAt = 0;
      failures = 0;
      if (!stopped) told("polling");
    } catch (error) {
      failures += 1;
      told("away");
    }
    if (stopped || source) return;
    const wait = Math.min(MOST_WAIT, POLL * 2 ** Math.min(failures, 4));
    timer = setTimeout(() => (failures === 0 && Date.now() >= streamAt ? stream() : look()), wait);
  }

  function close() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  function seen() {
    clearTimeout(hidden);
    if (document.hidden) {
      hidden = setTimeout(close, HIDDEN_FOR);
    } else if (!source && !stopped) {
      stream();
    }
  }

  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) stream(); });
  stream();
  return { stop() { stopped = true; close(); } };
}

/** Our login is over: the form leads back here. */
export function logIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
}

/** GET JSON with a time limit; `previous` ({etag, value}) spares an unchanged answer. Throws with `status`. */
export async function getJson(url, previous = null) {
  const headers = { Accept: "application/json" };
  if (previous?.etag) headers["If-None-Match"] = previous.etag;
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(8000), cache: "no-store" });
  if (response.status === 304 && previous) return previous;
  if (response.status === 401) logIn();
  if (!response.ok) throw Object.assign(new Error(`${url} answered ${response.status}`), { status: response.status });
  return { etag: response.headers.get("ETag"), value: await response.json() };
}

/** Server time: counts on between messages, and does not depend on the browser's clock being right. */
export class ServerClock {
  #offset = Date.now() / 1000 - performance.now() / 1000;

  set(now) {
    this.#offset = now - performance.now() / 1000;
  }

  now() {
    return this.#offset + performance.now() / 1000;
  }
}
