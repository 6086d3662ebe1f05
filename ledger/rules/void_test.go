package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestVoidBatches: one fault of the header each.
func TestVoidBatches(t *testing.T) {
	type change = func(*city, *record.Entry)
	signed := func(f change) change { return func(c *city, e *record.Entry) { f(c, e); c.Sign(e) } }
	for name, v := range map[string]struct {
		change change
		want   record.Code
	}{
		"wrong previous hash":    {signed(func(_ *city, e *record.Entry) { e.Header.Prev[0] ^= 1 }), record.CodeBatchPrevious},
		"wrong epoch":            {signed(func(_ *city, e *record.Entry) { e.Header.Epoch++ }), record.CodeBatchHeader},
		"leader's signature":     {func(_ *city, e *record.Entry) { e.Header.Sig[9] ^= 1 }, record.CodeBatchHeader},
		"signed by another":      {func(c *city, e *record.Entry) { e.Header.Leader = "b-sha" }, record.CodeBatchHeader},
		"term not as signed":     {func(_ *city, e *record.Entry) { e.Header.Term++ }, record.CodeBatchHeader},
		"time of the last batch": {signed(func(c *city, e *record.Entry) { e.Header.TimeMs = c.Head().TimeMs }), record.CodeBatchTime},
		"list changed": {func(c *city, e *record.Entry) {
			e.Submissions = append(e.Submissions, c.Submit("b-sha", c.Tick()))
		}, record.CodeBatchForm},
		"cited height ahead": {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Height++ }), record.CodeBatchCited},
		"cited size":         {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Size++ }), record.CodeBatchCited},
		"cited root":         {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Root[0] ^= 1 }), record.CodeBatchCited},
		"two cosignatures":   {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Sigs = e.Header.Cited.Sigs[:2] }), record.CodeBatchCited},
		"no cosignatures":    {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Sigs = nil }), record.CodeBatchCited},
		"one member twice": {signed(func(_ *city, e *record.Entry) {
			e.Header.Cited.Sigs[1] = e.Header.Cited.Sigs[0]
		}), record.CodeBatchCited},
		"out of order": {signed(func(_ *city, e *record.Entry) {
			s := e.Header.Cited.Sigs
			s[0], s[1] = s[1], s[0]
		}), record.CodeBatchCited},
		"a stranger cosigns": {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Sigs[2].Member = "zzz" }), record.CodeBatchCited},
		"a bad cosignature":  {signed(func(_ *city, e *record.Entry) { e.Header.Cited.Sigs[2].Sig[3] ^= 1 }), record.CodeBatchCited},
		"a time not cosigned": {signed(func(_ *city, e *record.Entry) {
			e.Header.Cited.Sigs[2].Time++
		}), record.CodeBatchCited},
		"a time beyond time": {signed(func(_ *city, e *record.Entry) {
			e.Header.Cited.Sigs[2].Time = record.MaxTimeMs
		}), record.CodeBatchCited},
	} {
		c := newCity(t)
		c.Pass(1000)
		e := c.Entry(c.Submit("a-sha", c.Tick()))
		v.change(c, e)
		c.voids(name, v.want, e)
	}
}

func TestVoidLeaders(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Party("shop"))
	for name, leader := range map[string]string{"a party": "shop", "nobody": "nobody"} {
		c.Keys["nobody"] = c.Key("nobody")
		e := c.Entry(c.Submit("a-sha", c.Tick()))
		e.Header.Leader = leader
		c.Sign(e)
		c.voids(name+" leads", record.CodeBatchHeader, e)
	}
	e := c.Entry(c.Submit("a-sha", c.Tick()))
	if r := c.Apply(e); r.Void != nil {
		t.Fatal(r.Void)
	}
	c.voids("the same batch again", record.CodeBatchPrevious, e)
}

// TestVoidForms: entries that are no canonical batch.
func TestVoidForms(t *testing.T) {
	c := newCity(t)
	good := canon.Must(c.Entry(c.Submit("a-sha", c.Tick())))
	for name, v := range map[string]struct {
		entry []byte
		want  record.Code
	}{
		"empty":     {nil, canon.CodeMalformed},
		"truncated": {good[:len(good)-1], canon.CodeMalformed},
		"trailing":  {append(good[:len(good):len(good)], 0), canon.CodeMalformed},
		"oversize":  {make([]byte, record.MaxEntry+1), canon.CodeOversize},
		"null":      {[]byte{0xf6}, canon.CodeNotCanonical},
	} {
		if r := c.Judge(v.entry); r.Void == nil || r.Void.Code != v.want {
			t.Errorf("%s: %v, want %s", name, r.Void, v.want)
		}
	}
}

// TestCitedWindow: a checkpoint 32 batches back, cosigned anew, may be cited;
// one 33 back may not, and neither may what stood in its place.
func TestCitedWindow(t *testing.T) {
	c := newCity(t)
	for range 40 {
		c.Must("a-sha", c.Tick())
	}
	next := c.Head().Height + 1
	for back := uint64(1); back <= 36; back++ {
		e := c.Entry(c.Submit("a-sha", c.Tick()))
		e.Header.Cited = c.Cite(next - back)
		c.Sign(e)
		r := c.Judge(canon.Must(e))
		if ok := back <= record.CitedWindow; ok != (r.Void == nil) || !ok && r.Void.Code != record.CodeBatchCited {
			t.Errorf("%d back: %v", back, r.Void)
		}
		e.Header.Cited.Height = next - 1 - back%30 // another height's place
		c.Sign(e)
		if r := c.Judge(canon.Must(e)); back%30+1 != back && (r.Void == nil || r.Void.Code != record.CodeBatchCited) {
			t.Errorf("checkpoint of %d back said to be of another height: %v", back, r.Void)
		}
	}
}

// TestGenesisIsCitedUpToHeight32: the first batches have nothing else.
func TestGenesisIsCitedUpToHeight32(t *testing.T) {
	c := &city{Consortium: ledgertest.New(t, ledgertest.Options{}), t: t}
	for height := 1; height <= 33; height++ {
		e := c.Entry(c.Submit("a-sha", c.Tick()))
		e.Header.Cited = c.Cite(0)
		c.Sign(e)
		if r := c.Judge(canon.Must(e)); (r.Void == nil) != (height <= 32) {
			t.Errorf("height %d: %v", height, r.Void)
		}
		c.Must("a-sha", c.Tick())
	}
}

// TestBatchTime: at most the lower median of the cited times and 20 s.
func TestBatchTime(t *testing.T) {
	for _, v := range []struct {
		times []uint64 // seconds after now, by member
		limit uint64   // milliseconds after now
	}{
		{[]uint64{0, 0, 0}, 20_000}, {[]uint64{0, 5, 9}, 25_000}, {[]uint64{9, 0, 5}, 25_000},
		{[]uint64{0, 0, 1000}, 20_000}, {[]uint64{0, 5, 7, 1000}, 25_000},
	} {
		for _, over := range []uint64{0, 1} {
			c := newCity(t)
			c.NowMs = (c.NowMs/1000 + 2) * 1000
			e := c.Entry(c.Submit("a-sha", c.Tick()))
			e.Header.Cited.Sigs = nil
			for i, s := range v.times {
				m := c.Founding.Members[i]
				cs := c.Members[i].Cosign.Cosign(m.Cosigner, c.Checkpoint(c.Head().Height), c.NowMs/1000+s)
				e.Header.Cited.Sigs = append(e.Header.Cited.Sigs, record.CitedSig{Member: m.ID, Time: cs.Time, Sig: cs.Sig})
			}
			e.Header.TimeMs = c.NowMs + v.limit + over
			c.Sign(e)
			if r := c.Judge(canon.Must(e)); (r.Void == nil) != (over == 0) || over == 1 && r.Void.Code != record.CodeBatchTime {
				t.Errorf("%v, %d ms over: %v", v.times, over, r.Void)
			}
		}
	}
	if got := rules.LatestTimeMs([]uint64{7, 3, 5, 4}); got != 24_000 {
		t.Errorf("LatestTimeMs = %d", got)
	}
}
