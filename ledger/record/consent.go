package record

import (
	"bytes"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// Consent turns one scope on for a handle. It is signed by the handle's key
// over a Statement, so no member can make it up, and it names the count and
// head of the handle's consents, so an old one cannot be replayed.
type Consent struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Terms  Digest         `cbor:"2,keyasint"`
	Scope  uint8          `cbor:"3,keyasint"`           // index in the terms' scopes
	Expiry uint32         `cbor:"4,keyasint,omitempty"` // last valid day, days since 1970-01-01 in JST; 0: without end
	Count  uint64         `cbor:"5,keyasint"`           // consents of the handle before this one
	Head   Digest         `cbor:"6,keyasint"`           // hash of the last of them
	Sig    sign.Signature `cbor:"7,keyasint"`
}

func (c *Consent) check() error {
	if c.Scope >= MaxScopes {
		return refuse(CodeScopeRange, "scope %d", c.Scope)
	}
	return checkKey("the handle", c.Handle)
}

// Statement returns what the subject signs: commitment is the record's.
func (c *Consent) Statement(commitment Digest) []byte {
	return canon.Must(&Statement{Terms: c.Terms, Scope: c.Scope, On: true, Expiry: c.Expiry,
		Count: c.Count, Head: c.Head[:], Commitment: commitment[:]})
}

// Statement is what a subject signs (domain "consent"). A grant also covers the
// count and head of the handle's consents and the commitment to the chosen
// items; a revocation none of these, so that it can enter through any member at
// any time.
type Statement struct {
	Terms      Digest `cbor:"1,keyasint"`
	Scope      uint8  `cbor:"2,keyasint"`
	On         bool   `cbor:"3,keyasint"`
	Expiry     uint32 `cbor:"4,keyasint,omitempty"`
	Count      uint64 `cbor:"5,keyasint,omitempty"`
	Head       []byte `cbor:"6,keyasint,omitempty"`
	Commitment []byte `cbor:"7,keyasint,omitempty"`
}

// Revocation turns one scope off, by the subject.
type Revocation struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Terms  Digest         `cbor:"2,keyasint"`
	Scope  uint8          `cbor:"3,keyasint"`
	Sig    sign.Signature `cbor:"4,keyasint"`
}

func (r *Revocation) check() error {
	if r.Scope >= MaxScopes {
		return refuse(CodeScopeRange, "scope %d", r.Scope)
	}
	return nil
}

// Statement returns what the subject signs.
func (r *Revocation) Statement() []byte {
	return canon.Must(&Statement{Terms: r.Terms, Scope: r.Scope})
}

// Stop turns scopes off without the subject's key: a member posts it after it
// has checked who asks. It is shown as such. ScopeAll stops every scope and
// every hand-over under an opt-out filing; Terms is then zero.
type Stop struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Terms  []byte         `cbor:"2,keyasint,omitempty"` // hash of the terms, none with ScopeAll
	Scope  uint8          `cbor:"3,keyasint"`
}

func (s *Stop) check() error {
	if s.Scope == ScopeAll && len(s.Terms) == 0 || s.Scope < MaxScopes && len(s.Terms) == len(Digest{}) {
		return nil
	}
	return refuse(CodeScopeRange, "scope %d with terms of %d bytes", s.Scope, len(s.Terms))
}

// HandleOpen begins a handle without consent: a member first holds a person's
// data by legal duty or under an opt-out regime. For is the service, or the
// party where there is no service.
type HandleOpen struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	For    string         `cbor:"2,keyasint"`
}

func (h *HandleOpen) check() error {
	if err := checkID("service", h.For); err != nil {
		return err
	}
	return checkKey("the handle", h.Handle)
}

// HandleMove replaces a handle by another with the same state. The old key
// signs the new handle, the new key the old one (domain "move").
type HandleMove struct {
	Old    sign.PublicKey `cbor:"1,keyasint"`
	New    sign.PublicKey `cbor:"2,keyasint"`
	OldSig sign.Signature `cbor:"3,keyasint"`
	NewSig sign.Signature `cbor:"4,keyasint"`
}

func (m *HandleMove) check() error {
	if m.Old == m.New {
		return refuse(CodeRecordMalformed, "a handle does not move to itself")
	}
	return checkKey("the new handle", m.New)
}

// Statement returns what both keys sign.
func (m *HandleMove) Statement() []byte {
	return canon.Must(&struct {
		Old sign.PublicKey `cbor:"1,keyasint"`
		New sign.PublicKey `cbor:"2,keyasint"`
	}{m.Old, m.New})
}

// HandleClose ends a handle; nothing but stops and denials is accepted under it
// after. The hand-overs that are still open under the handle end with it where
// they are named; a second close may name more.
type HandleClose struct {
	Handle  sign.PublicKey `cbor:"1,keyasint"`
	Intents []ID           `cbor:"2,keyasint,omitempty"` // ascending
}

func (c *HandleClose) check() error {
	if len(c.Intents) > MaxCloses {
		return refuse(CodeRecordMalformed, "%d hand-overs, at most %d", len(c.Intents), MaxCloses)
	}
	for i, id := range c.Intents {
		if i > 0 && bytes.Compare(c.Intents[i-1][:], id[:]) >= 0 {
			return refuse(CodeRecordMalformed, "hand-overs are not in ascending order")
		}
	}
	return nil
}
