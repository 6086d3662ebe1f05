package rules_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// over is a register in which some values are other than they were derived.
type over struct {
	rules.View
	values map[string][]byte
}

func (o over) Get(key []byte) ([]byte, error) {
	if v, ok := o.values[string(key)]; ok {
		return v, nil
	}
	return o.View.Get(key)
}

// TestDirectoryIsBounded: what is written can be read again. A directory that
// grew beyond what the decoder takes would stop every node for good.
func TestDirectoryIsBounded(t *testing.T) {
	c := newCity(t)
	for what, v := range map[string]struct {
		dir *rules.Directory
		rec *record.Record
	}{
		"services": {&rules.Directory{Services: names(record.MaxDirectory)}, c.Service("one-more")},
		"parties":  {&rules.Directory{Parties: names(record.MaxDirectory)}, c.Party("one-more")},
	} {
		view := over{c.Consortium, map[string][]byte{rules.KeyDirectory: canon.Must(v.dir)}}
		r, err := rules.Apply(view, c.Prev(), canon.Must(c.Entry(c.Submit("a-sha", v.rec))))
		if err != nil || r.Void != nil {
			t.Fatalf("%s: %v, %v", what, err, r)
		}
		if got := r.Outcomes[0].Refused[0].Code; got != record.CodeRecordOversize {
			t.Errorf("%s: one more than %d: %q", what, record.MaxDirectory, got)
		}
		for _, w := range r.Writes {
			if string(w.Key) == rules.KeyDirectory {
				t.Errorf("%s: the directory was written", what)
			}
		}
	}
	if b := canon.Must(&rules.Directory{Services: names(record.MaxDirectory), Parties: names(record.MaxDirectory)}); len(b) > 1<<20-1 {
		t.Errorf("a full directory takes %d bytes, more than a store keeps", len(b))
	}
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("a%031d", i)
	}
	return out
}

// TestWritesAreBounded: a small record can write a large value again. What one
// batch writes fits one transaction of a store; what does not fit is refused
// whole, with nothing left behind, and may be sent again.
func TestWritesAreBounded(t *testing.T) {
	c := newCity(t)
	large := &rules.Handle{For: "portal", Opened: 1}
	for terms := range uint32(64) {
		for scope := range uint8(record.MaxScopes) {
			large.Scopes = append(large.Scopes, rules.ScopeState{Terms: terms + 1, Scope: scope, On: true, Height: 1, By: rules.ByConsent})
		}
	}
	values := map[string][]byte{}
	var subs []record.Submitted
	for i := range 20 {
		var recs []*record.Record
		for j := range 50 {
			h := c.Person(fmt.Sprint(i, "-", j)).Handle("portal", 0).Public()
			values[rules.KeyHandle(h)] = canon.Must(large)
			recs = append(recs, c.StopAll(h))
		}
		subs = append(subs, c.Submit("a-sha", recs...))
	}
	subs = append(subs, c.Submit("b-sha", c.Tick()))
	view := over{c.Consortium, values}
	e := c.Entry(subs...)
	r, err := rules.Apply(view, c.Prev(), canon.Must(e))
	if err != nil || r.Void != nil {
		t.Fatal(err, r)
	}
	bytes, full := 0, 0
	for _, w := range r.Writes {
		bytes += len(w.Value)
	}
	for i, o := range r.Outcomes {
		if o.All == record.CodeBatchFull {
			full++
		} else if o.All != "" || len(o.Refused) > 0 {
			t.Errorf("submission %d: %q, %v", i, o.All, o.Refused)
		}
	}
	if bytes > record.MaxWriteBytes+64<<10 || full == 0 || full > 19 || r.Outcomes[20].All != "" {
		t.Errorf("%d bytes written, %d of 20 refused, a small one after them: %q", bytes, full, r.Outcomes[20].All)
	}
	if want := (20 - full) * 50; len(r.Events) != want || len(r.Leaves) != want+1 {
		t.Errorf("%d events and %d leaves of %d records", len(r.Events), len(r.Leaves), want+1)
	}
	seal := r.Seal
	again, err := rules.Replay(view, c.Prev(), &seal, r.Leaves)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := canon.Must(&again.Seal), canon.Must(&seal); string(a) != string(b) || len(again.Writes) != len(r.Writes) {
		t.Error("the replay differs")
	}
}

// TestRootWithoutRoomInTheSeal: a submission whose records are not those that
// were signed, where the seal has no room for that code. Who replays the batch
// sees only batch.full, and must find the same register.
func TestRootWithoutRoomInTheSeal(t *testing.T) {
	c := newCity(t)
	tick := func() []byte { r := c.Tick(); r.Issuer = "a-sha"; return c.Leaf(r) }
	swapped := c.SubmitLeaves("a-sha", tick())
	swapped.Leaves = [][]byte{tick()}
	// Refusals of two lengths, such that less than the five bytes are left by
	// which this code is longer than batch.full.
	unknown := c.TreeAdvance(1, 1, record.Digest{})
	unknown.Issuer = "b-sha"
	kinds := [][]byte{[]byte("no record"), c.Leaf(unknown)}
	entry := func(n, k int) *record.Entry {
		var leaves [][]byte
		for i := range n {
			kind := 0
			if i >= n-k {
				kind = 1
			}
			leaves = append(leaves, kinds[kind])
		}
		return c.Entry(c.SubmitAs("b-sha", 7, c.NowMs+1000, leaves...), swapped)
	}
	cost := func(k int) int {
		return 48 + len(c.Judge(canon.Must(entry(1, k))).Outcomes[0].Refused[0].Code)
	}
	e := entry(900, 0)
	list := []record.Submission{e.Submissions[0].Submission, swapped.Submission}
	room, a, b := record.MaxSealBytes-record.ListBytes(&e.Header, list)-128-2*19, cost(0), cost(1)
	n, k := room/max(a, b), 0
	for n++; k < n && !(room-(n-k)*a-k*b >= 0 && room-(n-k)*a-k*b < 5); k++ {
	}
	r := c.Judge(canon.Must(entry(n, k)))
	if r.Void != nil || r.Outcomes[0].All != "" || r.Outcomes[1].All != record.CodeBatchFull {
		t.Fatalf("refusals of %d and %d bytes in %d: %v, %q, %q", a, b, room, r.Void, r.Outcomes[0].All, r.Outcomes[1].All)
	}
	again, err := rules.Replay(c, c.Prev(), &r.Seal, r.Leaves)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(again.Writes) != fmt.Sprint(r.Writes) {
		t.Error("the replay writes something else")
	}
}
