package rules_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"pgregory.net/rapid"
)

// replay judges a height again from leaves and seal over the register before
// it, and returns the seal that follows.
func replay(t testing.TB, c *ledgertest.Consortium, height uint64, before ledgertest.Mem, seal *record.Seal, leaves [][]byte) (*rules.Result, []byte, error) {
	t.Helper()
	r, err := rules.Replay(before, c.PrevOf(height), seal, leaves)
	if err != nil {
		return nil, nil, err
	}
	tree, err := c.Heights[height-1].Register.Update(before.Mem, r.Writes)
	if err != nil {
		t.Fatal(err)
	}
	return r, r.SealLeaf(tree.Root()), nil
}

// replaysAll judges the whole log again, and wants the same writes and seals.
func replaysAll(t testing.TB, c *ledgertest.Consortium) {
	t.Helper()
	before := ledgertest.Mem{Mem: register.MemLeaves()}
	before.Apply(c.Heights[0].Writes)
	for height := uint64(1); height < uint64(len(c.Heights)); height++ {
		leaves, seal := c.Batched(height)
		r, again, err := replay(t, c, height, before, seal, leaves)
		if err != nil {
			t.Fatalf("height %d: %v", height, err)
		}
		if !bytes.Equal(again, seal.Leaf()) || !reflect.DeepEqual(r.Writes, c.Heights[height].Writes) {
			t.Fatalf("height %d: another seal, or other writes", height)
		}
		before.Apply(r.Writes)
	}
}

// TestReplay: for random histories, leaves and seals alone give the same
// writes and the same seals.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDraw(t, rt)
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			d.batch(t)
		}
		replaysAll(t, d.c)
	})
}

// refusals returns a history with refusals of every sort in the seals: of
// records, and of whole submissions by each way.
func refusals(t *testing.T) *ledgertest.Consortium {
	c := newCity(t)
	c.grant()
	tick := func() []byte { r := c.Tick(); r.Issuer = "a-sha"; return c.Leaf(r) }
	c.Keys["stranger"] = c.Key("stranger")
	good := c.Submit("a-sha", c.Tick(), c.give("c-sha"), c.give("b-sha"))
	root, sig, both := c.SubmitLeaves("a-sha", tick()), c.SubmitLeaves("a-sha", tick()), c.SubmitLeaves("a-sha", tick())
	root.Leaves, both.Leaves = [][]byte{tick()}, [][]byte{tick()}
	sig.Submission.Sig[0] ^= 1
	both.Submission.Sig[0] ^= 1
	var bad []*record.Record
	for range 900 {
		bad = append(bad, c.TreeAdvance(1, 1, record.Digest{}))
	}
	c.Batch(good, root, sig, both, good, c.SubmitLeaves("stranger", tick()), c.SubmitAs("a-sha", 90, c.NowMs-1, tick()),
		c.SubmitAs("a-sha", 91, c.NowMs+1<<40, tick()), c.SubmitAs("a-sha", 0, c.NowMs+1000, tick()),
		c.Submit("b-sha", bad...), c.Submit("b-sha", bad[:500]...), c.SubmitLeaves("pf", []byte("no record")))
	return c.Consortium
}

func TestReplayWithRefusals(t *testing.T) {
	c := refusals(t)
	_, seal := c.Batched(c.Last().Height)
	codes := map[record.Code]bool{}
	for _, r := range seal.Refusals {
		codes[r.Code] = true
	}
	for _, want := range []record.Code{record.CodeSubmissionRoot, record.CodeSignature, record.CodeSubmissionReplayed,
		record.CodeSubmissionIssuer, record.CodeSubmissionExpired, record.CodeSubmissionWindow, record.CodeBatchFull,
		record.CodeTreeUnknown, record.CodeRecipientNotListed, canon.CodeMalformed} {
		if !codes[want] {
			t.Errorf("no refusal with %s", want)
		}
	}
	replaysAll(t, c)
}

// TestChangedBatchNeverReplays: whatever is changed in leaves or seal, the seal
// that follows is not the one at hand. What a replay cannot judge, because the
// record is not in the log, is the code of a refused record: there it is the
// cosigned root that holds.
func TestChangedBatchNeverReplays(t *testing.T) {
	c := newCity(t)
	c.grant()
	p := c.give("b-sha")
	p.Issuer = "a-sha"
	c.Batch(c.Submit("a-sha", p, c.give("c-sha")), c.Submit("b-sha", c.Received(p), c.Tick()), c.SubmitAs("pf", 9, c.NowMs-1, c.Leaf(p)))
	height := c.Last().Height
	before := c.RegisterAt(height - 1)
	leaves, seal := c.Batched(height)
	sealLeaf := seal.Leaf()
	flips := []byte{1, 0x10, 0x80}

	for n, leaf := range leaves {
		for i := range leaf {
			bad := append([][]byte{}, leaves...)
			bad[n] = bytes.Clone(leaf)
			bad[n][i] ^= flips[i%len(flips)]
			if _, again, err := replay(t, c.Consortium, height, before, seal, bad); err == nil && bytes.Equal(again, sealLeaf) {
				t.Fatalf("leaf %d, byte %d: the same seal", n, i)
			}
		}
	}
	for name, bad := range map[string][][]byte{"one less": leaves[1:], "one more": append(leaves[:len(leaves):len(leaves)], leaves[0]),
		"swapped": {leaves[1], leaves[0], leaves[2]}, "none": nil} {
		if _, again, err := replay(t, c.Consortium, height, before, seal, bad); err == nil && bytes.Equal(again, sealLeaf) {
			t.Errorf("leaves, %s: the same seal", name)
		}
	}
	for i := range sealLeaf {
		for _, x := range flips {
			bad := bytes.Clone(sealLeaf)
			bad[i] ^= x
			s, err := record.ParseSeal(bad)
			if err != nil {
				continue
			}
			_, again, err := replay(t, c.Consortium, height, before, s, leaves)
			if err == nil && bytes.Equal(again, bad) && !onlyCodesDiffer(seal, s) {
				t.Fatalf("byte %d of the seal changed to %#x replays: %+v, was %+v", i, bad[i], s.Refusals, seal.Refusals)
			}
		}
	}
}

// onlyCodesDiffer reports whether two seals are the same but for the codes of
// refused records.
func onlyCodesDiffer(a, b *record.Seal) bool {
	x, y := *a, *b
	x.Refusals, y.Refusals = nil, nil
	if !reflect.DeepEqual(x, y) || len(a.Refusals) != len(b.Refusals) {
		return false
	}
	for i := range a.Refusals {
		r := b.Refusals[i]
		if !r.All {
			r.Code = a.Refusals[i].Code
		}
		if !reflect.DeepEqual(r, a.Refusals[i]) {
			return false
		}
	}
	return true
}

// TestReplayRefusesFalseRefusals: a submission that the rules accept cannot be
// said to be refused whole.
func TestReplayRefusesFalseRefusals(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Tick())
	height := c.Last().Height
	_, seal := c.Batched(height)
	for _, code := range []record.Code{record.CodeSignature, record.CodeSubmissionReplayed, record.CodeSubmissionExpired,
		record.CodeSubmissionIssuer, record.CodeSubmissionWindow, "made-up"} {
		bad := *seal
		bad.Refusals = []record.Refused{{Sub: 0, All: true, Code: code}}
		if _, _, err := replay(t, c.Consortium, height, c.RegisterAt(height-1), &bad, nil); err == nil {
			t.Errorf("%s for no reason", code)
		}
	}
	genesis := &record.Seal{}
	if _, err := rules.Replay(c, c.Prev(), genesis, nil); err == nil {
		t.Error("a seal without header replays")
	}
}
