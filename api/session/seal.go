package session

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// errDamaged says that a stored value does not open. It holds no value.
var errDamaged = errors.New("a stored session is damaged")

// keyFrom makes the key under which what belongs to a token is sealed.
func keyFrom(token string) (key [32]byte) {
	b, err := hkdf.Key(sha256.New, []byte(token), nil, "akashi/session/v1", len(key))
	if err != nil {
		panic("session: " + err.Error()) // the size is fixed
	}
	return [32]byte(b)
}

func sealJSON(key [32]byte, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return Seal(key, plain), nil
}

func openJSON(key [32]byte, sealed []byte, v any) error {
	plain, err := Open(key, sealed)
	if err != nil {
		return err
	}
	if json.Unmarshal(plain, v) != nil {
		return errDamaged
	}
	return nil
}

// Seal encrypts a value for the member's local storage (XChaCha20-Poly1305, random
// nonce in front).
func Seal(key [32]byte, plain []byte) []byte {
	a, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic("session: " + err.Error())
	}
	nonce := random(chacha20poly1305.NonceSizeX)
	return a.Seal(nonce, nonce, plain, nil)
}

// Open is the reverse of Seal.
func Open(key [32]byte, sealed []byte) ([]byte, error) {
	a, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic("session: " + err.Error())
	}
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errDamaged
	}
	plain, err := a.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], nil)
	if err != nil {
		return nil, errDamaged
	}
	return plain, nil
}
