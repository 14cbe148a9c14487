// Plain data as YAML, for people to read and to change.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$/;
const WORDS = /^(true|false|null|yes|no|on|off|y|n)$/i;

/** A mapping or list as YAML; every text comes back as the text it was. */
export function toYaml(value, indent = "") {
  if (Array.isArray(value)) return value.map((one) => `${indent}-${after(one, `${indent}  `, true)}`).join("\n");
  return Object.entries(value).map(([name, one]) => `${indent}${scalar(name)}:${after(one, `${indent}  `)}`).join("\n");
}

/** The same without what is empty: a specification says most by what it leaves out. */
export function lean(value) {
  if (Array.isArray(value)) return value.map(lean);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).map(([name, one]) => [name, lean(one)]);
  return Object.fromEntries(kept.filter(([, one]) => one !== null && !(typeof one === "object" && Object.keys(one).length === 0)));
}

function after(value, indent, inList = false) {
  if (value === null || typeof value !== "object") return ` ${scalar(value)}`;
  if (Object.keys(value).length === 0) return Array.isArray(value) ? " []" : " {}";
  const text = toYaml(value, indent);
  return inList ? ` ${text.slice(indent.length)}` : `\n${text}`;
}

function scalar(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  return PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);
}
