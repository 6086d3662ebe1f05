// Verification of a person's files on the reader's own machine. A receipt has
// five steps (complete.js has those of the other formats):
//
//   form    the file, the record's bytes, and the opening of its commitment
//   place   the walk from the record to the checkpoint's root
//   signed  the members' signatures under the checkpoint
//   state   the register, the issuer's and the person's signatures, the words
//   keys    where the keys came from (for the reader to judge)
//
// Nothing in a file is trusted. What is shown is what was derived from proven
// bytes, and a file whose words differ is refused. No request is made here.
import { concat, equal, fromBase64, hex, hmac, sha256, utf8 } from "./bytes.js";
import { decode, encode } from "./cbor.js";
import { verify as verifySignature } from "./ed25519.js";
import { Fault, blame, need, read } from "./form.js";
import { answering, gather } from "./facts.js";
import { NOT_FINAL, NO_POLICY, holds, keyNumber, leafHash, parseNote, parseProof, rootOf, verifyNote } from "./log.js";
import { itemsPart, keyGiven, leafIndex, parse, parseSeal, screenOf } from "./record.js";
import { clock, human, payload } from "./words.js";

export { Fault } from "./form.js";
export { formatPolicy, keyNumber, parsePolicy } from "./log.js";

const signedBy = (key, domain, origin, statement, sig) => verifySignature(key, concat(utf8(`akashi/${domain}/v1\n${origin}\n`), statement), sig);

// openedBy checks an opening against a commitment and returns the part.
export function openedBy(o, commitment) {
  need(o.nonce.length === 32, "a nonce of another length");
  need(equal(hmac(o.nonce, o.part), commitment), "it does not open the record's commitment");
  return o.part;
}

async function form(c) {
  const f = c.file;
  c.rec = await blame("leaf", () => parse(f.leaf));
  if (f.kind !== c.rec.kind) throw new Fault("kind", `the record is of kind ${c.rec.kind}`);
  c.leafHash = leafHash(f.leaf);
  const open = (part, o, commitment) =>
    blame(part, () => {
      need(commitment, "the record has no such commitment");
      try {
        return openedBy(o, commitment);
      } catch (e) {
        if (!isInLog(c)) throw new Fault("leaf", "the log has another record here");
        throw e;
      }
    });
  if (f.opening) {
    const part = await open("opening", f.opening, c.rec.commitment);
    await blame("opening", () => (c.rec.part = c.rec.decodePart(part)));
  }
  if (f.items) {
    const part = await open("items", f.items, c.rec.body.items);
    await blame("items", () => (c.rec.items = itemsPart(decode(part))));
  }
  return { leafHash: hex(c.leafHash), commitment: c.rec.commitment && hex(c.rec.commitment), opened: !!f.opening };
}

// isInLog reports whether the record's walk leads to the root that its
// checkpoint names: it tells whether a record or its opening was changed.
function isInLog(c) {
  try {
    const p = parseProof(c.file.proof);
    const note = parseNote(p.note);
    return equal(rootOf(c.leafHash, p.index, note.size, p.path), note.root);
  } catch {
    return false;
  }
}

async function place(c) {
  const f = c.file;
  c.proof = await blame("proof", () => parseProof(f.proof));
  c.note = await blame("proof", () => parseNote(c.proof.note));
  try {
    await verifyNote(c.note, c.policies);
  } catch (e) {
    c.noteFault = e; // step "signed" tells it
  }
  const sealOf = (s) => {
    const p = parseProof(s.proof);
    if (!c.noteFault) holds(c.note, p, s.leaf);
    return { seal: parseSeal(s.leaf), index: p.index };
  };
  c.seal = await blame("seal", () => sealOf(f.seal));
  if (!c.seal.seal.header) throw new Fault("seal", "it is the seal of the genesis");
  c.rec.timeMs = c.seal.seal.header.timeMs;
  await blame("proof", async () => {
    try {
      holds(c.note, c.proof, f.leaf);
    } catch (e) {
      if (!(await inSubmission(c).catch(() => false))) throw new Fault("leaf", "the log has another record here");
      throw e;
    }
  });
  await blame("submission", async () => {
    need(await inSubmission(c), "the path leads to another root than the signed one");
    const { index, position } = f.submission;
    need(leafIndex(c.seal.seal, c.seal.index, index, position) === c.proof.index, "the place is that of another leaf");
    need(c.sub.issuer === c.rec.issuer, "the submission is of another issuer");
  });
  await blame("state", async () => {
    const last = c.note.size - 1;
    if (!f.state) need(c.seal.index === last, "the checkpoint's last seal is missing");
    else need(c.seal.index !== last, "one seal is enough");
    c.last = f.state ? sealOf(f.state) : c.seal;
    need(c.last.index === last, "the seal is not the checkpoint's last leaf");
  });
  return { index: c.proof.index, size: c.note.size, hashes: c.proof.path.length, path: c.proof.path.map(hex), root: hex(c.note.root), leafHash: hex(c.leafHash) };
}

// inSubmission checks the record's path in what its issuer signed.
async function inSubmission(c) {
  const { index, position, path } = c.file.submission;
  leafIndex(c.seal.seal, c.seal.index, index, position);
  need(path.length <= 17 && path.every((h) => h.length === 32), "malformed path");
  c.sub = c.seal.seal.submissions[index];
  return equal(rootOf(c.leafHash, position, c.sub.count, path), c.sub.root);
}

async function signed(c) {
  await blame(["receipt", "erasure", "slip"].includes(c.file.form) ? "proof" : "state", () => {
    if (c.noteFault) throw c.noteFault;
  });
  return { members: members(c), k: c.note.policy.k, timeMs: c.note.timeMs, story: c.file.storyTime === true };
}

// members are the policy's members, with the time at which each signed.
function members(c) {
  return c.note.policy.members.map(({ member, name }) => ({ member, name, time: c.note.signed.find((s) => s.member === member)?.time }));
}

async function state(c) {
  const f = c.file;
  const facts = await blame("register", () => {
    const ask = answering(c.last.seal.register, f.register);
    const got = gather(c.rec, ask);
    need(got.policy.origin === c.note.origin, "its policy is for another log");
    ask.rest();
    return got;
  });
  c.facts = facts;
  if (f.screen)
    await blame("screen", () => {
      need(facts.hash && equal(sha256(f.screen), facts.hash), "it is not the screen of the record's terms");
      c.rec.screen = screenOf(decode(f.screen));
    });
  await blame("key", () => issuerSigned(c));
  const story = facts.policy.storyTime === true;
  if ((f.storyTime === true) !== story) throw new Fault("story-time", `the consortium's policy says ${story}`);
  c.human = await blame("human", () => {
    const h = human(c.rec, facts);
    need(JSON.stringify(h) === JSON.stringify(f.human), "the words do not follow from the record");
    return h;
  });
  await blame("payload", () => need(JSON.stringify(payload(c.rec, facts)) === JSON.stringify(f.source.payload), "it does not follow from the record"));
  await blame("leaf", () => subjectSigned(c));
  if (c.rec.part?.evidence?.length)
    c.passkey = await blame("evidence", async () => {
      const { checkEvidence } = await import("./passkey.js"); // few receipts need it
      return checkEvidence(c.rec, f.opening.nonce, f.opening.part, c.note.origin);
    });
  if (f.status) c.status = await blame("status", () => statusOf(c));
  return { issuer: facts.issuer.name, personSigned: ["consent", "revocation", "handle.move"].includes(c.rec.kind), passkey: c.passkey, status: c.status };
}

// issuerSigned checks the signature over the submission, under the key that
// the register has now or under one that a leaf of the log gave.
async function issuerSigned(c) {
  const s = c.sub;
  const fields = [...s.raw].filter(([n]) => n < 6);
  const statement = concat(Uint8Array.of(0xa0 | fields.length), ...fields.flatMap(([n, raw]) => [Uint8Array.of(n), raw]));
  let key = c.facts.issuer.key;
  if (c.file.key) {
    const p = parseProof(c.file.key.proof);
    holds(c.note, p, c.file.key.leaf);
    need(p.index < c.proof.index, "the key came after the record");
    const old = keyGiven(c.file.key.leaf, c.rec.issuer);
    need(!equal(old, key), "it is the key that the register has: no proof is needed");
    key = old;
  }
  need(await signedBy(key, "submission", c.note.origin, statement, s.sig), "the issuer's signature does not verify");
}

// subjectSigned checks what the person's own key signed inside the record.
async function subjectSigned(c) {
  const { kind, body: b, commitment } = c.rec;
  const check = async (key, domain, statement, sig) => need(await signedBy(key, domain, c.note.origin, encode(new Map(statement)), sig), "the person's signature does not verify");
  if (kind === "consent")
    await check(b.handle, "consent", [[1, b.terms], [2, b.scope], [3, true], [4, b.expiry], [5, b.count || undefined], [6, b.head], [7, commitment]], b.sig);
  if (kind === "revocation") await check(b.handle, "consent", [[1, b.terms], [2, b.scope], [3, false]], b.sig);
  if (kind === "handle.move") {
    await check(b.old, "move", [[1, b.old], [2, b.handle]], b.oldSig);
    await check(b.handle, "move", [[1, b.old], [2, b.handle]], b.newSig);
  }
}

// statusOf checks the status part at its own checkpoint.
async function statusOf(c) {
  const s = c.file.status;
  const handle = c.rec.body.handle;
  need(handle, "records of this kind have no status");
  const p = parseProof(s.proof);
  let note = c.note;
  if (p.note !== note.text) {
    note = parseNote(p.note);
    await verifyNote(note, c.policies);
  }
  need(note.origin === c.facts.policy.origin, "it is of another log");
  holds(note, p, s.leaf);
  need(p.index === note.size - 1, "the seal is not the checkpoint's last leaf");
  const ask = answering(parseSeal(s.leaf).register, s.register);
  const h = ask.must("handle", handle);
  ask.rest();
  return { state: stateAt(c, h, note.timeMs), asOf: clock(note.timeMs, c.facts.policy.storyTime), timeMs: note.timeMs, size: note.size };
}

function stateAt(c, h, ms) {
  const { kind, body: b } = c.rec;
  const scoped = ["consent", "revocation", "provision"].includes(kind) || (kind === "stop" && b.scope !== 255);
  if (h.movedTo) return "moved";
  if (h.closed) return "closed";
  if (!scoped) return h.stopped ? "stopped" : "active";
  const terms = kind === "provision" ? b.terms : c.facts.terms.number;
  const s = (h.scopes ?? []).find((x) => x.terms === terms && x.scope === b.scope);
  if (!s) return "replaced";
  if (!s.on) return s.by === 3 ? "stopped" : "revoked";
  if (s.expiry && ms >= (s.expiry + 1) * 86400_000 - 9 * 3600_000) return "expired";
  return s.height > c.seal.seal.height ? "renewed" : "active"; // by a consent that came after the record
}

function keys(c) {
  return { number: keyNumber(c.note.policy), origin: c.note.origin };
}

const receipt = { steps: ["form", "place", "signed", "state", "keys"], form, place, signed, state, keys };

// runOf returns the steps of a form. Those of receipts are here; the others are
// loaded when they are needed.
async function runOf(form) {
  if (form === "receipt") return receipt;
  const others = await import(form === "evidence" ? "./evidence.js" : form === "slip" ? "./slip.js" : "./complete.js");
  return { ...others[form], signed, keys };
}

// verifyReceipt checks a receipt that stands in another file (form.js has read it);
// it returns what was derived, or throws the Fault.
export async function verifyReceipt(file, policies) {
  const c = { file, policies };
  for (const name of receipt.steps) await receipt[name](c);
  return c;
}

// policyEpochs names the policy epochs of a file's checkpoints, as the file says:
// only to know which policies to ask for.
export function policyEpochs(bytes) {
  try {
    const f = JSON.parse(new TextDecoder().decode(bytes));
    const leaves = [f.state?.leaf ?? f.seal?.leaf, f.status?.leaf].filter((l) => typeof l === "string");
    return [...new Set(leaves.map((l) => parseSeal(fromBase64(l)).policyEpoch))];
  } catch {
    return [];
  }
}

// verify checks the bytes of a file of any format under policies (parsePolicy);
// the handles of a completeness proof also against the person's secret, where it
// is given. It calls onStep(name, values) for each step that holds, and returns
// the verdict:
//
//   result   "match", or "differ", "notfinal", "nopolicy", "unread"
//   form     receipt, handle, completeness, erasure, evidence or slip; its steps as order
//   step     the step that does not hold; code and reason say why, about where
//   human, kind, note, status, opened, hasStatus …   what was derived
export async function verify(bytes, policies, onStep = () => {}, secret = undefined) {
  const c = { bytes, policies, secret };
  const steps = {};
  let run = receipt;
  let form = "receipt";
  const refused = (step, e) => {
    const fault = e instanceof Fault ? e : new Fault("file", e);
    return { result: resultOf(c, fault), form, order: run.steps, step, code: `${form}.${fault.part}`, about: fault.about?.for, name: fault.about?.name, reason: fault.message, steps, ...about(c) };
  };
  try {
    c.file = startsSlip(bytes) ? (await import("./slip.js")).readSlip(bytes) : read(bytes);
  } catch (e) {
    form = e.form ?? form;
    run = await runOf(form);
    return refused("form", e);
  }
  form = c.file.form;
  run = await runOf(form);
  for (const name of run.steps) {
    try {
      steps[name] = await run[name](c);
    } catch (e) {
      return refused(name, e);
    }
    await onStep(name, steps[name], form);
  }
  return { result: "match", form, order: run.steps, steps, human: c.human, status: c.status, handles: c.handles, signers: c.signers, ...about(c) };
}

const startsSlip = (bytes) => new TextDecoder().decode(bytes.subarray(0, 8)) === "AKASHI1:";

function resultOf(c, fault) {
  if (!c.file && !startsSlip(c.bytes) && !/"akashi-(receipt|handle|completeness|erasure|evidence)\//.test(new TextDecoder().decode(c.bytes.subarray(0, 200)))) return "unread";
  if (/that this page can read$/.test(fault.message)) return "unread";
  if (fault.message === NO_POLICY) return "nopolicy";
  return fault.message === NOT_FINAL && c.noteFault ? "notfinal" : "differ";
}

const about = (c) => ({
  kind: c.rec?.kind,
  opened: !!c.file?.opening || !c.rec?.commitment,
  itemsOpen: !!c.file?.items || !c.rec?.body.items,
  hasStatus: !!c.file?.status || !c.rec?.body.handle,
  members: c.note?.policy && members(c),
  story: c.facts?.policy.storyTime === true,
  timeMs: c.note?.timeMs,
  ownHandles: c.ownHandles === true,
  passkey: c.passkey,
});
