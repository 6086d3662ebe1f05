package merkle

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"
)

// tileMap stores full tiles and refuses to see one twice or change.
type tileMap map[TileID][]byte

func (m tileMap) keep(full []FullTile) {
	for _, tile := range full {
		if _, ok := m[tile.ID]; ok {
			panic(fmt.Sprintf("tile %v completed twice", tile.ID))
		}
		m[tile.ID] = tile.Data
	}
}

func (m tileMap) Tile(id TileID) ([]byte, error) {
	data, ok := m[id]
	if !ok {
		return nil, fmt.Errorf("no tile %v", id)
	}
	return data, nil
}

// reference is transparency-dev's test tree over the same leaf hashes.
func reference(leaves []Hash) *testonly.Tree {
	ref := testonly.New(rfc6962.DefaultHasher)
	for i := range leaves {
		ref.Append(leaves[i][:])
	}
	return ref
}

func rootAt(t testing.TB, v *View, size uint64, r TileReader) Hash {
	t.Helper()
	root, err := v.RootAt(size, r)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func sameBytes(t testing.TB, what string, got []Hash, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(g Hash, w []byte) bool { return string(g[:]) == string(w) }) {
		t.Fatalf("%s: got %x, want %x", what, got, want)
	}
}

// TestEverySmallSize compares roots, and proofs at earlier sizes, with the
// reference at every size up to 600.
func TestEverySmallSize(t *testing.T) {
	leaves := testLeaves(600)
	ref, rng := reference(leaves), testRand(t)
	tree, tiles := New(), tileMap{}
	for n := uint64(0); ; n++ {
		v := tree.View()
		if root := v.Root(); string(root[:]) != string(ref.HashAt(n)) || root != tree.Root() {
			t.Fatalf("root at size %d", n)
		}
		for range 3 {
			size := rng.Uint64N(n + 1)
			checkAt(t, v, ref, leaves, size, rng.Uint64N(size+1), tiles)
		}
		if n == uint64(len(leaves)) {
			break
		}
		tiles.keep(tree.Append(leaves[n]))
	}
	v := tree.View()
	for index := range v.Size() {
		checkAt(t, v, ref, leaves, v.Size(), index, tiles)
	}
}

// checkAt compares the view's answers about a size with the reference: root,
// consistency of old with size, inclusion of leaf old.
func checkAt(t *testing.T, v *View, ref *testonly.Tree, leaves []Hash, size, old uint64, r TileReader) {
	t.Helper()
	root := rootAt(t, v, size, r)
	if string(root[:]) != string(ref.HashAt(size)) {
		t.Fatalf("view of %d: root at %d", v.Size(), size)
	}
	path, err := v.ConsistencyProof(old, size, r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ref.ConsistencyProof(old, size)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, fmt.Sprintf("view of %d: %d before %d", v.Size(), old, size), path, want)
	if err := VerifyConsistency(old, size, path, rootAt(t, v, old, r), root); err != nil {
		t.Fatal(err)
	}
	if old == size {
		return
	}
	if path, err = v.InclusionProof(old, size, r); err != nil {
		t.Fatal(err)
	}
	if want, err = ref.InclusionProof(old, size); err != nil {
		t.Fatal(err)
	}
	sameBytes(t, fmt.Sprintf("view of %d: leaf %d of %d", v.Size(), old, size), path, want)
	if err := VerifyInclusion(leaves[old], old, size, path, root); err != nil {
		t.Fatal(err)
	}
}

// TestLargeSizes grows one log by random batches past the second tile level,
// and compares random sizes with the reference. Old views keep answering.
func TestLargeSizes(t *testing.T) {
	total := 200_000
	if testing.Short() {
		total = 70_000
	}
	leaves, rng := testLeaves(total), testRand(t)
	ref := reference(leaves)
	tree, tiles := New(), tileMap{}
	views := []*View{tree.View()}
	for at := 0; at < total; {
		n := min(1+rng.IntN(2000), total-at)
		tiles.keep(tree.Append(leaves[at : at+n]...))
		at += n
		views = append(views, tree.View())
	}
	if got, want := len(tiles), total/TileWidth+total/TileWidth/TileWidth; got != want {
		t.Errorf("%d full tiles, want %d", got, want)
	}
	for _, v := range views {
		if root := v.Root(); string(root[:]) != string(ref.HashAt(v.Size())) {
			t.Fatalf("old view of %d: root", v.Size())
		}
		for range 4 {
			size := rng.Uint64N(v.Size() + 1)
			checkAt(t, v, ref, leaves, size, rng.Uint64N(size+1), tiles)
		}
	}
}

// TestTilesMatchTlog compares every tile, full and partial, with those that
// golang.org/x/mod/sumdb/tlog cuts, which stores all nodes in its own order.
func TestTilesMatchTlog(t *testing.T) {
	const total = 66_000
	leaves := testLeaves(total)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = stored[at]
		}
		return out, nil
	})
	tree, tiles := New(), tileMap{}
	last := int64(0)
	for i, leaf := range leaves {
		add, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(leaf), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, add...)
		tiles.keep(tree.Append(leaf))
		n := int64(i + 1)
		if n < 1000 && n%61 != 0 || n >= 1000 && n%9973 != 0 && n != 65_536 && n != total {
			continue
		}
		v := tree.View()
		root, err := tlog.TreeHash(n, reader)
		if err != nil || v.Root() != Hash(root) {
			t.Fatalf("root at size %d: %v", n, err)
		}
		for _, tile := range tlog.NewTiles(TileHeight, last, n) {
			want, err := tlog.ReadTileData(tile, reader)
			if err != nil {
				t.Fatal(err)
			}
			id := TileID{Level: uint8(tile.L), Index: uint64(tile.N)}
			got, err := v.Tile(id, tile.W, tiles)
			if err != nil || string(got) != string(want) {
				t.Fatalf("size %d, %s: %v", n, tile.Path(), err)
			}
			if half, err := v.Tile(id, (tile.W+1)/2, tiles); err != nil || string(half) != string(want[:(tile.W+1)/2*HashSize]) {
				t.Fatalf("size %d, prefix of %s: %v", n, tile.Path(), err)
			}
		}
		last = n
	}
}

func TestLoadContinues(t *testing.T) {
	leaves := testLeaves(70_000)
	for _, size := range []int{0, 1, 255, 256, 257, 511, 512, 5000, 65_535, 65_536, 65_537, 66_000} {
		tree, tiles := New(), tileMap{}
		tiles.keep(tree.Append(leaves[:size]...))
		loaded, err := Load(uint64(size), tiles, leaves[size-size%TileWidth:size])
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Root() != tree.Root() || loaded.Size() != tree.Size() {
			t.Fatalf("size %d: loaded tree differs", size)
		}
		tiles.keep(loaded.Append(leaves[size:]...))
		ref := New()
		ref.Append(leaves...)
		if loaded.Root() != ref.Root() {
			t.Fatalf("size %d: grown after load, root differs", size)
		}
		if _, err := loaded.View().InclusionProof(0, loaded.Size(), tiles); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloneGrowsApart(t *testing.T) {
	leaves := testLeaves(3000)
	for _, size := range []int{0, 1, 200, 255, 256, 700} {
		tree := New()
		tree.Append(leaves[:size]...)
		before, view := tree.Root(), tree.View()
		dropped, kept := tree.Clone(), tree.Clone()
		dropped.Append(testLeaves(900)...)
		if tree.Root() != before {
			t.Fatalf("size %d: clone changed the original", size)
		}
		kept.Append(leaves[size:]...)
		tree.Append(leaves[size:]...)
		want := New()
		want.Append(leaves...)
		if tree.Root() != want.Root() || kept.Root() != want.Root() {
			t.Fatalf("size %d: trees do not grow apart", size)
		}
		if view.Root() != before {
			t.Fatalf("size %d: view changed", size)
		}
		if width := size % TileWidth; width > 0 {
			got, err := view.Tile(TileID{Index: uint64(size / TileWidth)}, width, nil)
			if err != nil || string(got) != string(tileBytes(leaves[size-width:size])) {
				t.Fatalf("size %d: view's open tile changed: %v", size, err)
			}
		}
	}
}

// TestViewsWhileGrowing is for the race detector.
func TestViewsWhileGrowing(t *testing.T) {
	leaves := testLeaves(2000)
	tree, all := New(), tileMap{}
	all.keep(tree.Append(leaves...))
	tree = New()
	var readers sync.WaitGroup
	for i, leaf := range leaves {
		tree.Append(leaf)
		if i%50 != 0 {
			continue
		}
		v := tree.View()
		readers.Go(func() {
			for index := uint64(0); index < v.Size(); index += 37 {
				path, err := v.InclusionProof(index, v.Size(), all)
				if err == nil {
					err = VerifyInclusion(leaves[index], index, v.Size(), path, v.Root())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Wait()
}

type brokenTiles struct {
	data []byte
	err  error
}

func (b brokenTiles) Tile(TileID) ([]byte, error) { return b.data, b.err }

func TestErrors(t *testing.T) {
	tree, tiles := New(), tileMap{}
	tiles.keep(tree.Append(testLeaves(600)...))
	v := tree.View()
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	_, err := v.RootAt(601, tiles)
	is("root beyond", err, ErrBeyond)
	_, err = v.InclusionProof(0, 601, tiles)
	is("inclusion beyond", err, ErrBeyond)
	_, err = v.InclusionProof(5, 5, tiles)
	is("leaf beyond", err, ErrBeyond)
	_, err = v.ConsistencyProof(5, 601, tiles)
	is("consistency beyond", err, ErrBeyond)
	_, err = v.ConsistencyProof(6, 5, tiles)
	is("consistency backwards", err, ErrBeyond)
	for _, c := range []struct {
		id    TileID
		width int
	}{
		{TileID{0, 0}, 0}, {TileID{0, 0}, 257}, {TileID{0, 0}, -1}, {TileID{0, 2}, 89}, {TileID{0, 2}, 256}, {TileID{0, 3}, 1},
		{TileID{1, 0}, 3}, {TileID{1, 1}, 1}, {TileID{2, 0}, 1}, {TileID{8, 0}, 1}, {TileID{255, 0}, 1}, {TileID{0, 1 << 63}, 1},
	} {
		_, err = v.Tile(c.id, c.width, tiles)
		is(fmt.Sprintf("tile %v width %d", c.id, c.width), err, ErrBeyond)
	}
	lost := errors.New("disk gone")
	_, err = v.InclusionProof(0, 600, brokenTiles{err: lost})
	is("reader's error", err, lost)
	_, err = v.RootAt(300, brokenTiles{data: make([]byte, 100)})
	is("short tile", err, ErrTile)
	_, err = v.Tile(TileID{0, 0}, 256, brokenTiles{})
	is("no tile", err, ErrTile)
	_, err = Load(600, tiles, nil)
	is("short tail", err, ErrTail)
	_, err = Load(256, tiles, make([]Hash, 256))
	is("long tail", err, ErrTail)
	_, err = Load(512, brokenTiles{err: lost}, nil)
	is("load, reader's error", err, lost)
}

func BenchmarkAppend512(b *testing.B) {
	leaves := testLeaves(512)
	tree := New()
	for b.Loop() {
		tree.Append(leaves...)
		tree.Root()
	}
	b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkInclusionProof(b *testing.B) {
	tree, tiles := New(), tileMap{}
	tiles.keep(tree.Append(testLeaves(200_000)...))
	v, rng := tree.View(), testRand(b)
	for b.Loop() {
		if _, err := v.InclusionProof(rng.Uint64N(v.Size()), v.Size(), tiles); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyInclusion(b *testing.B) {
	leaves := testLeaves(1000)
	root, path := RootOf(leaves), PathOf(leaves, 500)
	for b.Loop() {
		if err := VerifyInclusion(leaves[500], 500, 1000, path, root); err != nil {
			b.Fatal(err)
		}
	}
}
