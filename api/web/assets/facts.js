// What a file's words need of the register, asked for in a fixed order and
// answered by proofs under one root.
import { equal, hex } from "./bytes.js";
import { decode } from "./cbor.js";
import { need } from "./form.js";
import { registered } from "./log.js";
import { registerKey, values } from "./record.js";
import { itemCodes, validID } from "./words.js";

// answering returns a function that takes the register's answers in the order
// in which deriving asks, and one that checks that nothing is left over.
export function answering(root, facts) {
  const seen = new Map();
  let at = 0;
  const get = (kind, id) => {
    const key = registerKey(kind, id);
    const name = hex(key);
    if (!seen.has(name)) {
      need(at < facts.length && equal(facts[at].key, key), `the proof of ${kind} is missing or out of order`);
      const v = registered(root, key, facts[at++].proof);
      seen.set(name, v && values[kind](decode(v)));
    }
    return seen.get(name);
  };
  const must = (kind, id) => {
    const v = get(kind, id);
    need(v, `${kind} is not in the register`);
    return v;
  };
  return { get, must, rest: () => need(at === facts.length, "proofs that nothing needs") };
}

// owner is the service or, where there is none, the party that a handle is for.
export const owner = ({ get, must }, id) => get("service", id) ?? must("party", id);

// labels returns the label of a code, which is the code itself where the register
// has none, and asks once.
export function labels({ get }, kind, into, code) {
  if (!into.has(code)) into.set(code, get(kind, code)?.label ?? { ja: code, en: code });
  return into.get(code);
}

// gather asks the register for what a record leads to.
export function gather(rec, { get, must }) {
  const f = { policy: must("policy"), names: new Map(), purposes: new Map(), items: new Map() };
  const b = rec.body;
  const handled = (h) => {
    f.handle = must("handle", h);
    const x = owner({ get, must }, f.handle.for);
    if (x.owner) f.service = x;
    else f.party = x;
  };
  f.issuer = must("party", rec.issuer);
  f.names.set(f.issuer.id, f.issuer.name);
  if (rec.kind === "provision") {
    handled(b.handle);
    need(f.service?.terms?.[b.terms - 1], "the hand-over names terms that its service has not");
    f.hash = f.service.terms[b.terms - 1].hash;
  } else if (rec.kind === "consent" || rec.kind === "revocation" || (rec.kind === "stop" && b.scope !== 255)) {
    f.hash = b.terms;
  } else if (b.handle) {
    handled(b.handle);
  }
  if (f.hash) {
    f.terms = must("terms", f.hash);
    f.scope = f.terms.scopes[b.scope];
    need(f.scope, "the terms have no such scope");
    f.service ??= must("service", f.terms.service);
  }
  const to = rec.kind === "consent" ? (f.scope.recipients ?? []) : rec.kind === "provision" || rec.kind === "provision.optout" ? [b.to] : [];
  const from = rec.kind === "provision.received" && validID(rec.part?.from) ? [rec.part.from] : [];
  const ids = [...new Set([...to, ...from])].sort();
  for (const id of ids) if (!f.names.has(id)) f.names.set(id, get("party", id)?.name ?? { ja: id, en: id });
  const label = (kind, into, code) => labels({ get }, kind, into, code);
  const purpose = rec.isHandOver && validID(rec.part?.purpose) ? rec.part.purpose : f.scope?.purpose;
  if (purpose) label("purpose", f.purposes, purpose);
  for (const code of itemCodes(rec) ?? []) if (validID(code)) label("attribute", f.items, code);
  return f;
}
