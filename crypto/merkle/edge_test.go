package merkle

import (
	"encoding/binary"
	"testing"
)

type noTiles struct{}

func (noTiles) Tile(TileID) ([]byte, error) { return nil, ErrTile }

// Every edge of a small tree, with every number of leaves behind it, leads to
// the tree's own roots.
func TestEdge(t *testing.T) {
	const n = 70
	hashes := make([]Hash, n)
	for i := range hashes {
		hashes[i] = LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	tree := New()
	tree.Append(hashes...)
	for size := range uint64(n + 1) {
		e, err := tree.View().Edge(size, noTiles{})
		if err != nil || !e.Fits() || e.Root() != RootOf(hashes[:size]) {
			t.Fatalf("edge at size %d: %v, fits %v", size, err, e.Fits())
		}
		for more := uint64(0); size+more <= n; more++ {
			next := e.With(hashes[size : size+more]...)
			if next.Size != size+more || !next.Fits() || next.Root() != RootOf(hashes[:size+more]) {
				t.Fatalf("edge at size %d with %d more leaves: size %d", size, more, next.Size)
			}
		}
	}
	if _, err := tree.View().Edge(n+1, noTiles{}); err == nil {
		t.Error("an edge beyond the tree")
	}
	if (Edge{Size: 3, Roots: hashes[:1]}).Fits() {
		t.Error("one root for a size with two bits")
	}
}
