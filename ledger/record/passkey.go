package record

import (
	"crypto/sha256"
	"errors"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// Evidence shows that a person confirmed consents with a passkey: what the passkey
// signed, and where the consent stands among those that were given at once. It is
// in the sealed part, because a passkey's public key names a person.
//
// The challenge that the passkey signed follows from the statements that the
// handle's key signs, as they are without the evidence, which cannot be hashed into
// itself: see Consent.Confirmed and Challenge.
type Evidence struct {
	Assertion sign.Assertion `cbor:"1,keyasint"`
	Position  uint64         `cbor:"2,keyasint,omitempty"` // from 0
	Count     uint64         `cbor:"3,keyasint"`           // of consents that were given at once, at most MaxScopes
	Path      []Digest       `cbor:"4,keyasint,omitempty"` // RFC 6962, from this consent to the root over all
}

// Confirmed returns the leaf that stands for a consent under the challenge of a
// passkey: the handle and its statement, over a commitment with the same nonce to
// the part without evidence. The head is in the statement of the first consent of
// those that are given at once (position 0) only: each further one names the record
// before it, and so the passkey's own answer.
func (c *Consent) Confirmed(position uint64, nonce seal.Nonce, part *ConsentPart) merkle.Hash {
	bare := *part
	bare.Evidence = nil
	commitment := seal.Commit(nonce, canon.Must(&bare))
	s := Statement{Terms: c.Terms, Scope: c.Scope, On: true, Expiry: c.Expiry, Count: c.Count, Commitment: commitment[:]}
	if position == 0 {
		s.Head = c.Head[:]
	}
	return merkle.LeafHash(append(c.Handle[:len(c.Handle):len(c.Handle)], canon.Must(&s)...))
}

// Challenge returns what a passkey signs for consents whose leaves have a root.
func Challenge(origin string, root merkle.Hash) [32]byte {
	return sha256.Sum256(sign.Message(sign.DomainPasskey, origin, root[:]))
}

// CheckEvidence checks the evidence in a consent's opened part, and returns the site
// at which the passkey was asked, such as "https://member.example". A refusal has
// one of the codes passkey.malformed, .challenge, .origin and .signature.
func (c *Consent) CheckEvidence(origin string, nonce seal.Nonce, part *ConsentPart) (site string, err error) {
	e := new(Evidence)
	if err := canon.UnmarshalMax(part.Evidence, MaxLeafBytes, e); err != nil {
		return "", refuse(CodePasskeyForm, "%v", err)
	}
	if e.Count == 0 || e.Count > MaxScopes || e.Position >= e.Count {
		return "", refuse(CodePasskeyForm, "consent %d of %d", e.Position, e.Count)
	}
	path := make([]merkle.Hash, len(e.Path))
	for i, h := range e.Path {
		path[i] = merkle.Hash(h)
	}
	root, err := merkle.RootFrom(c.Confirmed(e.Position, nonce, part), e.Position, e.Count, path)
	if err != nil {
		return "", refuse(CodePasskeyForm, "%v", err)
	}
	return checkAssertion(&e.Assertion, Challenge(origin, root))
}

// CheckAssertion checks a passkey's answer to a challenge, at one site; the codes are
// those of CheckEvidence.
func CheckAssertion(a *sign.Assertion, challenge [32]byte, site string) error {
	at, err := checkAssertion(a, challenge)
	if err == nil && at != site {
		err = refuse(CodePasskeyOrigin, "at %s", at)
	}
	return err
}

func checkAssertion(a *sign.Assertion, challenge [32]byte) (site string, err error) {
	site, err = a.Verify(challenge)
	switch {
	case errors.Is(err, sign.ErrAssertionChallenge):
		return "", refuse(CodePasskeyChallenge, "%v", err)
	case errors.Is(err, sign.ErrAssertionOrigin):
		return "", refuse(CodePasskeyOrigin, "%v", err)
	case errors.Is(err, sign.ErrAssertionSignature):
		return "", refuse(CodePasskeySignature, "%v", err)
	case err != nil:
		return "", refuse(CodePasskeyForm, "%v", err)
	}
	return site, nil
}

// A Draft is a consent on its way: what the handle's key will sign, and the part and
// nonce of its commitment.
type Draft struct {
	Consent Consent // without signature; Head counts in the first of several only
	Part    ConsentPart
	Nonce   seal.Nonce
}

func confirmed(drafts []Draft) []merkle.Hash {
	out := make([]merkle.Hash, len(drafts))
	for i := range drafts {
		out[i] = drafts[i].Consent.Confirmed(uint64(i), drafts[i].Nonce, &drafts[i].Part)
	}
	return out
}

// DraftChallenge returns what a passkey has to sign for consents that are given at
// once.
func DraftChallenge(origin string, drafts []Draft) [32]byte {
	return Challenge(origin, merkle.RootOf(confirmed(drafts)))
}

// Confirm puts a passkey's answer into the parts of consents, and checks it there.
func Confirm(origin string, drafts []Draft, a *sign.Assertion) error {
	leaves := confirmed(drafts)
	for i := range drafts {
		e := Evidence{Assertion: *a, Position: uint64(i), Count: uint64(len(drafts))}
		for _, h := range merkle.PathOf(leaves, i) {
			e.Path = append(e.Path, Digest(h))
		}
		d := &drafts[i]
		d.Part.Evidence = canon.Must(&e)
		if _, err := d.Consent.CheckEvidence(origin, d.Nonce, &d.Part); err != nil {
			return err
		}
	}
	return nil
}
