// Package rules is the law of the ledger: a pure, deterministic function from
// the register and one batch to new leaves and register writes.
//
// # Invariants
//
//   - Apply reads the register and the entry and nothing else: no clock,
//     randomness, goroutine, I/O or map order. Time is the batch's.
//   - The register is a pure function of the log's leaves: Replay derives the
//     same writes from leaves and seal alone, so anyone with the log can check
//     every batch. (Refused records are not in the log; the seal has their leaf
//     hashes, so that signatures over submissions still check.)
//   - Nothing that an entry contains makes Apply panic or return an error. A bad
//     entry is void, a bad submission or record is refused with a stable code.
//     An error means that the register could not be read: the node must stop.
//   - A record is checked in full before it writes: a refused one leaves nothing
//     behind.
//   - Time alone never changes the register.
//
// Keys are those at the beginning of the batch: a key change counts from the
// next batch on.
package rules

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Versions that this program's rules and register hashing have.
const (
	Version         = 1
	RegisterVersion = 1
)

// A View is the register before a batch.
type View interface {
	// Get returns the value of a key, nil where there is none.
	Get(key []byte) ([]byte, error)
}

// Prev is the log at the end of the last batch.
type Prev struct {
	Size uint64
	Root merkle.Hash
}

// A Result is the effect of one batch.
type Result struct {
	Void     *record.Refusal // not nil: the batch has no effect, and nothing below is set
	Height   uint64
	TimeMs   uint64
	Leaves   [][]byte         // accepted records in the order of the log
	Writes   []register.Write // ascending by key; a nil value deletes
	Outcomes []Outcome        // one a submission, in order
	Events   []Event          // of handles, in the order of the log
	Seal     record.Seal      // all but the register's root
	Next     *Policy          // of the policy epoch that begins after this batch; nil where the epoch goes on
}

// SealLeaf completes the seal with the register's root after Writes.
func (r *Result) SealLeaf(root merkle.Hash) []byte {
	s := r.Seal
	s.Register = record.Digest(root)
	return s.Leaf()
}

// An Event is one accepted record under a handle.
type Event struct {
	Handle sign.PublicKey
	N      uint64 // the handle's count after it: 1 for the first
	Leaf   int    // index in Result.Leaves
}

// An Outcome is what became of one submission.
type Outcome struct {
	Issuer  string
	Seq     uint64
	All     record.Code            // the whole submission was refused
	Refused map[int]record.Refusal // by position; the others were accepted
	First   int                    // index in Result.Leaves of its first accepted record
	Records int                    // how many records it had
}

// A slot is one record of a submission: its leaf, or what the seal says of a
// refused one.
type slot struct {
	leaf    []byte
	hash    merkle.Hash
	refused record.Code
	rec     *record.Record
	bad     *record.Refusal // form
	sigs    []int           // indices in the signature batch
}

// A sub is one submission on its way through the rules.
type sub struct {
	record.Submission
	slots  []slot
	given  record.Code // in a replay: refused whole, says the seal
	all    record.Code // found now
	sig    int         // index in the signature batch, where signed
	signed bool
}

// Apply judges one Raft entry against the register.
func Apply(view View, prev Prev, entry []byte) (*Result, error) {
	e, err := record.ParseEntry(entry)
	if err != nil {
		return void(err)
	}
	subs := make([]sub, len(e.Submissions))
	for i := range e.Submissions {
		s := &e.Submissions[i]
		subs[i] = sub{Submission: s.Submission, slots: make([]slot, len(s.Leaves))}
		for j, leaf := range s.Leaves {
			subs[i].slots[j] = slot{leaf: leaf, hash: merkle.LeafHash(leaf)}
		}
	}
	return judge(view, prev, &e.Header, subs, false)
}

// Replay judges a batch of the log again, from its accepted leaves and its
// seal. It returns an error that says what does not hold, a *BrokenRule where it
// is one record; the caller compares SealLeaf with the seal's bytes for the
// rest.
func Replay(view View, prev Prev, seal *record.Seal, leaves [][]byte) (*Result, error) {
	if seal.Header == nil {
		return nil, fmt.Errorf("seal of height %d has no header", seal.Height)
	}
	subs, err := unseal(seal, leaves)
	if err != nil {
		return nil, err
	}
	r, err := judge(view, prev, seal.Header, subs, true)
	if err != nil {
		return nil, err
	}
	if r.Void != nil {
		return nil, fmt.Errorf("the batch is void: %w", r.Void)
	}
	return r, nil
}

// A BrokenRule says that a record stands in the log that the rules refuse.
type BrokenRule struct {
	Leaf    int // its place among the batch's leaves
	Issuer  string
	Refusal *record.Refusal
}

func (e *BrokenRule) Error() string {
	return fmt.Sprintf("leaf %d of the batch, by %s, is in the log but breaks a rule: %v", e.Leaf, e.Issuer, e.Refusal)
}

// Unwrap returns the refusal.
func (e *BrokenRule) Unwrap() error { return e.Refusal }

// unseal lays accepted leaves and refusals back into submissions.
func unseal(seal *record.Seal, leaves [][]byte) ([]sub, error) {
	subs := make([]sub, len(seal.Submissions))
	refusals := seal.Refusals
	for i := range subs {
		s := &subs[i]
		s.Submission = seal.Submissions[i]
		if len(refusals) > 0 && int(refusals[0].Sub) == i && refusals[0].All {
			s.given, refusals = refusals[0].Code, refusals[1:]
			continue
		}
		s.slots = make([]slot, s.Count)
		for j := range s.slots {
			if len(refusals) > 0 && int(refusals[0].Sub) == i && int(refusals[0].Pos) == j {
				s.slots[j] = slot{hash: merkle.Hash(refusals[0].Leaf), refused: refusals[0].Code}
				refusals = refusals[1:]
				continue
			}
			if len(leaves) == 0 {
				return nil, fmt.Errorf("submission %d: a leaf is missing at position %d", i, j)
			}
			s.slots[j] = slot{leaf: leaves[0], hash: merkle.LeafHash(leaves[0])}
			leaves = leaves[1:]
		}
	}
	if len(refusals) > 0 || len(leaves) > 0 {
		return nil, fmt.Errorf("%d leaves and %d refusals belong to no submission", len(leaves), len(refusals))
	}
	return subs, nil
}

func void(err error) (*Result, error) {
	r, ok := err.(*record.Refusal)
	if !ok {
		return nil, err
	}
	return &Result{Void: r}, nil
}

// judge applies a batch whose form is known to be right.
func judge(view View, prev Prev, h *record.Header, subs []sub, replay bool) (*Result, error) {
	b, err := newBatch(view, prev, h, subs, replay)
	if err != nil {
		return void(err)
	}
	if err := b.prepare(); err != nil {
		return void(err)
	}
	for i := range b.subs {
		if err := b.submission(i); err != nil {
			return nil, err
		}
	}
	if err := b.close(); err != nil {
		return nil, err
	}
	return b.result()
}

// sealOverhead bounds the seal's own fields beside header, submissions and
// refusals, in bytes.
const sealOverhead = 128

// refusalBytes bounds the refusal of a record in the seal, in bytes.
func refusalBytes(c record.Code) int { return 48 + len(c) }

// wholeBytes bounds the refusal of a whole submission, in bytes. That of
// batch.full is reserved for each: 52,000 for the list, 400 of these and the
// overhead stay below 60,000.
func wholeBytes(c record.Code) int { return 9 + len(c) + len(c)/24 }

// extraBytes is how much more than is reserved the refusal of a whole submission
// takes.
func extraBytes(c record.Code) int { return wholeBytes(c) - wholeBytes(record.CodeBatchFull) }

func (b *batch) room(bytes int) bool { return b.sealBytes+bytes <= record.MaxSealBytes }

// fits takes room in the seal, if there is as much, beyond what is reserved.
func (b *batch) fits(bytes int) bool {
	if !b.room(bytes) {
		return false
	}
	b.sealBytes += bytes
	return true
}

// refuse refuses a whole submission. Where the seal has no room for the code,
// the code is batch.full.
func (b *batch) refuse(out *Outcome, c record.Code) {
	if !b.fits(extraBytes(c)) {
		c = record.CodeBatchFull
	}
	out.All = c
}

// submission applies the records of one submission. Where the seal has no room
// for its refusals, or the batch none for its writes, the submission is refused
// whole with nothing left behind.
func (b *batch) submission(i int) error {
	s := &b.subs[i]
	out := &b.outcomes[i]
	*out = Outcome{Issuer: s.Issuer, Seq: s.Seq, Records: int(s.Count), First: len(b.leaves)}
	if s.all == "" && s.given == record.CodeSubmissionRoot { // cannot be judged again without the records
		s.all = s.given
	}
	if s.all == record.CodeSubmissionRoot && !b.room(extraBytes(s.all)) {
		// Sealed as batch.full, and who replays that has no records to find the
		// root wrong with: so it counts as batch.full here too.
		s.all, s.given = "", record.CodeBatchFull
	}
	if s.all != "" {
		b.refuse(out, s.all)
		return nil
	}
	fresh, err := b.useSeq(s.Issuer, s.Seq)
	if err != nil {
		return err
	}
	if !fresh {
		b.refuse(out, record.CodeSubmissionReplayed)
		return nil
	}
	if s.given != "" {
		if s.given != record.CodeBatchFull { // all other codes were found by now
			return fmt.Errorf("submission %d of %s is refused with %s for no reason", s.Seq, s.Issuer, s.given)
		}
		out.All = s.given
		return nil
	}
	mark, first, need := b.mark(), len(b.leaves), 0
	for j := range s.slots {
		refusal, err := b.slot(s, j)
		if err != nil {
			return err
		}
		if refusal != nil {
			if out.Refused == nil {
				out.Refused = map[int]record.Refusal{}
			}
			out.Refused[j] = *refusal
			need += refusalBytes(refusal.Code)
		}
	}
	if b.bytes > record.MaxWriteBytes || !b.fits(need) {
		b.rollback(mark)
		b.leaves = b.leaves[:first]
		for n := len(b.events); n > 0 && b.events[n-1].Leaf >= first; n-- {
			b.events = b.events[:n-1]
		}
		*out = Outcome{Issuer: s.Issuer, Seq: s.Seq, Records: int(s.Count), First: first, All: record.CodeBatchFull}
		return nil
	}
	return nil
}

// slot applies one record and appends its leaf, or returns why it is refused.
func (b *batch) slot(s *sub, j int) (*record.Refusal, error) {
	sl := &s.slots[j]
	if sl.refused != "" {
		return &record.Refusal{Code: sl.refused}, nil
	}
	err := b.record(s, sl)
	if refusal, ok := err.(*record.Refusal); ok {
		if b.replay {
			return nil, &BrokenRule{Leaf: len(b.leaves), Issuer: s.Issuer, Refusal: refusal}
		}
		return refusal, nil
	}
	if err != nil {
		return nil, err
	}
	b.leaves = append(b.leaves, sl.leaf)
	return nil, nil
}

func (b *batch) record(s *sub, sl *slot) error {
	if sl.bad != nil {
		return sl.bad
	}
	for _, i := range sl.sigs {
		if !b.sigOK[i] {
			return record.Refuse(record.CodeSignature, "kind %v", sl.rec.Kind)
		}
	}
	return b.rule(sl.rec, record.Digest(sl.hash))
}

// result collects what the batch did.
func (b *batch) result() (*Result, error) {
	r := &Result{Height: b.height, TimeMs: b.header.TimeMs, Leaves: b.leaves, Outcomes: b.outcomes, Events: b.events, Writes: b.sorted()}
	r.Seal = record.Seal{
		Version: record.Version, Kind: record.KindSeal, Height: b.height, Epoch: b.head.Epoch,
		PolicyEpoch: b.policy.Epoch, Rules: Version, RegisterV: RegisterVersion, Header: b.header,
	}
	for i := range b.subs {
		r.Seal.Submissions = append(r.Seal.Submissions, b.subs[i].Submission)
		out := &b.outcomes[i]
		if out.All != "" {
			r.Seal.Refusals = append(r.Seal.Refusals, record.Refused{Sub: uint16(i), All: true, Code: out.All})
			continue
		}
		for j := range b.subs[i].slots {
			if ref, ok := out.Refused[j]; ok {
				h := b.subs[i].slots[j].hash
				r.Seal.Refusals = append(r.Seal.Refusals, record.Refused{Sub: uint16(i), Pos: uint16(j), Leaf: h[:], Code: ref.Code})
			}
		}
	}
	if _, changed := b.writes[KeyPolicy]; !changed {
		return r, nil
	}
	var err error
	r.Next, err = load[Policy](b.tx, KeyPolicy)
	return r, err
}

func (t *tx) sorted() []register.Write {
	ws := make([]register.Write, 0, len(t.writes))
	for k, v := range t.writes {
		ws = append(ws, register.Write{Key: []byte(k), Value: v})
	}
	sort.Slice(ws, func(i, j int) bool { return bytes.Compare(ws[i].Key, ws[j].Key) < 0 })
	return ws
}
