// Evidence against who signed what contradicts itself (docs/spec/evidence.md):
//
//   form      the file, with the parts of its kind and no others
//   conflict  what was signed contradicts itself
//   named     whom the signatures name, and the words
//
// The kind derivation needs the rules of the whole ledger: akashi verify has them,
// this page does not.
import { compare, concat, equal, hex, utf8 } from "./bytes.js";
import { decode } from "./cbor.js";
import { verify as verifySignature } from "./ed25519.js";
import { Fault, blame, need } from "./form.js";
import { answering } from "./facts.js";
import { NO_POLICY, emptyRoot, holds, leafHash, nodeHash, parseLine, parseNote, parseProof, verifyLines, verifyNote } from "./log.js";
import { parseHeader, parseSeal } from "./record.js";
import { verifyReceipt } from "./verify.js";
import { Lines } from "./words.js";

// The parts of each kind, and those of which there is at most one.
const PARTS = { header: ["headers", "state", "register"], checkpoint: ["checkpoints"], fork: ["checkpoints"], advance: ["receipts"] };
const MAYBE = { checkpoint: ["past"], fork: ["past"], advance: ["past", "extraPast"] };
const ALL = ["headers", "checkpoints", "receipts", "past", "extraPast", "previous", "entry", "seal", "state", "register", "neighbours"];

function form(c) {
  const { kind } = c.file;
  if (kind === "derivation") throw new Fault("kind", "a batch judged anew is not one that this page can read");
  const has = ALL.filter((p) => c.file[p] !== undefined);
  const want = PARTS[kind];
  const fits = want?.every((p) => has.includes(p)) && has.every((p) => want.includes(p) || MAYBE[kind]?.includes(p));
  const pasts = has.filter((p) => /past/i.test(p)).length;
  if (!fits || pasts > 1 || (kind === "advance" && pasts === 0)) throw new Fault("kind", `a part of ${kind} is missing, or one too many`);
  return {};
}

const conflict = (c) => ({ header: headers, checkpoint: checkpoints, fork: checkpoints, advance })[c.file.kind](c);

// headers: a leader signed two for one place.
async function headers(c) {
  const f = c.file;
  const unsigned = (h) => {
    const fields = [...h.raw].filter(([n]) => n < 8);
    return concat(Uint8Array.of(0xa0 | fields.length), ...fields.flatMap(([n, raw]) => [Uint8Array.of(n), raw]));
  };
  const [a, b] = await blame("headers", () => {
    need(f.headers.length === 2 && compare(f.headers[0], f.headers[1]) < 0, "not two headers in ascending order");
    const list = f.headers.map((h) => parseHeader(h));
    const place = ({ leader, epoch = 0, term = 0, prev }) => `${leader} ${epoch} ${term} ${hex(prev)}`;
    need(place(list[0]) === place(list[1]), "they are of two leaders or stand for two places");
    need(!equal(unsigned(list[0]), unsigned(list[1])), "they say the same");
    return list;
  });
  const seal = await blame("state", () => finalSeal(c));
  const signer = await blame("register", () => {
    const ask = answering(seal.register, f.register);
    const p = ask.must("party", a.leader);
    need(p.member, "the leader is not a member");
    ask.rest();
    return p;
  });
  await blame("headers", async () => {
    for (const h of [a, b]) need(await verifySignature(signer.key, concat(utf8(`akashi/header/v1\n${c.note.origin}\n`), unsigned(h)), h.sig), "a signature does not verify");
  });
  c.signers = [signer.id];
  const l = new Lines();
  l.add(`${a.leader} は、一つの場所に、二つの異なる見出しへ署名しました。`, `${a.leader} signed two different headers for one place.`);
  l.add(`場所：期 ${a.epoch ?? 0}、ターム ${a.term ?? 0}、直前のまとまり ${hex(a.prev)}`, `The place: epoch ${a.epoch ?? 0}, term ${a.term ?? 0}, after the batch ${hex(a.prev)}`);
  c.words = l;
  return {};
}

// finalSeal opens the final checkpoint that proves the signer's key.
async function finalSeal(c) {
  const p = parseProof(c.file.state.proof);
  c.note = parseNote(p.note);
  try {
    await verifyNote(c.note, c.policies);
  } catch (e) {
    c.noteFault = e;
    throw e;
  }
  holds(c.note, p, c.file.state.leaf);
  need(p.index === c.note.size - 1, "the seal is not the checkpoint's last leaf");
  return parseSeal(c.file.state.leaf);
}

// checkpoints: two that no one log can have.
async function checkpoints(c) {
  const f = c.file;
  const [a, b] = await blame("checkpoints", () => openBoth(c));
  if (f.past) await blame("past", () => parted(f.past, a, b, a.root));
  await blame("checkpoints", () => {
    need(a.size < b.size || (a.size === b.size && compare(a.root, b.root) <= 0), "they are out of order");
    need(a.size !== b.size || !equal(a.root, b.root), "they say the same");
    if ((a.size !== b.size) !== !!f.past) throw new Fault("past", "it belongs to checkpoints of different sizes, and only to those");
  });
  c.signers = c.note.policy.members.filter((m) => [a, b].every((n) => n.signed.some((s) => s.member === m.member))).map((m) => m.member).sort();
  const l = new Lines();
  if (c.signers.length) l.add(`${c.signers.join("、")} は、互いに食い違う二つの台帳に署名しました。`, `${c.signers.join(", ")} cosigned two logs that contradict each other.`);
  else
    l.add(
      "加盟企業が、互いに食い違う二つの台帳に署名しました。両方に署名した企業はなく、だれの誤りかは分かりません。",
      "Members cosigned two logs that contradict each other. Nobody cosigned both: it does not show whose fault it is.",
    );
  for (const n of [a, b]) l.add(`記録 ${n.size} 件、根 ${hex(n.root)}`, `${n.size} leaves, root ${hex(n.root)}`);
  c.words = l;
  return {};
}

// openBoth opens both notes under one policy: an old key is worth nothing.
async function openBoth(c) {
  need(c.file.checkpoints.length === 2, "not two checkpoints");
  const origin = c.file.checkpoints[0].split("\n")[0];
  let reason = new Error(NO_POLICY);
  for (const policy of c.policies.filter((p) => p.origin === origin)) {
    try {
      const notes = c.file.checkpoints.map((text) => parseNote(text));
      for (const n of notes) {
        need(n.origin === policy.origin, "not of this log");
        await verifyLines(n, n.lines.map(parseLine), policy, []);
        n.policy = policy;
      }
      c.note = notes[1];
      return notes;
    } catch (e) {
      reason = e;
    }
  }
  throw reason;
}

// advance: the owner of a commitment tree anchored two roots that no one tree has.
async function advance(c) {
  const f = c.file;
  const [a, b] = await blame("receipts", async () => {
    need(f.receipts.length === 2, "not two receipts");
    const both = [];
    for (const r of f.receipts) {
      need(r.format === "akashi-receipt/v1", "not a receipt");
      const got = await verifyReceipt(r, c.policies).catch((e) => {
        throw new Fault("receipts", e); // whichever part of it
      });
      c.note = got.note; // the later one's in the end
      need(got.rec.kind === "tree.advance", "not a tree.advance");
      both.push({ issuer: got.rec.issuer, origin: got.note.origin, ...got.rec.body, size: got.rec.body.size ?? 0 });
    }
    const same = (k) => both[0][k] === both[1][k];
    need(same("origin") && same("issuer") && same("tree"), "they are of two trees, or of two issuers");
    need(both[0].size < both[1].size, "they are not ascending by size");
    return both;
  });
  const over = f.past ? (x) => x.root : (x) => (x.extra?.length ? x.extra : noExtra(x.size));
  await blame(f.past ? "past" : "extraPast", () => parted(f.past ?? f.extraPast, a, { size: b.size, root: over(b) }, over(a)));
  c.signers = [a.issuer];
  const tree = BigInt(a.tree).toString(16).padStart(16, "0");
  const l = new Lines();
  l.add(`${a.issuer} は、コミットメント木 ${tree} について、互いに食い違う二つの根を台帳に留めました。`, `${a.issuer} anchored two roots of commitment tree ${tree} that contradict each other.`);
  const [ja, en] = f.past ? ["根", "root"] : ["付帯データの根", "root over extra data"];
  for (const x of [a, b]) l.add(`葉 ${x.size} 枚、${ja} ${hex(over(x))}`, `${x.size} leaves, ${en} ${hex(over(x))}`);
  c.words = l;
  return {};
}

// noExtra is the root over the extra data of leaves that have none.
function noExtra(size) {
  let root;
  let node = leafHash(new Uint8Array(0)); // of 2^k such leaves
  for (let n = BigInt(size); n > 0n; n >>= 1n) {
    if (n & 1n) root = root ? nodeHash(node, root) : node;
    node = nodeHash(node, node);
  }
  return root ?? emptyRoot;
}

// parted wants the larger tree to begin as the file says (RFC 9162 §2.1.4.2), and
// not as the smaller one's root says.
function parted({ size, edge, path }, a, b, was) {
  need([...edge, ...path].every((h) => h.length === 32) && edge.length <= 64 && path.length <= 128, "malformed list of hashes");
  const bits = BigInt(size).toString(2).replaceAll("0", "").length;
  need(size > 0 && size < b.size && edge.length === bits, "no beginning of the larger one");
  const root = edge.reduceRight((right, left) => (right ? nodeHash(left, right) : left), undefined);
  need(consistent(size, b.size, path, root, b.root), "the larger one does not begin so");
  need(size === a.size, "it is of another size");
  need(!equal(root, was), "it begins as the smaller one says: no contradiction");
}

function consistent(first, second, path, firstRoot, secondRoot) {
  let fn = BigInt(first) - 1n;
  let sn = BigInt(second) - 1n;
  for (; fn & 1n; fn >>= 1n) sn >>= 1n;
  const all = fn === 0n ? [firstRoot, ...path] : path;
  if (!all.length) return false;
  let [fr] = all;
  let sr = fr;
  for (const h of all.slice(1)) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      fr = nodeHash(h, fr);
      sr = nodeHash(h, sr);
      for (; !(fn & 1n) && fn > 0n; fn >>= 1n) sn >>= 1n;
    } else {
      sr = nodeHash(sr, h);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && equal(fr, firstRoot) && equal(sr, secondRoot);
}

async function named(c) {
  const { signers, kind, human } = c.file;
  await blame("signers", () => {
    need(JSON.stringify(signers) === JSON.stringify(c.signers), `the signatures name ${c.signers}`);
    if (c.file.checkpoints && (kind === "fork") !== !c.signers.length) throw new Fault("kind", "another kind than the signatures show");
  });
  c.human = { ja: c.words.ja, en: c.words.en };
  await blame("human", () => need(JSON.stringify(c.human) === JSON.stringify(human), "the words do not follow from the evidence"));
  return { signers };
}

export const evidence = { steps: ["form", "conflict", "named", "keys"], form, conflict, named };
