// Package sign holds the keys of Akashi, the statements that they sign, and
// the signed notes of the log.
//
// # Statements
//
// Every signature is Ed25519 (RFC 8032) over
//
//	"akashi/" domain "/v1\n" origin "\n" payload
//
// where domain names the kind of statement, origin the log, and payload is the
// canonical encoding of what is said. A signature for one domain or log can
// therefore never be passed off as another. Checkpoints and cosignatures are
// the exception: they are signed exactly as C2SP tlog-checkpoint and
// tlog-cosignature say (see note.go).
//
// # One rule set
//
// Single and batch verification accept the same signatures: those of ZIP-215.
// RFC 8032 leaves edge cases open (points of small order, encodings that are
// not minimal) on which verifiers differ; inside a replicated state machine
// such a difference would be a fork.
//
// The package knows nothing of records, members or storage.
package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hdevalence/ed25519consensus"
)

// A Domain names a kind of statement.
type Domain string

// The statements that are signed.
const (
	DomainSubmission Domain = "submission" // an issuer's records
	DomainHeader     Domain = "header"     // a leader's batch
	DomainConsent    Domain = "consent"    // a subject turns a scope on or off
	DomainMove       Domain = "move"       // a subject's old handle names the new one
	DomainGenesis    Domain = "genesis"    // a founder agrees to the genesis file
	DomainGovernance Domain = "governance" // a member votes
	DomainMark       Domain = "mark"       // a cosigner's own mark file
	DomainAttest     Domain = "attest"     // a custodian destroyed keys
	DomainApproval   Domain = "approval"   // a second approver of an exception
	DomainHold       Domain = "hold"       // a member keeps identities from being destroyed
	DomainTree       Domain = "tree"       // leaves of a commitment tree
	DomainUndeliver  Domain = "undeliver"  // a recipient refuses a hand-over
	DomainPasskey    Domain = "passkey"    // consents that a passkey confirms: the hash is its challenge
)

// Sizes in bytes.
const (
	PublicKeySize = ed25519.PublicKeySize
	SignatureSize = ed25519.SignatureSize
)

// ErrSignature says that a signature does not verify. Its code is
// "signature.invalid".
var ErrSignature = errors.New("signature does not verify")

// A PublicKey is an Ed25519 public key.
type PublicKey [PublicKeySize]byte

// String returns the key in hexadecimal digits.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// MarshalBinary returns the 32 bytes. With UnmarshalBinary it spares the CBOR library a
// walk through them by reflection.
func (k PublicKey) MarshalBinary() ([]byte, error) { return k[:], nil }

// UnmarshalBinary takes at most 32 bytes; what is missing is zero, so that another
// length shows as another spelling (package canon).
func (k *PublicKey) UnmarshalBinary(b []byte) error {
	clear(k[copy(k[:], b):])
	return nil
}

// A Signature is an Ed25519 signature.
type Signature [SignatureSize]byte

// MarshalBinary returns the 64 bytes.
func (s Signature) MarshalBinary() ([]byte, error) { return s[:], nil }

// UnmarshalBinary takes at most 64 bytes; what is missing is zero.
func (s *Signature) UnmarshalBinary(b []byte) error {
	clear(s[copy(s[:], b):])
	return nil
}

// A Key is a signing key. It redacts itself when printed.
type Key struct{ priv ed25519.PrivateKey }

// NewKey draws a key from the system's randomness.
func NewKey() Key {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("sign: no randomness: " + err.Error())
	}
	return Key{priv}
}

// KeyFromSeed returns the key of a 32-byte seed (RFC 8032 §5.1.5).
func KeyFromSeed(seed []byte) (Key, error) {
	if len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("seed of %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// Seed returns the key's 32-byte seed, for storage only.
func (k Key) Seed() []byte { return k.priv.Seed() }

// Private returns the key in the form that libraries want.
func (k Key) Private() ed25519.PrivateKey { return k.priv }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.priv == nil }

// Public returns the public half.
func (k Key) Public() PublicKey { return PublicKey(k.priv.Public().(ed25519.PublicKey)) }

// String redacts the key.
func (k Key) String() string { return "sign.Key(secret)" }

// GoString redacts the key.
func (k Key) GoString() string { return k.String() }

// MarshalText refuses: a key never enters a text by accident.
func (k Key) MarshalText() ([]byte, error) { return nil, errors.New("a signing key is not text") }

// Message returns the bytes that a signature of this domain covers.
func Message(d Domain, origin string, payload []byte) []byte {
	m := make([]byte, 0, len("akashi//v1\n\n")+len(d)+len(origin)+len(payload))
	m = append(m, "akashi/"...)
	m = append(m, d...)
	m = append(m, "/v1\n"...)
	m = append(m, origin...)
	m = append(m, '\n')
	return append(m, payload...)
}

// Sign signs payload as a statement of the domain in the log named origin.
func (k Key) Sign(d Domain, origin string, payload []byte) Signature {
	return Signature(ed25519.Sign(k.priv, Message(d, origin, payload)))
}

// Verify checks a signature after ZIP-215. It returns ErrSignature or nil.
func Verify(k PublicKey, d Domain, origin string, payload []byte, sig Signature) error {
	if !ed25519consensus.Verify(k[:], Message(d, origin, payload), sig[:]) {
		return ErrSignature
	}
	return nil
}

// A Batch verifies many signatures at once, about twice as fast as one by one
// from a few dozen on, under the same rules as Verify.
type Batch struct {
	items []batchItem
}

type batchItem struct {
	key PublicKey
	msg []byte
	sig Signature
}

// Add queues a signature and returns its index.
func (b *Batch) Add(k PublicKey, d Domain, origin string, payload []byte, sig Signature) int {
	b.items = append(b.items, batchItem{k, Message(d, origin, payload), sig})
	return len(b.items) - 1
}

// Verify returns for every queued signature whether it verifies.
func (b *Batch) Verify() []bool {
	ok := make([]bool, len(b.items))
	if len(b.items) > 1 {
		v := ed25519consensus.NewPreallocatedBatchVerifier(len(b.items))
		for _, it := range b.items {
			v.Add(it.key[:], it.msg, it.sig[:])
		}
		if v.Verify() {
			for i := range ok {
				ok[i] = true
			}
			return ok
		}
	}
	for i, it := range b.items {
		ok[i] = ed25519consensus.Verify(it.key[:], it.msg, it.sig[:])
	}
	return ok
}
