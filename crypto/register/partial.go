package register

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// Partial is as much of a register as proofs show: enough to say what its root
// is after writes to keys that were proven, without the rest of the leaves. It is
// not safe for concurrent use.
type Partial struct {
	root merkle.Hash
	top  *part
}

// A part is one subtree: nil for an empty one, a leaf, a branch, or a hash under
// which anything may lie.
type part struct {
	hash        merkle.Hash
	leaf        *KeyHash // of a leaf
	left, right *part    // of a branch
	branch      bool
}

// Hidden says that the root cannot be told before a proof shows what lies under
// a prefix: the next key of the subtree will do.
type Hidden struct {
	Prefix KeyHash
	Bits   int
}

func (e *Hidden) Error() string {
	return fmt.Sprintf("register: no proof shows what lies under the first %d bits of %x", e.Bits, e.Prefix)
}

// Covers reports whether a leaf lies under the prefix.
func (e *Hidden) Covers(kh KeyHash) bool { return kh.shares(&e.Prefix, e.Bits) }

// NewPartial returns a register of which the root is all that is known.
func NewPartial(root merkle.Hash) *Partial {
	return &Partial{root, closed(root)}
}

func closed(h merkle.Hash) *part {
	if h == (merkle.Hash{}) {
		return nil
	}
	return &part{hash: h}
}

// Add learns from a proof for a key hash. It fails with [ErrProof].
func (p *Partial) Add(kh KeyHash, proof Proof) error {
	if _, _, err := verify(p.root, kh, proof); err != nil {
		return err
	}
	p.top = learn(p.top, kh, proof, 0)
	return nil
}

// learn opens the walk of a proof that verifies, so that what is known already
// can only be the same.
func learn(n *part, kh KeyHash, proof Proof, depth int) *part {
	if depth == len(proof.Siblings) {
		if proof.Leaf == nil {
			return nil
		}
		at := proof.Leaf.KeyHash
		return &part{hash: leafHash(&at, proof.Leaf.Value), leaf: &at}
	}
	if n == nil || !n.branch {
		n = &part{branch: true}
		here, other := &n.left, &n.right
		if kh.bit(depth) == 1 {
			here, other = other, here
		}
		*here, *other = &part{}, closed(proof.Siblings[depth])
	}
	if kh.bit(depth) == 0 {
		n.left = learn(n.left, kh, proof, depth+1)
	} else {
		n.right = learn(n.right, kh, proof, depth+1)
	}
	return n
}

// After returns the root after writes. It fails with a [*Hidden] where what was
// added does not show it. The Partial is not changed.
func (p *Partial) After(writes []Write) (merkle.Hash, error) {
	changes, err := changesOf(writes)
	if err != nil {
		return merkle.Hash{}, err
	}
	top := p.top
	for _, deletes := range []bool{false, true} { // whether one leaf is left is asked when all are there
		for i := range changes {
			if c := &changes[i]; (c.leaf == merkle.Hash{}) == deletes {
				if top, err = top.with(c, KeyHash{}, 0); err != nil {
					return merkle.Hash{}, err
				}
			}
		}
	}
	return top.root(), nil
}

// with returns the subtree after one change.
func (n *part) with(c *change, prefix KeyHash, depth int) (*part, error) {
	put := c.leaf != merkle.Hash{}
	switch {
	case n == nil && put:
		return &part{hash: c.leaf, leaf: &c.kh}, nil
	case n == nil:
		return nil, nil
	case !n.branch && n.leaf == nil:
		return nil, &Hidden{prefix, depth}
	case n.leaf != nil && *n.leaf == c.kh && put:
		return &part{hash: c.leaf, leaf: &c.kh}, nil
	case n.leaf != nil && *n.leaf == c.kh:
		return nil, nil
	case n.leaf != nil && !put:
		return n, nil
	}
	next := &part{branch: true, left: n.left, right: n.right}
	if n.leaf != nil { // the leaf and the new one part further down
		next.left, next.right = n, nil
		if n.leaf.bit(depth) == 1 {
			next.left, next.right = nil, n
		}
	}
	var err error
	if c.kh.bit(depth) == 0 {
		next.left, err = next.left.with(c, prefix, depth+1)
	} else {
		next.right, err = next.right.with(c, prefix.with(depth), depth+1)
	}
	if err != nil {
		return nil, err
	}
	return next.settled(prefix, depth)
}

// settled returns a branch that has one leaf as that leaf.
func (n *part) settled(prefix KeyHash, depth int) (*part, error) {
	one, at := n.left, prefix
	if one == nil {
		one, at = n.right, prefix.with(depth)
	}
	switch {
	case n.left != nil && n.right != nil, one != nil && one.branch:
		return n, nil
	case one == nil || one.leaf != nil:
		return one, nil
	}
	return nil, &Hidden{at, depth + 1}
}

func (n *part) root() merkle.Hash {
	switch {
	case n == nil:
		return merkle.Hash{}
	case n.branch:
		return merkle.NodeHash(n.left.root(), n.right.root())
	}
	return n.hash
}

// Neighbour returns a leaf under a prefix with its proof, as [Hidden] asks for.
func (t *Tree) Neighbour(l Leaves, h *Hidden) (Proof, error) {
	var found *KeyHash
	stop := fmt.Errorf("%w: no leaf under %x", ErrLeaves, h.Prefix)
	err := l.Scan(h.Prefix, h.Bits, func(kh KeyHash, _ []byte) error {
		found = &kh
		return stop
	})
	if found == nil {
		if err == nil {
			err = stop
		}
		return Proof{}, err
	}
	return t.prove(l, *found)
}
