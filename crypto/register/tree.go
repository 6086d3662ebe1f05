package register

import (
	"fmt"
	"runtime"
	"slices"
	"sort"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// Tree is the register at one height, without the values. It is immutable and
// safe for concurrent use; trees that come of one another share nodes and one
// cache. It holds fewer than 2^32 leaves.
type Tree struct {
	root   ref
	hash   merkle.Hash
	leaves uint32
	arena  *arena
}

// Empty returns the tree without leaves; its root is 32 zero bytes.
func Empty(opts Options) *Tree { return newArena(opts).tree(0) }

// Root returns the root hash.
func (t *Tree) Root() merkle.Hash { return t.hash }

// Len returns the number of leaves.
func (t *Tree) Len() int { return int(t.leaves) }

// Update returns the tree after the writes; t stays as it is. l is the leaves
// before the writes, and the caller stores them. The last write to a key
// counts. It fails with [ErrValueSize], [ErrLeaves] or the error of l. A tree
// that is thrown away costs nothing but some entries of the cache.
func (t *Tree) Update(l Leaves, writes []Write) (*Tree, error) {
	changes, err := changesOf(writes)
	if err != nil {
		return nil, err
	}
	return t.update(l, changes)
}

func (t *Tree) update(l Leaves, changes []change) (*Tree, error) {
	defer runtime.KeepAlive(t)
	a := t.arena
	a.edits.Lock()
	defer a.edits.Unlock()
	a.reclaim()
	e := &edit{arena: a, leaves: l}
	root, err := e.apply(t.root, KeyHash{}, 0, changes)
	if err != nil {
		e.look.Lock()
		e.sweep()
		e.look.Unlock()
		return nil, err
	}
	return e.done(root), nil
}

// edit makes the nodes of a new tree. Groups that it makes hold their entries
// until the cache settles which may.
type edit struct {
	*arena
	leaves Leaves
	fresh  []ref // nodes made, children before those who have them
	stale  []ref // groups replaced, some of them fresh

	before, merged []entry // for one group at a time
}

// done returns the tree of a root.
func (e *edit) done(root ref) *Tree {
	t := e.tree(root)
	e.look.Lock()
	defer e.look.Unlock()
	for _, r := range e.stale {
		e.forget(e.nodes.at(r))
	}
	e.sweep()
	for _, r := range e.fresh {
		e.admit(r)
	}
	return t
}

// sweep frees what was made and nobody has. A branch that goes may leave children
// that nobody has: those are fresh too, and come later.
func (e *edit) sweep() {
	for _, r := range slices.Backward(e.fresh) {
		n := e.nodes.at(r)
		if n.refs > 0 {
			continue
		}
		if n.isBranch() {
			for _, kid := range n.kids[:2] {
				if kid != 0 {
					e.nodes.at(kid).refs--
				}
			}
		}
		e.free(r, n)
	}
}

// apply returns what becomes of the subtree below prefix, its first depth
// bits, by sorted changes that all lie in it.
func (e *edit) apply(at ref, prefix KeyHash, depth int, changes []change) (ref, error) {
	if len(changes) == 0 {
		return at, nil
	}
	if at == 0 || !e.nodes.at(at).isBranch() {
		return e.applyGroup(at, prefix, depth, changes)
	}
	kids := e.nodes.at(at).kids
	cut := sort.Search(len(changes), func(i int) bool { return changes[i].kh.bit(depth) == 1 })
	left, err := e.apply(kids[0], prefix, depth+1, changes[:cut])
	if err != nil {
		return 0, err
	}
	right, err := e.apply(kids[1], prefix.with(depth), depth+1, changes[cut:])
	if err != nil {
		return 0, err
	}
	if left == kids[0] && right == kids[1] {
		return at, nil
	}
	return e.join(left, right, prefix, depth)
}

func (e *edit) applyGroup(at ref, prefix KeyHash, depth int, changes []change) (ref, error) {
	var err error
	if e.before, err = e.appendEntries(e.before[:0], at, prefix, depth); err != nil {
		return 0, err
	}
	var differs bool
	if e.merged, differs = merge(e.merged[:0], e.before, changes); !differs {
		return at, nil
	}
	if at != 0 {
		e.stale = append(e.stale, at)
	}
	return e.build(e.merged, depth), nil
}

// build makes the subtree of sorted entries that share depth bits. It copies
// what it keeps of them.
func (e *edit) build(entries []entry, depth int) ref {
	if len(entries) == 0 {
		return 0
	}
	if len(entries) > groupSize {
		left, right := split(entries, depth)
		return e.branch(e.build(left, depth+1), e.build(right, depth+1))
	}
	r, n := e.newNode()
	n.hash, n.leaves = subtreeHash(entries, depth), uint32(len(entries))
	e.keep(n, entries)
	e.fresh = append(e.fresh, r)
	return r
}

func (e *edit) branch(left, right ref) ref {
	r, n := e.newNode()
	n.kids[0], n.kids[1] = left, right
	for _, kid := range n.kids[:2] {
		if kid != 0 {
			k := e.nodes.at(kid)
			k.refs++
			n.leaves += k.leaves
		}
	}
	n.hash = merkle.NodeHash(e.hashOf(left), e.hashOf(right))
	e.fresh = append(e.fresh, r)
	return r
}

// join makes the subtree over two; of few leaves it makes one group.
func (e *edit) join(left, right ref, prefix KeyHash, depth int) (ref, error) {
	if e.count(left)+e.count(right) > groupSize {
		return e.branch(left, right), nil
	}
	// A fresh child still holds its entries; another lies beside every
	// write, so that the leaves before the writes are its leaves too.
	var err error
	if e.before, err = e.appendEntries(e.before[:0], left, prefix, depth+1); err != nil {
		return 0, err
	}
	if e.before, err = e.appendEntries(e.before, right, prefix.with(depth), depth+1); err != nil {
		return 0, err
	}
	for _, kid := range []ref{left, right} {
		if kid != 0 {
			e.stale = append(e.stale, kid)
		}
	}
	return e.build(e.before, depth), nil
}

func (e *edit) count(r ref) uint32 {
	if r == 0 {
		return 0
	}
	return e.nodes.at(r).leaves
}

// appendEntries appends a group's entries, from the cache or by a scan.
func (e *edit) appendEntries(to []entry, at ref, prefix KeyHash, depth int) ([]entry, error) {
	if at == 0 {
		return to, nil
	}
	n := e.nodes.at(at)
	if n.holds() {
		return e.held(n, to), nil
	}
	return scanGroup(to, n, e.leaves, prefix, depth)
}

// scanGroup appends a group's entries by a scan that is checked against the group.
func scanGroup(to []entry, n *node, l Leaves, prefix KeyHash, depth int) ([]entry, error) {
	first := len(to)
	err := scan(l, prefix, depth, func(en entry) error {
		if len(to)-first == int(n.leaves) {
			return fmt.Errorf("%w: over %d below %x/%d", ErrLeaves, n.leaves, prefix[:(depth+7)/8], depth)
		}
		to = append(to, en)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(to)-first != int(n.leaves) || subtreeHash(to[first:], depth) != n.hash {
		return nil, fmt.Errorf("%w: other hash below %x/%d", ErrLeaves, prefix[:(depth+7)/8], depth)
	}
	return to, nil
}

// scan hashes the leaves below prefix, and refuses a store that gives others,
// or gives them out of order.
func scan(l Leaves, prefix KeyHash, depth int, fn func(entry) error) error {
	var last KeyHash
	first := true
	return l.Scan(prefix, depth, func(kh KeyHash, value []byte) error {
		if !kh.shares(&prefix, depth) || (!first && last.compare(&kh) >= 0) {
			return fmt.Errorf("%w: scan of %x/%d gave %x after %x", ErrLeaves, prefix[:(depth+7)/8], depth, kh, last)
		}
		if len(value) > MaxValueSize {
			return fmt.Errorf("%w: %d bytes under %x", ErrValueSize, len(value), kh)
		}
		first, last = false, kh
		return fn(entry{kh: kh, leaf: leafHash(&kh, value)})
	})
}
