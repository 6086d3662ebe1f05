// Slips (docs/spec/receipt.md): the characters of a printed receipt's QR code, with the
// record, its openings and its way to a checkpoint. There are no names in it.
import { equal, hex } from "./bytes.js";
import { decode } from "./cbor.js";
import { Fault, blame, need } from "./form.js";
import { leafHash, parseNote, rootOf, verifyNote } from "./log.js";
import { itemsPart, parse } from "./record.js";
import { openedBy } from "./verify.js";
import { KIND } from "./words.js";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"; // base45, RFC 9285
const MAX = 4296; // characters of a QR code
const BLOCK = 128; // bytes, to a multiple of which leaves are padded

function decode45(s) {
  const out = [];
  for (let i = 0; i < s.length; i += 3) {
    const c = [...s.slice(i, i + 3)].map((x) => ALPHABET.indexOf(x));
    need(c.length > 1 && c.every((n) => n >= 0), "not base45");
    const n = c[0] + c[1] * 45 + (c[2] ?? 0) * 2025;
    need(n < (c.length === 3 ? 65536 : 256), "not base45");
    out.push(...(c.length === 3 ? [n >> 8, n & 255] : [n]));
  }
  return Uint8Array.from(out);
}

// padded returns the leaf as the log has it.
function padded(leaf, blocks) {
  need(Number.isSafeInteger(blocks) && blocks >= 1 && blocks * BLOCK < 65536 && leaf.length <= blocks * BLOCK && leaf.at(-1) !== 0, "malformed leaf");
  const out = new Uint8Array(blocks * BLOCK);
  out.set(leaf);
  return out;
}

const openingOf = (nonce, part) => (nonce || part ? { nonce: nonce ?? new Uint8Array(0), part: part ?? new Uint8Array(0) } : undefined);

// readSlip returns the fields of a slip, or throws a Fault.
export function readSlip(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/[\r\n]+$/, "");
    need(text.length <= MAX, "too large");
    const m = decode(decode45(text.slice(8)));
    need(m instanceof Map && [...m.keys()].every((k) => k >= 1 && k <= 9) && [1, 2, 7, 8, 9].every((k) => m.has(k)), "fields are missing or unknown");
    const bytesOf = (k) => (need(!m.has(k) || m.get(k) instanceof Uint8Array, "not bytes"), m.get(k));
    const path = bytesOf(8);
    need(path.length % 32 === 0 && path.length <= 63 * 32 && Number.isSafeInteger(m.get(7)), "malformed path");
    return {
      form: "slip",
      leaf: padded(bytesOf(1), m.get(2)),
      opening: openingOf(bytesOf(3), bytesOf(4)),
      items: openingOf(bytesOf(5), bytesOf(6)),
      index: m.get(7),
      path: Array.from({ length: path.length / 32 }, (_, i) => path.slice(32 * i, 32 * i + 32)),
      note: new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(9)),
    };
  } catch (e) {
    throw Object.assign(new Fault("file", e), { form: "slip" });
  }
}

// words are what record and openings say by themselves: codes, not names.
function words({ kind, issuer, part, items }) {
  const ja = [KIND[kind][0] + "の控え（QR）", "発行者の番号：" + issuer];
  const en = ["Receipt (slip): " + KIND[kind][1], "Issuer: " + issuer];
  if (part?.purpose !== undefined) {
    ja.push("目的の番号：" + part.purpose);
    en.push("Purpose: " + part.purpose);
  }
  const codes = items?.items ?? (kind === "consent" ? part?.items : undefined) ?? [];
  if (codes.length) {
    ja.push("項目の番号：" + codes.join("、"));
    en.push("Items: " + codes.join(", "));
  }
  return { ja, en };
}

async function form(c) {
  const f = c.file;
  c.rec = await blame("leaf", () => parse(f.leaf));
  c.leafHash = leafHash(f.leaf);
  await blame("opening", () => {
    const open = (o, commitment) => (need(commitment, "the record has no such commitment"), openedBy(o, commitment));
    if (f.opening) c.rec.part = c.rec.decodePart(open(f.opening, c.rec.commitment));
    if (f.items) c.rec.items = itemsPart(decode(open(f.items, c.rec.body.items)));
  });
  c.human = words(c.rec);
  return { leafHash: hex(c.leafHash), commitment: c.rec.commitment && hex(c.rec.commitment), opened: !!f.opening };
}

async function place(c) {
  const { index, path } = c.file;
  c.note = await blame("proof", () => parseNote(c.file.note));
  try {
    await verifyNote(c.note, c.policies);
  } catch (e) {
    c.noteFault = e; // step "signed" tells it
  }
  await blame("proof", () => need(equal(rootOf(c.leafHash, index, c.note.size, path), c.note.root), "the walk leads to another root than the signed one"));
  return { index, size: c.note.size, hashes: path.length, path: path.map(hex), root: hex(c.note.root), leafHash: hex(c.leafHash) };
}

export const slip = { steps: ["form", "place", "signed", "keys"], form, place };
