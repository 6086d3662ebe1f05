package register

import (
	"sort"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// entry is a leaf as the tree knows it.
type entry struct {
	kh   KeyHash
	leaf merkle.Hash
}

// pair is two entries of a group next to each other; the second may be unused.
type pair [2]entry

// node is a subtree with at least one leaf; ref 0 is the empty one. It is a
// branch if it has over groupSize leaves, else a group.
type node struct {
	hash   merkle.Hash
	kids   [groupSize / len(pair{})]ref // a branch's left and right node; the pairs that a group holds, or none
	leaves uint32                       // in the subtree
	refs   uint32                       // branches and trees that have it
	slot   int32                        // a group's place in the cache's ring
	_      uint32                       // 64 bytes: one line of a processor's cache
}

const noSlot = -1

func (n *node) isBranch() bool { return n.leaves > groupSize }

// holds reports whether a group holds its entries.
func (n *node) holds() bool { return n.kids[0] != 0 }

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

// merge appends entries with changes applied, both sorted, to merged, and reports
// whether that made a difference.
func merge(merged, entries []entry, changes []change) (_ []entry, differs bool) {
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
