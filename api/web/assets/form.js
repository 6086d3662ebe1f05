// The form of an akashi-receipt/v1 file: JSON in the one spelling of the
// program that wrote it, with known fields only, in order.
import { equal, fromBase64, utf8 } from "./bytes.js";

// A Fault names the part of a file that does not hold.
export class Fault extends Error {
  constructor(part, reason) {
    super(reason?.message ?? String(reason));
    this.part = part;
    this.code = "receipt." + part;
  }
}

// blame runs f; what it throws is the fault of a part, unless it has one.
export async function blame(part, f) {
  try {
    return await f();
  } catch (e) {
    throw e instanceof Fault ? e : new Fault(part, e);
  }
}

export function need(ok, reason) {
  if (!ok) throw new Error(reason);
}

const MAX_BYTES = 2 << 20;

const string = (v) => (need(typeof v === "string", "not a text"), v);
const base64 = (v) => fromBase64(string(v));
const whole = (v) => (need(Number.isSafeInteger(v) && v >= 0, "not a whole number"), v);
const always = (v) => (need(v === true, "false is left out"), v);
const list = (f) => (v) => (need(Array.isArray(v), "not a list"), v.map(f));
const filled = (v) => (need(v !== "", "an empty field is left out"), base64(v));
const object = (fields, optional = []) => (v) => {
  need(v && typeof v === "object" && !Array.isArray(v), "not an object");
  const names = Object.keys(fields);
  const want = names.filter((n) => n in v || !optional.includes(n));
  need(Object.keys(v).join() === want.join(), "fields are missing, unknown or out of order");
  return Object.fromEntries(want.map((n) => [n, fields[n](v[n])]));
};

const proven = { leaf: base64, proof: string };
const opening = object({ nonce: base64, part: base64 });
const facts = list(object({ key: base64, proof: base64 }));
const FIELDS = {
  format: string,
  kind: string,
  human: object({ ja: list(string), en: list(string) }),
  payload: (v) => v, // compared as a whole with what is derived
  storyTime: always,
  leaf: base64,
  proof: string,
  opening,
  items: opening,
  screen: filled,
  seal: object(proven),
  submission: object({ index: whole, position: whole, path: list(base64) }),
  key: object(proven),
  state: object(proven),
  register: facts,
  status: object({ ...proven, register: facts }),
};
const OPTIONAL = ["storyTime", "opening", "items", "screen", "key", "state", "status"];

const partName = (field) => (!(field in FIELDS) ? "file" : field === "storyTime" ? "story-time" : field);

// render is the one spelling.
export const render = (v) =>
  JSON.stringify(v, null, 2).replace(/[\u2028\u2029]/g, (c) => "\\u" + c.charCodeAt(0).toString(16)) + "\n";

// partAt names the field that a place in the text lies in: fields begin on
// lines of their own, with two spaces and a quotation mark.
function partAt(text, at) {
  const end = text.indexOf("\n", at);
  const heads = [...text.slice(0, end < 0 ? undefined : end).matchAll(/^ {2}"([^"\n]*)/gm)];
  return heads.length ? partName(heads.at(-1)[1]) : "file";
}

// culprit names the first field whose text is no JSON by itself.
function culprit(text) {
  for (const chunk of text.split(/^(?= {2}")/m).slice(1)) {
    try {
      JSON.parse("{" + chunk.replace(/,?\n(}\n)?$/, "") + "}");
    } catch {
      return partAt(chunk, 0);
    }
  }
  return "file";
}

function firstDifference(a, b) {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

// read returns the fields of a file, with bytes for base64, or throws a Fault.
export function read(bytes) {
  if (bytes.length > MAX_BYTES) throw new Fault("file", `${bytes.length} bytes, at most ${MAX_BYTES}`);
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const again = utf8(text);
  if (!equal(again, bytes)) {
    const at = firstDifference(bytes, again);
    const head = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, at));
    throw new Fault(partAt(text, head.length), "not UTF-8");
  }
  let v;
  try {
    v = JSON.parse(text);
  } catch {
    throw new Fault(culprit(text), "not JSON");
  }
  const spelled = render(v);
  if (spelled !== text) throw new Fault(partAt(text, firstDifference(text, spelled)), "not the canonical spelling");
  if (!v || typeof v !== "object" || Array.isArray(v)) throw new Fault("file", "not an object");
  const out = { source: v };
  for (const [name, shape] of Object.entries(FIELDS)) {
    if (!(name in v) && OPTIONAL.includes(name)) continue;
    try {
      out[name] = shape(v[name]);
    } catch (e) {
      throw new Fault(name in v ? partName(name) : "file", e);
    }
  }
  const order = Object.keys(FIELDS).filter((n) => n in v);
  if (Object.keys(v).join() !== order.join()) throw new Fault("file", "unknown fields, or out of order");
  if (out.format !== "akashi-receipt/v1") throw new Fault("format", `"${out.format}"`);
  return out;
}
