package merkle

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// An Edge is all that must be known of a tree to go on with it: the roots of the
// perfect subtrees that make it up, largest first, one for each bit of its size.
type Edge struct {
	Size  uint64
	Roots []Hash
}

// Edge returns the edge that the log had at an earlier size. It fails with
// [ErrBeyond] for a later one.
func (v *View) Edge(size uint64, r TileReader) (Edge, error) {
	if size > v.size {
		return Edge{}, v.beyond(size)
	}
	roots, err := v.fetch(compact.RangeNodes(0, size, nil), r)
	if err != nil {
		return Edge{}, fmt.Errorf("edge at size %d: %w", size, err)
	}
	return Edge{size, roots}, nil
}

// Fits reports whether there are as many roots as the size has bits set. Of an
// edge that does not fit nothing else may be asked.
func (e Edge) Fits() bool { return len(e.Roots) == bits.OnesCount64(e.Size) }

// Root returns the root hash.
func (e Edge) Root() Hash { return foldEdge(e.Roots) }

// With returns the edge after further leaves, by their hashes.
func (e Edge) With(leaves ...Hash) Edge {
	next := Edge{e.Size, slices.Clone(e.Roots)}
	for _, node := range leaves {
		for n := next.Size; n&1 == 1; n >>= 1 {
			last := len(next.Roots) - 1
			node, next.Roots = NodeHash(next.Roots[last], node), next.Roots[:last]
		}
		next.Roots = append(next.Roots, node)
		next.Size++
	}
	return next
}
