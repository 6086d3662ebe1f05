package register

import (
	"runtime"
	"testing"
)

// reachable marks the nodes below r.
func (a *arena) reachable(r ref, seen map[ref]bool) {
	if r == 0 || seen[r] {
		return
	}
	seen[r] = true
	if n := a.nodes.at(r); n.isBranch() {
		a.reachable(n.kids[0], seen)
		a.reachable(n.kids[1], seen)
	}
}

// TestGoneTreesAreReclaimed: what only trees had that nobody can ask any more is
// free again, and what a tree that is kept has is not.
func TestGoneTreesAreReclaimed(t *testing.T) {
	mem, writes := MemLeaves(), testWrites(0, 3000)
	kept := mustUpdate(t, Empty(Options{CacheKeys: 800}), mem, writes)
	mem.Apply(writes)
	frozen := memOf(mem.list())
	a, tree := kept.arena, kept
	for i := range 30 {
		batch := testWrites(i*50, 200)
		for j := range batch {
			batch[j].Value = append(batch[j].Value, byte(i))
		}
		mustUpdate(t, tree, mem, batch[:100]) // thrown away
		tree = mustUpdate(t, tree, mem, batch)
		mem.Apply(batch)
	}
	for rounds := 0; ; rounds++ {
		want := map[ref]bool{}
		a.reachable(kept.root, want)
		a.reachable(tree.root, want)
		if len(want)+len(a.nodes.free) == int(a.nodes.used) {
			break
		}
		if rounds == 10_000 {
			t.Fatalf("%d nodes in use, %d free of %d", len(want), len(a.nodes.free), a.nodes.used)
		}
		runtime.GC()
		runtime.Gosched()
		a.edits.Lock()
		a.reclaim()
		a.edits.Unlock()
	}
	checkArena(t, a)
	for _, w := range writes[:50] {
		for _, c := range []struct {
			tree *Tree
			l    Leaves
		}{{kept, frozen}, {tree, mem}} {
			p, err := c.tree.Prove(c.l, w.Key)
			if err == nil {
				_, _, err = Verify(c.tree.Root(), w.Key, p)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	runtime.KeepAlive(kept)
}
