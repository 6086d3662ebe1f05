package forest

import (
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// NoExtra returns the RFC 6962 root over the extra data of size leaves that have
// none.
func NoExtra(size uint64) merkle.Hash {
	root, has := merkle.EmptyRoot(), false
	node := merkle.LeafHash(nil) // of 2^k such leaves
	for ; size > 0; size >>= 1 {
		if size&1 == 1 && has {
			root = merkle.NodeHash(node, root)
		} else if size&1 == 1 {
			root, has = node, true
		}
		node = merkle.NodeHash(node, node)
	}
	return root
}

// Advance returns what a tree.advance of a tree says.
func Advance(tree, size uint64, root, extra merkle.Hash) *record.TreeAdvance {
	a := &record.TreeAdvance{Tree: tree, Size: size, Root: record.Digest(root)}
	if extra != NoExtra(size) {
		a.Extra = extra[:]
	}
	return a
}

// Roots are a tree's roots at a size: over its leaves, and over their extra data.
type Roots struct{ Leaves, Extra merkle.Hash }

// Anchored reports whether an advance says what the tree has at its size. The
// caller has seen that the tree has that many leaves.
func Anchored(a *record.TreeAdvance, at Roots) bool {
	extra := NoExtra(a.Size)
	if len(a.Extra) != 0 {
		extra = merkle.Hash(a.Extra)
	}
	return merkle.Hash(a.Root) == at.Leaves && extra == at.Extra
}
