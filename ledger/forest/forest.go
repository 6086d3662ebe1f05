// Package forest is the law of commitment trees: further Merkle logs, replicated
// by the Raft log that carries the batches, written by signed commits, and
// anchored in the main log by tree.advance records.
//
// # Entry
//
// A commit is a Raft entry of its own: the byte 0x74 (a batch begins with the
// CBOR map 0xa2), then the canonical encoding of [Commit]. Its issuer signs
// (domain "tree") the canonical encoding of
//
//	{1: tree, 2: issuer, 3?: first, 4: number of leaves, 5: root}
//
// with the RFC 6962 root over the canonical encodings of the leaves. There are no
// sequence numbers: a tree holds one leaf of each identity hash, so a commit that
// is delivered twice does nothing the second time.
//
// # Invariants
//
//   - [Apply] is pure, as rules.Apply is: it reads the register at the last
//     applied batch, the trees before the entry, and the entry.
//   - Nothing that an entry contains makes it panic or fail. A bad commit, or one
//     leaf of it, is refused with a stable code and leaves nothing behind.
//   - What is not yet written with a batch is bounded: where a commit would take
//     more than the room that is left, all of it is refused with "tree.busy".
//   - A leaf's time is that of the last applied batch.
//
// Leaves become final only through a tree.advance that is: a tree's size and root,
// in a final batch of the main log. [Anchored] compares one with the tree. What an
// advance says falsely is evidence against its issuer, and nothing else.
package forest

import (
	"errors"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Bounds. Sizes are in bytes.
const (
	MaxCommitLeaves = 1000
	MaxCommitBytes  = 256 << 10
	// MaxPending is what commits between two batches may take in the store: it is
	// written in one transaction with the next batch, which may be a full one.
	MaxPending = 512 << 10
)

// entryMark is the first byte of a commit as a Raft entry.
const entryMark = 0x74

// Leaf is what a writer commits to a tree.
type Leaf struct {
	Value    []byte `cbor:"1,keyasint"`           // of the Merkle leaf, at most record.MaxTreeLeaf bytes
	Extra    []byte `cbor:"2,keyasint,omitempty"` // beside it, at most record.MaxTreeExtra bytes
	Identity []byte `cbor:"3,keyasint,omitempty"` // 32 bytes; empty: the leaf hash of Value
}

// Hash returns the RFC 6962 leaf hash.
func (l *Leaf) Hash() merkle.Hash { return merkle.LeafHash(l.Value) }

// ID returns the identity hash, of which a tree has one leaf.
func (l *Leaf) ID() record.Digest {
	if len(l.Identity) == len(record.Digest{}) {
		return record.Digest(l.Identity)
	}
	return record.Digest(l.Hash())
}

// Check wants a leaf within the bounds.
func (l *Leaf) Check() error {
	if len(l.Value) > record.MaxTreeLeaf || len(l.Extra) > record.MaxTreeExtra {
		return record.Refuse(record.CodeRecordOversize, "a leaf of %d bytes with %d of extra data", len(l.Value), len(l.Extra))
	}
	if n := len(l.Identity); n != 0 && n != len(record.Digest{}) {
		return record.Refuse(record.CodeRecordMalformed, "an identity hash of %d bytes", n)
	}
	return nil
}

// Commit is an issuer's signed leaves for one tree.
type Commit struct {
	Tree   uint64         `cbor:"1,keyasint"`
	Issuer string         `cbor:"2,keyasint"`           // a member, or a party
	First  uint64         `cbor:"3,keyasint,omitempty"` // pre-ordered trees: index of the first leaf
	Leaves []Leaf         `cbor:"4,keyasint"`
	Sig    sign.Signature `cbor:"5,keyasint"`
}

type unsigned struct {
	Tree   uint64        `cbor:"1,keyasint"`
	Issuer string        `cbor:"2,keyasint"`
	First  uint64        `cbor:"3,keyasint,omitempty"`
	Count  uint32        `cbor:"4,keyasint"`
	Root   record.Digest `cbor:"5,keyasint"`
}

// Signed returns the bytes that the issuer signs.
func (c *Commit) Signed() []byte {
	hashes := make([]merkle.Hash, len(c.Leaves))
	for i := range c.Leaves {
		hashes[i] = merkle.LeafHash(canon.Must(&c.Leaves[i]))
	}
	return canon.Must(&unsigned{c.Tree, c.Issuer, c.First, uint32(len(c.Leaves)), record.Digest(merkle.RootOf(hashes))})
}

// Sign signs the commit in the log named origin.
func (c *Commit) Sign(key sign.Key, origin string) {
	c.Sig = key.Sign(sign.DomainTree, origin, c.Signed())
}

// Entry returns the commit as a Raft entry.
func (c *Commit) Entry() []byte { return append([]byte{entryMark}, canon.Must(c)...) }

// IsEntry reports whether a Raft entry is a commit, and not a batch.
func IsEntry(b []byte) bool { return len(b) > 0 && b[0] == entryMark }

// Parse decodes a Raft entry. It returns a *record.Refusal.
func Parse(b []byte) (*Commit, error) {
	if !IsEntry(b) {
		return nil, record.Refuse(record.CodeRecordMalformed, "not a commit")
	}
	c := new(Commit)
	if err := canon.UnmarshalMax(b[1:], MaxCommitBytes, c); err != nil {
		code := record.CodeRecordMalformed
		if e := (*canon.Error)(nil); errors.As(err, &e) && e.Code == canon.CodeOversize {
			code = record.CodeRecordOversize
		}
		return nil, record.Refuse(code, "%v", err)
	}
	return c, c.Check()
}

// Check wants the form without which a commit is refused.
func (c *Commit) Check() error {
	if c.Tree == 0 || !record.ValidID(c.Issuer) || c.First > 1<<62 {
		return record.Refuse(record.CodeRecordMalformed, "tree, issuer or first index of a commit")
	}
	if len(c.Leaves) == 0 || len(c.Leaves) > MaxCommitLeaves {
		return record.Refuse(record.CodeRecordMalformed, "%d leaves, 1 to %d", len(c.Leaves), MaxCommitLeaves)
	}
	for i := range c.Leaves {
		if err := c.Leaves[i].Check(); err != nil {
			return err
		}
	}
	return nil
}
