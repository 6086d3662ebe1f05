// Package record defines the statements of the ledger: their kinds, their
// canonical bytes, and the codes with which they are refused.
//
// # Leaf
//
// A record is a leaf of the log. Its bytes are a canonical CBOR map
//
//	1: version (1)   2: kind   3: id (16 random bytes)   4: issuer (party id)
//	5: body (a map, by kind)   6: commitment to the sealed part (32 bytes, may be absent)
//
// followed by zero bytes up to the next multiple of 128, so that the length
// says little about the content. (A zero byte is the CBOR integer 0: a padded
// leaf is a CBOR sequence, RFC 8742.) The encoder pads to the smallest size
// class, and the decoder accepts nothing else. The seal, which is public in
// full, is not padded.
//
// A leaf holds what members need to enforce the rules and no more: no name, no
// free text about a person, no stable identifier of a person. Everything else
// is in the sealed part, to which the leaf holds a commitment
// (crypto/seal.Commit); see Part.
//
// The package is pure. It checks form; what needs the state of the ledger is
// ledger/rules.
package record

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/fxamacker/cbor/v2"
)

// Version is the version of the leaf format.
const Version = 1

// An ID names a record: 16 random bytes drawn by its issuer.
type ID [16]byte

// A Digest is a SHA-256 hash or an HMAC-SHA-256 commitment.
type Digest [32]byte

// Byte arrays are written and read as byte strings as a whole: without these methods the
// CBOR library goes through them byte by byte with reflection, a twentieth of what a
// node does. Reading takes what there is, as the library does; a string of another
// length is another spelling, which package canon refuses.

// MarshalBinary returns the 16 bytes.
func (id ID) MarshalBinary() ([]byte, error) { return id[:], nil }

// UnmarshalBinary takes at most 16 bytes; what is missing is zero.
func (id *ID) UnmarshalBinary(b []byte) error {
	clear(id[copy(id[:], b):])
	return nil
}

// MarshalBinary returns the 32 bytes.
func (d Digest) MarshalBinary() ([]byte, error) { return d[:], nil }

// UnmarshalBinary takes at most 32 bytes; what is missing is zero.
func (d *Digest) UnmarshalBinary(b []byte) error {
	clear(d[copy(d[:], b):])
	return nil
}

// Envelope is the outer map of a leaf.
type Envelope struct {
	Version    uint8           `cbor:"1,keyasint"`
	Kind       Kind            `cbor:"2,keyasint"`
	ID         ID              `cbor:"3,keyasint"`
	Issuer     string          `cbor:"4,keyasint"`
	Body       cbor.RawMessage `cbor:"5,keyasint"`
	Commitment []byte          `cbor:"6,keyasint,omitempty"`
}

// A Record is one statement with its decoded body.
type Record struct {
	Kind       Kind
	ID         ID
	Issuer     string
	Body       Body
	Commitment *Digest // to the sealed part; nil where the kind has none
}

// A Body is the part of a record that its kind defines.
type Body interface {
	// check reports what is wrong with the body's form.
	check() error
}

// Leaf returns the record's canonical, padded bytes.
func (r *Record) Leaf() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	body, err := canon.Marshal(r.Body)
	if err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	e := Envelope{Version: Version, Kind: r.Kind, ID: r.ID, Issuer: r.Issuer, Body: body}
	if r.Commitment != nil {
		e.Commitment = r.Commitment[:]
	}
	b, err := canon.Marshal(&e)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	n := padded(len(b))
	if n > MaxLeafBytes {
		return nil, refuse(CodeRecordOversize, "%d bytes, at most %d", n, MaxLeafBytes)
	}
	return append(b, make([]byte, n-len(b))...), nil
}

func padded(n int) int { return (n + PadBytes - 1) / PadBytes * PadBytes }

// Parse decodes a leaf that is not a seal. It returns a *Refusal with a stable
// code when the bytes are not the canonical encoding of a record.
func Parse(leaf []byte) (*Record, error) {
	if len(leaf) > MaxLeafBytes {
		return nil, refuse(CodeRecordOversize, "%d bytes, at most %d", len(leaf), MaxLeafBytes)
	}
	var e Envelope
	rest, err := canon.First(leaf, &e)
	if err != nil {
		return nil, refusedForm(err)
	}
	if len(leaf) != padded(len(leaf)-len(rest)) {
		return nil, refuse(CodeRecordPadding, "%d bytes of content in %d", len(leaf)-len(rest), len(leaf))
	}
	for _, b := range rest {
		if b != 0 {
			return nil, refuse(CodeRecordPadding, "padding is not zero")
		}
	}
	if e.Version != Version {
		return nil, refuse(CodeRecordVersion, "version %d, this program knows %d", e.Version, Version)
	}
	body := newBody(e.Kind)
	if body == nil {
		return nil, refuse(CodeRecordKind, "kind %d", e.Kind)
	}
	if err := canon.UnmarshalMax(e.Body, MaxLeafBytes, body); err != nil {
		return nil, refusedForm(err)
	}
	r := &Record{Kind: e.Kind, ID: e.ID, Issuer: e.Issuer, Body: body}
	if e.Commitment != nil {
		if len(e.Commitment) != len(Digest{}) {
			return nil, refuse(CodeRecordMalformed, "commitment of %d bytes", len(e.Commitment))
		}
		d := Digest(e.Commitment)
		r.Commitment = &d
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Record) check() error {
	if !ValidID(r.Issuer) {
		return refuse(CodeRecordMalformed, "issuer %q is not a party id", r.Issuer)
	}
	if r.ID == (ID{}) {
		return refuse(CodeRecordMalformed, "the id is zero")
	}
	want := r.Kind.sealed()
	switch {
	case want == sealedAlways && r.Commitment == nil:
		return refuse(CodeRecordMalformed, "kind %v needs a commitment to its sealed part", r.Kind)
	case want == sealedNever && r.Commitment != nil:
		return refuse(CodeRecordMalformed, "kind %v has no sealed part", r.Kind)
	}
	if r.Body == nil {
		return refuse(CodeRecordMalformed, "no body")
	}
	return r.Body.check()
}

func refusedForm(err error) error {
	var e *canon.Error
	if errors.As(err, &e) {
		return &Refusal{Code: Code(e.Code), Detail: e.Err.Error()}
	}
	return &Refusal{Code: CodeRecordMalformed, Detail: err.Error()}
}

// ValidID reports whether s can name a party, service, sensor or parameter:
// 1 to 32 of a–z, 0–9 and hyphen, not beginning or ending with a hyphen.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > MaxIDBytes || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func checkID(what, s string) error {
	if !ValidID(s) {
		return refuse(CodeRecordMalformed, "%s %q is not an id", what, s)
	}
	return nil
}

// checkIDs wants at most most ids, in ascending order without repeats, so that
// a set has one spelling.
func checkIDs(what string, ids []string, most int) error {
	if len(ids) > most {
		return refuse(CodeRecordMalformed, "%d of %s, at most %d", len(ids), what, most)
	}
	for i, s := range ids {
		if err := checkID(what, s); err != nil {
			return err
		}
		if i > 0 && ids[i-1] >= s {
			return refuse(CodeRecordMalformed, "%s are not in ascending order", what)
		}
	}
	return nil
}

// checkKey refuses keys under which anyone can sign.
func checkKey(what string, k sign.PublicKey) error {
	if k.Weak() {
		return refuse(CodeRecordMalformed, "%s is a key under which anyone can sign", what)
	}
	return nil
}

func checkText(what string, t Text, maxBytes int) error {
	if t.Ja == "" || len(t.Ja) > maxBytes || len(t.En) > maxBytes || !utf8.ValidString(t.Ja) || !utf8.ValidString(t.En) {
		return refuse(CodeRecordMalformed, "%s needs Japanese text of at most %d bytes of UTF-8, and no longer English", what, maxBytes)
	}
	return nil
}

// Text is public text in Japanese and, where there is one, English.
type Text struct {
	Ja string `cbor:"1,keyasint" json:"ja"`
	En string `cbor:"2,keyasint,omitempty" json:"en,omitempty"`
}

// PeekKind returns the kind of a leaf without decoding it, 0 where the bytes do
// not begin as a record's do.
func PeekKind(leaf []byte) Kind {
	// map header, 1: version, 2: kind (one byte below 24, else two)
	if len(leaf) < 6 || leaf[1] != 1 || leaf[3] != 2 {
		return 0
	}
	if leaf[4] == 0x18 {
		return Kind(leaf[5])
	}
	if leaf[4] < 24 {
		return Kind(leaf[4])
	}
	return 0
}

// PeekID returns the id of a leaf that Parse accepted, without decoding it
// again. Seals have none.
func PeekID(leaf []byte) (ID, bool) {
	// map header, 1: version, 2: kind (one or two bytes), 3: 0x50 and 16 bytes
	for at := 4; at <= 6 && at+18 <= len(leaf); at++ {
		if leaf[at] == 3 && leaf[at+1] == 0x50 {
			return ID(leaf[at+2 : at+18]), true
		}
	}
	return ID{}, false
}
