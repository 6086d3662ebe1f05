package register

import (
	"fmt"
	"slices"
	"sort"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// Tree is the register at one height, without the values. It is immutable and
// safe for concurrent use; trees that come of one another share nodes and one
// cache. It holds fewer than 2^32 leaves.
type Tree struct {
	root  *node
	cache *cache
}

// Empty returns the tree without leaves; its root is 32 zero bytes.
func Empty(opts Options) *Tree { return &Tree{cache: newCache(opts)} }

// Root returns the root hash.
func (t *Tree) Root() merkle.Hash { return hashOf(t.root) }

// Len returns the number of leaves.
func (t *Tree) Len() int { return int(t.root.count()) }

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
	e := &edit{leaves: l}
	root, err := e.apply(t.root, KeyHash{}, 0, changes)
	if err != nil {
		return nil, err
	}
	t.cache.settle(e.stale, e.fresh)
	return &Tree{root: root, cache: t.cache}, nil
}

// edit makes the nodes of a new tree. Groups that it makes hold their entries
// until the cache settles which may.
type edit struct {
	leaves Leaves
	fresh  []*node // groups made
	stale  []*node // groups replaced, some of them fresh
}

// apply returns what becomes of the subtree below prefix, its first depth
// bits, by sorted changes that all lie in it.
func (e *edit) apply(n *node, prefix KeyHash, depth int, changes []change) (*node, error) {
	if len(changes) == 0 {
		return n, nil
	}
	if !n.isBranch() {
		return e.applyGroup(n, prefix, depth, changes)
	}
	at := sort.Search(len(changes), func(i int) bool { return changes[i].kh.bit(depth) == 1 })
	left, err := e.apply(n.left, prefix, depth+1, changes[:at])
	if err != nil {
		return nil, err
	}
	right, err := e.apply(n.right, prefix.with(depth), depth+1, changes[at:])
	if err != nil {
		return nil, err
	}
	if left == n.left && right == n.right {
		return n, nil
	}
	return e.join(left, right, prefix, depth)
}

func (e *edit) applyGroup(n *node, prefix KeyHash, depth int, changes []change) (*node, error) {
	entries, err := entriesOf(n, e.leaves, prefix, depth)
	if err != nil {
		return nil, err
	}
	merged, differs := merge(entries, changes)
	if !differs {
		return n, nil
	}
	if n != nil {
		e.stale = append(e.stale, n)
	}
	return e.build(merged, depth), nil
}

// build makes the subtree of sorted entries that share depth bits. It copies
// what it keeps of them.
func (e *edit) build(entries []entry, depth int) *node {
	if len(entries) == 0 {
		return nil
	}
	if len(entries) <= groupSize {
		group := newGroup(slices.Clone(entries), depth)
		e.fresh = append(e.fresh, group)
		return group
	}
	left, right := split(entries, depth)
	return newBranch(e.build(left, depth+1), e.build(right, depth+1))
}

// join makes the subtree over two; of few leaves it makes one group.
func (e *edit) join(left, right *node, prefix KeyHash, depth int) (*node, error) {
	if left.count()+right.count() > groupSize {
		return newBranch(left, right), nil
	}
	// A fresh child still holds its entries; another lies beside every
	// write, so that the leaves before the writes are its leaves too.
	entries, err := entriesOf(left, e.leaves, prefix, depth+1)
	if err != nil {
		return nil, err
	}
	more, err := entriesOf(right, e.leaves, prefix.with(depth), depth+1)
	if err != nil {
		return nil, err
	}
	for _, child := range []*node{left, right} {
		if child != nil {
			e.stale = append(e.stale, child)
		}
	}
	return e.build(slices.Concat(entries, more), depth), nil
}

// entriesOf returns a group's entries, from the cache or by a scan that is
// checked against the group.
func entriesOf(n *node, l Leaves, prefix KeyHash, depth int) ([]entry, error) {
	if n == nil {
		return nil, nil
	}
	if held := n.held.Load(); held != nil {
		return *held, nil
	}
	entries := make([]entry, 0, n.leaves)
	err := scan(l, prefix, depth, func(en entry) error {
		if len(entries) == int(n.leaves) {
			return fmt.Errorf("%w: over %d below %x/%d", ErrLeaves, n.leaves, prefix[:(depth+7)/8], depth)
		}
		entries = append(entries, en)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(entries) != int(n.leaves) || subtreeHash(entries, depth) != n.hash {
		return nil, fmt.Errorf("%w: other hash below %x/%d", ErrLeaves, prefix[:(depth+7)/8], depth)
	}
	return entries, nil
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
