// The log: policies (C2SP tlog-policy), signed checkpoints (tlog-checkpoint,
// tlog-cosignature), inclusion (RFC 9162 §2.1.3, tlog-proof@v1), and the
// register's proofs.
import { compare, concat, equal, fromBase64, hex, once, sha256, utf8 } from "./bytes.js";
import { verify } from "./ed25519.js";
import { need } from "./form.js";

export const leafHash = once((leaf) => sha256(concat(Uint8Array.of(0), leaf)));
export const emptyRoot = sha256(new Uint8Array(0));
export const nodeHash = (l, r) => sha256(concat(Uint8Array.of(1), l, r));

// rootOf walks an inclusion path from a leaf hash to the root of a tree.
export function rootOf(hash, index, size, path) {
  need(index < size, "the index is beyond the tree");
  let fn = BigInt(index);
  let sn = BigInt(size) - 1n;
  for (const p of path) {
    need(sn > 0n, "the path is too long");
    if (fn & 1n || fn === sn) {
      hash = nodeHash(p, hash);
      for (; !(fn & 1n) && fn > 0n; fn >>= 1n) sn >>= 1n;
    } else {
      hash = nodeHash(hash, p);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  need(sn === 0n, "the path is too short");
  return hash;
}

// parseProof reads a tlog-proof@v1 text without extra data.
export function parseProof(s) {
  const cut = s.indexOf("\n\n");
  const lines = s.slice(0, Math.max(0, cut)).split("\n");
  need(cut > 0 && lines[0] === "c2sp.org/tlog-proof@v1" && lines.length >= 2 && lines.length <= 65, "no tlog-proof@v1");
  const [, digits] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines[1]) ?? [];
  need(digits !== undefined && Number.isSafeInteger(+digits), "no index");
  const path = lines.slice(2).map(fromBase64);
  need(path.every((h) => h.length === 32), "a hash of another length");
  return { index: +digits, path, note: s.slice(cut + 2) };
}

export const keyID = (name, key) => hex(sha256(concat(utf8(name + "\n"), key))).slice(0, 8);

function parseKey(s, alg) {
  const [, name, id, key64] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(s) ?? [];
  need(name, "malformed key");
  const key = fromBase64(key64);
  need(key.length === 33 && key[0] === alg && keyID(name, key) === id, "malformed key");
  return { name, id, key: key.slice(1), line: s };
}

// parsePolicy reads the policy of a consortium: one log line, a witness and a
// group for each member, k of the groups, and the quorum over those; where it
// has witnesses of its own, some of them and the quorum over both.
export function parsePolicy(text) {
  const p = { log: null, members: [], k: 0, witnesses: [], witnessK: 0, both: false, quorum: "" };
  const witness = new Map();
  const group = new Map();
  const seen = new Set();
  const fresh = (...names) => names.every((n) => !seen.has(n) && seen.add(n));
  const key = (s, alg) => {
    const k = parseKey(s, alg);
    need(fresh("name " + k.name, "key " + hex(k.key)), "a key stands twice");
    return k;
  };
  for (const line of text.split("\n")) {
    const f = line.replace(/#.*/, "").split(/\s+/).filter(Boolean);
    if (!f.length) continue;
    if (f[0] === "log" && f.length === 2 && !p.log) p.log = key(f[1], 1);
    else if (f[0] === "witness" && (f.length === 3 || f.length === 4) && fresh("part " + f[1])) witness.set(f[1], key(f[2], 4));
    else if (f[0] === "group" && f[1] === "members" && f.length >= 4 && !p.k) {
      p.members = f.slice(3).map((id) => {
        const m = group.get(id);
        need(m && group.delete(id), "no such group");
        return { ...m, member: id };
      });
      p.k = threshold(f[2], p.members.length);
    } else if (f[0] === "group" && f[1] === "witnesses" && f.length >= 4 && !p.witnessK) {
      p.witnesses = f.slice(3).map((name) => {
        const w = witness.get(name);
        need(w && witness.delete(name), "no such witness");
        return w;
      });
      p.witnessK = threshold(f[2], p.witnesses.length);
    } else if (f.join(" ") === "group all all members witnesses" && p.k && p.witnessK && !p.both) {
      p.both = true;
    } else if (f[0] === "group" && f.length === 4 && f[2] === "any" && /^[a-z0-9-]+$/.test(f[1]) && !["none", "members", "witnesses", "all"].includes(f[1])) {
      const m = witness.get(f[3]);
      need(m && witness.delete(f[3]) && fresh("part " + f[1]), "group");
      group.set(f[1], m);
    } else if (f[0] === "quorum" && f.length === 2 && !p.quorum) p.quorum = f[1];
    else throw new Error("unexpected line");
  }
  const whole = p.witnessK ? p.both && p.quorum === "all" : p.quorum === "members";
  need(p.log && p.k && whole && !witness.size && !group.size, "not a policy of a consortium's log");
  p.origin = p.log.name;
  p.range = rangeOf(text, p.origin);
  return p;
}

// rangeOf reads the part of the log in which a policy counts, from its comments
// (docs/spec/policy.md); undefined where it says nothing. What looks like a part
// of it must be one.
function rangeOf(text, origin) {
  const lines = text.split("\n").filter((l) => /^# (policy epoch|first:|closing:)/.test(l));
  if (!lines.length) return undefined;
  const end = (l, word) => {
    const [, size, root] = new RegExp(`^# ${word}: height (?:0|[1-9]\\d*), size ([1-9]\\d*), root ([0-9a-f]{64})$`).exec(l) ?? [];
    need(size && Number.isSafeInteger(+size), "malformed lines about the policy's epoch");
    return { size: +size, root };
  };
  const [, epoch, log] = /^# policy epoch (0|[1-9]\d*) of (.*)$/.exec(lines[0]) ?? [];
  need(lines.length === 3 && epoch && log === origin, "malformed lines about the policy's epoch");
  const first = end(lines[1], "first");
  const closing = lines[2] === "# closing: open" ? undefined : end(lines[2], "closing");
  need(!closing || closing.size >= first.size, "malformed lines about the policy's epoch");
  return { epoch: +epoch, first, closing };
}

const unknown = "0".repeat(64);

// within reports whether a checkpoint lies in a policy's range.
function within(note, range) {
  const is = (e) => note.size !== e.size || e.root === unknown || e.root === hex(note.root);
  return !range || (note.size >= range.first.size && is(range.first) && (!range.closing || (note.size <= range.closing.size && is(range.closing))));
}

function threshold(s, n) {
  need(String(+s) === s && Number.isInteger(+s) && +s >= 1 && +s <= n, "threshold");
  return +s;
}

// formatPolicy writes a policy without comments, in one spelling.
export function formatPolicy(p) {
  const members = p.members.map((m) => `witness ${m.member}.key ${m.line}\ngroup ${m.member} any ${m.member}.key\n`).join("");
  const head = `log ${p.log.line}\n${members}group members ${p.k} ${p.members.map((m) => m.member).join(" ")}\n`;
  if (!p.witnessK) return head + "quorum members\n";
  const witnesses = p.witnesses.map((w, i) => `witness ${i + 1}.witness ${w.line}\n`).join("");
  const names = p.witnesses.map((_, i) => `${i + 1}.witness`).join(" ");
  return `${head}${witnesses}group witnesses ${p.witnessK} ${names}\ngroup all all members witnesses\nquorum all\n`;
}

// keyNumber is short enough to compare by eye, and long enough that nobody
// can make another policy with the same one: 100 bits of SHA-256 in base 32
// without letters that look alike.
export function keyNumber(p) {
  let n = BigInt("0x" + hex(sha256(utf8(formatPolicy(p))))) >> 156n;
  let s = "";
  for (let i = 0; i < 20; i++, n >>= 5n) s = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[Number(n & 31n)] + s;
  return s.match(/.{4}/g).join("-");
}

// parseNote reads a signed checkpoint; nothing of it is checked yet.
export function parseNote(text) {
  const [, body, size, root64, rest] = /^([^\n]+\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/=]{44})\n)\n((?:— [^\n]+\n)+)$/.exec(text) ?? [];
  need(body && Number.isSafeInteger(+size), "not a checkpoint");
  const root = fromBase64(root64);
  need(root.length === 32, "not a root");
  return { text, body, origin: body.slice(0, body.indexOf("\n")), size: +size, root, lines: rest.split("\n").slice(0, -1), signed: [] };
}

// verifyNote checks the signatures of a checkpoint in its one spelling: the
// log's line, then those of members and witnesses by name. With fewer than the policy
// wants it is not final.
export async function verifyNote(note, policies) {
  const seen = verified.get(policies) ?? verified.set(policies, new Map()).get(policies);
  const before = seen.get(note.text);
  if (before) return Object.assign(note, before);
  await verifyNew(note, policies);
  const { policy, signed, timeMs } = note;
  seen.set(note.text, { policy, signed, timeMs });
}

// verified are the checkpoints that held under a list of policies, by their whole
// text: the receipts of one person share few.
const verified = new WeakMap();

async function verifyNew(note, policies) {
  const own = policies.filter((p) => p.origin === note.origin && within(note, p.range));
  need(own.length, NO_POLICY);
  for (const policy of own.slice(0, -1)) {
    try {
      return await verifyUnder(note, policy);
    } catch {
      // of another policy epoch
    }
  }
  return verifyUnder(note, own.at(-1));
}

async function verifyUnder(note, policy) {
  note.policy = policy;
  const [own, ...lines] = note.lines.map(parseLine);
  need(own.name === policy.log.name && own.id === policy.log.id, "the log's own line does not come first");
  need(own.sig.length === 64 && (await verify(policy.log.key, utf8(note.body), own.sig)), "the log's own signature does not verify");
  const witnessed = await verifyLines(note, lines, policy, policy.witnesses);
  need(note.signed.length >= policy.k && witnessed >= policy.witnessK, NOT_FINAL);
  note.timeMs = note.signed.map((s) => s.time).sort((a, b) => b - a)[policy.k - 1] * 1000;
}

// verifyLines checks each line of a note, of members and of witnesses in the order
// of their names, notes who signed, and returns how many witnesses did.
export async function verifyLines(note, lines, policy, witnesses) {
  note.signed = [];
  let witnessed = 0;
  for (let i = 0; i < lines.length; i++) {
    const { name, id, sig } = lines[i];
    const m = [...policy.members, ...witnesses].find((x) => x.name === name && x.id === id);
    need(m && sig.length === 72, "a line of nobody in the policy");
    need(i === 0 || compare(utf8(lines[i - 1].name), utf8(name)) < 0, "lines out of order");
    const time = new DataView(sig.buffer, sig.byteOffset).getBigUint64(0);
    need(await verify(m.key, utf8(`cosignature/v1\ntime ${time}\n${note.body}`), sig.slice(8)), `the signature of ${name} does not verify`);
    if (m.member) note.signed.push({ member: m.member, time: Number(time) });
    else witnessed++;
  }
  return witnessed;
}

export const NO_POLICY = "none of the policies is for this log, or for this part of it";
export const NOT_FINAL = "fewer members or witnesses signed than the policy needs";

export function parseLine(l) {
  const [, name, sig64] = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(l) ?? [];
  need(name, "a malformed signature line");
  const b = fromBase64(sig64);
  return { name, id: hex(b.slice(0, 4)), sig: b.slice(4) };
}

// holds checks that a leaf is in the log at a checkpoint.
export function holds(note, proof, leaf) {
  need(proof.note === note.text, "its checkpoint is not that of the record");
  const root = rootOf(leafHash(leaf), proof.index, note.size, proof.path);
  need(equal(root, note.root), "the walk leads to another root than the signed one");
}

// registered returns the value that a register proof shows for a key under a root,
// null where it shows that there is none.
export function registered(root, key, proof) {
  const before = shown.get(proof);
  if (before && equal(before.root, root) && equal(before.key, key)) return before.value;
  const value = walked(root, key, proof);
  shown.set(proof, { root, key, value });
  return value;
}

const shown = new WeakMap(); // what proofs showed last

function walked(root, key, proof) {
  let at = 0;
  const take = (n) => {
    need(at + n <= proof.length, "cut short");
    return proof.subarray(at, (at += n));
  };
  const kh = sha256(key);
  const bit = (h, i) => (h[i >> 3] >> (7 - (i & 7))) & 1;
  const [present, hi, lo] = take(3);
  const n = hi * 256 + lo;
  need(present <= 1 && n <= 256, "malformed header");
  const bitmap = take((n + 7) >> 3);
  for (let i = n; i < bitmap.length * 8; i++) need(!bit(bitmap, i), "spare bits set");
  const zero = new Uint8Array(32);
  const siblings = Array.from({ length: n }, (_, i) => {
    const h = bit(bitmap, i) ? take(32) : zero;
    need(!bit(bitmap, i) || !equal(h, zero), "a sibling sent as zeros");
    return h;
  });
  let hash = zero;
  let value = null;
  if (present) {
    const leafKey = take(32);
    const size = new DataView(take(4).slice().buffer).getUint32(0);
    const v = take(size);
    for (let i = 0; i < n; i++) need(bit(leafKey, i) === bit(kh, i), "the leaf lies in another subtree");
    hash = sha256(concat(Uint8Array.of(0), leafKey, v));
    if (equal(leafKey, kh)) value = v;
  }
  need(at === proof.length, "trailing bytes");
  need(n === 0 || !equal(siblings[n - 1], zero), "the last sibling is empty");
  need(n < 256 || present, "no leaf at the end");
  for (let i = n - 1; i >= 0; i--) hash = bit(kh, i) ? nodeHash(siblings[i], hash) : nodeHash(hash, siblings[i]);
  need(equal(hash, root), "the walk leads to another root");
  return value;
}

