// Numbers, durations and times for people. A dash stands for what is unknown.

export const UNKNOWN = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);
const two = (number) => String(number).padStart(2, "0");

/** 850ms, 42s, 3m 20s, 1h 05m, 2d 03h */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const sign = seconds < 0 ? "−" : "";
  const size = Math.abs(seconds);
  if (size > 0 && size < 1) return `${sign}${Math.round(size * 1000)}ms`;
  if (size < 10 && !Number.isInteger(size)) return `${sign}${size.toFixed(1)}s`;
  const whole = Math.round(size);
  if (whole < 60) return `${sign}${whole}s`;
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${sign}${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${sign}${Math.floor(whole / 86400)}d ${two(Math.floor((whole % 86400) / 3600))}h`;
}

/** A duration whose seconds tick: never tenths. */
export function ticking(seconds) {
  return duration(Math.trunc(seconds));
}

export function percent(share, digits = 0) {
  return known(share) ? `${(share * 100).toFixed(digits)} %` : UNKNOWN;
}

/** Never "100 %" for work that is not all done. */
export function progress(share, digits = 0) {
  if (!known(share)) return UNKNOWN;
  const most = share < 1 ? 100 - 10 ** -digits : 100;
  return `${Math.min(share * 100, most).toFixed(digits)} %`;
}

export function signedPercent(share, digits = 1) {
  if (!known(share)) return UNKNOWN;
  const size = (Math.abs(share) * 100).toFixed(digits);
  return `${Number(size) === 0 ? "" : share < 0 ? "−" : "+"}${size} %`;
}

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : UNKNOWN;
}

/** Three significant digits: 0.042, 1.25, 12.3, 1,230 */
export function quantity(value) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}

export function clockTime(moment) {
  return known(moment) ? new Date(moment * 1000).toLocaleTimeString("en-GB") : UNKNOWN;
}

export function dateTime(moment) {
  if (!known(moment)) return UNKNOWN;
  return new Date(moment * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/** 1 item, 2 items */
export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** Decimals that tell values this far apart from each other. */
export function digitsFor(step) {
  return step >= 1 && Number.isInteger(Number(step.toPrecision(6))) ? 0 : Math.min(4, Math.max(1, Math.ceil(-Math.log10(step))));
}

/** 512 MiB, 1.5 GiB */
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${quantity(size).replace(/\.0+$/, "")} ${units[unit]}`;
}
