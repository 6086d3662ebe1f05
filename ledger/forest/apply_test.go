package forest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// naive is the trees as lists: everything is searched, and every root computed
// from the first leaf on.
type naive struct {
	leaves map[uint64][]forest.Leaf
}

func (n *naive) Tree(id uint64) (*forest.Tree, error) {
	t := forest.NewTree()
	for _, l := range n.leaves[id] {
		t.Leaves.Append(merkle.LeafHash(l.Value))
		t.Extra.Append(merkle.LeafHash(l.Extra))
	}
	return t, nil
}

func (n *naive) Find(id uint64, identity record.Digest) (uint64, bool, error) {
	i := slices.IndexFunc(n.leaves[id], func(l forest.Leaf) bool { return l.ID() == identity })
	return uint64(max(i, 0)), i >= 0, nil
}

// world is a consortium with a log, a pre-ordered and a sensor tree of a-sha.
type world struct {
	t    testing.TB
	c    *ledgertest.Consortium
	n    *naive
	log  uint64
	pre  uint64
	only uint64 // nobody but a-sha writes
	room int
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, c: ledgertest.New(t, ledgertest.Options{}), n: &naive{map[uint64][]forest.Leaf{}}, room: forest.MaxPending}
	w.log = w.tree(&record.Tree{Name: "log", Type: record.TreeLog, Writers: []string{"b-sha"}})
	w.pre = w.tree(&record.Tree{Name: "pre", Type: record.TreePreordered, Writers: []string{record.AnyWriter}})
	w.only = w.tree(&record.Tree{Name: "sensors", Type: record.TreeSensor})
	return w
}

func (w *world) tree(t *record.Tree) uint64 {
	w.t.Helper()
	rec := &record.Record{Kind: record.KindTree, ID: w.c.ID(), Issuer: "a-sha", Body: t}
	leaf := w.c.Leaf(rec)
	w.c.Must("a-sha", rec)
	return rules.TreeID(record.Digest(merkle.LeafHash(leaf)))
}

func (w *world) commit(issuer string, tree, first uint64, leaves ...forest.Leaf) *forest.Commit {
	c := &forest.Commit{Tree: tree, Issuer: issuer, First: first, Leaves: leaves}
	c.Sign(w.c.Keys[issuer], w.c.Origin)
	return c
}

func (w *world) apply(entry []byte) *forest.Result {
	w.t.Helper()
	r, err := forest.Apply(w.c, w.n, w.room, entry)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Refused == nil {
		w.n.leaves[r.Tree] = append(w.n.leaves[r.Tree], r.New...)
		t, _ := w.n.Tree(r.Tree)
		if t.Leaves.Root() != r.Next.Leaves.Root() || t.Extra.Root() != r.Next.Extra.Root() || t.Size() != r.Next.Size() {
			w.t.Fatalf("tree %d of %d leaves differs from the naive one of %d", r.Tree, r.Next.Size(), t.Size())
		}
	}
	return r
}

func leaf(s string) forest.Leaf { return forest.Leaf{Value: []byte(s)} }

func outcomes(r *forest.Result) string {
	if r.Refused != nil {
		return string(r.Refused.Code)
	}
	var b bytes.Buffer
	for _, o := range r.Outcomes {
		switch {
		case o.Refused != "":
			fmt.Fprintf(&b, "%s ", o.Refused)
		case o.Duplicate:
			fmt.Fprintf(&b, "=%d ", o.Index)
		default:
			fmt.Fprintf(&b, "+%d ", o.Index)
		}
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

func TestApply(t *testing.T) {
	w := newWorld(t)
	w.c.Must("a-sha", &record.Record{Kind: record.KindParty, Body: &record.Party{ID: "shop", Key: w.c.Key("sign/shop").Public(),
		Name: record.Text{Ja: "店"}, Regime: "ch4", Country: "JP"}})
	own := forest.Leaf{Value: []byte("a"), Identity: bytes.Repeat([]byte{7}, 32)}
	fits := forest.Leaf{Value: make([]byte, record.MaxTreeLeaf), Extra: make([]byte, record.MaxTreeExtra)}
	forged := w.commit("b-sha", w.log, 0, leaf("f"))
	forged.Issuer = "a-sha"
	moved := w.commit("a-sha", w.only, 0, leaf("m"))
	moved.Tree = w.log
	changed := w.commit("a-sha", w.log, 0, leaf("x"))
	changed.Leaves[0].Extra = []byte("y")
	stranger := &forest.Commit{Tree: w.log, Issuer: "nobody", Leaves: []forest.Leaf{leaf("n")}}
	stranger.Sign(sign.NewKey(), w.c.Origin)
	elsewhere := w.commit("a-sha", w.log, 0, leaf("o"))
	elsewhere.Sign(w.c.Keys["a-sha"], "other.example/log")
	for _, c := range []struct {
		what   string
		commit *forest.Commit
		want   string
	}{
		{"two", w.commit("a-sha", w.log, 0, leaf("a"), leaf("b")), "+0 +1"},
		{"again, one new, twice in one", w.commit("b-sha", w.log, 0, leaf("b"), leaf("c"), leaf("c")), "=1 +2 =2"},
		{"an identity of its own", w.commit("a-sha", w.log, 0, own, own), "+3 =3"},
		{"the empty leaf, and its extra data", w.commit("a-sha", w.log, 0, forest.Leaf{Extra: []byte("e")}), "+4"},
		{"of another tree", w.commit("a-sha", w.only, 0, leaf("a")), "+0"},
		{"the largest", w.commit("a-sha", w.only, 0, fits), "+1"},
		{"pre-ordered", w.commit("pf", w.pre, 0, leaf("a"), leaf("b")), "+0 +1"},
		{"overlap, taken, gap", w.commit("pf", w.pre, 1, leaf("b"), leaf("c")), "=1 +2"},
		{"taken", w.commit("pf", w.pre, 0, leaf("z"), leaf("b"), leaf("a"), leaf("d")), "tree.index =1 tree.index +3"},
		{"gap", w.commit("pf", w.pre, 5, leaf("g")), "tree.gap"},
		{"a party of the consortium", w.commit("shop", w.pre, 4, leaf("s")), "+4"},
		{"no writer", w.commit("b-sha", w.only, 0, leaf("w")), "not-authorised"},
		{"no such tree", w.commit("a-sha", 99, 0, leaf("w")), "tree.unknown"},
		{"an index in a log", w.commit("a-sha", w.log, 9, leaf("w")), "record.malformed"},
		{"another's signature", forged, "signature.invalid"},
		{"for another tree", moved, "signature.invalid"},
		{"changed", changed, "signature.invalid"},
		{"for another log", elsewhere, "signature.invalid"},
		{"a stranger", stranger, "submission.issuer"},
		{"tree 0", w.commit("a-sha", 0, 0, leaf("w")), "record.malformed"},
		{"no leaf", w.commit("a-sha", w.log, 0), "record.malformed"},
		{"a short identity", w.commit("a-sha", w.log, 0, forest.Leaf{Identity: make([]byte, 31)}), "record.malformed"},
		{"an index beyond all", w.commit("a-sha", w.pre, 1<<63, leaf("w")), "record.malformed"},
		{"a large leaf", w.commit("a-sha", w.log, 0, forest.Leaf{Value: make([]byte, record.MaxTreeLeaf+1)}), "record.oversize"},
		{"large extra data", w.commit("a-sha", w.log, 0, forest.Leaf{Extra: make([]byte, record.MaxTreeExtra+1)}), "record.oversize"},
		{"many leaves", w.commit("a-sha", w.log, 0, make([]forest.Leaf, forest.MaxCommitLeaves+1)...), "record.malformed"},
		{"many bytes", w.commit("a-sha", w.log, 0, fits, fits, fits, fits, fits), "record.oversize"},
	} {
		before := len(w.n.leaves[w.log]) + len(w.n.leaves[w.pre]) + len(w.n.leaves[w.only])
		r := w.apply(c.commit.Entry())
		if got := outcomes(r); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if after := len(w.n.leaves[w.log]) + len(w.n.leaves[w.pre]) + len(w.n.leaves[w.only]); r.Refused != nil && after != before {
			t.Errorf("%s: refused, and left something", c.what)
		}
	}
	head := w.c.Head()
	if r := w.apply(w.commit("a-sha", w.log, 0, leaf("t")).Entry()); r.TimeMs != head.TimeMs || r.Outcomes[0].TimeMs != head.TimeMs {
		t.Errorf("time %d, the last batch's is %d", r.TimeMs, head.TimeMs)
	}
}

// TestRoom: what waits for a batch is bounded by what it takes, tiles included,
// and a commit that brings nothing new needs no room.
func TestRoom(t *testing.T) {
	w := newWorld(t)
	var leaves []forest.Leaf
	for i := range 256 {
		leaves = append(leaves, leaf(fmt.Sprint(i)))
	}
	first, last := w.commit("a-sha", w.log, 0, leaves[:255]...), w.commit("a-sha", w.log, 0, leaves[255])
	w.apply(first.Entry())
	w.room = 2 * 8192 // one leaf, and two full tiles
	if got := outcomes(w.apply(last.Entry())); got != "tree.busy" {
		t.Errorf("beyond the room: %s", got)
	}
	w.room = 20 << 10
	r := w.apply(last.Entry())
	if got := outcomes(r); got != "+255" || len(r.Tiles) != 1 || len(r.Extra) != 1 || r.Cost <= 2*8192 || r.Cost > w.room {
		t.Errorf("with room: %s, cost %d", got, r.Cost)
	}
	w.room = 0
	if r := w.apply(last.Entry()); outcomes(r) != "=255" || r.Cost != 0 {
		t.Errorf("again: %s, cost %d", outcomes(r), r.Cost)
	}
}

// TestTwin compares random commits with lists that are searched from end to end.
func TestTwin(t *testing.T) {
	w := newWorld(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	want := map[uint64][]record.Digest{}
	for range 300 {
		tree := []uint64{w.log, w.pre}[rnd.IntN(2)]
		first := uint64(0)
		if tree == w.pre {
			first = uint64(max(0, len(want[tree])-rnd.IntN(3)+rnd.IntN(2)))
		}
		var leaves []forest.Leaf
		for range 1 + rnd.IntN(8) {
			l := leaf(fmt.Sprint(rnd.IntN(400)))
			if rnd.IntN(4) == 0 {
				l.Extra = []byte{byte(rnd.IntN(3))}
			}
			if rnd.IntN(4) == 0 {
				l.Identity = bytes.Repeat([]byte{byte(rnd.IntN(100))}, 32)
			}
			leaves = append(leaves, l)
		}
		r := w.apply(w.commit("a-sha", tree, first, leaves...).Entry())
		for i := range leaves {
			list, id, at := want[tree], leaves[i].ID(), first+uint64(i)
			there := slices.Index(list, id)
			var say forest.Outcome
			switch {
			case tree == w.log && there >= 0, tree == w.pre && there == int(at):
				say = forest.Outcome{Index: uint64(there), Duplicate: true}
			case tree == w.pre && (there >= 0 || at < uint64(len(list))):
				say = forest.Outcome{Index: at, Refused: record.CodeTreeIndex}
				if there >= 0 {
					say.Index = uint64(there)
				}
			case tree == w.pre && at > uint64(len(list)):
				say = forest.Outcome{Refused: record.CodeTreeGap}
			default:
				say = forest.Outcome{Index: uint64(len(list)), TimeMs: w.c.Head().TimeMs}
				want[tree] = append(list, id)
			}
			if there < 0 {
				say.Index = max(say.Index, 0)
			}
			if r.Outcomes[i] != say {
				t.Fatalf("leaf %d at %d: %+v, want %+v", i, at, r.Outcomes[i], say)
			}
		}
	}
	if len(want[w.log]) < 100 || len(want[w.pre]) < 20 {
		t.Fatalf("%d and %d leaves: the draw shows little", len(want[w.log]), len(want[w.pre]))
	}
}

func TestAnchored(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		l := leaf(fmt.Sprint(i))
		if i >= 20 {
			l.Extra = []byte("extra")
		}
		r := w.apply(w.commit("a-sha", w.log, 0, l).Entry())
		at := forest.Roots{Leaves: r.Next.Leaves.Root(), Extra: r.Next.Extra.Root()}
		a := forest.Advance(w.log, r.Next.Size(), at.Leaves, at.Extra)
		if !forest.Anchored(a, at) {
			t.Fatalf("size %d: a true advance is false", a.Size)
		}
		if (len(a.Extra) == 0) != (i < 20) {
			t.Fatalf("size %d: extra root of %d bytes", a.Size, len(a.Extra))
		}
		for name, change := range map[string]func(a *record.TreeAdvance){
			"root":        func(a *record.TreeAdvance) { a.Root[0] ^= 1 },
			"extra root":  func(a *record.TreeAdvance) { a.Extra = make([]byte, 32) },
			"without one": func(a *record.TreeAdvance) { a.Extra = nil },
		} {
			lie := *a
			change(&lie)
			if name == "without one" && i < 20 {
				continue
			}
			if forest.Anchored(&lie, at) {
				t.Errorf("size %d: another %s passes", a.Size, name)
			}
		}
	}
	if forest.NoExtra(0) != merkle.EmptyRoot() {
		t.Error("the root over no extra data at all is not that of no leaves")
	}
	empty := forest.Advance(w.log, 0, merkle.EmptyRoot(), merkle.EmptyRoot())
	if !forest.Anchored(empty, forest.Roots{Leaves: merkle.EmptyRoot(), Extra: merkle.EmptyRoot()}) {
		t.Error("the advance that opens a tree is false")
	}
}

// FuzzApply: no entry makes the function panic or fail, and what it takes is what
// a second application refuses to take again.
func FuzzApply(f *testing.F) {
	seed := newWorld(f)
	for _, c := range []*forest.Commit{
		seed.commit("a-sha", seed.log, 0, leaf("a"), leaf("b")), seed.commit("b-sha", seed.pre, 0, leaf("a")),
		seed.commit("pf", seed.pre, 7, forest.Leaf{Extra: []byte("x"), Identity: make([]byte, 32)}),
	} {
		f.Add(c.Entry())
	}
	f.Add([]byte{})
	f.Add([]byte{0x74})
	f.Add(append([]byte{0x74}, canon.Must(&record.Header{})...))
	f.Fuzz(func(t *testing.T, entry []byte) {
		w := &world{t: t, c: seed.c, n: &naive{map[uint64][]forest.Leaf{}}, room: forest.MaxPending}
		r := w.apply(entry)
		if r.Refused != nil {
			return
		}
		for i, o := range w.apply(entry).Outcomes {
			if first := r.Outcomes[i]; first.Refused == "" && (!o.Duplicate || o.Index != first.Index) {
				t.Fatalf("leaf %d: %+v, then %+v", i, first, o)
			}
		}
	})
}
