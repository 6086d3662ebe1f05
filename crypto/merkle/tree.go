package merkle

import (
	"errors"
	"fmt"
	"slices"
)

// Tile geometry of C2SP tlog-tiles.
const (
	TileHeight = 8               // levels of the tree that one tile spans
	TileWidth  = 1 << TileHeight // hashes in a full tile

	fullTileBytes = TileWidth * HashSize
)

var (
	// ErrBeyond: a size, leaf or tile that the tree at hand does not have.
	ErrBeyond = errors.New("merkle: beyond the tree")
	// ErrTile: a [TileReader] gave bytes that are no full tile.
	ErrTile = errors.New("merkle: malformed tile")
	// ErrTail: [Load] got a tail that does not fit the size.
	ErrTail = errors.New("merkle: tail does not fit the size")
)

// TileID names a hash tile of the full width.
type TileID struct {
	Level uint8  // 0 at the leaves; level L holds subtrees of 256^L leaves
	Index uint64 // from the left, counted in tiles
}

// FullTile is a tile that will never change again.
type FullTile struct {
	ID   TileID
	Data []byte // 256 hashes, 8192 bytes
}

// TileReader gives full hash tiles, as [Tree.Append] handed them out. The
// caller does not change the bytes.
type TileReader interface {
	Tile(id TileID) ([]byte, error)
}

// Tree grows a log. It holds the right edge only, about 8 kB a tile level.
// It is not safe for concurrent use; readers work on a [View].
//
// The zero Tree is empty and ready.
type Tree struct {
	size uint64

	// levels[L] are the hashes of the tile of level L that is not full yet,
	// len = size/256^L mod 256. Arrays are only ever appended to, never
	// rewritten, so that views share them.
	levels [][]Hash

	// edge are the roots of the perfect subtrees that make up the tree,
	// largest first: one for each bit of size.
	edge []Hash
}

// New returns the empty tree.
func New() *Tree { return &Tree{} }

// Load returns the tree of the given size from stored tiles. The tail is the
// leaf hashes of the last size%256 leaves; what the edge needs above them is
// computed from full tiles, at most 255 a level. It fails with [ErrTail],
// [ErrTile] or the reader's error. Compare the root with a trusted one after.
func Load(size uint64, r TileReader, tail []Hash) (*Tree, error) {
	if want := size % TileWidth; uint64(len(tail)) != want {
		return nil, fmt.Errorf("%w: %d leaf hashes for size %d, want %d", ErrTail, len(tail), size, want)
	}
	t := &Tree{size: size}
	for level := uint8(0); size>>(TileHeight*level) > 0; level++ {
		if level == 0 {
			t.levels = append(t.levels, append(newRow(), tail...))
			continue
		}
		row, err := loadRow(size, level, r)
		if err != nil {
			return nil, err
		}
		t.levels = append(t.levels, row)
	}
	t.edge = edgeOf(t.levels)
	return t, nil
}

// loadRow computes the hashes of the last, partial tile of a level above 0.
func loadRow(size uint64, level uint8, r TileReader) ([]Hash, error) {
	row := newRow()
	end := size >> (TileHeight * level)
	for i := end - end%TileWidth; i < end; i++ {
		hashes, err := readTile(r, TileID{Level: level - 1, Index: i})
		if err != nil {
			return nil, err
		}
		row = append(row, RootOf(hashes))
	}
	return row, nil
}

// edgeOf cuts each partial tile into perfect subtrees, largest first.
func edgeOf(levels [][]Hash) []Hash {
	var edge []Hash
	for _, row := range slices.Backward(levels) {
		for rest := row; len(rest) > 0; {
			n := largestPowerOfTwo(len(rest))
			edge = append(edge, RootOf(rest[:n]))
			rest = rest[n:]
		}
	}
	return edge
}

func largestPowerOfTwo(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}

func newRow() []Hash { return make([]Hash, 0, TileWidth) }

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the root hash; that of no leaves is [EmptyRoot].
func (t *Tree) Root() Hash { return foldEdge(t.edge) }

// foldEdge joins perfect subtrees, largest first, from the right.
func foldEdge(edge []Hash) Hash {
	if len(edge) == 0 {
		return EmptyRoot()
	}
	root := edge[len(edge)-1]
	for i := len(edge) - 2; i >= 0; i-- {
		root = NodeHash(edge[i], root)
	}
	return root
}

// Append adds leaves by their hashes, in order, and returns the tiles that
// became full on every level, lower levels before the tiles that rest on them.
// Store them before the size: a reader of the new size will ask for them.
func (t *Tree) Append(leaves ...Hash) []FullTile {
	var full []FullTile
	for _, leaf := range leaves {
		full = t.appendNode(0, leaf, full)
		node := leaf
		for level, n := uint8(1), t.size; n&1 == 1; level, n = level+1, n>>1 {
			last := len(t.edge) - 1
			node = NodeHash(t.edge[last], node)
			t.edge = t.edge[:last]
			if level%TileHeight == 0 {
				full = t.appendNode(level/TileHeight, node, full)
			}
		}
		t.edge = append(t.edge, node)
		t.size++
	}
	return full
}

// appendNode puts a hash into the open tile of a level, and starts a new one
// where that fills it. Called before t.size counts the leaf at hand.
func (t *Tree) appendNode(level uint8, node Hash, full []FullTile) []FullTile {
	if int(level) == len(t.levels) {
		t.levels = append(t.levels, newRow())
	}
	row := append(t.levels[level], node)
	if len(row) < TileWidth {
		t.levels[level] = row
		return full
	}
	t.levels[level] = newRow() // not row[:0]: views still read the old array
	id := TileID{Level: level, Index: t.size >> (TileHeight * (uint(level) + 1))}
	return append(full, FullTile{ID: id, Data: tileBytes(row)})
}

// Clone returns a tree that grows apart from t, for a batch that may be thrown
// away. It copies a few hundred bytes; open tiles are copied when they grow.
func (t *Tree) Clone() *Tree {
	return &Tree{size: t.size, levels: frozen(t.levels), edge: slices.Clone(t.edge)}
}

// View returns the tree as it is now, for readers in other goroutines.
func (t *Tree) View() *View {
	return &View{size: t.size, levels: frozen(t.levels), edge: slices.Clone(t.edge)}
}

// frozen shares the rows without room to grow: whoever appends copies first.
func frozen(levels [][]Hash) [][]Hash {
	out := make([][]Hash, len(levels))
	for i, row := range levels {
		out[i] = slices.Clip(row)
	}
	return out
}

func tileBytes(hashes []Hash) []byte {
	out := make([]byte, 0, len(hashes)*HashSize)
	for i := range hashes {
		out = append(out, hashes[i][:]...)
	}
	return out
}

// readTile fetches a full tile and checks its length.
func readTile(r TileReader, id TileID) ([]Hash, error) {
	data, err := r.Tile(id)
	if err != nil {
		return nil, fmt.Errorf("read tile %d/%d: %w", id.Level, id.Index, err)
	}
	if len(data) != fullTileBytes {
		return nil, fmt.Errorf("%w: tile %d/%d has %d bytes, want %d", ErrTile, id.Level, id.Index, len(data), fullTileBytes)
	}
	hashes := make([]Hash, TileWidth)
	for i := range hashes {
		copy(hashes[i][:], data[i*HashSize:])
	}
	return hashes, nil
}
