package merkle

import (
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// View is a tree at one size. It is immutable and safe for concurrent use, as
// far as the [TileReader] given to each call is.
type View struct {
	size   uint64
	levels [][]Hash
	edge   []Hash
}

// Size returns the number of leaves.
func (v *View) Size() uint64 { return v.size }

// Root returns the root hash; that of no leaves is [EmptyRoot].
func (v *View) Root() Hash { return foldEdge(v.edge) }

// nodes returns how many hashes the view has on a tile level.
func (v *View) nodes(level uint8) uint64 {
	if level > 63/TileHeight {
		return 0
	}
	return v.size >> (TileHeight * uint(level))
}

// Tile returns the first width hashes of a tile, 32 bytes each: the whole tile
// at width 256. It fails with [ErrBeyond] where the view has fewer, or width
// is not in 1..256.
func (v *View) Tile(id TileID, width int, r TileReader) ([]byte, error) {
	n := v.nodes(id.Level)
	tiles := n / TileWidth
	if width < 1 || width > TileWidth || id.Index > tiles ||
		(id.Index == tiles && uint64(width) > n%TileWidth) {
		return nil, fmt.Errorf("%w: tile %d/%d of width %d at size %d", ErrBeyond, id.Level, id.Index, width, v.size)
	}
	if id.Index == tiles {
		return tileBytes(v.levels[id.Level][:width]), nil
	}
	hashes, err := readTile(r, id)
	if err != nil {
		return nil, err
	}
	return tileBytes(hashes[:width]), nil
}

// RootAt returns the root that the log had at an earlier size. It fails with
// [ErrBeyond] for a later one.
func (v *View) RootAt(size uint64, r TileReader) (Hash, error) {
	if size > v.size {
		return Hash{}, v.beyond(size)
	}
	if size == v.size {
		return v.Root(), nil
	}
	edge, err := v.fetch(compact.RangeNodes(0, size, nil), r)
	if err != nil {
		return Hash{}, fmt.Errorf("root at size %d: %w", size, err)
	}
	return foldEdge(edge), nil
}

// InclusionProof returns the path of the leaf at index in the tree as it was
// at size. It fails with [ErrBeyond] unless index < size <= v.Size().
func (v *View) InclusionProof(index, size uint64, r TileReader) ([]Hash, error) {
	if size > v.size {
		return nil, v.beyond(size)
	}
	if index >= size {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrBeyond, index, size)
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("inclusion of leaf %d of %d: %w", index, size, err)
	}
	return v.prove(nodes, r)
}

// ConsistencyProof returns the path from the tree at oldSize to that at
// newSize, empty where oldSize is 0 or newSize. It fails with [ErrBeyond]
// unless oldSize <= newSize <= v.Size().
func (v *View) ConsistencyProof(oldSize, newSize uint64, r TileReader) ([]Hash, error) {
	if newSize > v.size {
		return nil, v.beyond(newSize)
	}
	if oldSize > newSize {
		return nil, fmt.Errorf("%w: size %d after size %d", ErrBeyond, oldSize, newSize)
	}
	nodes, err := proof.Consistency(oldSize, newSize)
	if err != nil {
		return nil, fmt.Errorf("consistency of %d with %d: %w", oldSize, newSize, err)
	}
	return v.prove(nodes, r)
}

func (v *View) beyond(size uint64) error {
	return fmt.Errorf("%w: size %d, have %d", ErrBeyond, size, v.size)
}

// prove fetches the nodes of a proof and joins those that make up a subtree
// which is not complete at the proof's size.
func (v *View) prove(nodes proof.Nodes, r TileReader) ([]Hash, error) {
	hashes, err := v.fetch(nodes.IDs, r)
	if err != nil {
		return nil, err
	}
	joined, err := nodes.Rehash(byteSlices(hashes), rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("merkle: rehash proof: %w", err)
	}
	path := make([]Hash, len(joined))
	for i := range joined {
		copy(path[i][:], joined[i])
	}
	return path, nil
}

// fetch returns the roots of perfect subtrees, reading each tile once.
func (v *View) fetch(ids []compact.NodeID, r TileReader) ([]Hash, error) {
	seen := make(map[TileID][]Hash, 4)
	out := make([]Hash, len(ids))
	for i, id := range ids {
		h, err := v.node(id, r, seen)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// node returns the root of a perfect subtree: a run of 1 to 128 hashes of one
// tile, joined.
func (v *View) node(id compact.NodeID, r TileReader, seen map[TileID][]Hash) (Hash, error) {
	within := id.Level % TileHeight
	first := id.Index << within
	tile := TileID{Level: uint8(id.Level / TileHeight), Index: first / TileWidth}
	row, ok := seen[tile]
	if !ok {
		var err error
		if row, err = v.row(tile, r); err != nil {
			return Hash{}, err
		}
		seen[tile] = row
	}
	begin := first % TileWidth
	return RootOf(row[begin : begin+1<<within]), nil
}

// row returns the hashes of a tile, from memory if it is the open one.
func (v *View) row(id TileID, r TileReader) ([]Hash, error) {
	if id.Index == v.nodes(id.Level)/TileWidth {
		return v.levels[id.Level], nil
	}
	return readTile(r, id)
}
