package receipt_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// contradiction is a commitment tree of c-sha and what c-sha anchored: first what
// the tree does not have, then what it has.
type contradiction struct {
	c             *ledgertest.Consortium
	tree, overAll *merkle.Tree
	at            []uint64 // log indices of the anchors
}

// noTiles: the trees of these tests are too small to have a full one.
type noTiles struct{}

func (noTiles) Tile(merkle.TileID) ([]byte, error) { return nil, errors.New("no full tile") }

// newContradiction lies about the leaves, or about their extra data.
func newContradiction(t testing.TB, o ledgertest.Options, extra bool) *contradiction {
	t.Helper()
	x := &contradiction{c: ledgertest.New(t, o), tree: merkle.New(), overAll: merkle.New()}
	made := &record.Record{Kind: record.KindTree, ID: x.c.ID(), Issuer: "c-sha", Body: &record.Tree{Name: "meter", Type: record.TreeLog}}
	id := rules.TreeID(record.Digest(merkle.LeafHash(x.c.Leaf(made))))
	x.c.Must("c-sha", made)
	grow := func(size uint64) {
		for i := x.tree.Size(); i < size; i++ {
			x.tree.Append(merkle.LeafHash(fmt.Appendf(nil, "leaf %d", i)))
			x.overAll.Append(merkle.LeafHash(fmt.Appendf(nil, "extra %d", i)))
		}
	}
	grow(3)
	lie := forest.Advance(id, 3, x.tree.Root(), x.overAll.Root())
	if extra {
		lie.Extra[0] ^= 1
	} else {
		lie.Root[0] ^= 1
	}
	x.anchor(lie)
	for _, size := range []uint64{5, 7} {
		grow(size)
		x.anchor(forest.Advance(id, size, x.tree.Root(), x.overAll.Root()))
	}
	return x
}

func (x *contradiction) anchor(a *record.TreeAdvance) {
	x.at = append(x.at, uint64(len(x.c.Leaves)))
	x.c.Must("c-sha", &record.Record{Kind: record.KindTreeAdvance, Body: a})
}

// anchors returns two of the anchors, as a node that holds the tree has them.
func (x *contradiction) anchors(t testing.TB, earlier, later int) *receipt.Anchors {
	t.Helper()
	var files [2][]byte
	for i, n := range []int{earlier, later} {
		var err error
		if files[i], err = receipt.Build(newest(x.c), x.at[n], receipt.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	past := func(tree *merkle.Tree) receipt.Past {
		return func(size, later uint64) (edge merkle.Edge, path []merkle.Hash, err error) {
			v := tree.View()
			if edge, err = v.Edge(size, noTiles{}); err != nil {
				return edge, nil, err
			}
			path, err = v.ConsistencyProof(size, later, noTiles{})
			return edge, path, err
		}
	}
	return &receipt.Anchors{Earlier: files[0], Later: files[1], Past: past(x.tree), ExtraPast: past(x.overAll)}
}

// What one tree can have is no evidence, whoever says so.
func TestNoFalseAdvance(t *testing.T) {
	x := newContradiction(t, ledgertest.Options{}, false)
	if _, err := receipt.BuildAdvances(x.anchors(t, 1, 2)); !errors.Is(err, receipt.ErrAgree) {
		t.Errorf("two true anchors: %v", err)
	}
	refused := func(name string, a *receipt.Anchors, want string) {
		t.Helper()
		b, err := receipt.BuildAdvances(a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := receipt.Verify(b, x.c.Policy()); code(t, err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	// Who makes the past up must find other leaves for the later root.
	a := x.anchors(t, 1, 2)
	a.Past = func(size, later uint64) (merkle.Edge, []merkle.Hash, error) {
		edge, path, err := x.anchors(t, 1, 2).Past(size, later)
		edge.Roots[0][0] ^= 1
		return edge, path, err
	}
	refused("a made-up past", a, "evidence.past")
	a = x.anchors(t, 1, 2)
	a.Past = func(_, later uint64) (merkle.Edge, []merkle.Hash, error) { return x.anchors(t, 1, 2).Past(3, later) }
	refused("the past of another size", a, "evidence.past")
	made := &record.Record{Kind: record.KindTree, ID: x.c.ID(), Issuer: "c-sha", Body: &record.Tree{Name: "other", Type: record.TreeLog}}
	x.c.Must("c-sha", made)
	x.anchor(forest.Advance(rules.TreeID(record.Digest(merkle.LeafHash(x.c.Leaf(made)))), 7, x.tree.Root(), x.overAll.Root()))
	refused("another tree", x.anchors(t, 0, 3), "evidence.receipts")
	a = x.anchors(t, 1, 0)
	a.Past = func(uint64, uint64) (merkle.Edge, []merkle.Hash, error) { return x.anchors(t, 0, 1).Past(3, 5) }
	refused("the later one first", a, "evidence.receipts")
	a = x.anchors(t, 0, 1)
	a.Later = bytes.Replace(a.Later, []byte(`"akashi-receipt/v1"`), []byte(`"akashi-receipt/v2"`), 1)
	refused("what is no receipt", a, "evidence.receipts")
	file, err := receipt.BuildAdvances(x.anchors(t, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{"the other past": {`"past"`, `"extraPast"`}, "another kind": {`"advance"`, `"fork"`}} {
		b := bytes.Replace(file, []byte(change[0]), []byte(change[1]), 1)
		if _, err := receipt.Verify(b, x.c.Policy()); err == nil {
			t.Errorf("%s: confirmed", name)
		}
	}
	tick := uint64(len(x.c.Leaves))
	x.c.Must("c-sha", &record.Record{Kind: record.KindTick, Body: &record.Tick{}})
	a = x.anchors(t, 0, 1)
	if a.Earlier, err = receipt.Build(newest(x.c), tick, receipt.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.BuildAdvances(a); err == nil {
		t.Error("a tick anchors a tree")
	}
}
