package rules_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// all returns what became of whole submissions.
func all(r *rules.Result) []record.Code {
	var codes []record.Code
	for _, o := range r.Outcomes {
		codes = append(codes, o.All)
	}
	return codes
}

func TestRefusedSubmissions(t *testing.T) {
	c := newCity(t)
	c.Keys["stranger"] = c.Key("stranger")
	c.Must("b-sha", c.Party("gone"))
	c.Must("b-sha", c.Leave("gone"))
	leaf := func() []byte { r := c.Tick(); r.Issuer = "a-sha"; return c.Leaf(r) }
	max := uint64(record.MaxNotAfter.Milliseconds())
	c.Pass(5000)
	sub := func(change func(*record.Submitted)) record.Submitted {
		s := c.SubmitLeaves("a-sha", leaf())
		change(&s)
		return s
	}
	for name, v := range map[string]struct {
		sub  record.Submitted
		want record.Code
	}{
		"issuer unknown":           {c.SubmitLeaves("stranger", leaf()), record.CodeSubmissionIssuer},
		"issuer gone":              {c.SubmitLeaves("gone", leaf()), record.CodeSubmissionIssuer},
		"number 0":                 {c.SubmitAs("a-sha", 0, c.NowMs+1, leaf()), record.CodeSubmissionReplayed},
		"not_after past":           {c.SubmitAs("a-sha", 500, c.NowMs-1, leaf()), record.CodeSubmissionExpired},
		"not_after now":            {c.SubmitAs("a-sha", 501, c.NowMs, leaf()), ""},
		"not_after in 30 minutes":  {c.SubmitAs("a-sha", 502, c.NowMs+max, leaf()), ""},
		"not_after a bit later":    {c.SubmitAs("a-sha", 503, c.NowMs+max+1, leaf()), record.CodeSubmissionWindow},
		"not_after at time's end":  {c.SubmitAs("a-sha", 504, 1<<64-1, leaf()), record.CodeSubmissionWindow},
		"signature":                {sub(func(s *record.Submitted) { s.Submission.Sig[40] ^= 1 }), record.CodeSignature},
		"signed by another":        {sub(func(s *record.Submitted) { s.Submission.Issuer = "b-sha" }), record.CodeSignature},
		"another number":           {sub(func(s *record.Submitted) { s.Submission.Seq += 7 }), record.CodeSignature},
		"records swapped":          {sub(func(s *record.Submitted) { s.Leaves[0] = leaf() }), record.CodeSubmissionRoot},
		"records and signature":    {sub(func(s *record.Submitted) { s.Leaves[0] = leaf(); s.Submission.Sig[40] ^= 1 }), record.CodeSignature},
		"a leaf that is no record": {c.SubmitLeaves("a-sha", []byte("hello")), ""}, // the record is refused, not the submission
	} {
		d := c.Clone(t)
		if got := all(d.Batch(v.sub))[0]; got != v.want {
			t.Errorf("%s: %q, want %q", name, got, v.want)
		}
	}
}

// TestSubmissionCountsOnce: replays, and what does not use the number.
func TestSubmissionCountsOnce(t *testing.T) {
	c := newCity(t)
	s := c.Submit("a-sha", c.Tick())
	swapped := s
	swapped.Leaves = [][]byte{c.Leaf(&record.Record{Kind: record.KindTick, ID: c.ID(), Issuer: "a-sha", Body: &record.Tick{}})}
	want := []record.Code{record.CodeSubmissionRoot, "", record.CodeSubmissionReplayed}
	if got := all(c.Batch(swapped, s, s)); !slices.Equal(got, want) {
		t.Errorf("in one batch: %q, want %q", got, want)
	}
	c.Pass(1000)
	if got := all(c.Batch(s)); got[0] != record.CodeSubmissionReplayed {
		t.Errorf("in the next batch: %q", got)
	}
	c.Pass(120_000)
	if got := all(c.Batch(s)); got[0] != record.CodeSubmissionExpired {
		t.Errorf("after not_after: %q", got)
	}
}

// TestTwoSubmissionsOutOfOrder: numbers are not an order.
func TestTwoSubmissionsOutOfOrder(t *testing.T) {
	c := newCity(t)
	first, second := c.Submit("a-sha", c.Tick()), c.Submit("a-sha", c.Tick())
	if got := all(c.Batch(second, first)); got[0] != "" || got[1] != "" {
		t.Errorf("%q", got)
	}
	if got := all(c.Batch(first, second)); got[0] != record.CodeSubmissionReplayed || got[1] != record.CodeSubmissionReplayed {
		t.Errorf("again: %q", got)
	}
}

// TestSequenceWindow: 4,096 numbers below the highest stay open.
func TestSequenceWindow(t *testing.T) {
	c := newCity(t)
	post := func(seq uint64) record.Code {
		tick := c.Tick()
		tick.Issuer = "c-sha"
		return all(c.Batch(c.SubmitAs("c-sha", seq, c.NowMs+1000, c.Leaf(tick))))[0]
	}
	const w = record.SeqWindow
	for i, v := range []struct {
		seq  uint64
		want record.Code
	}{
		{10, ""}, {9, ""}, {10, record.CodeSubmissionReplayed}, {1, ""},
		{w + 5, ""}, {5, record.CodeSubmissionReplayed}, // 4,096 below: gone
		{6, ""}, {6, record.CodeSubmissionReplayed}, {9, record.CodeSubmissionReplayed}, {w + 4, ""},
		{w + 6, ""}, {6, record.CodeSubmissionReplayed}, {7, ""},
		{10 * w, ""}, {9 * w, record.CodeSubmissionReplayed}, {9*w + 1, ""}, {9*w + 1, record.CodeSubmissionReplayed},
		{10*w - 1, ""}, {10*w + w - 1, ""}, {10 * w, record.CodeSubmissionReplayed}, {10*w + 1, ""},
		{1<<64 - 1, record.CodeSubmissionReplayed}, {1<<64 - w, record.CodeSubmissionReplayed}, {1<<64 - w - 1, ""},
		{10*w + 2, record.CodeSubmissionReplayed},
	} {
		if got := post(v.seq); got != v.want {
			t.Errorf("step %d, number %d: %q, want %q", i, v.seq, got, v.want)
		}
		if s := ledgertest.Value[rules.Seq](c.Consortium, rules.KeySeq("c-sha")); v.want == "" && (!s.Used(v.seq) || s.Used(s.High+1)) {
			t.Errorf("step %d: Used", i)
		}
	}
}

// TestWindowAgainstASet compares the window with a plain set of numbers.
func TestWindowAgainstASet(t *testing.T) {
	c := newCity(t)
	seen, high := map[uint64]bool{}, uint64(0)
	var subs []record.Submitted
	var want []record.Code
	for i := range uint64(900) {
		seq := 1 + i*i*i%9001 + i*7 // jumps about within and beyond the window
		code := record.Code("")
		if seen[seq] || seq+record.SeqWindow <= high {
			code = record.CodeSubmissionReplayed
		}
		seen[seq], high = true, max(high, seq)
		tick := c.Tick()
		tick.Issuer = "b-sha"
		subs, want = append(subs, c.SubmitAs("b-sha", seq, c.NowMs+60_000, c.Leaf(tick))), append(want, code)
	}
	for len(subs) > 0 {
		n := min(300, len(subs))
		if got := all(c.Batch(subs[:n]...)); !slices.Equal(got, want[:n]) {
			t.Fatalf("%q\nwant %q", got, want[:n])
		}
		subs, want = subs[n:], want[n:]
	}
}

// TestFullBatch: 400 submissions that are all refused with the longest code fit
// the seal, and so do 400 that are accepted.
func TestFullBatch(t *testing.T) {
	c := newCity(t)
	var subs []record.Submitted
	for range record.MaxBatchSubs {
		subs = append(subs, c.Submit("pf", c.Tick()))
	}
	r := c.Batch(subs...)
	if got := all(r); slices.ContainsFunc(got, func(c record.Code) bool { return c != "" }) {
		t.Fatalf("%q", got)
	}
	r = c.Batch(subs...)
	seal := c.Leaves[len(c.Leaves)-1]
	t.Logf("list of %d bytes, seal of %d with 400 whole refusals", record.ListBytes(r.Seal.Header, r.Seal.Submissions), len(seal))
	if len(seal) > record.MaxSealBytes {
		t.Errorf("seal of %d bytes", len(seal))
	}
	got := all(r)
	full := slices.Index(got, record.CodeBatchFull)
	if full < 0 {
		full = len(got)
	}
	for i, code := range got {
		if want := record.CodeSubmissionReplayed; i < full && code != want || i >= full && code != record.CodeBatchFull {
			t.Errorf("submission %d: %q", i, code)
		}
	}
}

// TestRefusalsOverflowTheSeal: whole submissions go, the last first, with
// nothing left behind; their number is used.
func TestRefusalsOverflowTheSeal(t *testing.T) {
	c := newCity(t)
	bad := func(n int) []*record.Record {
		var recs []*record.Record
		for range n {
			recs = append(recs, c.TreeAdvance(1, 1, record.Digest{})) // no such tree: 61 bytes a refusal
		}
		return recs
	}
	h := c.hana.Public()
	withEffect := append([]*record.Record{c.HandleOpen(h, "portal")}, bad(600)...)
	subs := []record.Submitted{c.Submit("a-sha", bad(600)...), c.Submit("a-sha", withEffect...), c.Submit("b-sha", bad(300)...), c.Submit("a-sha", c.Tick())}
	e := c.Entry(subs...)
	r := c.Apply(e)
	if r.Void != nil {
		t.Fatal(r.Void)
	}
	if got, want := all(r), []record.Code{"", record.CodeBatchFull, "", ""}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	if c.State(h) != nil || len(r.Leaves) != 1 || len(r.Events) != 0 {
		t.Error("a submission that did not fit left something behind")
	}
	if len(c.Leaves[len(c.Leaves)-1]) > record.MaxSealBytes {
		t.Errorf("seal of %d bytes", len(c.Leaves[len(c.Leaves)-1]))
	}
	if got := all(c.Batch(subs[1])); got[0] != record.CodeSubmissionReplayed {
		t.Errorf("the same again: %q", got)
	}
	again := c.Submit("a-sha", withEffect...)
	if got := all(c.Batch(again)); got[0] != "" || c.State(h) == nil {
		t.Errorf("alone in a batch: %q", got)
	}
}

// TestListTooLong: header and submissions beyond 52,000 bytes are no batch.
func TestListTooLong(t *testing.T) {
	long := strings.Repeat("m", 32)
	c := &city{Consortium: ledgertest.New(t, ledgertest.Options{Members: []string{long}}), t: t}
	var subs []record.Submitted
	for range record.MaxBatchSubs {
		subs = append(subs, c.Submit(long, c.Tick()))
	}
	c.voids("400 submissions of a long name", record.CodeBatchForm, c.Entry(subs...))
	if r := c.Apply(c.Entry(subs[:330]...)); r.Void != nil {
		t.Error(r.Void)
	}
}

// TestRecordForms: what a leaf's form refuses, one record at a time.
func TestRecordForms(t *testing.T) {
	c := newCity(t)
	good := c.Leaf(&record.Record{Kind: record.KindTick, ID: c.ID(), Issuer: "a-sha", Body: &record.Tick{}})
	env := func(change func(*record.Envelope)) []byte {
		e := record.Envelope{Version: 1, Kind: record.KindTick, ID: c.ID(), Issuer: "a-sha", Body: []byte{0xa0}}
		change(&e)
		return pad(canon.Must(&e))
	}
	var leaves [][]byte
	var want []record.Code
	add := func(code record.Code, leaf []byte) { leaves, want = append(leaves, leaf), append(want, code) }
	add("", good)
	add(canon.CodeMalformed, []byte("hello"))
	add(canon.CodeMalformed, nil)
	add(canon.CodeNotCanonical, pad([]byte{0xa1, 0x18, 0x01, 0x01}))
	add(canon.CodeDuplicateKey, pad([]byte{0xa2, 1, 1, 1, 1}))
	add(canon.CodeDepth, pad(append([]byte{0xa1, 5}, append(bytes.Repeat([]byte{0x81}, 40), 0)...)))
	add(canon.CodeOversize, pad([]byte{0xa1, 5, 0x9a, 0, 1, 0, 0}))
	add(record.CodeRecordOversize, make([]byte, record.MaxLeafBytes+1))
	add(record.CodeRecordPadding, append(good[:len(good):len(good)], make([]byte, 128)...))
	add(record.CodeRecordVersion, env(func(e *record.Envelope) { e.Version = 2 }))
	add(record.CodeRecordKind, env(func(e *record.Envelope) { e.Kind = 99 }))
	add(record.CodeRecordKind, env(func(e *record.Envelope) { e.Kind = record.KindSeal }))
	add(record.CodeRecordKind, c.Leaves[len(c.Leaves)-1])
	add(record.CodeRecordKind, asIssuer(t, c, c.Leaves[0]))
	add(record.CodeRecordMalformed, env(func(e *record.Envelope) { e.ID = record.ID{} }))
	add(record.CodeNotAuthorised, env(func(e *record.Envelope) { e.Issuer = "b-sha" }))
	add(record.CodeVotesMissing, c.Leaf(&record.Record{Kind: record.KindMember, ID: c.ID(), Issuer: "a-sha",
		Body: &record.MemberChange{Action: record.ActionRemove, Member: "b-sha"}}))
	add(record.CodeIntentDeadline, env(func(e *record.Envelope) {
		p := *c.give("b-sha").Body.(*record.Provision)
		p.DeadlineMs++
		e.Kind, e.Body, e.Commitment = record.KindProvision, canon.Must(&p), make([]byte, 32)
	}))
	r := c.Batch(c.SubmitLeaves("a-sha", leaves...))
	got := ledgertest.Codes(r.Outcomes[0])
	for i := range want {
		if i == 12 { // a seal begins as no record does
			if got[i] == "" {
				t.Error("a seal is accepted")
			}
			continue
		}
		if got[i] != want[i] {
			t.Errorf("leaf %d: %q, want %q", i, got[i], want[i])
		}
	}
	if len(r.Leaves) != 1 {
		t.Errorf("%d leaves", len(r.Leaves))
	}
	for i, ref := range r.Seal.Refusals {
		if h := merkle.LeafHash(leaves[i+1]); !bytes.Equal(ref.Leaf, h[:]) || int(ref.Pos) != i+1 || ref.Code != got[i+1] {
			t.Errorf("refusal %d of the seal: %+v", i, ref)
		}
	}
}

func pad(b []byte) []byte { return append(b, make([]byte, (128-len(b)%128)%128)...) }

// asIssuer returns a leaf as a-sha's.
func asIssuer(t *testing.T, c *city, leaf []byte) []byte {
	t.Helper()
	r, err := record.Parse(leaf)
	if err != nil {
		t.Fatal(err)
	}
	r.Issuer = "a-sha"
	return c.Leaf(r)
}

// TestReadsSeeWritesOfTheBatch: what was read before a write, or in a
// submission that was rolled back, is read again.
func TestReadsSeeWritesOfTheBatch(t *testing.T) {
	start := func() (*city, func() *record.Record) {
		c := newCity(t)
		r, hash := c.Terms(c.Screen("portal", "2", record.Scope{Purpose: "service", Recipients: []string{"shop"}}))
		c.Must("a-sha", r)
		c.Must("pf", c.Party("shop"))
		c.Must("a-sha", c.Grant(c.hana, hash, 0))
		return c, func() *record.Record { return c.Provision(c.hana.Public(), 2, 0, "shop") }
	}
	c, give := start()
	r := c.Batch(c.Submit("a-sha", give()), c.Submit("pf", c.Leave("shop")), c.Submit("a-sha", give()))
	if before, after := ledgertest.Codes(r.Outcomes[0])[0], ledgertest.Codes(r.Outcomes[2])[0]; before != "" || after != record.CodeMemberNotActive {
		t.Errorf("before the party left: %q, after: %q", before, after)
	}
	c, give = start()
	recs := []*record.Record{c.Leave("shop"), give()}
	for range 990 {
		recs = append(recs, c.TreeAdvance(1, 1, record.Digest{}))
	}
	r = c.Batch(c.Submit("pf", recs...), c.Submit("a-sha", give()))
	if got := all(r); got[0] != record.CodeBatchFull || ledgertest.Codes(r.Outcomes[1])[0] != "" {
		t.Errorf("after a rolled back submission: %q, %v", got, r.Outcomes[1].Refused)
	}
}
