// The form of the files that a person keeps: JSON in the one spelling of the
// program that wrote it, with known fields only, in order.
import { equal, fromBase64, utf8 } from "./bytes.js";

// A Fault names the part of a file that does not hold, and where it lies in one
// handle of many, about whom: { for: id, name }.
export class Fault extends Error {
  constructor(part, reason, about) {
    super(reason?.message ?? String(reason));
    this.part = part;
    this.about = about;
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
const human = object({ ja: list(string), en: list(string) });

// A format's name in codes, its largest file in bytes, its fields in order, and
// those that may be absent.
const RECEIPT = {
  name: "receipt",
  max: 2 << 20,
  fields: {
    format: string,
    kind: string,
    human,
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
  },
  optional: ["storyTime", "opening", "items", "screen", "key", "state", "status"],
};
const some = (f) => (v) => (need(v?.length !== 0, "an empty list is left out"), list(f)(v));
const past = object({ size: whole, edge: list(base64), path: list(base64) });
const nested = (v) => ({ ...object(RECEIPT.fields, RECEIPT.optional)(v), source: v, form: "receipt" });
const FORMATS = {
  "akashi-receipt/v1": RECEIPT,
  "akashi-handle/v1": {
    name: "handle",
    max: 64 << 20,
    fields: { format: string, human, storyTime: always, handle: base64, state: object(proven), register: facts, events: some(base64) },
    optional: ["storyTime", "events"],
  },
  "akashi-completeness/v1": {
    name: "completeness",
    max: 64 << 20,
    fields: {
      format: string,
      human,
      storyTime: always,
      state: object(proven),
      register: facts,
      handles: list(object({ for: string, generation: whole, handle: base64, proof: base64, events: some(base64) }, ["events"])),
    },
    optional: ["storyTime"],
  },
  "akashi-erasure/v1": {
    name: "erasure",
    max: 64 << 20,
    fields: { format: string, human, storyTime: always, leaf: base64, proof: string, attestations: some(object(proven)), state: object(proven), register: facts },
    optional: ["storyTime", "attestations"],
  },
  "akashi-evidence/v1": {
    name: "evidence",
    max: 64 << 20,
    fields: {
      format: string,
      kind: string,
      human,
      signers: list(string),
      headers: some(base64),
      checkpoints: some(string),
      receipts: some(nested),
      past,
      extraPast: past,
      previous: object({ size: whole, edge: list(base64), leaf: base64, path: list(base64) }),
      entry: filled,
      seal: filled,
      state: object(proven),
      register: some(object({ key: base64, proof: base64 })),
      neighbours: some(base64),
    },
    optional: ["headers", "checkpoints", "receipts", "past", "extraPast", "previous", "entry", "seal", "state", "register", "neighbours"],
  },
};

// formatOf returns the format that a file claims; where it claims none that is
// known, the one that its fields fit.
function formatOf(text, v) {
  if (v === undefined) return Object.entries(FORMATS).find(([claim]) => text.slice(0, 200).includes(claim))?.[1] ?? RECEIPT;
  if (FORMATS[v?.format]) return FORMATS[v.format];
  const fits = v?.signers ? "evidence" : v?.handles ? "completeness" : v?.handle ? "handle" : v?.submission ? "receipt" : "erasure";
  return Object.values(FORMATS).find((f) => f.name === fits);
}

const partName = (format, field) => (!(field in format.fields) ? "file" : field === "storyTime" ? "story-time" : field);

// render is the one spelling.
export const render = (v) =>
  JSON.stringify(v, null, 2).replace(/[\u2028\u2029]/g, (c) => "\\u" + c.charCodeAt(0).toString(16)) + "\n";

// partAt names the field that a place in the text lies in: fields begin on
// lines of their own, with two spaces and a quotation mark.
function partAt(format, text, at) {
  const end = text.indexOf("\n", at);
  const heads = [...text.slice(0, end < 0 ? undefined : end).matchAll(/^ {2}"([^"\n]*)/gm)];
  return heads.length ? partName(format, heads.at(-1)[1]) : "file";
}

// culprit names the first field whose text is no JSON by itself.
function culprit(format, text) {
  for (const chunk of text.split(/^(?= {2}")/m).slice(1)) {
    try {
      JSON.parse("{" + chunk.replace(/,?\n(}\n)?$/, "") + "}");
    } catch {
      return partAt(format, chunk, 0);
    }
  }
  return "file";
}

function firstDifference(a, b) {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

// read returns the fields of a file, with bytes for base64, and the name of its
// format as form, or throws a Fault with that name.
export function read(bytes) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let v;
  let format = formatOf(text);
  const fault = (part, reason) => Object.assign(new Fault(part, reason), { form: format.name });
  const again = utf8(text);
  if (!equal(again, bytes)) {
    const at = firstDifference(bytes, again);
    const head = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, at));
    throw fault(partAt(format, text, head.length), "not UTF-8");
  }
  try {
    v = JSON.parse(text);
  } catch {
    throw fault(culprit(format, text), "not JSON");
  }
  format = formatOf(text, v);
  if (bytes.length > format.max) throw fault("file", `${bytes.length} bytes, at most ${format.max}`);
  const spelled = render(v);
  if (spelled !== text) throw fault(partAt(format, text, firstDifference(text, spelled)), "not the canonical spelling");
  if (!v || typeof v !== "object" || Array.isArray(v)) throw fault("file", "not an object");
  const out = { source: v, form: format.name };
  for (const [name, shape] of Object.entries(format.fields)) {
    if (!(name in v) && format.optional.includes(name)) continue;
    try {
      out[name] = shape(v[name]);
    } catch (e) {
      throw fault(name in v ? partName(format, name) : "file", e);
    }
  }
  const order = Object.keys(format.fields).filter((n) => n in v);
  if (Object.keys(v).join() !== order.join()) throw fault("file", "unknown fields, or out of order");
  if (FORMATS[out.format] !== format) throw fault("format", `"${out.format}"`);
  return out;
}

// readChain returns the links of a policy chain.
export function readChain(bytes) {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  need(bytes.length <= 16 << 20, "too large");
  const v = JSON.parse(text);
  const links = list(object({ epoch: whole, leaf: base64, proof: string, seal: object(proven) }));
  const f = object({ format: string, links })(v);
  need(f.format === "akashi-policy-chain/v1" && render(v) === text, "no policy chain in its one spelling");
  return f.links;
}
