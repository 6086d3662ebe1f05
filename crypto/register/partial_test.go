package register

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// after derives the root of writes from proofs alone, asking for neighbours.
func after(t *testing.T, tree *Tree, l Leaves, writes []Write) merkle.Hash {
	t.Helper()
	p := NewPartial(tree.Root())
	for _, w := range writes {
		proof, err := tree.Prove(l, w.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Add(HashKey(w.Key), proof); err != nil {
			t.Fatal(err)
		}
	}
	for range 2*len(writes) + 1 {
		root, err := p.After(writes)
		var hidden *Hidden
		if err == nil {
			return root
		}
		if !errors.As(err, &hidden) {
			t.Fatal(err)
		}
		proof, err := tree.Neighbour(l, hidden)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Add(proof.Leaf.KeyHash, proof); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("neighbours without end")
	return merkle.Hash{}
}

// The root that follows from proofs is that of the naive register, for random
// registers and writes, deletions among them.
func TestPartial(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		naive, mem := Naive{}, MemLeaves()
		writes := testWrites(0, r.IntN(40))
		tree := mustUpdate(t, Empty(Options{}), mem, writes)
		mem.Apply(writes)
		naive.Apply(writes)
		var next []Write
		for range r.IntN(12) {
			w := Write{Key: fmt.Appendf(nil, "k%d", r.IntN(45))}
			if r.IntN(2) == 0 {
				w.Value = fmt.Appendf(nil, "other %d", round)
			}
			next = append(next, w)
		}
		got := after(t, tree, mem, next)
		naive.Apply(next)
		if got != naive.Root() {
			t.Fatalf("round %d: %d leaves, %d writes: other root", round, mem.Len(), len(next))
		}
	}
}

// What was not proven is asked for, and what does not verify teaches nothing.
func TestPartialRefuses(t *testing.T) {
	mem, writes := MemLeaves(), testWrites(0, 30)
	tree := mustUpdate(t, Empty(Options{}), mem, writes)
	mem.Apply(writes)
	p := NewPartial(tree.Root())
	var hidden *Hidden
	if _, err := p.After(writes[:1]); !errors.As(err, &hidden) {
		t.Errorf("nothing proven: %v", err)
	}
	proof, err := tree.Prove(mem, writes[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(HashKey(writes[1].Key), proof); err == nil && HashKey(writes[1].Key).bitsShared(HashKey(writes[0].Key)) < len(proof.Siblings) {
		t.Error("a proof for another key was taken")
	}
	proof.Leaf.Value[0] ^= 1
	if err := p.Add(HashKey(writes[0].Key), proof); !errors.Is(err, ErrProof) {
		t.Errorf("a changed value: %v", err)
	}
	if root, err := p.After(nil); err != nil || root != tree.Root() {
		t.Errorf("no writes: %v", err)
	}
	if root, err := NewPartial(merkle.Hash{}).After(writes); err != nil || root != tree.Root() {
		t.Errorf("from nothing: %v", err)
	}
}

func (k KeyHash) bitsShared(o KeyHash) (n int) {
	for n < keyBits && k.bit(n) == o.bit(n) {
		n++
	}
	return n
}
