// The policy chain (docs/spec/policy.md): from a policy that the reader trusts to
// those of later epochs, each from the one before.
import { concat, hex, toBase64 } from "./bytes.js";
import { need, readChain } from "./form.js";
import { formatPolicy, holds, keyID, parseNote, parsePolicy, parseProof, verifyNote } from "./log.js";
import { memberChange, parseSeal } from "./record.js";

// members is a policy without what it wants beyond its members, and without its
// range: an epoch ends by their signatures alone.
const members = (p) => ({ ...p, witnesses: [], witnessK: 0, both: false, range: undefined });

// follow verifies one link under the policy of the epoch that it ends, which it
// closes, and returns the policy of the next.
async function follow(link, policy) {
  const p = parseProof(link.proof);
  const note = parseNote(p.note);
  await verifyNote(note, [members(policy)]);
  const sealed = parseProof(link.seal.proof);
  holds(note, sealed, link.seal.leaf);
  need(sealed.index === note.size - 1, "the seal is not the checkpoint's last leaf");
  const seal = parseSeal(link.seal.leaf);
  holds(note, p, link.leaf);
  const change = memberChange(link.leaf);
  need((seal.policyEpoch ?? 0) === link.epoch && (change.epoch ?? 0) === link.epoch, "of another epoch");
  const refused = seal.refusals.reduce((n, r) => n + (r.all ? seal.submissions[r.sub].count : 1), 0);
  const accepted = seal.submissions.reduce((n, s) => n + s.count, 0) - refused;
  need(note.size - 1 - p.index <= accepted, "the record is not in the closing batch");
  const next = after(policy, change);
  const { first } = policy.range;
  need(note.size >= first.size, "it closes before it begins");
  policy.range = { epoch: link.epoch, first, closing: { size: note.size, root: hex(note.root) } };
  next.range = { epoch: link.epoch + 1, first: { size: note.size + 1, root: "0".repeat(64) } };
  return next;
}

// after returns the policy that a change leads to.
function after(policy, { action, member, keys = [], info }) {
  const rest = policy.members.filter((m) => m.member !== member);
  const there = policy.members.find((m) => m.member === member);
  need(there ? action === "rotate" || (action === "remove" && rest.length) : action === "add" && info, "a change that this page does not know");
  const key = info?.key ?? keys.find((k) => k.role === "cosigner")?.key;
  if (action === "rotate" && !key) rest.push(there);
  else if (action !== "remove") rest.push(memberOf(member, info?.cosigner ?? there.name, key));
  const n = rest.length;
  const members = rest.sort((a, b) => (a.member < b.member ? -1 : 1));
  return parsePolicy(formatPolicy({ ...policy, members, k: Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1 }));
}

function memberOf(member, name, key) {
  const raw = concat(Uint8Array.of(4), key);
  return { member, name, line: `${name}+${keyID(name, raw)}+${toBase64(raw)}` };
}

// followChain returns the trusted policies and those of the epochs to which a
// chain leads from one of them, or throws what is wrong with the chain. An empty
// one adds nothing.
export async function followChain(bytes, trusted) {
  const epochs = [];
  const links = readChain(bytes);
  for (const [i, link] of links.entries()) {
    need(link.epoch === i, "a link is missing");
    if (!epochs.length) {
      const from = await anchor(link, trusted);
      if (!from) continue;
      epochs.push({ ...from, range: { epoch: i, first: from.range?.first ?? { size: 1, root: "0".repeat(64) } } });
    }
    epochs.push(await follow(link, epochs.at(-1)));
  }
  need(epochs.length || !links.length, "it leads from none of the policies given");
  const same = (p) => epochs.some((e) => formatPolicy(e) === formatPolicy(p));
  return [...trusted.filter((p) => !same(p)), ...epochs];
}

async function anchor(link, trusted) {
  for (const p of trusted) {
    try {
      await verifyNote(parseNote(parseProof(link.proof).note), [members(p)]);
      return p;
    } catch {
      // of another epoch
    }
  }
  return undefined;
}
