package audit_test

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// wooded is a log whose source has leaves of commitment trees, too.
type wooded struct {
	*log
	leaves map[uint64][]forest.Leaf
}

func (w *wooded) TreeLeaves(_ context.Context, tree, start, end uint64) iter.Seq2[forest.Leaf, error] {
	return func(yield func(forest.Leaf, error) bool) {
		all, has := w.leaves[tree]
		if !has {
			yield(forest.Leaf{}, audit.ErrNoTree)
			return
		}
		for i := start; i < min(end, uint64(len(all))); i++ {
			if !yield(all[i], nil) {
				return
			}
		}
	}
}

// A tree of 40 leaves, the later ones with extra data, is anchored at five sizes.
func TestAdvancesAgainstLeaves(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	made := c.Tree("readings")
	made.Issuer = "a-sha"
	leaf := c.Leaf(made)
	c.Must("a-sha", made)
	id := rules.TreeID(record.Digest(merkle.LeafHash(leaf)))
	tree, leaves := forest.NewTree(), []forest.Leaf{}
	var at []uint64 // indices of the advances
	advance := func(lie bool) {
		a := forest.Advance(id, tree.Size(), tree.Leaves.Root(), tree.Extra.Root())
		if lie {
			a.Root[0] ^= 1
		}
		rec := &record.Record{Kind: record.KindTreeAdvance, ID: c.ID(), Body: a}
		c.Must("a-sha", rec)
		at = append(at, uint64(len(c.Leaves))-2)
	}
	grow := func(n int) {
		for range n {
			l := forest.Leaf{Value: fmt.Appendf(nil, "leaf %d", len(leaves))}
			if len(leaves) >= 20 {
				l.Extra = []byte("extra")
			}
			leaves = append(leaves, l)
			tree.Leaves.Append(l.Hash())
			tree.Extra.Append(merkle.LeafHash(l.Extra))
		}
	}
	advance(false)
	for range 4 {
		grow(10)
		advance(false)
	}
	src := func(change func(ls []forest.Leaf) []forest.Leaf) *wooded {
		ls := append([]forest.Leaf{}, leaves...)
		return &wooded{logOf(c), map[uint64][]forest.Leaf{id: change(ls)}}
	}
	same := func(ls []forest.Leaf) []forest.Leaf { return ls }

	r := run(t, c, src(same), audit.Options{})
	if got := check(r, audit.CheckTrees); !r.OK || got.Holds != 5 || got.Unchecked != 0 {
		t.Fatalf("true advances: %+v in\n%s", got, r.Text(false))
	}
	r = run(t, c, logOf(c), audit.Options{})
	if got := check(r, audit.CheckTrees); !r.OK || got.Holds != 0 || got.Unchecked != 5 {
		t.Errorf("a source without trees: %+v", got)
	}
	for name, c2 := range map[string]struct {
		change func(ls []forest.Leaf) []forest.Leaf
		first  int // the first advance that breaks
	}{
		"a changed leaf":     {func(ls []forest.Leaf) []forest.Leaf { ls[12].Value = []byte("x"); return ls }, 2},
		"changed extra data": {func(ls []forest.Leaf) []forest.Leaf { ls[25].Extra = nil; return ls }, 3},
		"two swapped":        {func(ls []forest.Leaf) []forest.Leaf { ls[3], ls[4] = ls[4], ls[3]; return ls }, 1},
		"one missing":        {func(ls []forest.Leaf) []forest.Leaf { return append(ls[:5], ls[6:]...) }, 1},
		"the last missing":   {func(ls []forest.Leaf) []forest.Leaf { return ls[:39] }, 4},
	} {
		r := run(t, c, src(c2.change), audit.Options{})
		if f := finds(t, r, "tree.advance", at[c2.first]); f.Member != "a-sha" {
			t.Errorf("%s: names %q", name, f.Member)
		}
		if got := check(r, audit.CheckTrees); got.Holds != c2.first || got.Broken != 5-c2.first {
			t.Errorf("%s: %+v", name, got)
		}
	}
	grow(10)
	advance(true)
	r = run(t, c, src(func([]forest.Leaf) []forest.Leaf { return leaves }), audit.Options{})
	finds(t, r, "tree.advance", at[5])
	if got := check(r, audit.CheckTrees); got.Holds != 5 || got.Broken != 1 {
		t.Errorf("a false advance: %+v", got)
	}
}
