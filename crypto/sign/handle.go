package sign

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// SecretSize is the size of a subject's secret in bytes.
const SecretSize = 32

// A Secret is K_s, the secret of one person from which all of that person's
// handles follow. Without it the handles of one person cannot be linked to
// each other. It redacts itself when printed.
type Secret [SecretSize]byte

// NewSecret draws a secret from the system's randomness.
func NewSecret() Secret {
	var s Secret
	if _, err := rand.Read(s[:]); err != nil {
		panic("sign: no randomness: " + err.Error())
	}
	return s
}

// String redacts the secret.
func (Secret) String() string { return "sign.Secret(secret)" }

// GoString redacts the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText refuses: a secret never enters a text by accident.
func (Secret) MarshalText() ([]byte, error) { return nil, errors.New("a subject's secret is not text") }

// Handle returns the person's signing key towards one service (or party, where
// there is no service), in one generation (0, 1, …; a move makes the next).
//
// The seed is HKDF-SHA-256 (RFC 5869) with K_s as input key, no salt, and
// info = "akashi/handle/v1" ‖ 0x00 ‖ id ‖ 0x00 ‖ generation (8 bytes, big
// endian). An id never contains a zero byte, so the encoding is injective.
func (s Secret) Handle(id string, generation uint64) Key {
	info := append([]byte("akashi/handle/v1\x00"), id...)
	info = append(info, 0)
	info = binary.BigEndian.AppendUint64(info, generation)
	seed, err := hkdf.Key(sha256.New, s[:], nil, string(info), 32)
	if err != nil {
		panic("sign: " + err.Error())
	}
	k, err := KeyFromSeed(seed)
	if err != nil {
		panic("sign: " + err.Error())
	}
	return k
}
