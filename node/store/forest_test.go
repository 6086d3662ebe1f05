package store

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// grove is a ledger on disk with one commitment tree, and what it must hold.
type grove struct {
	*follow
	id      uint64
	leaves  []forest.Leaf
	entries [][]byte // since the last batch: what Raft would deliver again
}

func newGrove(t testing.TB) *grove {
	g := &grove{follow: newFollow(t)}
	rec := &record.Record{Kind: record.KindTree, ID: g.c.ID(), Issuer: "a-sha", Body: &record.Tree{Name: "log", Type: record.TreeLog}}
	g.id = rules.TreeID(record.Digest(merkle.LeafHash(g.c.Leaf(rec))))
	g.follow.post("a-sha", rec)
	return g
}

func (g *grove) batch(recs ...*record.Record) *Batch {
	g.t.Helper()
	g.entries = nil
	return g.follow.post("a-sha", recs...)
}

func (g *grove) deliver(entry []byte) *forest.Result {
	g.t.Helper()
	g.n++
	res, err := g.l.Commit(g.n, entry)
	if err != nil {
		g.t.Fatal(err)
	}
	return res
}

func (g *grove) commit(leaves ...forest.Leaf) *forest.Result {
	g.t.Helper()
	c := &forest.Commit{Tree: g.id, Issuer: "a-sha", Leaves: leaves}
	c.Sign(g.c.Keys["a-sha"], g.c.Origin)
	g.entries = append(g.entries, c.Entry())
	res := g.deliver(c.Entry())
	g.leaves = append(g.leaves, res.New...)
	return res
}

func (g *grove) roots(size int) forest.Roots {
	var leaves, extra []merkle.Hash
	for _, l := range g.leaves[:size] {
		leaves, extra = append(leaves, merkle.LeafHash(l.Value)), append(extra, merkle.LeafHash(l.Extra))
	}
	return forest.Roots{Leaves: merkle.RootOf(leaves), Extra: merkle.RootOf(extra)}
}

func (g *grove) advance(size int) *record.Record {
	at := g.roots(size)
	return &record.Record{Kind: record.KindTreeAdvance, Body: forest.Advance(g.id, uint64(size), at.Leaves, at.Extra)}
}

func (g *grove) reader() *TreeReader {
	g.t.Helper()
	r, err := g.l.State().CommitmentTree(g.id)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// check reads every leaf in every way, and proofs at a few sizes.
func (g *grove) check() {
	g.t.Helper()
	r := g.reader()
	if r.Size != uint64(len(g.leaves)) {
		g.t.Fatalf("%d leaves are written, want %d", r.Size, len(g.leaves))
	}
	n := 0
	err := r.Range(0, r.Size, func(l *TreeLeaf) error {
		want := g.leaves[n]
		if l.Index != uint64(n) || !bytes.Equal(l.Value, want.Value) || !bytes.Equal(l.Extra, want.Extra) || l.ID() != want.ID() || l.TimeMs == 0 {
			g.t.Fatalf("leaf %d: %+v", n, l)
		}
		n++
		return nil
	})
	if err != nil || n != len(g.leaves) {
		g.t.Fatalf("%d leaves, %v", n, err)
	}
	for _, size := range []int{1, 255, 256, 257, 300, len(g.leaves)} {
		if size > len(g.leaves) {
			continue
		}
		root, err := r.RootAt(uint64(size))
		if err != nil || root != g.roots(size).Leaves {
			g.t.Fatalf("root at %d: %v", size, err)
		}
		for _, i := range []int{0, size / 2, size - 1} {
			path, err := r.Inclusion(uint64(i), uint64(size))
			if err == nil {
				err = merkle.VerifyInclusion(g.leaves[i].Hash(), uint64(i), uint64(size), path, root)
			}
			if err != nil {
				g.t.Fatal(err)
			}
			if path, err = r.ExtraInclusion(uint64(i), uint64(size)); err == nil {
				err = merkle.VerifyInclusion(merkle.LeafHash(g.leaves[i].Extra), uint64(i), uint64(size), path, g.roots(size).Extra)
			}
			if err != nil {
				g.t.Fatal(err)
			}
			at, found, err := r.Find(g.leaves[i].ID())
			if err != nil || !found || at != uint64(i) {
				g.t.Fatalf("leaf %d by identity: %d, %v, %v", i, at, found, err)
			}
		}
		path, err := r.Consistency(uint64(size/2), uint64(size))
		if err == nil {
			err = merkle.VerifyConsistency(uint64(size/2), uint64(size), path, g.roots(size/2).Leaves, root)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

func numbered(from, n int) (out []forest.Leaf) {
	for i := range n {
		l := forest.Leaf{Value: fmt.Appendf(nil, "leaf %d", from+i)}
		if (from+i)%7 == 0 {
			l.Value = bytes.Repeat(l.Value, 500) // a segment of its own
		}
		if (from+i)%5 == 0 {
			l.Extra = []byte("extra")
		}
		out = append(out, l)
	}
	return out
}

// TestCommitsAcrossCrash: commits between two batches are in memory; a crash loses
// them all, Raft delivers them again, and everything is as it would have been.
func TestCommitsAcrossCrash(t *testing.T) {
	g := newGrove(t)
	for round := range 4 {
		g.commit(numbered(round*300, 100)...)
		g.commit(numbered(round*300+90, 60)...) // ten again
		if size := g.reader().Size; size != uint64(round*150) {
			t.Fatalf("round %d: %d leaves are written before a batch", round, size)
		}
		if round%2 == 1 { // a crash
			before := g.l.RaftIndex()
			g.l.db.Close()
			g.open()
			if at := g.l.RaftIndex(); at != before-uint64(len(g.entries)) {
				t.Fatalf("Raft index %d after a crash, %d before, %d commits since the batch", at, before, len(g.entries))
			}
			g.n = g.l.RaftIndex()
			for _, e := range g.entries {
				if r := g.deliver(e); r.Refused != nil || len(r.New) == 0 {
					t.Fatalf("delivered again: %+v", r)
				}
			}
		}
		b := g.batch(g.advance(len(g.leaves)))
		if a := g.reader().Anchor; a == nil || a.Size != uint64(len(g.leaves)) || a.Height != b.End.Height || a.TimeMs != b.End.TimeMs || a.Record == (record.ID{}) {
			t.Fatalf("round %d: anchor %+v", round, a)
		}
		g.check()
	}
	g.l.db.Close()
	g.open()
	g.check()
	r := g.commit(forest.Leaf{Value: []byte("last")})
	if at := (forest.Roots{Leaves: r.Next.Leaves.Root(), Extra: r.Next.Extra.Root()}); r.First != 600 || at != g.roots(601) {
		t.Fatalf("after all: leaf %d, %+v", r.First, at)
	}
	if l, ok := g.l.GrowingLeaf(g.id, 600); !ok || string(l.Value) != "last" || l.TimeMs != g.l.State().TimeMs {
		t.Fatalf("a leaf that waits for a batch: %+v", l)
	}
	if _, ok := g.l.GrowingLeaf(g.id, 599); ok {
		t.Error("a written leaf grows")
	}
	if g.same(); g.l.CountFalseAdvances() != 0 {
		t.Error("a true advance counts as false")
	}
}

// TestFalseAdvance: what an advance says falsely is kept as evidence, and neither
// stops anything nor becomes what proofs lean on.
func TestFalseAdvance(t *testing.T) {
	g := newGrove(t)
	g.commit(numbered(0, 10)...)
	g.batch(g.advance(10))
	g.commit(numbered(10, 300)...)
	lies := map[string]func(a *record.TreeAdvance){
		"root":   func(a *record.TreeAdvance) { a.Root[3] ^= 1 },
		"extra":  func(a *record.TreeAdvance) { a.Extra = nil },
		"beyond": func(a *record.TreeAdvance) { a.Size += 1000 },
	}
	n := uint64(0)
	for i, what := range []string{"root", "extra", "beyond"} {
		lie := g.advance(20 + i)
		lies[what](lie.Body.(*record.TreeAdvance))
		b := g.batch(lie)
		if len(b.Result.Outcomes[0].Refused) != 0 {
			t.Fatalf("%s: the rules refuse what only the trees know", what)
		}
		if n++; g.l.CountFalseAdvances() != n || g.reader().Anchor.Size != 10 {
			t.Fatalf("%s: %d false ones, anchor %+v", what, g.l.CountFalseAdvances(), g.reader().Anchor)
		}
		g.l.db.Close()
		g.open()
		g.n = g.l.RaftIndex()
	}
	if g.l.CountFalseAdvances() != 3 {
		t.Error("evidence is lost with the process")
	}
	err := g.l.State().FalseAdvances(0, func(f *FalseAdvance) error {
		leaf, err := g.l.State().Leaf(f.LogIndex)
		if err != nil {
			return err
		}
		rec, err := record.Parse(leaf)
		if err != nil || rec.ID != f.Record || rec.Issuer != f.Issuer || f.Issuer != "a-sha" || f.Tree != g.id || f.HaveSize != 310 {
			t.Errorf("evidence %+v does not name its record: %v", f, err)
		}
		n--
		return err
	})
	if err != nil || n != 0 {
		t.Errorf("%d false advances are not kept, %v", n, err)
	}
	g.check()
}

// TestPendingRoom: beyond what one transaction may hold, commits are refused until
// a batch is written, and the fullest batch with the fullest commits fits.
func TestPendingRoom(t *testing.T) {
	g := newGrove(t)
	g.nearSpan(idLag)
	full, pending := 0, map[uint64]*growing(nil)
	for i := 0; full < 3; i++ {
		leaves := make([]forest.Leaf, 500)
		for j := range leaves {
			leaves[j] = forest.Leaf{Value: fmt.Appendf(nil, "%d/%d", i, j), Identity: bytes.Repeat(fmt.Appendf(nil, "%08d", i*500+j), 4)}
		}
		if i%3 == 0 {
			leaves = []forest.Leaf{{Value: bytes.Repeat([]byte{byte(i)}, record.MaxTreeLeaf)}}
		}
		if r := g.commit(leaves...); r.Refused != nil {
			if full++; r.Refused.Code != record.CodeTreeBusy {
				t.Fatal(r.Refused)
			}
		}
	}
	if p := g.l.Pending(); p < forest.MaxPending*3/4 || p > forest.MaxPending {
		t.Errorf("%d bytes wait", p)
	}
	for _, valueBytes := range []int{27 << 10, 19} { // each alone, with what is pending
		growing := maps.Clone(g.l.trees.growing)
		if valueBytes == 19 {
			g.nearSpan(idLag)
			g.l.trees.growing = pending
		}
		if _, err := g.l.commit(g.l.State(), heaviest(g.l.State(), valueBytes), g.n+1); err != nil {
			t.Fatal(err)
		}
		pending = growing
	}
	if g.l.Pending() != 0 {
		t.Error("a batch leaves something pending")
	}
	g.check()
}

func TestFindHash(t *testing.T) {
	g := newGrove(t)
	same := []byte("same")
	h := merkle.LeafHash(same)
	other := merkle.LeafHash([]byte("other"))
	g.commit(forest.Leaf{Value: same, Identity: bytes.Repeat([]byte{1}, 32)}, forest.Leaf{Value: []byte("x"), Identity: other[:]})
	g.commit(forest.Leaf{Value: same}, forest.Leaf{Value: same, Identity: bytes.Repeat([]byte{2}, 32)})
	g.batch(g.advance(4))
	r := g.reader()
	for _, c := range []struct {
		hash merkle.Hash
		most int
		want string
	}{{h, 64, "[0 2 3]"}, {h, 2, "[0 2]"}, {h, 1, "[0]"}, {other, 64, "[]"}, {merkle.LeafHash([]byte("x")), 64, "[1]"}} {
		got, err := r.FindHash(c.hash, c.most)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%v: %v %v, want %s", c.hash, got, err, c.want)
		}
	}
}
