package seal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	itemFormat    = 0x01
	itemDomain    = "akashi/seal/item/v1\n"
	itemHeadBytes = 1 + chacha20poly1305.NonceSizeX
)

// AAD is what an item is bound to: the member that stores it, the kind and
// version of its content, and the record that it belongs to. An item opens only
// with the same four.
type AAD struct {
	Member  string // 1 to 255 bytes
	Kind    string // 1 to 255 bytes
	Version uint
	Record  [16]byte
}

// bytes returns the one encoding of a.
func (a AAD) bytes() ([]byte, error) {
	b := make([]byte, 0, len(itemDomain)+2+len(a.Member)+len(a.Kind)+8+16)
	b = append(b, itemDomain...)
	b, err := appendName(b, a.Member)
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	if b, err = appendName(b, a.Kind); err != nil {
		return nil, fmt.Errorf("kind: %w", err)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(a.Version))
	return append(b, a.Record[:]...), nil
}

func appendName(b []byte, name string) ([]byte, error) {
	if len(name) == 0 || len(name) > MaxNameBytes {
		return nil, ErrName
	}
	return append(append(b, byte(len(name))), name...), nil
}

// SealItem encrypts one item of at most MaxItemBytes. The result has its size
// class and 41 bytes. Errors: ErrNoKey, ErrName, ErrTooLarge.
func SealItem(key DataKey, about AAD, plaintext []byte) ([]byte, error) {
	secret, err := key.bytes()
	if err != nil {
		return nil, fmt.Errorf("seal item: %w", err)
	}
	if len(plaintext) > MaxItemBytes {
		return nil, fmt.Errorf("seal item of %d bytes: %w", len(plaintext), ErrTooLarge)
	}
	ad, err := about.bytes()
	if err != nil {
		return nil, fmt.Errorf("seal item: %w", err)
	}
	aead, err := chacha20poly1305.NewX(secret)
	runtime.KeepAlive(key.key.at)
	if err != nil {
		return nil, fmt.Errorf("seal item: %w", err)
	}
	item := make([]byte, itemHeadBytes, itemHeadBytes+sizeClass(4+len(plaintext))+aead.Overhead())
	item[0] = itemFormat
	nonce := item[1:itemHeadBytes]
	rand.Read(nonce)
	padded := pad(item[itemHeadBytes:], plaintext)
	return aead.Seal(item, nonce, padded, ad), nil // encrypts in place
}

// OpenItem decrypts an item that SealItem made with the same key and AAD.
// Errors: ErrNoKey, ErrName, ErrTooLarge, ErrDamaged.
func OpenItem(key DataKey, about AAD, item []byte) ([]byte, error) {
	secret, err := key.bytes()
	if err != nil {
		return nil, fmt.Errorf("open item: %w", err)
	}
	if len(item) > itemHeadBytes+sizeClass(4+MaxItemBytes)+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("open item of %d bytes: %w", len(item), ErrTooLarge)
	}
	if len(item) < itemHeadBytes || item[0] != itemFormat {
		return nil, fmt.Errorf("open item: %w", ErrDamaged)
	}
	ad, err := about.bytes()
	if err != nil {
		return nil, fmt.Errorf("open item: %w", err)
	}
	aead, err := chacha20poly1305.NewX(secret)
	runtime.KeepAlive(key.key.at)
	if err != nil {
		return nil, fmt.Errorf("open item: %w", err)
	}
	padded, err := aead.Open(nil, item[1:itemHeadBytes], item[itemHeadBytes:], ad)
	if err != nil {
		return nil, fmt.Errorf("open item: %w", ErrDamaged)
	}
	plaintext, ok := unpad(padded)
	if !ok || len(plaintext) > MaxItemBytes {
		return nil, fmt.Errorf("open item: padding: %w", ErrDamaged)
	}
	return plaintext, nil
}
