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
	Head      []byte         `cbor:"5,keyasint,omitempty"` // of the handle before the first of those consents; absent at position 0, which has it itself
}

// Confirmed is what evidence that holds says.
type Confirmed struct {
	Site            string   // at which the passkey was asked, such as "https://member.example"
	Challenge       [32]byte // what it signed
	Head            Digest   // of the handle when it was asked
	Position, Count uint64   // this consent's place among those that were given at once
}

// confirmed returns the leaf that stands for a consent under the challenge of a
// passkey: the handle and its statement, over a commitment with the same nonce to
// the part without evidence. The head is the one before the first of the consents
// that are given at once: each further one's own head names the record before it,
// and so the passkey's own answer. With no head, an answer for the second consent
// would count over anything that came between, such as a revocation of the first.
func (c *Consent) confirmed(head Digest, nonce seal.Nonce, part *ConsentPart) merkle.Hash {
	bare := *part
	bare.Evidence = nil
	commitment := seal.Commit(nonce, canon.Must(&bare))
	s := Statement{Terms: c.Terms, Scope: c.Scope, On: true, Expiry: c.Expiry, Count: c.Count, Head: head[:], Commitment: commitment[:]}
	return merkle.LeafHash(append(c.Handle[:len(c.Handle):len(c.Handle)], canon.Must(&s)...))
}

// Challenge returns what a passkey signs for consents whose leaves have a root.
func Challenge(origin string, root merkle.Hash) [32]byte {
	return sha256.Sum256(sign.Message(sign.DomainPasskey, origin, root[:]))
}

// CheckEvidence checks the evidence in a consent's opened part. At a position other
// than 0 it cannot tell whether the consents before it were recorded, right before
// it: see Confirmed.Follows. A refusal has one of the codes passkey.malformed,
// .challenge, .origin and .signature.
func (c *Consent) CheckEvidence(origin string, nonce seal.Nonce, part *ConsentPart) (*Confirmed, error) {
	e := new(Evidence)
	if err := canon.UnmarshalMax(part.Evidence, MaxLeafBytes, e); err != nil {
		return nil, refuse(CodePasskeyForm, "%v", err)
	}
	if e.Count == 0 || e.Count > MaxScopes || e.Position >= e.Count {
		return nil, refuse(CodePasskeyForm, "consent %d of %d", e.Position, e.Count)
	}
	first := c.Head
	if e.Position > 0 {
		if len(e.Head) != len(first) {
			return nil, refuse(CodePasskeyForm, "a head of %d bytes", len(e.Head))
		}
		first = Digest(e.Head)
	} else if e.Head != nil {
		return nil, refuse(CodePasskeyForm, "a second head")
	}
	path := make([]merkle.Hash, len(e.Path))
	for i, h := range e.Path {
		path[i] = merkle.Hash(h)
	}
	root, err := merkle.RootFrom(c.confirmed(first, nonce, part), e.Position, e.Count, path)
	if err != nil {
		return nil, refuse(CodePasskeyForm, "%v", err)
	}
	v := &Confirmed{Challenge: Challenge(origin, root), Head: first, Position: e.Position, Count: e.Count}
	v.Site, err = checkAssertion(&e.Assertion, v.Challenge)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Follows checks that a consent has its place among those that were given at once,
// given what the record before it under the handle says: nil where that is none that
// a passkey confirmed. A refusal has the code passkey.challenge.
func (v *Confirmed) Follows(before *Confirmed) error {
	if v.Position == 0 {
		return nil
	}
	if before == nil || before.Challenge != v.Challenge || before.Head != v.Head || before.Count != v.Count || before.Position+1 != v.Position {
		return refuse(CodePasskeyChallenge, "consent %d of %d does not follow the one before it", v.Position, v.Count)
	}
	return nil
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
		out[i] = drafts[i].Consent.confirmed(drafts[0].Consent.Head, drafts[i].Nonce, &drafts[i].Part)
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
		if i > 0 {
			e.Head = drafts[0].Consent.Head[:]
		}
		d := &drafts[i]
		d.Part.Evidence = canon.Must(&e)
		if _, err := d.Consent.CheckEvidence(origin, d.Nonce, &d.Part); err != nil {
			return err
		}
	}
	return nil
}
