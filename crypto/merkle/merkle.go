// Package merkle is the log's tree: RFC 6962 hashing, C2SP tiles, and the
// proofs that are checked offline.
//
// # Hashing
//
// As RFC 9162 §2.1.1 (and RFC 6962 §2.1), with SHA-256:
//
//	leaf hash = SHA-256(0x00 || leaf)
//	node hash = SHA-256(0x01 || left || right)
//	empty     = SHA-256("")
//	tree of n = node(tree of the first k, tree of the other n-k), k the largest power of two < n
//
// Inclusion paths (RFC 9162 §2.1.3) and consistency paths (§2.1.4) run from
// the leaves up, one 32-byte hash a step.
//
// # Tiles
//
// As C2SP tlog-tiles. A tile is 1 to 256 hashes of 32 bytes, in order and
// without framing. Hash j of tile N at level L is the root of the perfect
// subtree of 256^L leaves that starts at leaf (256*N+j) * 256^L. A tile with
// all 256 hashes is full and never changes; a shorter one is a prefix.
//
//	tile/<L>/<N>[.p/<W>]        L decimal 0..63
//	tile/entries/<N>[.p/<W>]    the entries under tile N of level 0
//
// N is cut into groups of three digits, each but the last with an "x" before
// it (1234067 is x001/x234/067), and W, decimal 1..255, is there if and only
// if the tile is not full. Numbers have one spelling.
//
// An entry bundle is its entries in order, each behind its length in bytes as
// a big-endian uint16.
//
// # Invariants
//
//   - A [Tree] holds only the right edge: fewer than 256 hashes a level. Full
//     tiles leave it through [Tree.Append] and come back through [TileReader].
//   - Nothing reads a clock, a file or the network, and equal leaves give equal
//     roots, tiles and proofs.
//   - Bytes from a [TileReader] are trusted: whoever stores tiles checks them.
//     A wrong tile makes a proof that does not verify, never one that lies.
//
// The package does not sign, store or fetch anything.
package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// HashSize is the length of a [Hash] in bytes.
const HashSize = sha256.Size

// ErrProof is wrapped by every refusal of an inclusion or consistency proof.
var ErrProof = errors.New("merkle: proof does not verify")

// Hash is a SHA-256 value: of a leaf, a node or a whole tree.
type Hash [HashSize]byte

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// LeafHash returns SHA-256(0x00 || leaf).
func LeafHash(leaf []byte) Hash {
	var stack [512]byte
	buf := append(stack[:0], rfc6962.RFC6962LeafHashPrefix)
	return sha256.Sum256(append(buf, leaf...))
}

// NodeHash returns SHA-256(0x01 || l || r).
func NodeHash(l, r Hash) Hash {
	var buf [1 + 2*HashSize]byte
	buf[0] = rfc6962.RFC6962NodeHashPrefix
	copy(buf[1:], l[:])
	copy(buf[1+HashSize:], r[:])
	return sha256.Sum256(buf[:])
}

// EmptyRoot returns the root of the tree without leaves, SHA-256("").
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// RootOf returns the root of the tree over the given leaf hashes, in order.
// It leaves its argument alone.
func RootOf(leafHashes []Hash) Hash {
	if len(leafHashes) == 0 {
		return EmptyRoot()
	}
	row := append([]Hash(nil), leafHashes...)
	for len(row) > 1 {
		row = foldRow(row)
	}
	return row[0]
}

// PathOf returns the inclusion path of the leaf at index in the tree over the
// given leaf hashes; for lists that fit in memory, such as a submission. It
// hashes the whole list each time, and panics where index is out of range.
func PathOf(leafHashes []Hash, index int) []Hash {
	if index < 0 || index >= len(leafHashes) {
		panic(fmt.Sprintf("merkle: path of leaf %d of %d", index, len(leafHashes)))
	}
	path := []Hash{}
	row := append([]Hash(nil), leafHashes...)
	for ; len(row) > 1; index /= 2 {
		if sibling := index ^ 1; sibling < len(row) {
			path = append(path, row[sibling])
		}
		row = foldRow(row)
	}
	return path
}

// foldRow replaces neighbours by their node hash, in place. An odd last hash
// moves up as it is, which is where the split of RFC 9162 §2.1.1 puts it.
func foldRow(row []Hash) []Hash {
	half := len(row) / 2
	for i := range half {
		row[i] = NodeHash(row[2*i], row[2*i+1])
	}
	if len(row)%2 == 1 {
		row[half] = row[len(row)-1]
		half++
	}
	return row[:half]
}

// VerifyInclusion checks that leaf is the hash of leaf number index in the
// tree of that size and root (RFC 9162 §2.1.3.2). A refusal wraps [ErrProof].
func VerifyInclusion(leaf Hash, index, size uint64, path []Hash, root Hash) error {
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], byteSlices(path), root[:])
	if err != nil {
		return fmt.Errorf("%w: leaf %d in tree of %d: %s", ErrProof, index, size, reason(err))
	}
	return nil
}

// RootFrom returns the root to which a path leads from leaf number index in a tree
// of that size (RFC 9162 §2.1.3.2). A refusal wraps [ErrProof].
func RootFrom(leaf Hash, index, size uint64, path []Hash) (Hash, error) {
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, index, size, leaf[:], byteSlices(path))
	if err != nil {
		return Hash{}, fmt.Errorf("%w: leaf %d in tree of %d: %s", ErrProof, index, size, reason(err))
	}
	return Hash(root), nil
}

// VerifyConsistency checks that the tree of newSize leaves begins with the
// tree of oldSize leaves (RFC 9162 §2.1.4.2). Unlike the RFC it also accepts
// oldSize 0, with an empty path and the empty root. A refusal wraps [ErrProof].
func VerifyConsistency(oldSize, newSize uint64, path []Hash, oldRoot, newRoot Hash) error {
	if oldSize > newSize {
		return fmt.Errorf("%w: tree of %d cannot come before tree of %d", ErrProof, oldSize, newSize)
	}
	if oldSize == 0 && oldRoot != EmptyRoot() {
		return fmt.Errorf("%w: tree of 0 has a root that is not empty", ErrProof)
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, oldSize, newSize, byteSlices(path), oldRoot[:], newRoot[:])
	if err != nil {
		return fmt.Errorf("%w: tree of %d before tree of %d: %s", ErrProof, oldSize, newSize, reason(err))
	}
	return nil
}

// reason puts a library error on one line, with roots in hexadecimal.
func reason(err error) string {
	var mismatch proof.RootMismatchError
	if errors.As(err, &mismatch) {
		return fmt.Sprintf("path leads to root %x, want %x", mismatch.CalculatedRoot, mismatch.ExpectedRoot)
	}
	return err.Error()
}

func byteSlices(hashes []Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
