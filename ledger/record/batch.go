package record

import (
	"crypto/sha256"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// Submission is an issuer's signed list of 1 to 1,000 records (domain
// "submission" over all but the signature).
type Submission struct {
	Issuer     string         `cbor:"1,keyasint"`
	Seq        uint64         `cbor:"2,keyasint"` // from 1; each number is used once
	NotAfterMs uint64         `cbor:"3,keyasint"` // Unix milliseconds of batch time
	Count      uint32         `cbor:"4,keyasint"`
	Root       Digest         `cbor:"5,keyasint"` // RFC 6962 root over the records' leaf hashes
	Sig        sign.Signature `cbor:"6,keyasint"`
}

type unsignedSubmission struct {
	Issuer     string `cbor:"1,keyasint"`
	Seq        uint64 `cbor:"2,keyasint"`
	NotAfterMs uint64 `cbor:"3,keyasint"`
	Count      uint32 `cbor:"4,keyasint"`
	Root       Digest `cbor:"5,keyasint"`
}

// Signed returns the bytes that the issuer signs.
func (s *Submission) Signed() []byte {
	return canon.Must(&unsignedSubmission{s.Issuer, s.Seq, s.NotAfterMs, s.Count, s.Root})
}

// NewSubmission signs leaves as one submission.
func NewSubmission(key sign.Key, origin, issuer string, seq, notAfterMs uint64, leaves [][]byte) Submission {
	s := Submission{Issuer: issuer, Seq: seq, NotAfterMs: notAfterMs, Count: uint32(len(leaves)), Root: RootOf(leaves)}
	s.Sig = key.Sign(sign.DomainSubmission, origin, s.Signed())
	return s
}

// RootOf returns the RFC 6962 root over leaves.
func RootOf(leaves [][]byte) Digest {
	hashes := make([]merkle.Hash, len(leaves))
	for i, l := range leaves {
		hashes[i] = merkle.LeafHash(l)
	}
	return Digest(merkle.RootOf(hashes))
}

// Entry is one batch as it stands in the Raft log.
type Entry struct {
	Header      Header      `cbor:"1,keyasint"`
	Submissions []Submitted `cbor:"2,keyasint"`
}

// Submitted is a submission with its leaves.
type Submitted struct {
	Submission Submission `cbor:"1,keyasint"`
	Leaves     [][]byte   `cbor:"2,keyasint"`
}

// Header is a leader's signed place for a batch (domain "header" over all but
// the signature). It promises no result. Two headers for one place (epoch,
// term, previous) are evidence against their signer.
type Header struct {
	Leader      string         `cbor:"1,keyasint"`
	Epoch       uint64         `cbor:"2,keyasint"`
	Term        uint64         `cbor:"3,keyasint"`
	Prev        Digest         `cbor:"4,keyasint"` // hash of the last batch's header; of genesis: the leaf hash
	TimeMs      uint64         `cbor:"5,keyasint"` // batch time, Unix milliseconds
	Submissions Digest         `cbor:"6,keyasint"` // RFC 6962 root over the submissions
	Cited       Cited          `cbor:"7,keyasint"`
	Sig         sign.Signature `cbor:"8,keyasint"`
}

type unsignedHeader struct {
	Leader      string `cbor:"1,keyasint"`
	Epoch       uint64 `cbor:"2,keyasint"`
	Term        uint64 `cbor:"3,keyasint"`
	Prev        Digest `cbor:"4,keyasint"`
	TimeMs      uint64 `cbor:"5,keyasint"`
	Submissions Digest `cbor:"6,keyasint"`
	Cited       Cited  `cbor:"7,keyasint"`
}

// Signed returns the bytes that the leader signs.
func (h *Header) Signed() []byte {
	return canon.Must(&unsignedHeader{h.Leader, h.Epoch, h.Term, h.Prev, h.TimeMs, h.Submissions, h.Cited})
}

// Hash names the batch: SHA-256 of what its leader signed.
func (h *Header) Hash() Digest { return sha256.Sum256(h.Signed()) }

// Cited is a final checkpoint that a header leans on: at most 32 batches back,
// with k members' cosignatures.
type Cited struct {
	Height uint64     `cbor:"1,keyasint"`
	Size   uint64     `cbor:"2,keyasint"`
	Root   Digest     `cbor:"3,keyasint"`
	Sigs   []CitedSig `cbor:"4,keyasint"` // ascending by member
}

// CitedSig is one member's cosignature of the cited checkpoint.
type CitedSig struct {
	Member string         `cbor:"1,keyasint"`
	Time   uint64         `cbor:"2,keyasint"` // Unix seconds
	Sig    sign.Signature `cbor:"3,keyasint"`
}

// SubmissionsRoot returns the RFC 6962 root over submissions as they stand in
// the seal.
func SubmissionsRoot(subs []Submission) Digest {
	hashes := make([]merkle.Hash, len(subs))
	for i := range subs {
		hashes[i] = merkle.LeafHash(canon.Must(&subs[i]))
	}
	return Digest(merkle.RootOf(hashes))
}

// ListBytes returns the size of a header and its submissions as they stand in
// the seal, at most MaxListBytes.
func ListBytes(h *Header, subs []Submission) int {
	n := len(canon.Must(h))
	for i := range subs {
		n += len(canon.Must(&subs[i]))
	}
	return n
}

// ParseEntry decodes a Raft entry. It returns a *Refusal.
func ParseEntry(b []byte) (*Entry, error) {
	e := new(Entry)
	if err := canon.UnmarshalMax(b, MaxEntry, e); err != nil {
		return nil, refusedForm(err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Entry) check() error {
	if len(e.Submissions) == 0 || len(e.Submissions) > MaxBatchSubs {
		return refuse(CodeBatchForm, "%d submissions, 1 to %d", len(e.Submissions), MaxBatchSubs)
	}
	if err := e.Header.check(); err != nil {
		return err
	}
	for i := range e.Submissions {
		if err := e.Submissions[i].Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check wants the form without which a whole batch is void.
func (s *Submitted) Check() error {
	if err := s.Submission.check(); err != nil {
		return err
	}
	if int(s.Submission.Count) != len(s.Leaves) {
		return refuse(CodeBatchForm, "%d records where %d are signed", len(s.Leaves), s.Submission.Count)
	}
	return nil
}

// ParseHeader decodes a header as it stands in an entry and in the seal. It
// returns a *Refusal.
func ParseHeader(b []byte) (*Header, error) {
	h := new(Header)
	if err := canon.UnmarshalMax(b, MaxListBytes, h); err != nil {
		return nil, refusedForm(err)
	}
	return h, h.check()
}

// SamePlace reports whether two headers stand for one place in the log: the same
// leader, epoch, term and batch before.
func (h *Header) SamePlace(o *Header) bool {
	return h.Leader == o.Leader && h.Epoch == o.Epoch && h.Term == o.Term && h.Prev == o.Prev
}

func (h *Header) check() error {
	if !ValidID(h.Leader) || len(h.Cited.Sigs) > MaxMembers || h.TimeMs > MaxTimeMs {
		return refuse(CodeBatchForm, "header: leader, time or %d cosignatures", len(h.Cited.Sigs))
	}
	return nil
}

func (s *Submission) check() error {
	if !ValidID(s.Issuer) || s.Count == 0 || s.Count > MaxRecords {
		return refuse(CodeBatchForm, "submission of %q with %d records", s.Issuer, s.Count)
	}
	return nil
}

// Seal closes a batch: its last leaf. With the checkpoint that ends there it
// proves who wrote what, and what the state is.
type Seal struct {
	Version     uint8        `cbor:"1,keyasint"`
	Kind        Kind         `cbor:"2,keyasint"`
	Height      uint64       `cbor:"3,keyasint"`
	Epoch       uint64       `cbor:"4,keyasint"`
	PolicyEpoch uint64       `cbor:"5,keyasint"`
	Rules       uint16       `cbor:"6,keyasint"`           // version of the rules that judged
	RegisterV   uint16       `cbor:"7,keyasint"`           // version of the register's hashing
	Header      *Header      `cbor:"8,keyasint,omitempty"` // none at genesis
	Submissions []Submission `cbor:"9,keyasint,omitempty"`
	Refusals    []Refused    `cbor:"10,keyasint,omitempty"` // ascending by submission and position
	Register    Digest       `cbor:"11,keyasint"`           // root of the register after the batch
}

// Refused is a refused record, or a refused whole submission (All).
type Refused struct {
	Sub  uint16 `cbor:"1,keyasint"`
	All  bool   `cbor:"2,keyasint,omitempty"`
	Pos  uint16 `cbor:"3,keyasint,omitempty"`
	Leaf []byte `cbor:"4,keyasint,omitempty"` // leaf hash, 32 bytes; none with All
	Code Code   `cbor:"5,keyasint"`
}

// Leaf returns the seal's bytes, which are not padded.
func (s *Seal) Leaf() []byte { return canon.Must(s) }

// IsSeal reports whether a leaf begins as a seal does.
func IsSeal(leaf []byte) bool {
	// map header, 1: 1, 2: 2
	return len(leaf) > 5 && leaf[0]>>5 == 5 && leaf[1] == 1 && leaf[2] == Version && leaf[3] == 2 && leaf[4] == byte(KindSeal)
}

// ParseSeal decodes a seal leaf. It returns a *Refusal.
func ParseSeal(leaf []byte) (*Seal, error) {
	s := new(Seal)
	if err := canon.UnmarshalMax(leaf, MaxSealBytes, s); err != nil {
		return nil, refusedForm(err)
	}
	if s.Version != Version || s.Kind != KindSeal {
		return nil, refuse(CodeRecordKind, "not a seal")
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Seal) check() error {
	genesis := s.Height == 0
	if len(s.Submissions) > MaxBatchSubs || genesis != (s.Header == nil) || genesis != (len(s.Submissions) == 0) {
		return refuse(CodeRecordMalformed, "seal of height %d with %d submissions", s.Height, len(s.Submissions))
	}
	if s.Header != nil {
		if err := s.Header.check(); err != nil {
			return err
		}
	}
	for i := range s.Submissions {
		if err := s.Submissions[i].check(); err != nil {
			return err
		}
	}
	for i := range s.Refusals {
		r := &s.Refusals[i]
		if int(r.Sub) >= len(s.Submissions) || !ValidCode(r.Code) || !r.fits(s.Submissions[r.Sub].Count) {
			return refuse(CodeRecordMalformed, "refusal %d of the seal", i)
		}
		if i == 0 {
			continue
		}
		if last := &s.Refusals[i-1]; last.Sub > r.Sub || last.Sub == r.Sub && (last.All || last.Pos >= r.Pos) {
			return refuse(CodeRecordMalformed, "refusals are out of order")
		}
	}
	return nil
}

// fits wants a whole refusal without position and leaf, and one of a record of
// count with both.
func (r *Refused) fits(count uint32) bool {
	if r.All {
		return r.Pos == 0 && len(r.Leaf) == 0
	}
	return uint32(r.Pos) < count && len(r.Leaf) == len(Digest{})
}
