// The files about many records at once: the state and records of one handle,
// those of one person over every service and party (「これで全部です」), and the
// certificate of an erasure. docs/spec/completeness.md and receipt.md are the
// formats; each has the steps form, place, (signed), its own, (keys).
import { concat, equal, hex, hmac, sha256, utf8 } from "./bytes.js";
import { decode } from "./cbor.js";
import { publicKey } from "./ed25519.js";
import { answering, labels, owner } from "./facts.js";
import { Fault, blame, need } from "./form.js";
import { holds, leafHash, parseNote, parseProof, registered, verifyNote } from "./log.js";
import { kindOf, parse, parseSeal, registerKey, values } from "./record.js";
import { completeWords, erasureWords, handleWords } from "./words-complete.js";

// stateOf opens the checkpoint and the seal that is its last leaf. Whether
// enough members signed, step "signed" tells.
async function stateOf(c, text) {
  const p = parseProof(text ?? c.file.state.proof);
  c.note = parseNote(p.note);
  try {
    await verifyNote(c.note, c.policies);
  } catch (e) {
    c.noteFault = e;
  }
  return p;
}

function lastLeaf(c) {
  const { leaf, proof } = c.file.state;
  const p = parseProof(proof);
  if (!c.noteFault) holds(c.note, p, leaf);
  need(p.index === c.note.size - 1, "the seal is not the checkpoint's last leaf");
  c.seal = parseSeal(leaf);
  return { index: p.index, size: c.note.size, hashes: p.path.length, path: p.path.map(hex), root: hex(c.note.root), leafHash: hex(leafHash(leaf)) };
}

const form = () => ({});
const place = (c) =>
  blame("state", async () => {
    await stateOf(c);
    return lastLeaf(c);
  });

// begin asks for what every file needs first.
function begin(c, facts) {
  c.ask = answering(c.seal.register, facts);
  c.facts = { policy: c.ask.must("policy"), names: new Map(), purposes: new Map(), items: new Map() };
  need(c.facts.policy.origin === c.note.origin, "its policy is for another log");
  return c.ask;
}

async function words(c, derived) {
  const story = c.facts.policy.storyTime === true;
  if ((c.file.storyTime === true) !== story) throw new Fault("story-time", `the consortium's policy says ${story}`);
  await blame("human", () => need(JSON.stringify(derived) === JSON.stringify(c.file.human), "the words do not follow from the records"));
  c.human = derived;
}

// handleKey derives a person's handle from their secret: the public key of the
// seed HKDF-SHA-256(secret, info), RFC 5869 without salt.
export function handleKey(secret, id, generation) {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(generation));
  const info = concat(utf8("akashi/handle/v1\0"), utf8(id), Uint8Array.of(0), number);
  return publicKey(hmac(hmac(new Uint8Array(32), secret), concat(info, Uint8Array.of(1))));
}

const stateOfHandle = (h) => (h.movedTo ? "moved" : h.closed ? "closed" : h.stopped ? "stopped" : "active");

// scopeState judges a scope of a handle at a time in Unix milliseconds.
function scopeState(h, s, ms) {
  if (h.movedTo) return "moved";
  if (h.closed) return "closed";
  if (!s.on) return s.by === 3 ? "stopped" : "revoked";
  return s.expiry && ms >= (s.expiry + 1) * 86400_000 - 9 * 3600_000 ? "expired" : "active";
}

// standing is what a present handle's value says; its words do not depend on
// the time.
function standing(c, key, h, towards) {
  const scopes = (h.scopes ?? []).map((s) => {
    const origin = towards.terms?.[s.terms - 1];
    need(origin, "the handle names terms that its service has not");
    const scope = c.ask.must("terms", origin.hash).scopes[s.scope];
    need(scope, "the terms have no such scope");
    const label = labels(c.ask, "purpose", c.facts.purposes, scope.purpose);
    return { purpose: scope.purpose, label, version: origin.version, expiry: s.expiry, said: scopeState(h, s, 0), state: scopeState(h, s, c.note.timeMs) };
  });
  return { for: h.for, name: towards.name, handle: hex(key), present: true, state: stateOfHandle(h), scopes, events: h.events, consents: h.consents, head: hex(h.eventHead), generation: 0 };
}

// counted checks a handle's events against its counters and heads.
function counted(s, events, h) {
  need(events.length === h.events, `${events.length} events, the register counts ${h.events}`);
  let all = new Uint8Array(32);
  let consents = all;
  let n = 0;
  s.kinds = events.map((leaf) => {
    const kind = kindOf(leaf);
    const hash = leafHash(leaf);
    all = sha256(concat(all, hash));
    if (["consent", "revocation", "stop", "handle.move"].includes(kind)) {
      consents = sha256(concat(consents, hash));
      n++;
    }
    return kind;
  });
  need(equal(all, h.eventHead), "the events are not those that the register counts, or not in their order");
  need(n === h.consents && equal(consents, h.consentHead), "other consents than the register counts");
}

async function oneHandle(c) {
  const f = c.file;
  const h = await blame("register", () => {
    if (f.handle.length !== 32) throw new Fault("handle", "a handle of another length");
    if (isOfAnother(c)) throw new Fault("handle", "the proof is of another handle");
    const ask = begin(c, f.register);
    const value = ask.get("handle", f.handle);
    c.shown = value ? standing(c, f.handle, value, owner(ask, value.for)) : { handle: hex(f.handle), present: false, events: 0 };
    ask.rest();
    return value;
  });
  await blame("events", () => {
    need(h || !f.events, "events under a handle that is absent");
    if (f.events) counted(c.shown, f.events, h);
  });
  await words(c, handleWords(c.shown));
  c.handles = [c.shown];
  return { handles: c.handles };
}

// isOfAnother tells a changed handle from a changed proof: where the register
// has a handle, but another, the handle is to blame.
function isOfAnother(c) {
  const given = c.file.register[1];
  if (!given || equal(given.key, registerKey("handle", c.file.handle))) return false;
  try {
    return registered(c.seal.register, given.key, given.proof) !== null;
  } catch {
    return false;
  }
}

async function allHandles(c) {
  const f = c.file;
  const dir = await blame("register", () => {
    const ask = begin(c, f.register);
    return ask.must("directory");
  });
  const services = dir.services ?? [];
  c.handles = [];
  let at = 0;
  for (const [i, id] of [...services, ...(dir.parties ?? [])].entries()) {
    const towards = await about({ for: id }, () => blame("register", () => c.ask.must(i < services.length ? "service" : "party", id)));
    for (let generation = 0, present = true; present; generation++) {
      present = await about({ for: id, name: towards.name }, () => {
        const given = f.handles[at++];
        need(given?.for === id && given.generation === generation, `generation ${generation} is missing or out of order`);
        return handleOf(c, given, towards);
      });
    }
  }
  if (at < f.handles.length) throw new Fault("handles", "it is not in the directory, or follows an absent handle", { for: f.handles[at].for });
  await blame("register", () => c.ask.rest());
  await words(c, completeWords(c.handles));
  c.ownHandles = !!c.secret;
  return { handles: c.handles, own: c.ownHandles };
}

// about blames the handle of a service or party.
async function about(whom, f) {
  try {
    return await f();
  } catch (e) {
    throw e instanceof Fault ? Object.assign(e, { about: whom }) : new Fault("handles", e, whom);
  }
}

// handleOf checks one handle of a person; false where it is proven absent.
async function handleOf(c, given, towards) {
  need(given.handle.length === 32, "a handle of another length");
  if (c.secret) need(equal(handleKey(c.secret, given.for, given.generation), given.handle), `generation ${given.generation} is not the person's own handle`);
  const bytes = registered(c.seal.register, registerKey("handle", given.handle), given.proof);
  const h = bytes && values.handle(decode(bytes));
  need(!h || h.for === given.for, `the handle is for ${h?.for}`);
  need(h || !given.events, "events under a handle that is absent");
  const s = h
    ? await blame("register", () => standing(c, given.handle, h, towards))
    : { for: given.for, name: towards.name, handle: hex(given.handle), present: false, events: 0 };
  s.generation = given.generation;
  if (h) counted(s, given.events ?? [], h);
  c.handles.push(s);
  return !!h;
}

// erasureForm reads the leaves: what is no erasure is the leaf's fault.
async function erasureForm(c) {
  c.rec = await blame("leaf", () => parse(c.file.leaf));
  if (c.rec.kind !== "erasure") throw new Fault("leaf", `a record of kind ${c.rec.kind}`);
  c.attested = await blame("attestations", () =>
    (c.file.attestations ?? []).map((a) => {
      const r = parse(a.leaf);
      need(r.kind === "erasure.attestation", `a record of kind ${r.kind}`);
      return r;
    }),
  );
  return {};
}

async function erasurePlace(c) {
  const v = await blame("proof", async () => {
    const p = await stateOf(c, c.file.proof);
    if (!c.noteFault) holds(c.note, p, c.file.leaf);
    return { index: p.index, size: c.note.size, hashes: p.path.length, path: p.path.map(hex), root: hex(c.note.root), leafHash: hex(leafHash(c.file.leaf)) };
  });
  if (c.noteFault) return v;
  await blame("attestations", () => (c.file.attestations ?? []).forEach((a) => holds(c.note, parseProof(a.proof), a.leaf)));
  return v;
}

async function erased(c) {
  await blame("state", () => lastLeaf(c));
  const e = await blame("register", () => {
    const ask = begin(c, c.file.register);
    const state = { done: [], pending: [], copies: [], ...ask.must("erasure", c.rec.id) };
    const said = matchAttestations(c, state);
    const numbers = [c.rec.body, ...c.attested.map((a) => a.body)].flatMap((b) => b.numbers ?? []);
    for (const n of numbers) need(equal(ask.must("tomb", n).erasure, c.rec.id), "a tombstone of another erasure");
    const name = (id) => {
      if (!c.facts.names.has(id)) c.facts.names.set(id, ask.get("party", id)?.name ?? { ja: id, en: id });
      return c.facts.names.get(id);
    };
    for (const id of [c.rec.issuer, ...c.rec.body.holders, ...said.flatMap((a) => a.onward ?? []), ...state.copies.flatMap((x) => [x.member, x.custodian])]) name(id);
    const copies = state.copies.map((x) => ({ ...x, memberName: name(x.member), name: name(x.custodian), lost: x.timeMs ? undefined : lossOf(state, x, ask.must("custody", x.member)) }));
    ask.rest();
    return {
      cause: c.rec.body.cause,
      by: name(c.rec.issuer),
      timeMs: state.timeMs,
      numbers: numbers.length,
      done: state.done.map((d, i) => ({ ...d, name: name(d.holder), kept: said[i].kept })),
      pending: state.pending.map(name),
      copies,
      complete: !state.pending.length && copies.every((x) => x.timeMs || x.lost),
      story: c.facts.policy.storyTime === true,
    };
  });
  await words(c, erasureWords(e));
  c.erased = e;
  return e;
}

// lossOf returns why a custodian's copies are closed though it has not attested.
function lossOf(state, copy, custody) {
  const losses = custody.custodians?.find((k) => k.id === copy.custodian)?.losses ?? [];
  return losses.find((l) => l.timeMs >= state.timeMs)?.reason;
}

// matchAttestations wants one attestation for each holder that is done, in their
// order, and one for each custodian that is. It returns those of the holders.
function matchAttestations(c, { done, copies }) {
  const fail = (why) => {
    throw new Fault("attestations", why);
  };
  const left = copies.filter((x) => x.timeMs);
  const said = [];
  c.attested.forEach(({ issuer, body: a }, i) => {
    const at = left.findIndex((x) => x.member === a.for && x.custodian === issuer);
    const d = at >= 0 ? { ...left.splice(at, 1)[0], holder: issuer } : a.for === undefined && done[said.push(a) - 1];
    if (!d || !equal(a.erasure, c.rec.id) || issuer !== d.holder || a.class !== d.class || (a.generation ?? 0) !== (d.generation ?? 0)) fail(`attestation ${i} is not one that the register has`);
  });
  if (said.length < done.length || left.length) fail(`${done.length - said.length + left.length} attestations that the register has are missing`);
  return said;
}

export const handle = { steps: ["form", "place", "signed", "handle", "keys"], form, place, handle: oneHandle };
export const completeness = { steps: ["form", "place", "signed", "handles", "keys"], form, place, handles: allHandles };
export const erasure = { steps: ["form", "place", "signed", "erased", "keys"], form: erasureForm, place: erasurePlace, erased };
