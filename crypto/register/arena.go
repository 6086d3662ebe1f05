package register

import (
	"runtime"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// arena is the memory of all trees that come of one another: nodes and entries
// name each other by number, so that the garbage collector, to which a million
// keys would be half a million objects, has nothing to follow in it.
//
// A node is free for reuse when neither a branch nor a tree has it. A tree counts
// until the garbage collector finds that nobody can ask it any more; the next edit
// takes its nodes back.
//
// There is one edit at a time. Nodes that a tree has do not change, but for what
// the cache says of a group; whoever reads a tree holds look meanwhile, and so does
// whoever changes that, frees nodes or makes room for more.
type arena struct {
	edits sync.Mutex // guards what is not said to be look's
	look  sync.RWMutex
	nodes slabs[node] // growing: look's
	pairs slabs[pair] // growing: look's
	cache cache

	dropping sync.Mutex
	dropped  []ref // roots of trees that are gone
}

// ref names a node or a pair in its arena; 0 is none.
type ref uint32

const slabBits = 9

// slabs are values without pointers, by number.
type slabs[T any] struct {
	rows []*[1 << slabBits]T
	used uint32 // numbers that were ever given out
	free []ref
}

func (s *slabs[T]) at(r ref) *T { return &s.rows[r>>slabBits][r&(1<<slabBits-1)] }

func (s *slabs[T]) full() bool {
	return len(s.free) == 0 && int(s.used)+1 >= len(s.rows)<<slabBits
}

// take returns a number that is free; its value is what it was.
func (s *slabs[T]) take() ref {
	if n := len(s.free); n > 0 {
		r := s.free[n-1]
		s.free = s.free[:n-1]
		return r
	}
	s.used++
	return ref(s.used)
}

func (s *slabs[T]) give(r ref) { s.free = append(s.free, r) }

func newArena(opts Options) *arena { return &arena{cache: newCache(opts)} }

// tree returns the tree of a root.
func (a *arena) tree(root ref) *Tree {
	t := &Tree{root: root, arena: a}
	if root != 0 {
		n := a.nodes.at(root)
		n.refs++
		t.hash, t.leaves = n.hash, n.leaves
		runtime.AddCleanup(t, a.drop, root)
	}
	return t
}

func (a *arena) drop(root ref) {
	a.dropping.Lock()
	defer a.dropping.Unlock()
	a.dropped = append(a.dropped, root)
}

// reclaim frees what only trees had that are gone.
func (a *arena) reclaim() {
	a.dropping.Lock()
	roots := a.dropped
	a.dropped = nil
	a.dropping.Unlock()
	if len(roots) == 0 {
		return
	}
	a.look.Lock()
	defer a.look.Unlock()
	for _, root := range roots {
		a.release(root)
	}
}

// release takes back what a tree or a branch had of a node.
func (a *arena) release(r ref) {
	if r == 0 {
		return
	}
	n := a.nodes.at(r)
	if n.refs--; n.refs > 0 {
		return
	}
	if n.isBranch() {
		a.release(n.kids[0])
		a.release(n.kids[1])
	}
	a.free(r, n)
}

// free takes a node that nobody has, whose children are dealt with.
func (a *arena) free(r ref, n *node) {
	if !n.isBranch() {
		a.forget(n)
	}
	*n = node{slot: noSlot}
	a.nodes.give(r)
}

// newNode returns a node that nobody has, and that says nothing.
func (a *arena) newNode() (ref, *node) {
	if a.nodes.full() {
		a.look.Lock()
		a.nodes.rows = append(a.nodes.rows, new([1 << slabBits]node))
		a.look.Unlock()
	}
	r := a.nodes.take()
	n := a.nodes.at(r)
	*n = node{slot: noSlot}
	return r, n
}

// keep stores a group's entries.
func (a *arena) keep(n *node, entries []entry) {
	for i := 0; i < len(entries); i += len(pair{}) {
		if a.pairs.full() {
			a.look.Lock()
			a.pairs.rows = append(a.pairs.rows, new([1 << slabBits]pair))
			a.look.Unlock()
		}
		r := a.pairs.take()
		copy(a.pairs.at(r)[:], entries[i:])
		n.kids[i/len(pair{})] = r
	}
}

// held appends the entries that a group holds, in order.
func (a *arena) held(n *node, to []entry) []entry {
	for i := range int(n.leaves) {
		to = append(to, a.pairs.at(n.kids[i/len(pair{})])[i%len(pair{})])
	}
	return to
}

// holdsKey reports whether one of the entries that a group holds is the key's.
func (a *arena) holdsKey(n *node, kh *KeyHash) bool {
	for i := range int(n.leaves) {
		if a.pairs.at(n.kids[i/len(pair{})])[i%len(pair{})].kh == *kh {
			return true
		}
	}
	return false
}

func (a *arena) hashOf(r ref) merkle.Hash {
	if r == 0 {
		return merkle.Hash{}
	}
	return a.nodes.at(r).hash
}

// forget takes a group's entries, and its place in the cache if it has one.
func (a *arena) forget(n *node) {
	for i, r := range n.kids {
		if r != 0 {
			a.pairs.give(r)
			n.kids[i] = 0
		}
	}
	if n.slot != noSlot {
		a.leave(n)
	}
}
