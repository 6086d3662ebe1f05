package register

import (
	"sort"
	"sync/atomic"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// entry is a leaf as the tree knows it.
type entry struct {
	kh   KeyHash
	leaf merkle.Hash
}

// node is a subtree with at least one leaf; nil is the empty one. It is a
// branch if it has over groupSize leaves, else a group. All but slot and held,
// which belong to the cache, is immutable.
type node struct {
	hash        merkle.Hash
	left, right *node  // of a branch
	leaves      uint32 // in the subtree

	slot int32                   // place in the cache's ring, guarded by its lock
	held atomic.Pointer[[]entry] // a group's leaves in order, or nil
}

const noSlot = -1

func (n *node) isBranch() bool { return n != nil && n.leaves > groupSize }

func (n *node) count() uint32 {
	if n == nil {
		return 0
	}
	return n.leaves
}

func hashOf(n *node) merkle.Hash {
	if n == nil {
		return merkle.Hash{}
	}
	return n.hash
}

func newBranch(left, right *node) *node {
	return &node{
		hash:   merkle.NodeHash(hashOf(left), hashOf(right)),
		left:   left,
		right:  right,
		leaves: left.count() + right.count(),
		slot:   noSlot,
	}
}

// newGroup takes 1 to groupSize sorted entries, and keeps the slice.
func newGroup(entries []entry, depth int) *node {
	n := &node{hash: subtreeHash(entries, depth), leaves: uint32(len(entries)), slot: noSlot}
	n.held.Store(&entries)
	return n
}

// split cuts sorted entries that share depth bits by the next one.
func split(entries []entry, depth int) (left, right []entry) {
	at := sort.Search(len(entries), func(i int) bool { return entries[i].kh.bit(depth) == 1 })
	return entries[:at], entries[at:]
}

// subtreeHash hashes sorted entries that share depth bits. Different key
// hashes part by bit 255, so it never looks at bit 256.
func subtreeHash(entries []entry, depth int) merkle.Hash {
	switch len(entries) {
	case 0:
		return merkle.Hash{}
	case 1:
		return entries[0].leaf
	}
	left, right := split(entries, depth)
	return merkle.NodeHash(subtreeHash(left, depth+1), subtreeHash(right, depth+1))
}

// merge applies changes to entries, both sorted, and reports whether that
// made a difference.
func merge(entries []entry, changes []change) (merged []entry, differs bool) {
	merged = make([]entry, 0, len(entries)+len(changes))
	for _, c := range changes {
		for len(entries) > 0 && entries[0].kh.compare(&c.kh) < 0 {
			merged, entries = append(merged, entries[0]), entries[1:]
		}
		var old merkle.Hash
		if len(entries) > 0 && entries[0].kh == c.kh {
			old, entries = entries[0].leaf, entries[1:]
		}
		differs = differs || old != c.leaf
		if c.leaf != (merkle.Hash{}) {
			merged = append(merged, entry(c))
		}
	}
	return append(merged, entries...), differs
}
