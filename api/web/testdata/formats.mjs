// Holds the modules against the published vectors of the small formats:
// formats.json, register.json, record.json, passkey.json of docs/spec/vectors. It returns what
// went wrong, as texts. The same code runs in Chromium and in node.
export async function run({ bytes, cbor, complete, log, passkey, record }, { formats, register, records, passkeys }) {
  const { concat, equal, hex, hmac, sha256 } = bytes;
  const raw = (s) => Uint8Array.from(s.match(/../g) ?? [], (h) => parseInt(h, 16));
  const faults = [];
  const want = (what, ok, f) => {
    let got;
    let why = "";
    try {
      got = f() !== false;
    } catch (e) {
      got = false;
      why = e.message;
    }
    if (got !== ok) faults.push(`${what}: ${got} ${why}, want ${ok}`);
  };
  for (const c of formats.cbor) {
    want(`cbor, ${c.name}`, !c.code, () => cbor.decode(raw(c.cbor)) !== undefined);
    if (!c.code && !/^8|^f/.test(c.cbor)) want(`cbor again, ${c.name}`, true, () => hex(cbor.encode(cbor.decode(raw(c.cbor)))) === c.cbor);
  }
  for (const c of formats.handles) want(`handle ${c.for}/${c.generation}`, true, () => hex(complete.handleKey(raw(c.secret), c.for, c.generation)) === c.handle);
  for (const c of formats.commitments) want(`commitment, ${c.name}`, c.ok, () => equal(hmac(raw(c.nonce), raw(c.part)), raw(c.commitment)));
  for (const c of formats.policies) want(`policy, ${c.name}`, c.ok, () => log.formatPolicy(log.parsePolicy(c.policy)) === formats.policy);
  const policy = log.parsePolicy(formats.policy);
  for (const c of formats.checkpoints) {
    const note = {};
    const e = await (async () => log.verifyNote(Object.assign(note, log.parseNote(c.note)), [policy]))().catch((e) => e);
    const got = !e ? "final" : e.message === log.NOT_FINAL ? "not-final" : "refused";
    if (got !== c.result || (!e && note.timeMs !== c.freshMs)) faults.push(`checkpoint, ${c.name}: ${got} ${note.timeMs} ${e?.message}, want ${c.result} ${c.freshMs}`);
  }
  for (const c of formats.proofs)
    want(`proof, ${c.name}`, c.ok, () => {
      const p = log.parseProof(c.proof);
      log.holds(log.parseNote(p.note), p, raw(c.leaf));
    });
  for (const set of register.sets) {
    const root = raw(set.roots[0].root);
    for (const p of set.proofsBeforeChanges) {
      const key = raw(p.key);
      const proof = encodeProof(p, { concat, raw, sha256 });
      want(`register of ${set.n}, ${p.key}`, true, () => {
        const v = log.registered(root, key, proof);
        return p.included ? equal(v, raw(p.leafValue)) : v === null;
      });
      for (let i = 0; i < proof.length; i += 7) {
        const bad = proof.slice();
        bad[i] ^= 1;
        want(`register of ${set.n}, ${p.key}, byte ${i} changed`, false, () => log.registered(root, key, bad));
      }
    }
  }
  for (const r of records) {
    want(`leaf hash of ${r.name}`, true, () => hex(log.leafHash(raw(r.leaf))) === r.leafHash);
    if (r.name === "consent") want("opening of a record", true, () => equal(hmac(raw(r.nonce), raw(r.part)), record.parse(raw(r.leaf)).commitment));
    if (["tick", "tree.advance", "party"].includes(r.name) || r.name.startsWith("custodian")) continue; // no person has receipts of these
    want(`record ${r.name}`, true, () => record.parse(raw(r.leaf)).kind === r.name.split(" ")[0]);
    const bad = raw(r.leaf);
    bad[bad.length - 1] = 1;
    want(`padding of ${r.name}`, false, () => record.parse(bad));
  }
  for (const v of passkeys.evidence) {
    const body = { handle: raw(v.handle), terms: raw(v.terms), scope: v.scope, expiry: v.expiry, count: v.count, head: raw(v.head) };
    const got = await (async () => passkey.checkEvidence({ body }, raw(v.nonce), raw(v.part), passkeys.origin))().catch((e) => e);
    const held = !(got instanceof Error);
    if (held !== !v.code || (held && (got.site !== v.site || got.position !== v.position))) faults.push(`passkey, ${v.name}: ${held} ${got.message}, want ${v.code}`);
  }
  return faults;
}

// encodeProof writes a proof as the register does: presence, number of siblings,
// bitmap of those that are not empty, the siblings, and the leaf at the end.
function encodeProof(p, { concat, raw, sha256 }) {
  const siblings = p.siblings.map(raw);
  const bitmap = new Uint8Array(Math.ceil(siblings.length / 8));
  siblings.forEach((s, i) => s.some(Boolean) && (bitmap[i >> 3] |= 128 >> (i & 7)));
  const head = Uint8Array.of(p.leafKey === null ? 0 : 1, siblings.length >> 8, siblings.length & 255);
  const out = concat(head, bitmap, ...siblings.filter((s) => s.some(Boolean)));
  if (p.leafKey === null) return out;
  const value = raw(p.leafValue);
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, value.length);
  return concat(out, sha256(raw(p.leafKey)), size, value);
}
