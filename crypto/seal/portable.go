package seal

import (
	"fmt"
	"strings"

	"filippo.io/age"
)

// Bounds of what leaves for a key that is not ours.
const (
	maxPortableBytes  = 64 << 20
	maxRecipientBytes = 4 << 10 // a hybrid recipient has 1,959 letters
)

// SealPortable encrypts plaintext to an age recipient that a person chose, of
// either kind: "age1…" (X25519) or "age1pq1…" (hybrid). Any age program opens the
// file. What is sealed to a key of ours is never sealed like this: see Seal.
// Errors: ErrTooLarge (above 64 MiB), ErrPortable.
func SealPortable(plaintext []byte, recipient string) ([]byte, error) {
	if len(plaintext) > maxPortableBytes {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plaintext), ErrTooLarge)
	}
	to, err := parsePortable(recipient)
	if err != nil {
		return nil, err
	}
	return encrypt(plaintext, to)
}

// parsePortable reads a recipient. The error does not repeat it: somebody may have
// pasted a secret key.
func parsePortable(s string) (age.Recipient, error) {
	if len(s) > maxRecipientBytes {
		return nil, ErrPortable
	}
	var to age.Recipient
	var err error
	if strings.HasPrefix(s, "age1pq1") {
		to, err = age.ParseHybridRecipient(s)
	} else {
		to, err = age.ParseX25519Recipient(s)
	}
	if err != nil {
		return nil, ErrPortable
	}
	return to, nil
}
