package seal

import (
	"crypto/rand"
	"fmt"

	"filippo.io/age"
)

const (
	identityFormat = 0x01
	kindPerson     = 'P'
	kindOneTime    = 'O'

	ageSecretKeyBytes = 77 // "AGE-SECRET-KEY-PQ-1" + 52 digits + 6 of checksum
	identityHeadBytes = 2 + 16
	identityBytes     = identityHeadBytes + ageSecretKeyBytes
)

// Number identifies an identity by a random value. It is kept with every copy
// of the key and published when the identity is erased; it is no secret then.
type Number [16]byte

// Identity is a person's age hybrid key pair with its number. The zero value
// opens nothing.
type Identity struct {
	redacted
	key    hidden[age.HybridIdentity]
	Number Number
}

// NewIdentity draws a key pair and a number.
func NewIdentity() (Identity, error) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		return Identity{}, fmt.Errorf("draw identity: %w", err)
	}
	id := Identity{key: hide(key)}
	rand.Read(id.Number[:])
	return id, nil
}

// Recipient returns the public side. It panics on the zero value.
func (i Identity) Recipient() Recipient {
	key := i.key.get()
	if key == nil {
		panic("seal: recipient of an empty identity")
	}
	return Recipient{key: key.Recipient()}
}

// Marshal returns the secret bytes of the identity (95 of them) for a vault or a
// custodian; nil for the zero value.
func (i Identity) Marshal() []byte { return i.marshal(kindPerson) }

// ParseIdentity is the inverse of Marshal. Errors: ErrIdentity.
func ParseIdentity(b []byte) (Identity, error) { return parseIdentity(b, kindPerson) }

func (i Identity) marshal(kind byte) []byte {
	key := i.key.get()
	if key == nil {
		return nil
	}
	b := make([]byte, 0, identityBytes)
	b = append(b, identityFormat, kind)
	b = append(b, i.Number[:]...)
	return append(b, key.String()...)
}

func parseIdentity(b []byte, kind byte) (Identity, error) {
	if len(b) != identityBytes || b[0] != identityFormat || b[1] != kind {
		return Identity{}, ErrIdentity
	}
	text := string(b[identityHeadBytes:])
	key, err := age.ParseHybridIdentity(text)
	if err != nil || key.String() != text {
		return Identity{}, ErrIdentity // age's own error quotes the input
	}
	return Identity{key: hide(key), Number: Number(b[2:identityHeadBytes])}, nil
}

// OneTime is an identity made for one parcel and destroyed after it. It is a
// type of its own so that a parcel is never sealed to, or opened with, a key
// that lives longer.
type OneTime struct {
	redacted
	identity Identity
}

// NewOneTime draws a one-time identity.
func NewOneTime() (OneTime, error) {
	id, err := NewIdentity()
	return OneTime{identity: id}, err
}

// Number returns the number drawn with the key.
func (o OneTime) Number() Number { return o.identity.Number }

// Recipient returns the public side. It panics on the zero value.
func (o OneTime) Recipient() Recipient { return o.identity.Recipient() }

// Marshal returns the secret bytes (95) for the vault that keeps the key until
// its parcel came; nil for the zero value.
func (o OneTime) Marshal() []byte { return o.identity.marshal(kindOneTime) }

// ParseOneTime is the inverse of OneTime.Marshal. Errors: ErrIdentity.
func ParseOneTime(b []byte) (OneTime, error) {
	id, err := parseIdentity(b, kindOneTime)
	return OneTime{identity: id}, err
}

// Recipient is the public side of an identity. The zero value is no recipient.
type Recipient struct{ key *age.HybridRecipient }

// ParseRecipient reads the text form "age1pq1…". Errors: ErrRecipient.
func ParseRecipient(text string) (Recipient, error) {
	if len(text) > 4096 {
		return Recipient{}, ErrRecipient
	}
	key, err := age.ParseHybridRecipient(text)
	if err != nil || key.String() != text {
		return Recipient{}, ErrRecipient
	}
	return Recipient{key: key}, nil
}

// String returns the text form, empty for the zero value.
func (r Recipient) String() string {
	if r.key == nil {
		return ""
	}
	return r.key.String()
}
