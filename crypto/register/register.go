// Package register is the verifiable map: current state under one root, with
// proofs that a key has a value or is absent.
//
// # Hashing
//
//	key hash = SHA-256(key)
//	leaf     = SHA-256(0x00 || key hash || value)
//	subtree  = 32 zero bytes if it holds no leaf,
//	           the leaf's hash if it holds exactly one,
//	           else SHA-256(0x01 || left || right)
//	root     = subtree of all leaves, split by bit 0 of the key hash
//
// The subtree at depth d is split by bit d, the most significant bit of the
// first byte being bit 0; a 0 goes left. A value may be empty, which is not
// the same as absent. docs/spec/vectors/register.py says it again, naively,
// and register.json beside it holds vectors.
//
// # Proofs
//
// A proof for a key walks from the root towards the key's hash until at most
// one leaf is left. It holds the siblings passed on the way, root first (32
// zero bytes for an empty one), and that leaf: key hash and value, or none. It
// shows that the key is present if the leaf's key hash is the key's own, and
// absent if it is another or there is none. As bytes:
//
//	1    0 without a leaf, 1 with one
//	2    number of siblings, 0..256, big-endian
//	⌈n/8⌉ bit i (most significant first) is 1 if sibling i is not empty; spare bits are 0
//	32·m the siblings that are not empty, in order
//	32   the leaf's key hash                  } only
//	4    length of the value, big-endian      } with
//	     the value, at most [MaxValueSize]    } a leaf
//
// There is one spelling. A last sibling that is empty is refused (the walk
// would have ended before it), as are a sibling sent as zeros, 256 siblings
// without a leaf, spare bits and trailing bytes.
//
// # Invariants
//
//   - The root depends on the set of (key, value) only: not on history, order,
//     the cache or how leaves are grouped.
//   - Only leaves are stored, by whoever implements [Leaves]. A [Tree] is the
//     hashes above them, in memory, down to groups of at most 8 leaves. It is
//     immutable: an update makes a new one that shares what did not change, so
//     an old tree, with the leaves of its height, still proves.
//   - What is read from [Leaves] is hashed and compared with the tree before
//     it is used. Leaves of another height, or damaged ones, give [ErrLeaves],
//     never a wrong root or proof.
//
// A tree costs about 25 bytes a leaf, and 70 more while the leaf's hash is in
// the cache, in memory that the garbage collector does not look into. The package has no clock, no goroutine and no I/O of its own; it
// does not store values and knows nothing of what they mean.
package register

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

const (
	// MaxValueSize is the longest value in bytes.
	MaxValueSize = 1 << 20
	// DefaultCacheKeys is the bound of the cache where options give none.
	DefaultCacheKeys = 1_000_000

	keyBits   = 8 * sha256.Size
	groupSize = 8 // most leaves in the lowest subtree that the tree keeps; roots do not depend on it
)

var (
	// ErrLeaves: the leaves read are not those that the tree was made from.
	ErrLeaves = errors.New("register: leaves do not belong to this tree")
	// ErrValueSize: a value longer than [MaxValueSize].
	ErrValueSize = errors.New("register: value too long")
	// ErrProof: a proof that does not verify, or has a form that none can have.
	ErrProof = errors.New("register: proof does not verify")
)

// KeyHash is the SHA-256 of a key: the leaf's place.
type KeyHash [sha256.Size]byte

// HashKey returns the key's place.
func HashKey(key []byte) KeyHash { return sha256.Sum256(key) }

// bit returns bit i, the most significant bit of the first byte being bit 0.
func (k *KeyHash) bit(i int) int { return int(k[i/8]>>(7-i%8)) & 1 }

// with returns k with bit i set.
func (k KeyHash) with(i int) KeyHash {
	k[i/8] |= 1 << (7 - i%8)
	return k
}

// prefix returns the first n bits of k.
func (k *KeyHash) prefix(n int) (p KeyHash) {
	copy(p[:n/8], k[:])
	if n%8 != 0 {
		p[n/8] = k[n/8] &^ (0xff >> (n % 8))
	}
	return p
}

// shares reports whether the first n bits of k and other are equal.
func (k *KeyHash) shares(other *KeyHash, n int) bool {
	whole := n / 8
	if !bytes.Equal(k[:whole], other[:whole]) {
		return false
	}
	return n%8 == 0 || (k[whole]^other[whole])>>(8-n%8) == 0
}

func (k *KeyHash) compare(other *KeyHash) int { return bytes.Compare(k[:], other[:]) }

// Leaves is the store at one height: key hash to value. Values that it hands
// out are not changed, and are not kept beyond the call. [Build] scans from
// several goroutines at once.
type Leaves interface {
	// Get returns the value of one leaf, and whether there is one.
	Get(kh KeyHash) (value []byte, ok bool, err error)
	// Scan calls fn for every leaf whose first bits bits (0..255) are those
	// of prefix, in ascending order, until fn fails; that error is returned.
	// The other bits of prefix are zero.
	Scan(prefix KeyHash, bits int, fn func(kh KeyHash, value []byte) error) error
}

// Write sets one key, or deletes it.
type Write struct {
	Key   []byte
	Value []byte // nil deletes; empty is a value
}

// Options bound what a tree keeps in memory.
type Options struct {
	// CacheKeys is how many leaves have their hashes cached, about 70 bytes
	// each: 0 for [DefaultCacheKeys], negative for none. What is not cached
	// is read by a prefix scan when a write or proof comes near it.
	CacheKeys int
}

func leafHash(kh *KeyHash, value []byte) merkle.Hash {
	var stack [512]byte
	buf := append(stack[:0], 0)
	buf = append(buf, kh[:]...)
	return sha256.Sum256(append(buf, value...))
}

// change is a write that is ready for the tree.
type change struct {
	kh   KeyHash
	leaf merkle.Hash // zero: delete
}

// changesOf sorts writes by key hash; of several to one key the last stays.
func changesOf(writes []Write) ([]change, error) {
	changes := make([]change, len(writes))
	for i, w := range writes {
		if len(w.Value) > MaxValueSize {
			return nil, fmt.Errorf("%w: %d bytes in write %d", ErrValueSize, len(w.Value), i)
		}
		changes[i].kh = HashKey(w.Key)
		if w.Value != nil {
			changes[i].leaf = leafHash(&changes[i].kh, w.Value)
		}
	}
	return lastOfEach(changes), nil
}

func lastOfEach(changes []change) []change {
	slices.SortStableFunc(changes, func(a, b change) int { return a.kh.compare(&b.kh) })
	kept := changes[:0]
	for i := range changes {
		if i+1 == len(changes) || changes[i].kh != changes[i+1].kh {
			kept = append(kept, changes[i])
		}
	}
	return kept
}
