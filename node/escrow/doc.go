// Package escrow keeps copies of members' keys at other members: the Sender gives
// copies of its own member's keys away and gets them back after a loss, the Keeper
// keeps those of others and destroys them when the ledger says so. What the
// custodians of a member are, and who must attest what, is in the register
// (ledger/rules, custodian.go); docs/spec/custody.md has the messages.
//
// # Invariants
//
//   - A copy leaves sealed under the owner's custody key, its name too, and that in
//     a parcel to a key that the keeper drew for this one parcel and holds in memory
//     only. The keeper cannot open it; who records the wire can never.
//   - A copy carries the number whose tombstone it dies with. No copy with a
//     tombstone is taken in, handed out, or left after a Duty that saw it: what is
//     compared is the newest final state, which never goes back.
//   - A keeper attests an erasure after it destroyed, and after the owner attested:
//     then every number that the erasure has at the owner is known.
//   - A keeper whose vault is older than the one with which it attested answers
//     nothing but a refusal, until it dropped what has a tombstone and said in the
//     ledger from where it goes on.
//   - An entry counts as copied when the keeper answered that it is durable. What is
//     not is in Status.
//
// # What it does not do
//
// It does not copy what lives for one hand-over (one-time keys, openings of a parcel
// that waits): that does not outlive the node's loss.
// It does not wait: who makes a key is answered before the key is copied.
package escrow
