package rules

import (
	"errors"
	"sort"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A batch is a batch on its way through the rules.
type batch struct {
	*tx
	prev     Prev
	header   *record.Header
	head     *Head
	policy   *Policy
	height   uint64
	subs     []sub
	replay   bool
	sigs     sign.Batch
	sigOK    []bool
	windows  map[string]*Seq
	leaves   [][]byte
	events   []Event
	outcomes []Outcome

	sealBytes int // bound of the seal's size so far
}

func newBatch(view View, prev Prev, h *record.Header, subs []sub, replay bool) (*batch, error) {
	b := &batch{tx: newTx(view), prev: prev, header: h, subs: subs, replay: replay,
		windows: map[string]*Seq{}, outcomes: make([]Outcome, len(subs))}
	var err error
	if b.head, err = load[Head](b.tx, KeyHead); err != nil {
		return nil, err
	}
	if b.policy, err = load[Policy](b.tx, KeyPolicy); err != nil {
		return nil, err
	}
	if b.head == nil || b.policy == nil {
		return nil, errors.New("the register has no head: the log has no genesis")
	}
	b.height = b.head.Height + 1
	return b, nil
}

// prepare checks the header and everything that is signed. Its refusals make
// the batch void.
func (b *batch) prepare() error {
	h := b.header
	switch {
	case h.Prev != b.head.Header:
		return record.Refuse(record.CodeBatchPrevious, "height %d", b.height)
	case h.Epoch != b.head.Epoch:
		return record.Refuse(record.CodeBatchHeader, "epoch %d, the log is in %d", h.Epoch, b.head.Epoch)
	case h.TimeMs <= b.head.TimeMs:
		return record.Refuse(record.CodeBatchTime, "not after the last batch")
	}
	leader, err := load[Party](b.tx, KeyParty(h.Leader))
	if err != nil {
		return err
	}
	if leader == nil || !leader.Member || !leader.Active() {
		return record.Refuse(record.CodeBatchHeader, "the leader is not a member")
	}
	list := make([]record.Submission, len(b.subs))
	for i := range b.subs {
		list[i] = b.subs[i].Submission
	}
	n := record.ListBytes(h, list)
	if n > record.MaxListBytes {
		return record.Refuse(record.CodeBatchForm, "header and submissions take %d bytes", n)
	}
	b.sealBytes = n + sealOverhead + len(list)*wholeBytes(record.CodeBatchFull)
	if record.SubmissionsRoot(list) != h.Submissions {
		return record.Refuse(record.CodeBatchForm, "root of the submissions")
	}
	headerSig := b.sigs.Add(leader.Key, sign.DomainHeader, b.policy.Origin, h.Signed(), h.Sig)
	cited, err := b.cite(&h.Cited)
	if err != nil {
		return err
	}
	for i := range b.subs {
		if err := b.inspect(&b.subs[i]); err != nil {
			return err
		}
	}
	b.sigOK = b.sigs.Verify()
	if !b.sigOK[headerSig] {
		return record.Refuse(record.CodeBatchHeader, "signature")
	}
	for _, i := range cited {
		if !b.sigOK[i] {
			return record.Refuse(record.CodeBatchCited, "a cosignature does not verify")
		}
	}
	for i := range b.subs {
		// Before the root: a replay, which has no records to compare it with,
		// finds the same.
		if s := &b.subs[i]; s.signed && !b.sigOK[s.sig] {
			s.all = record.CodeSignature
		}
	}
	return nil
}

// cite checks the cited checkpoint and the batch time against it, and queues
// its cosignatures.
func (b *batch) cite(c *record.Cited) (sigs []int, err error) {
	end := &End{Height: b.head.Height, Size: b.prev.Size, Root: record.Digest(b.prev.Root)}
	if c.Height != b.head.Height {
		if c.Height > b.head.Height || b.height-c.Height > record.CitedWindow {
			return nil, record.Refuse(record.CodeBatchCited, "height %d cited at %d", c.Height, b.height)
		}
		if end, err = load[End](b.tx, KeyEnd(c.Height)); err != nil {
			return nil, err
		}
	}
	if end == nil || end.Height != c.Height || end.Size != c.Size || end.Root != c.Root {
		return nil, record.Refuse(record.CodeBatchCited, "not the checkpoint of height %d", c.Height)
	}
	policy, err := b.policyOf(c)
	if err != nil {
		return nil, err
	}
	if len(c.Sigs) < policy.K {
		return nil, record.Refuse(record.CodeBatchCited, "%d cosignatures, %d make it final", len(c.Sigs), policy.K)
	}
	cp := sign.Checkpoint{Origin: b.policy.Origin, Size: c.Size, Root: c.Root}
	times := make([]uint64, 0, len(c.Sigs))
	for i, s := range c.Sigs {
		m := policy.member(s.Member)
		if m == nil || i > 0 && c.Sigs[i-1].Member >= s.Member || s.Time > record.MaxTimeMs/1000 {
			return nil, record.Refuse(record.CodeBatchCited, "cosignature of %q", s.Member)
		}
		cs := sign.Cosignature{Signer: m.Name, Time: s.Time, Sig: s.Sig}
		sigs = append(sigs, cs.AddTo(&b.sigs, m.Key, cp))
		times = append(times, s.Time)
	}
	if limit := LatestTimeMs(times); b.header.TimeMs > limit {
		return nil, record.Refuse(record.CodeBatchTime, "%d ms ahead of what the cited checkpoint allows", b.header.TimeMs-limit)
	}
	return sigs, nil
}

// LatestTimeMs returns the latest batch time, in Unix milliseconds, that a
// checkpoint with cosignatures at these Unix seconds allows: their (lower)
// median plus 20 s.
func LatestTimeMs(unixSeconds []uint64) uint64 {
	ts := append([]uint64(nil), unixSeconds...)
	sort.Slice(ts, func(i, j int) bool { return ts[i] < ts[j] })
	return ts[(len(ts)-1)/2]*1000 + uint64(record.MaxAhead/time.Millisecond)
}

func (p *Policy) member(id string) *Cosigner {
	for i := range p.Members {
		if p.Members[i].ID == id {
			return &p.Members[i]
		}
	}
	return nil
}

// inspect finds what refuses a whole submission, parses its records and queues
// their signatures.
func (b *batch) inspect(s *sub) error {
	issuer, err := peek[Party](b.tx, KeyParty(s.Issuer), record.CodeSubmissionIssuer)
	if refusal, ok := err.(*record.Refusal); ok {
		s.all = refusal.Code
		return nil
	} else if err != nil {
		return err
	}
	there, err := here(b.tx, issuer)
	if err != nil {
		return err
	}
	notAfterMax := b.header.TimeMs + uint64(record.MaxNotAfter/time.Millisecond)
	switch {
	case !there:
		s.all = record.CodeSubmissionIssuer
	case b.header.TimeMs > s.NotAfterMs:
		s.all = record.CodeSubmissionExpired
	case s.NotAfterMs > notAfterMax:
		s.all = record.CodeSubmissionWindow
	case s.Seq == 0:
		s.all = record.CodeSubmissionReplayed
	}
	if s.all != "" {
		return nil
	}
	s.signed = true
	s.sig = b.sigs.Add(issuer.Key, sign.DomainSubmission, b.policy.Origin, s.Signed(), s.Sig)
	if s.given != "" {
		return nil
	}
	hashes := make([]merkle.Hash, len(s.slots))
	for j := range s.slots {
		hashes[j] = s.slots[j].hash
	}
	if record.Digest(merkle.RootOf(hashes)) != s.Root {
		s.all = record.CodeSubmissionRoot
		return nil
	}
	for j := range s.slots {
		if err := b.read(s, &s.slots[j]); err != nil {
			return err
		}
	}
	return nil
}

// read parses one record and queues the signatures inside it.
func (b *batch) read(s *sub, sl *slot) error {
	if sl.refused != "" {
		return nil
	}
	rec, err := record.Parse(sl.leaf)
	if refusal, ok := err.(*record.Refusal); ok {
		sl.bad = refusal
		return nil
	} else if err != nil {
		return err
	}
	if rec.Issuer != s.Issuer {
		sl.bad = &record.Refusal{Code: record.CodeNotAuthorised, Detail: "the record names another issuer"}
		return nil
	}
	if rec.Kind == record.KindGenesis {
		sl.bad = &record.Refusal{Code: record.CodeRecordKind, Detail: "a log has one genesis"}
		return nil
	}
	sl.rec = rec
	return b.signatures(rec, sl)
}

func (b *batch) queue(sl *slot, k sign.PublicKey, d sign.Domain, payload []byte, sig sign.Signature) {
	sl.sigs = append(sl.sigs, b.sigs.Add(k, d, b.policy.Origin, payload, sig))
}

// signatures queues what a record's body has signed beside the submission.
func (b *batch) signatures(rec *record.Record, sl *slot) error {
	switch body := rec.Body.(type) {
	case *record.Consent:
		b.queue(sl, body.Handle, sign.DomainConsent, body.Statement(*rec.Commitment), body.Sig)
	case *record.Revocation:
		b.queue(sl, body.Handle, sign.DomainConsent, body.Statement(), body.Sig)
	case *record.HandleMove:
		b.queue(sl, body.Old, sign.DomainMove, body.Statement(), body.OldSig)
		b.queue(sl, body.New, sign.DomainMove, body.Statement(), body.NewSig)
	case *record.KeyChange:
		b.queue(sl, body.Key, sign.DomainGovernance, rec.ID[:], body.Proof)
	case *record.Exception:
		p, err := load[Party](b.tx, KeyParty(rec.Issuer))
		if err != nil {
			return err
		}
		if p == nil || len(p.Approver) != sign.PublicKeySize {
			sl.bad = &record.Refusal{Code: record.CodeApprover, Detail: "the issuer has no second approver"}
			return nil
		}
		b.queue(sl, sign.PublicKey(p.Approver), sign.DomainApproval, record.Approval(rec.ID, body.Handle, *rec.Commitment), body.Sig)
	case *record.MemberChange:
		ballot := body.Ballot(rec.ID)
		for _, k := range body.Keys {
			b.queue(sl, k.Key, sign.DomainGovernance, ballot, k.Proof)
		}
		return b.votes(sl, ballot, body.Votes)
	case *record.Vote:
		ballot := canon.Must(&record.Ballot{ID: rec.ID, Topic: body.Topic, Sets: body.Sets})
		return b.votes(sl, ballot, body.Votes)
	}
	return nil
}

// votes queues members' signatures over a ballot.
func (b *batch) votes(sl *slot, ballot []byte, votes []record.MemberVote) error {
	for _, v := range votes {
		p, err := load[Party](b.tx, KeyParty(v.Member))
		if err != nil {
			return err
		}
		if p == nil || !p.Member || !p.Active() {
			sl.bad = &record.Refusal{Code: record.CodeMemberNotActive, Detail: "a vote of " + v.Member}
			return nil
		}
		b.queue(sl, p.Key, sign.DomainGovernance, ballot, v.Sig)
	}
	return nil
}

// useSeq marks a sequence number as used. It reports false for one that was
// used before or lies below the window.
func (b *batch) useSeq(issuer string, n uint64) (bool, error) {
	w := b.windows[issuer]
	if w == nil {
		var err error
		if w, err = load[Seq](b.tx, KeySeq(issuer)); err != nil {
			return false, err
		}
		if w == nil || len(w.Bits) != record.SeqWindow/8 {
			w = &Seq{Bits: make([]byte, record.SeqWindow/8)}
		}
		b.windows[issuer] = w
	}
	return w.use(n), nil
}

func (w *Seq) use(n uint64) bool {
	const size = record.SeqWindow
	if n+size <= w.High {
		return false
	}
	for steps := 0; w.High < n && steps < size; steps++ { // forget what leaves the window
		w.High++
		w.Bits[w.High%size/8] &^= 1 << (w.High % 8)
	}
	if w.High < n {
		w.High = n // all bits were cleared on the way
	}
	i, bit := n%size/8, byte(1)<<(n%8)
	if w.Bits[i]&bit != 0 {
		return false
	}
	w.Bits[i] |= bit
	return true
}

// Used reports whether a number was used, or can no longer be.
func (w *Seq) Used(n uint64) bool {
	if n > w.High {
		return false
	}
	return n+record.SeqWindow <= w.High || w.Bits[n%record.SeqWindow/8]&(1<<(n%8)) != 0
}

// close writes what a batch always writes: windows, the end of the last batch,
// the head.
func (b *batch) close() error {
	for issuer, w := range b.windows {
		b.save(KeySeq(issuer), w)
	}
	b.save(KeyEnd(b.head.Height), &End{Height: b.head.Height, Size: b.prev.Size, Root: record.Digest(b.prev.Root)})
	b.save(KeyHead, &Head{Height: b.height, Header: b.header.Hash(), TimeMs: b.header.TimeMs, Epoch: b.head.Epoch,
		PolicyEpoch: b.policy.Epoch, Rules: Version, RegisterV: RegisterVersion})
	return b.closeEpoch()
}
