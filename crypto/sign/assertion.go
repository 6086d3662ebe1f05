package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"unicode/utf8"
)

// Algorithms of assertions, by their names in JOSE (RFC 7518, RFC 8037): those of
// the passkeys that WebAuthn Level 3 §5.8.5 recommends to every server.
const (
	AlgorithmES256 = "ES256" // ECDSA over P-256 with SHA-256, signature in ASN.1 DER
	AlgorithmEdDSA = "EdDSA" // Ed25519
	AlgorithmRS256 = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256, public exponent 65537
)

// maxAssertionBytes bounds each part of an assertion.
const maxAssertionBytes = 1024

// An Assertion is what a passkey signed: the output of WebAuthn's
// navigator.credentials.get (W3C Web Authentication Level 3, §7.2), with the key
// that verifies it.
type Assertion struct {
	Algorithm     string `cbor:"1,keyasint"`
	Key           []byte `cbor:"2,keyasint"` // ES256: 0x04, x, y; EdDSA: 32 bytes; RS256: the modulus, big-endian, without zeros in front
	Credential    []byte `cbor:"3,keyasint"` // id of the credential
	Authenticator []byte `cbor:"4,keyasint"` // authenticator data
	ClientData    []byte `cbor:"5,keyasint"` // JSON, as the browser wrote it
	Signature     []byte `cbor:"6,keyasint"` // over Authenticator and SHA-256 of ClientData
}

// Why an assertion does not hold. Their codes are "passkey.challenge",
// "passkey.origin" and "passkey.signature".
var (
	ErrAssertionForm      = errors.New("malformed assertion")
	ErrAssertionChallenge = errors.New("the passkey signed another challenge")
	ErrAssertionOrigin    = errors.New("the passkey belongs to another site, or nobody was there")
	ErrAssertionSignature = errors.New("the passkey's signature does not verify")
)

// IsOrigin reports whether a text is the origin of web pages in its one spelling, such
// as https://id.example.jp: a scheme of the web, a name in small letters, perhaps a port.
func IsOrigin(text string) bool { return originForm.MatchString(text) }

var originForm = regexp.MustCompile(`^https?://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[0-9]{1,5})?$`)

// Flags of authenticator data (§6.1).
const (
	flagPresent  = 1 << 0 // a person was there
	flagVerified = 1 << 2 // and the authenticator knew them
)

// Verify checks that the passkey signed a challenge with user verification, at a
// page whose host is its relying party. It returns the page's origin, such as
// "https://member.example". Whose passkey it is, and whether the origin is the
// right one, is not in it.
func (a *Assertion) Verify(challenge [32]byte) (origin string, err error) {
	for _, b := range [][]byte{a.Key, a.Credential, a.Authenticator, a.ClientData, a.Signature} {
		if len(b) == 0 || len(b) > maxAssertionBytes {
			return "", fmt.Errorf("%w: a part of %d bytes", ErrAssertionForm, len(b))
		}
	}
	if origin, err = a.origin(challenge); err != nil {
		return "", err
	}
	if len(a.Authenticator) < 37 {
		return "", fmt.Errorf("%w: authenticator data of %d bytes", ErrAssertionForm, len(a.Authenticator))
	}
	party := sha256.Sum256([]byte(originForm.FindStringSubmatch(origin)[1]))
	if want := byte(flagPresent | flagVerified); !bytes.Equal(a.Authenticator[:32], party[:]) || a.Authenticator[32]&want != want {
		return "", ErrAssertionOrigin
	}
	data := sha256.Sum256(a.ClientData)
	return origin, a.verify(append(bytes.Clone(a.Authenticator), data[:]...))
}

// origin reads the client data (§5.8.1), whose names are told apart by case.
func (a *Assertion) origin(challenge [32]byte) (string, error) {
	var said map[string]any
	if !utf8.Valid(a.ClientData) || json.Unmarshal(a.ClientData, &said) != nil {
		return "", fmt.Errorf("%w: client data", ErrAssertionForm)
	}
	if said["type"] != "webauthn.get" || said["challenge"] != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		return "", ErrAssertionChallenge
	}
	origin, _ := said["origin"].(string)
	if crossed, there := said["crossOrigin"]; there && crossed != false || !originForm.MatchString(origin) {
		return "", ErrAssertionOrigin
	}
	return origin, nil
}

func (a *Assertion) verify(signed []byte) error {
	ok := false
	sum := sha256.Sum256(signed)
	switch a.Algorithm {
	case AlgorithmES256:
		k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), a.Key)
		ok = err == nil && ecdsa.VerifyASN1(k, sum[:], a.Signature)
	case AlgorithmEdDSA:
		ok = len(a.Key) == ed25519.PublicKeySize && ed25519.Verify(a.Key, signed, a.Signature)
	case AlgorithmRS256:
		k := &rsa.PublicKey{N: new(big.Int).SetBytes(a.Key), E: 65537}
		ok = len(a.Key) >= 256 && len(a.Key) <= 512 && a.Key[0]&0x80 != 0 && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], a.Signature) == nil
	default:
		return fmt.Errorf("%w: algorithm %q", ErrAssertionForm, a.Algorithm)
	}
	if !ok {
		return ErrAssertionSignature
	}
	return nil
}
