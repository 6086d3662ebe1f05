package register

import "github.com/akashi-ledger/akashi/crypto/merkle"

// Naive is the register as the package comment defines it and nothing else: a
// map that hashes everything anew each time. It shares no code with [Tree]
// beyond the hash functions, for tests to compare.
type Naive map[string][]byte

// Apply does the writes in order.
func (n Naive) Apply(writes []Write) {
	for _, w := range writes {
		if w.Value == nil {
			delete(n, string(w.Key))
		} else {
			n[string(w.Key)] = append([]byte{}, w.Value...)
		}
	}
}

// Root returns the root hash.
func (n Naive) Root() merkle.Hash { return naiveSubtree(n.leaves(), 0) }

// Prove shows the key's value or its absence.
func (n Naive) Prove(key []byte) Proof { return naiveProof(n.leaves(), HashKey(key)) }

func (n Naive) leaves() []Leaf {
	leaves := make([]Leaf, 0, len(n))
	for key, value := range n {
		leaves = append(leaves, Leaf{KeyHash: HashKey([]byte(key)), Value: value})
	}
	return leaves
}

func naiveSubtree(leaves []Leaf, depth int) merkle.Hash {
	switch len(leaves) {
	case 0:
		return merkle.Hash{}
	case 1:
		return leafHash(&leaves[0].KeyHash, leaves[0].Value)
	}
	var side [2][]Leaf
	for _, leaf := range leaves {
		b := leaf.KeyHash[depth/8] >> (7 - depth%8) & 1
		side[b] = append(side[b], leaf)
	}
	return merkle.NodeHash(naiveSubtree(side[0], depth+1), naiveSubtree(side[1], depth+1))
}

func naiveProof(leaves []Leaf, kh KeyHash) Proof {
	p := Proof{Siblings: []merkle.Hash{}}
	for depth := 0; len(leaves) > 1; depth++ {
		var here, other []Leaf
		for _, leaf := range leaves {
			if (leaf.KeyHash[depth/8]^kh[depth/8])>>(7-depth%8)&1 == 0 {
				here = append(here, leaf)
			} else {
				other = append(other, leaf)
			}
		}
		p.Siblings = append(p.Siblings, naiveSubtree(other, depth+1))
		leaves = here
	}
	if len(leaves) == 1 {
		p.Leaf = &Leaf{KeyHash: leaves[0].KeyHash, Value: append([]byte{}, leaves[0].Value...)}
	}
	return p
}
