// Package receipt is what a person keeps: files that prove, offline and without
// trusting any single member, what stands in the ledger.
//
//   - A receipt (akashi-receipt/v1) proves one record, with its opening where
//     the holder has it, and on request the status of the consent.
//   - A handle proof (akashi-handle/v1) proves the state of every scope under one
//     handle, and on request that its records are all there are.
//   - A completeness proof (akashi-completeness/v1) does so for one person over
//     every service and party of the register: 「これで全部です」.
//   - An erasure certificate (akashi-erasure/v1) proves who destroyed a
//     person's keys, when, and who has not answered yet.
//   - Evidence (akashi-evidence/v1), which a node keeps, proves that a member
//     signed what no honest member signs, and names it.
//   - A proof of commitment (akashi-committed/v1) leads from a leaf of a
//     commitment tree, such as a sensor's reading, to a checkpoint of the log.
//
// docs/spec/receipt.md, completeness.md, evidence.md and trees.md are the formats.
//
// # Invariants
//
//   - A file has one spelling: the canonical JSON rendering of its content. A
//     decoder renders what it read and compares, so that unknown or repeated
//     fields, trailing bytes, loose base64 and every changed byte are refused.
//     The error names the part that the byte lies in.
//   - Nothing in a file is trusted. What people read (the human view and the
//     payload) is derived again from proven bytes and compared.
//   - Proofs of a file's main part are at one checkpoint, which k members
//     cosigned under one of the policies that the verifier chose.
//   - Register proofs are against the seal that is the last leaf of that
//     checkpoint, in the order in which the derivation asks for them, and no
//     more: nothing unchecked travels along.
//
// # What it does not do
//
// It reads no clock: how old a status is, the reader judges by the time in the
// verdict. The policies are the caller's, who holds them to be right or followed
// them from one that is (FollowChain); a policy with a range counts within it. It stores nothing, and
// does not say that the sealed part tells the truth, only that it is the one
// that was recorded.
package receipt

import (
	"bytes"
	"errors"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// The formats of files.
const (
	FormatReceipt      = "akashi-receipt/v1"
	FormatSlip         = "akashi-slip/v1" // of the QR code on paper
	FormatHandle       = "akashi-handle/v1"
	FormatCompleteness = "akashi-completeness/v1"
	FormatErasure      = "akashi-erasure/v1"
	FormatEvidence     = "akashi-evidence/v1"
	FormatCommitted    = "akashi-committed/v1"
)

// Largest files in bytes.
const (
	MaxReceiptBytes = 2 << 20
	MaxBundleBytes  = 64 << 20 // any of the other formats: a completeness proof over the largest directory fits
)

// A Source is the log and the register as they stood at one final checkpoint.
// A node implements it over its newest final height; register versions older
// than that are not needed, so a receipt can be made again at any time.
type Source interface {
	// Note returns the signed checkpoint with its k cosignatures.
	Note() ([]byte, error)
	// Leaf returns the bytes of a leaf.
	Leaf(index uint64) ([]byte, error)
	// Path returns the inclusion path of a leaf at the checkpoint's size.
	Path(index uint64) ([]merkle.Hash, error)
	// Prove returns what the register says of a key after the checkpoint's
	// last batch.
	Prove(key []byte) (register.Proof, error)
}

// file is an akashi-receipt/v1. The order of the fields is that of the file.
type file struct {
	Format     string      `json:"format"`
	Kind       string      `json:"kind"`
	Human      Human       `json:"human"`
	Payload    *Payload    `json:"payload"`
	StoryTime  bool        `json:"storyTime,omitempty"`
	Leaf       []byte      `json:"leaf"`
	Proof      string      `json:"proof"`
	Opening    *Opening    `json:"opening,omitempty"`
	Items      *Opening    `json:"items,omitempty"`
	Screen     []byte      `json:"screen,omitempty"`
	Seal       proven      `json:"seal"`
	Submission submission  `json:"submission"`
	Key        *proven     `json:"key,omitempty"`
	State      *proven     `json:"state,omitempty"`
	Register   []fact      `json:"register"`
	Status     *statusPart `json:"status,omitempty"`
}

// Human is what a person reads, Japanese first. It follows from the proven
// bytes and is never trusted.
type Human struct {
	Ja []string `json:"ja"`
	En []string `json:"en"`
}

// Opening opens a commitment: crypto/seal.Commit(nonce, part).
type Opening struct {
	Nonce []byte `json:"nonce"`
	Part  []byte `json:"part"`
}

// proven is a leaf with its tlog-proof@v1.
type proven struct {
	Leaf  []byte `json:"leaf"`
	Proof string `json:"proof"`
}

// submission is the record's place in what its issuer signed.
type submission struct {
	Index    int      `json:"index"`    // in the seal's list
	Position int      `json:"position"` // in the submission
	Path     [][]byte `json:"path"`     // RFC 6962 path from the leaf to the submission's root
}

// fact is a register proof: that the key has the value in it, or is absent.
type fact struct {
	Key   []byte `json:"key"`
	Proof []byte `json:"proof"`
}

// statusPart is a register proof of the handle at a checkpoint of its own, as
// fresh as its cosignatures.
type statusPart struct {
	proven
	Register []fact `json:"register"`
}

// Options of Build.
type Options struct {
	Opening *Opening // of the record's sealed part, where the holder may see it
	Items   *Opening // of a hand-over's items
	Screen  []byte   // canonical bytes of the terms' screen
	// KeyIndex is the leaf that gave the issuer the key with which it signed,
	// where that is not the key it has now: a key change, or the leaf that
	// admitted it. Build fails with ErrKeyChanged where it is needed.
	KeyIndex *uint64
	Status   bool // add the status at the same checkpoint
}

// Verify checks a file of any of the formats under policies that the caller
// trusts, one for each policy epoch. A refusal is an *Error that names the part;
// the verdict then has the steps up to it. Completeness is checked for the
// handles as given: see VerifyComplete.
func Verify(b []byte, policies ...*sign.Policy) (*Verdict, error) {
	return verify(b, nil, policies)
}

// VerifyComplete is Verify, but the handles of a completeness proof must be those
// that follow from the person's secret. Other formats need no secret.
func VerifyComplete(b []byte, secret sign.Secret, policies ...*sign.Policy) (*Verdict, error) {
	return verify(b, &secret, policies)
}

func verify(b []byte, secret *sign.Secret, policies []*sign.Policy) (*Verdict, error) {
	if bytes.HasPrefix(b, []byte(SlipPrefix)) {
		return verifySlip(b, policies)
	}
	switch formatOf(b) {
	case FormatCompleteness:
		return verifyCompleteness(b, secret, policies)
	case FormatHandle:
		return verifyHandle(b, policies)
	case FormatErasure:
		return verifyErasure(b, policies)
	case FormatEvidence:
		return verifyEvidence(b, policies)
	case FormatCommitted:
		return verifyCommitted(b, policies)
	case FormatReceipt:
		return verifyReceipt(b, policies)
	}
	return unknownFile()
}

// unknownFile refuses what does not say which format it has.
func unknownFile() (*Verdict, error) {
	c := check{"file", &Verdict{}}
	err := c.step("format", record.Text{}, func() error { return errors.New("the file does not say that it is one of Akashi's") })
	return c.v, err
}
