package merkle

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// testLeaves are n different leaf hashes.
func testLeaves(n int) []Hash {
	out := make([]Hash, n)
	for i := range out {
		out[i] = LeafHash(binary.BigEndian.AppendUint64([]byte("leaf"), uint64(i)))
	}
	return out
}

func testRand(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(20261122, 6962))
}

// TestKnownRoots: the eight inputs that Certificate Transparency
// implementations share, with the roots published with them.
func TestKnownRoots(t *testing.T) {
	inputs := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	tree := New()
	var leaves []Hash
	for n, want := range roots {
		if got := tree.Root().String(); got != want {
			t.Errorf("tree root at size %d: %s, want %s", n, got, want)
		}
		if got := RootOf(leaves).String(); got != want {
			t.Errorf("RootOf %d leaves: %s, want %s", n, got, want)
		}
		if n == len(inputs) {
			break
		}
		leaf, err := hex.DecodeString(inputs[n])
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, LeafHash(leaf))
		tree.Append(leaves[n])
	}
}

func TestHashesMatchTlog(t *testing.T) {
	for _, n := range []int{0, 1, 510, 511, 512, 70_000} {
		leaf := make([]byte, n)
		if LeafHash(leaf) != Hash(tlog.RecordHash(leaf)) {
			t.Errorf("leaf hash of %d bytes", n)
		}
	}
	a, b := LeafHash([]byte("a")), LeafHash([]byte("b"))
	if NodeHash(a, b) != Hash(tlog.NodeHash(tlog.Hash(a), tlog.Hash(b))) {
		t.Error("node hash")
	}
}

// recursiveRoot is RFC 9162 §2.1.1 word for word.
func recursiveRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return EmptyRoot()
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return NodeHash(recursiveRoot(leaves[:k]), recursiveRoot(leaves[k:]))
}

func TestPathOfEveryLeaf(t *testing.T) {
	all := testLeaves(1000)
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 31, 100, 255, 256, 257, 1000} {
		leaves := all[:n]
		root := RootOf(leaves)
		if root != recursiveRoot(leaves) {
			t.Fatalf("root of %d leaves", n)
		}
		for i, leaf := range leaves {
			if n > 300 && i%97 != 0 && i < n-3 {
				continue
			}
			if err := VerifyInclusion(leaf, uint64(i), uint64(n), PathOf(leaves, i), root); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPathOfOutOfRangePanics(t *testing.T) {
	for _, index := range []int{-1, 3} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("index %d of 3: no panic", index)
				}
			}()
			PathOf(testLeaves(3), index)
		}()
	}
}

// mangled returns every proof that differs from path by one bit in each hash,
// one hash less, one more, and two swapped.
func mangled(rng *rand.Rand, path []Hash) [][]Hash {
	var out [][]Hash
	for i := range path {
		flipped := append([]Hash(nil), path...)
		flipped[i][rng.IntN(HashSize)] ^= 1 << rng.IntN(8)
		shorter := append(append([]Hash(nil), path[:i]...), path[i+1:]...)
		longer := append(append([]Hash(nil), path[:i+1]...), path[i:]...)
		out = append(out, flipped, shorter, longer)
		if i > 0 && path[i] != path[i-1] {
			swapped := append([]Hash(nil), path...)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			out = append(out, swapped)
		}
	}
	return append(out, append(append([]Hash(nil), path...), Hash{}))
}

func TestMangledInclusionRefused(t *testing.T) {
	rng := testRand(t)
	for _, n := range []int{1, 2, 3, 6, 7, 8, 13, 64, 65} {
		leaves := testLeaves(n)
		root := RootOf(leaves)
		for i, leaf := range leaves {
			path := PathOf(leaves, i)
			index, size := uint64(i), uint64(n)
			refuse := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, ErrProof) {
					t.Errorf("leaf %d of %d, %s: got %v", i, n, what, err)
				}
			}
			for _, bad := range mangled(rng, path) {
				refuse("mangled path", VerifyInclusion(leaf, index, size, bad, root))
			}
			refuse("other leaf", VerifyInclusion(Hash{1}, index, size, path, root))
			refuse("other root", VerifyInclusion(leaf, index, size, path, Hash{1}))
			refuse("index beyond", VerifyInclusion(leaf, size, size, path, root))
			refuse("huge index", VerifyInclusion(leaf, 1<<63, 1<<63, path, root))
			refuse("no tree", VerifyInclusion(leaf, 0, 0, path, root))
			if n > 1 {
				refuse("other index", VerifyInclusion(leaf, (index+1)%size, size, path, root))
			}
		}
	}
}

func TestMangledConsistencyRefused(t *testing.T) {
	rng := testRand(t)
	tree, tiles := New(), tileMap{}
	tiles.keep(tree.Append(testLeaves(70)...))
	v := tree.View()
	for _, pair := range [][2]uint64{{1, 2}, {2, 3}, {3, 7}, {4, 8}, {5, 70}, {64, 70}, {63, 64}, {6, 65}} {
		m, n := pair[0], pair[1]
		oldRoot, newRoot := rootAt(t, v, m, tiles), rootAt(t, v, n, tiles)
		path, err := v.ConsistencyProof(m, n, tiles)
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, ErrProof) {
				t.Errorf("%d before %d, %s: got %v", m, n, what, err)
			}
		}
		if err := VerifyConsistency(m, n, path, oldRoot, newRoot); err != nil {
			t.Error(err)
		}
		for _, bad := range mangled(rng, path) {
			refuse("mangled path", VerifyConsistency(m, n, bad, oldRoot, newRoot))
		}
		refuse("swapped roots", VerifyConsistency(m, n, path, newRoot, oldRoot))
		refuse("swapped sizes", VerifyConsistency(n, m, path, newRoot, oldRoot))
		refuse("other old root", VerifyConsistency(m, n, path, Hash{1}, newRoot))
		refuse("no path", VerifyConsistency(m, n, nil, oldRoot, newRoot))
	}
}

func TestConsistencyFromEmpty(t *testing.T) {
	root := LeafHash(nil)
	if err := VerifyConsistency(0, 1, nil, EmptyRoot(), root); err != nil {
		t.Error(err)
	}
	if err := VerifyConsistency(0, 0, nil, EmptyRoot(), EmptyRoot()); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"old root not empty": VerifyConsistency(0, 1, nil, root, root),
		"new root not empty": VerifyConsistency(0, 0, nil, EmptyRoot(), root),
		"path not empty":     VerifyConsistency(0, 1, []Hash{root}, EmptyRoot(), root),
		"equal size, path":   VerifyConsistency(1, 1, []Hash{root}, root, root),
		"equal size, roots":  VerifyConsistency(1, 1, nil, root, EmptyRoot()),
	} {
		if !errors.Is(err, ErrProof) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
