// Records as the ledger has them: leaves, seals, sealed parts, and the values
// of the register that a receipt's words come from.
import { once, utf8 } from "./bytes.js";
import { decode, first } from "./cbor.js";
import { need } from "./form.js";

// as names the numbered fields of a CBOR map: "1 id, 2 name" and so on.
const as = (names, nested = {}) => {
  const fields = names.split(", ").map((f) => [+f.split(" ")[0], f.split(" ")[1]]);
  return (m) => {
    need(m instanceof Map, "not a map");
    const out = { raw: m.raw };
    for (const [n, name] of fields) if (m.has(n)) out[name] = nested[name] ? nested[name](m.get(n)) : m.get(n);
    return out;
  };
};
const each = (f) => (l) => l.map(f);

const text = as("1 ja, 2 en");
const scope = as("1 purpose, 2 required, 3 optional, 4 recipients, 5 categories, 6 maxExpiry");

// The values of the register.
export const values = {
  policy: as("1 epoch, 2 first, 3 origin, 4 logKey, 5 k, 6 members, 7 storyTime"),
  party: as("1 id, 2 member, 3 host, 4 key, 8 name", { name: text }),
  service: as("1 id, 2 owner, 3 name, 4 contact, 8 terms", { name: text, contact: text, terms: each(as("1 hash, 2 effectiveMs, 3 version")) }),
  terms: as("1 service, 2 number, 3 effectiveMs, 4 scopes, 5 height", { scopes: each(scope) }),
  directory: as("1 services, 2 parties"),
  erasure: as("1 issuer, 2 timeMs, 3 pending, 4 done, 5 copies", {
    done: each(as("1 holder, 2 timeMs, 3 class, 4 generation")),
    copies: each(as("1 member, 2 custodian, 3 timeMs, 4 class, 5 generation")),
  }),
  custody: as("1 custodians", { custodians: each(as("1 id, 7 losses", { losses: each(as("1 timeMs, 2 reason")) })) }),
  tomb: as("1 erasure"),
  handle: as("1 for, 3 events, 4 eventHead, 5 consents, 6 consentHead, 7 scopes, 8 closed, 9 stopped, 10 movedTo", { scopes: each(as("1 terms, 2 scope, 3 on, 4 expiry, 5 height, 6 by")) }),
  purpose: as("1 code, 2 label", { label: text }),
  attribute: as("1 code, 5 label", { label: text }),
};

const handOver = as("1 person, 2 purpose, 3 timeMs, 6 levels, 7 to, 8 basis, 9 reason, 10 items, 13 statute", { levels: each(as("1 item, 2 level")) });
const note = as("1 person, 2 timeMs, 3 note");
export const itemsPart = as("1 items");
export const screenOf = as("1 service, 2 version, 5 withdrawal, 6 retention", { withdrawal: text });

// The kinds that a person has receipts of: name, body, sealed part.
const KINDS = new Map([
  [8, ["consent", as("1 handle, 2 terms, 3 scope, 4 expiry, 5 count, 6 head, 7 sig"), as("1 items, 2 person, 3 timeMs, 4 button, 5 language, 6 guardian, 7 keys, 8 evidence")]],
  [9, ["revocation", as("1 handle, 2 terms, 3 scope, 4 sig"), note]],
  [10, ["stop", as("1 handle, 2 terms, 3 scope"), note]],
  [11, ["handle.open", as("1 handle, 2 for"), note]],
  [12, ["handle.move", as("1 old, 2 handle, 3 oldSig, 4 newSig")]],
  [13, ["handle.close", as("1 handle, 2 intents")]],
  [14, ["provision", as("1 handle, 2 terms, 3 scope, 4 to, 5 deadlineMs, 6 items"), handOver]],
  [15, ["provision.received", as("1 intent, 2 items"), as("1 person, 2 from, 3 howAcquired, 4 timeMs")]],
  [16, ["provision.undelivered", as("1 intent, 2 reason"), note]],
  [17, ["provision.optout", as("1 handle, 2 filing, 3 to, 4 deadlineMs, 5 items"), handOver]],
  [18, ["provision.exception", as("1 handle, 2 sig"), handOver]],
  [19, ["denial", as("1 handle, 2 reason"), note]],
  [20, ["erasure", as("1 numbers, 2 holders, 3 cause"), note]],
  [24, ["tree.advance", as("1 tree, 2 size, 3 root, 4 extra")]],
  [21, ["erasure.attestation", as("1 erasure, 2 class, 3 generation, 4 numbers, 5 for, 6 kept, 7 onward", { kept: as("1 records") })]],
]);

const envelope = as("1 version, 2 kind, 3 id, 4 issuer, 5 body, 6 commitment");

function open(leaf) {
  const { value, size } = first(leaf);
  const e = envelope(value);
  need(e.version === 1 && e.id instanceof Uint8Array && e.body instanceof Map, "not a record");
  need(leaf.length === Math.ceil(size / 128) * 128 && leaf.subarray(size).every((v) => v === 0), "padding");
  return e;
}

// parse reads a leaf that is not a seal.
export function parse(leaf) {
  const e = open(leaf);
  const known = KINDS.get(e.kind);
  need(known, `kind ${e.kind} is not one that this page can read`);
  const [kind, body, part] = known;
  return { ...e, kind, isHandOver: part === handOver, body: body(e.body), decodePart: part && ((b) => part(decode(b))) };
}

const cited = as("1 height, 2 size, 3 root, 4 sigs");
const header = as("1 leader, 2 epoch, 3 term, 4 prev, 5 timeMs, 6 submissions, 7 cited, 8 sig", { cited });
const submission = as("1 issuer, 2 seq, 3 notAfterMs, 4 count, 5 root, 6 sig");
const seal = as("1 version, 2 kind, 3 height, 5 policyEpoch, 8 header, 9 submissions, 10 refusals, 11 register", {
  header,
  submissions: each(submission),
  refusals: each(as("1 sub, 2 all, 3 pos, 4 leaf, 5 code")),
});

export const parseHeader = (b) => header(decode(b));

export const parseSeal = once((leaf) => {
  const s = seal(decode(leaf));
  need(s.version === 1 && s.kind === 2 && s.register?.length === 32, "not a seal");
  return { submissions: [], refusals: [], ...s };
});

// kindOf names the kind of a leaf, whatever its body, after checking its form.
export function kindOf(leaf) {
  const { kind } = open(leaf);
  const name = KINDS.get(kind)?.[0];
  need(name, `kind ${kind} stands under no handle`);
  return name;
}

// leafIndex returns the index of an accepted record by its place in the seal.
export function leafIndex(s, sealIndex, sub, pos) {
  need(sub < s.submissions.length && pos < s.submissions[sub].count, "the seal has no such place");
  let accepted = 0;
  let before = pos;
  s.submissions.forEach((x, i) => {
    accepted += x.count;
    if (i < sub) before += x.count;
  });
  for (const r of s.refusals) {
    const at = r.pos ?? 0;
    need(r.sub !== sub || (!r.all && at !== pos), "the record at that place was refused");
    const n = r.all ? s.submissions[r.sub].count : 1;
    accepted -= n;
    if (r.sub < sub || (r.sub === sub && at < pos)) before -= n;
  }
  need(accepted <= sealIndex, "the seal counts more records than the log has");
  return sealIndex - accepted + before;
}

const keyChange = as("1 key");
const partyBody = as("1 id, 6 key, 7 leave");
const change = as("1 action, 2 epoch, 3 member, 4 keys, 5 info", { keys: each(as("1 role, 2 key")), info: as("1 id, 7 cosigner, 8 key") });
const founding = as("4 members", { members: each(as("1 id, 6 key")) });

// memberChange reads the record that ends a policy epoch.
export function memberChange(leaf) {
  const e = open(leaf);
  need(e.kind === 3, "a record that ends no epoch");
  return change(e.body);
}

// keyGiven returns the signing key that a leaf of the log gave to a party.
export function keyGiven(leaf, party) {
  const e = open(leaf);
  let key;
  if (e.kind === 5 && e.issuer === party) key = keyChange(e.body).key;
  if (e.kind === 4 && partyBody(e.body).id === party && !partyBody(e.body).leave) key = partyBody(e.body).key;
  if (e.kind === 3 && change(e.body).member === party) key = change(e.body).keys?.find((k) => k.role === "record")?.key;
  if (e.kind === 1) key = founding(e.body.get(1)).members.find((m) => m.id === party)?.key;
  need(key, `the leaf gives ${party} no key`);
  return key;
}

// registerKey writes "handle/" and bytes, or "party/" and an id.
export const registerKey = (kind, id) => {
  const head = utf8(id === undefined ? kind : kind + "/");
  const tail = id === undefined ? [] : typeof id === "string" ? utf8(id) : id;
  return Uint8Array.from([...head, ...tail]);
};
