package seal

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"runtime"
)

const dataKeyDomain = "akashi/seal/datakey/v1\n"

// DataKey seals the items of one person and class. Copies share their bytes, so
// Wipe ends all of them. The zero value seals and opens nothing.
type DataKey struct {
	redacted
	key hidden[keyBytes]
}

// NewDataKey draws a data key.
func NewDataKey() DataKey {
	key := newKeyBytes()
	rand.Read(key.secret[:])
	return DataKey{key: hide(key)}
}

// Wipe zeroes the key in memory, for every copy of k; they answer ErrNoKey from
// then on. It must not run beside another use of the key.
func (k DataKey) Wipe() {
	if key := k.key.get(); key != nil {
		key.wipe()
	}
}

// bytes returns the key, not copied: k must be kept alive while it is read. Errors:
// ErrNoKey.
func (k DataKey) bytes() ([]byte, error) {
	key := k.key.get()
	if key == nil || key.secret == nil {
		return nil, ErrNoKey
	}
	return key.secret[:], nil
}

// Wrap seals the key to recipients as one age file of about 1.7 kB.
// Errors: ErrNoKey, ErrRecipients.
func (k DataKey) Wrap(recipients ...Recipient) ([]byte, error) {
	secret, err := k.bytes()
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	plaintext := append([]byte(dataKeyDomain), secret...)
	runtime.KeepAlive(k.key.at)
	defer clear(plaintext)
	file, err := Seal(plaintext, recipients...)
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	return file, nil
}

// UnwrapDataKey opens a file that Wrap made.
// Errors: those of Open; ErrDamaged where the file holds something else.
func UnwrapDataKey(file []byte, identity Identity) (DataKey, error) {
	plaintext, err := Open(file, identity)
	if err != nil {
		return DataKey{}, fmt.Errorf("unwrap data key: %w", err)
	}
	defer clear(plaintext)
	key, ok := bytes.CutPrefix(plaintext, []byte(dataKeyDomain))
	if !ok || len(key) != 32 {
		return DataKey{}, fmt.Errorf("unwrap data key: %w", ErrDamaged)
	}
	k := newKeyBytes()
	copy(k.secret[:], key)
	return DataKey{key: hide(k)}, nil
}

// DataKeyOf returns the data key with these 32 secret bytes, which it copies, for
// who keeps one elsewhere than in an age file. Errors: ErrNoKey (another length).
func DataKeyOf(secret []byte) (DataKey, error) {
	if len(secret) != len(cell{}) {
		return DataKey{}, ErrNoKey
	}
	key := newKeyBytes()
	copy(key.secret[:], secret)
	return DataKey{key: hide(key)}, nil
}
