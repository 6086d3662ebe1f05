package register

import (
	"fmt"
	"runtime"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// Leaf is a leaf as a proof shows it.
type Leaf struct {
	KeyHash KeyHash
	Value   []byte
}

// Proof shows what a register says of one key: see the package comment.
type Proof struct {
	Siblings []merkle.Hash // root first; zero for an empty subtree
	Leaf     *Leaf         // the one leaf at the end of the walk, or nil
}

// Prove shows the key's value in t, or its absence. l is the leaves at t's
// height. It fails with [ErrLeaves] or the error of l.
func (t *Tree) Prove(l Leaves, key []byte) (Proof, error) {
	return t.prove(l, HashKey(key))
}

func (t *Tree) prove(l Leaves, kh KeyHash) (Proof, error) {
	p := Proof{Siblings: []merkle.Hash{}}
	group, entries := t.find(&kh, func(other merkle.Hash) { p.Siblings = append(p.Siblings, other) })
	depth := len(p.Siblings)
	if len(entries) < int(group.leaves) {
		var err error
		if entries, err = scanGroup(nil, &group, l, kh.prefix(depth), depth); err != nil {
			return Proof{}, err
		}
	}
	for ; len(entries) > 1; depth++ {
		here, other := split(entries, depth)
		if kh.bit(depth) == 1 {
			here, other = other, here
		}
		p.Siblings = append(p.Siblings, subtreeHash(other, depth+1))
		entries = here
	}
	if len(entries) == 0 {
		return p, nil
	}
	leaf, err := readLeaf(l, entries[0])
	p.Leaf = leaf
	return p, err
}

// find walks to the group of a key, whose hash and size it returns, and passes the
// hashes beside the way. The entries are none where the group does not hold them.
func (t *Tree) find(kh *KeyHash, passed func(merkle.Hash)) (group node, entries []entry) {
	defer runtime.KeepAlive(t)
	a := t.arena
	a.look.RLock()
	defer a.look.RUnlock()
	n := t.groupOf(kh, func(other ref) { passed(a.hashOf(other)) })
	if n == nil {
		return node{}, nil
	}
	if n.holds() {
		entries = a.held(n, make([]entry, 0, groupSize))
	}
	return node{hash: n.hash, leaves: n.leaves}, entries
}

// Lacks reports that t has no leaf for a key, as far as memory tells: where it
// says no, the leaf may be there or not. It reads no leaves.
func (t *Tree) Lacks(kh KeyHash) bool {
	defer runtime.KeepAlive(t)
	a := t.arena
	a.look.RLock()
	defer a.look.RUnlock()
	n := t.groupOf(&kh, func(ref) {})
	return n == nil || n.holds() && !a.holdsKey(n, &kh)
}

// groupOf walks to the group of a key and passes the nodes beside the way; nil where
// nothing is. The arena is locked for reading.
func (t *Tree) groupOf(kh *KeyHash, passed func(other ref)) *node {
	at := t.root
	for depth := 0; at != 0; depth++ {
		n := t.arena.nodes.at(at)
		if !n.isBranch() {
			return n
		}
		bit := kh.bit(depth)
		passed(n.kids[1-bit])
		at = n.kids[bit]
	}
	return nil
}

// readLeaf fetches the value of an entry and checks it.
func readLeaf(l Leaves, en entry) (*Leaf, error) {
	value, ok, err := l.Get(en.kh)
	if err != nil {
		return nil, err
	}
	if !ok || leafHash(&en.kh, value) != en.leaf {
		return nil, fmt.Errorf("%w: other value under %x", ErrLeaves, en.kh)
	}
	return &Leaf{KeyHash: en.kh, Value: append([]byte{}, value...)}, nil
}

// Verify checks what a proof says of the key under a trusted root: present,
// with a value that is never nil, or absent. A refusal wraps [ErrProof].
func Verify(root merkle.Hash, key []byte, p Proof) (value []byte, present bool, err error) {
	return verify(root, HashKey(key), p)
}

func verify(root merkle.Hash, kh KeyHash, p Proof) ([]byte, bool, error) {
	if err := p.check(); err != nil {
		return nil, false, err
	}
	depth := len(p.Siblings)
	var hash merkle.Hash
	if p.Leaf != nil {
		if !p.Leaf.KeyHash.shares(&kh, depth) {
			return nil, false, fmt.Errorf("%w: leaf lies in another subtree", ErrProof)
		}
		hash = leafHash(&p.Leaf.KeyHash, p.Leaf.Value)
	}
	for depth--; depth >= 0; depth-- {
		if kh.bit(depth) == 0 {
			hash = merkle.NodeHash(hash, p.Siblings[depth])
		} else {
			hash = merkle.NodeHash(p.Siblings[depth], hash)
		}
	}
	if hash != root {
		return nil, false, fmt.Errorf("%w: walk leads to root %s, want %s", ErrProof, hash, root)
	}
	if p.Leaf == nil || p.Leaf.KeyHash != kh {
		return nil, false, nil
	}
	return append([]byte{}, p.Leaf.Value...), true, nil
}

// check refuses forms that no proof of a well-made register has.
func (p Proof) check() error {
	n := len(p.Siblings)
	switch {
	case n > keyBits:
		return fmt.Errorf("%w: %d siblings", ErrProof, n)
	case n == keyBits && p.Leaf == nil:
		return fmt.Errorf("%w: %d siblings and no leaf", ErrProof, n)
	case n > 0 && p.Siblings[n-1] == merkle.Hash{}:
		return fmt.Errorf("%w: last sibling is empty", ErrProof)
	case p.Leaf != nil && len(p.Leaf.Value) > MaxValueSize:
		return fmt.Errorf("%w: value of %d bytes", ErrProof, len(p.Leaf.Value))
	}
	return nil
}
