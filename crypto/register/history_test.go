package register

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameProof(t fataler, got, want Proof) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("proof differs (-want +got):\n%s", diff)
	}
}

// generation is a tree with the leaves of its height.
type generation struct {
	tree   *Tree
	leaves []Leaf // in order
}

func (m *Mem) list() []Leaf {
	var out []Leaf
	err := m.Scan(KeyHash{}, 0, func(kh KeyHash, value []byte) error {
		out = append(out, Leaf{KeyHash: kh, Value: value})
		return nil
	})
	if err != nil {
		panic(err)
	}
	return out
}

func memOf(leaves []Leaf) *Mem {
	m := MemLeaves()
	for _, l := range leaves {
		m.put(l.KeyHash, l.Value)
	}
	return m
}

// put applies the leaves, nil values deleting, below the hashing of keys.
func put(t fataler, tree *Tree, m *Mem, leaves []Leaf) *Tree {
	t.Helper()
	changes := make([]change, len(leaves))
	for i, l := range leaves {
		changes[i].kh = l.KeyHash
		if l.Value != nil {
			changes[i].leaf = leafHash(&l.KeyHash, l.Value)
		}
	}
	next, err := tree.update(m, lastOfEach(changes))
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	return next
}

func store(m *Mem, leaves []Leaf) {
	for _, l := range leaves {
		if l.Value == nil {
			m.remove(l.KeyHash)
		} else {
			m.put(l.KeyHash, l.Value)
		}
	}
}

// crowded draws key hashes as an adversary would grind them: few families,
// within each of which prefixes of up to 255 bits are shared.
func crowded() *rapid.Generator[KeyHash] {
	return rapid.Custom(func(t *rapid.T) KeyHash {
		kh := HashKey([]byte{rapid.ByteRange(0, 3).Draw(t, "family")})
		for range rapid.IntRange(0, 2).Draw(t, "flips") {
			at := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 255), rapid.IntRange(244, 255)).Draw(t, "bit")
			kh[at/8] ^= 1 << (7 - at%8)
		}
		return kh
	})
}

func drawLeaf(t *rapid.T) Leaf {
	leaf := Leaf{KeyHash: crowded().Draw(t, "key hash")}
	if rapid.IntRange(0, 3).Draw(t, "delete") > 0 {
		leaf.Value = append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value")...)
	}
	return leaf
}

// TestHistories compares the tree, after every batch of random histories, with
// its naive twin and with a tree built anew, for every size of cache. Some
// trees are thrown away. At the end every generation still proves.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{CacheKeys: rapid.SampledFrom([]int{-1, 0, 5, 30}).Draw(t, "cache")}
		tree, mem := Empty(opts), MemLeaves()
		generations := []generation{{tree: tree}}
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			batch := rapid.SliceOfN(rapid.Custom(drawLeaf), 0, 50).Draw(t, "batch")
			next := put(t, tree, mem, batch)
			if rapid.IntRange(0, 4).Draw(t, "throw away") == 0 {
				continue
			}
			store(mem, batch)
			tree = next
			generations = append(generations, generation{tree, mem.list()})
			checkGeneration(t, generations[len(generations)-1], mem)
			checkArena(t, tree.arena)
		}
		probes := rapid.SliceOfN(crowded(), 5, 15).Draw(t, "probes")
		for _, g := range generations {
			checkProofs(t, g, probes)
		}
	})
}

func checkGeneration(t fataler, g generation, mem *Mem) {
	t.Helper()
	want := naiveSubtree(g.leaves, 0)
	if g.tree.Root() != want || g.tree.Len() != len(g.leaves) || mem.Len() != len(g.leaves) {
		t.Fatalf("root %s of %d leaves, want %s of %d", g.tree.Root(), g.tree.Len(), want, len(g.leaves))
	}
	built, err := Build(mem, Options{CacheKeys: 20})
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	if built.Root() != want || built.Len() != len(g.leaves) {
		t.Fatalf("built anew: root %s of %d leaves, want %s", built.Root(), built.Len(), want)
	}
	checkArena(t, built.arena)
}

// checkArena checks the ring against the groups in it and the bound, and that what
// is not free is what somebody has.
func checkArena(t fataler, a *arena) {
	t.Helper()
	a.edits.Lock()
	defer a.edits.Unlock()
	c, used := &a.cache, 0
	for i, r := range c.ring {
		n := a.nodes.at(r)
		if int(n.slot) != i || !n.holds() || n.isBranch() || n.refs == 0 {
			t.Fatalf("ring slot %d is not its group's", i)
		}
		used += int(n.leaves)
	}
	if used != c.used || used > c.limit {
		t.Fatalf("cache holds %d, says %d, limit %d", used, c.used, c.limit)
	}
	nodes, pairs := 0, 0
	for r := ref(1); r <= ref(a.nodes.used); r++ {
		n := a.nodes.at(r)
		if n.refs > 0 {
			nodes++
		}
		for _, kid := range n.kids {
			if kid != 0 && !n.isBranch() {
				pairs++
			}
		}
	}
	if nodes+len(a.nodes.free) != int(a.nodes.used) || pairs+len(a.pairs.free) != int(a.pairs.used) {
		t.Fatalf("%d nodes and %d pairs in use, %d and %d free, of %d and %d", nodes, pairs,
			len(a.nodes.free), len(a.pairs.free), a.nodes.used, a.pairs.used)
	}
}

func checkProofs(t fataler, g generation, probes []KeyHash) {
	t.Helper()
	mem, root := memOf(g.leaves), g.tree.Root()
	for i, kh := range probes {
		p, err := g.tree.prove(mem, kh)
		if err != nil {
			t.Fatalf("prove: %v", err)
		}
		sameProof(t, p, naiveProof(g.leaves, kh))
		checkSays(t, root, kh, p, mem)
		for _, bad := range mangled(p) {
			if _, _, err := verify(root, kh, bad); !errors.Is(err, ErrProof) {
				t.Fatalf("mangled proof: got %v\n%v\nfrom %v", err, bad, p)
			}
		}
		// For another key the proof is refused, or says what is true.
		other := probes[(i+1)%len(probes)]
		if _, _, err := verify(root, other, p); err == nil {
			checkSays(t, root, other, p, mem)
		}
		data, err := p.MarshalBinary()
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		var again Proof
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatalf("unmarshal: %v", err)
		}
		sameProof(t, again, p)
	}
}

// checkSays checks that a proof verifies and agrees with the leaves.
func checkSays(t fataler, root merkle.Hash, kh KeyHash, p Proof, mem *Mem) {
	t.Helper()
	want, ok, _ := mem.Get(kh)
	value, present, err := verify(root, kh, p)
	if err != nil || present != ok || !bytes.Equal(value, want) || present != (value != nil) {
		t.Fatalf("proof of %x says %x %t %v, want %x %t", kh, value, present, err, want, ok)
	}
}

// mangled returns proofs that differ from p in one thing each; of many
// siblings it takes some.
func mangled(p Proof) []Proof {
	var out []Proof
	siblings := func(s []merkle.Hash) { out = append(out, Proof{Siblings: s, Leaf: p.Leaf}) }
	for i := 0; i < len(p.Siblings); i += 1 + len(p.Siblings)/16 {
		flipped := slices.Clone(p.Siblings)
		flipped[i][i%32] ^= 1 << (i % 8)
		siblings(flipped)
		siblings(slices.Delete(slices.Clone(p.Siblings), i, i+1))
		siblings(slices.Insert(slices.Clone(p.Siblings), i, p.Siblings[i]))
	}
	siblings(append(slices.Clone(p.Siblings), merkle.Hash{}))
	siblings(append(slices.Clone(p.Siblings), merkle.Hash{1}))
	leaf := func(l *Leaf) { out = append(out, Proof{Siblings: p.Siblings, Leaf: l}) }
	if p.Leaf == nil {
		leaf(&Leaf{})
		return out
	}
	leaf(nil)
	for i := 0; i < len(p.Leaf.KeyHash); i += 5 {
		l := *p.Leaf
		l.KeyHash[i] ^= 1 << (i % 8)
		leaf(&l)
	}
	leaf(&Leaf{KeyHash: p.Leaf.KeyHash, Value: append(slices.Clone(p.Leaf.Value), 0)})
	if n := len(p.Leaf.Value); n > 0 {
		leaf(&Leaf{KeyHash: p.Leaf.KeyHash, Value: p.Leaf.Value[:n-1]})
	}
	return out
}

// TestLongestPrefix puts leaves at the greatest depth there is, more of them
// than a group holds on the way, and takes them away again.
func TestLongestPrefix(t *testing.T) {
	var leaves []Leaf
	base := HashKey([]byte("base"))
	for bit := 255; bit > 235; bit-- {
		kh := base
		kh[bit/8] ^= 1 << (7 - bit%8)
		leaves = append(leaves, Leaf{KeyHash: kh, Value: []byte{byte(bit)}})
	}
	leaves = append(leaves, Leaf{KeyHash: base, Value: []byte{}})
	for _, cacheKeys := range []int{-1, 0} {
		tree, mem := put(t, Empty(Options{CacheKeys: cacheKeys}), MemLeaves(), leaves), memOf(leaves)
		checkGeneration(t, generation{tree, mem.list()}, mem)
		p, err := tree.prove(mem, base)
		if err != nil || len(p.Siblings) != keyBits {
			t.Fatalf("%d siblings, %v", len(p.Siblings), err)
		}
		if data, err := p.MarshalBinary(); err != nil || len(data) > 1000 {
			t.Fatalf("proof of %d bytes, %v", len(data), err)
		}
		checkProofs(t, generation{tree, mem.list()}, []KeyHash{base, leaves[0].KeyHash, leaves[19].KeyHash, {}})
		for _, l := range leaves {
			gone := []Leaf{{KeyHash: l.KeyHash}}
			tree = put(t, tree, mem, gone)
			store(mem, gone)
			checkGeneration(t, generation{tree, mem.list()}, mem)
		}
		if tree.root != 0 || tree.Root() != (merkle.Hash{}) {
			t.Error("tree is not empty in the end")
		}
	}
}
