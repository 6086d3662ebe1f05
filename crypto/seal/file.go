package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

const (
	ageVersionLine = "age-encryption.org/v1\n"
	stanzaPrefix   = "-> mlkem768x25519 "

	// A stanza takes 1,563 bytes; MAC, nonce and one tag per 64 KiB chunk come on top.
	maxHeaderBytes = 128 + MaxRecipients*1600
	maxFileBytes   = maxHeaderBytes + 16 + MaxPlaintextBytes + 16*(MaxPlaintextBytes>>16+1)
)

// Seal encrypts plaintext to all recipients as one age file; each of them can
// open it. Size: 1.7 kB for the first recipient and 1.6 kB for each more.
// Errors: ErrTooLarge, ErrRecipients.
func Seal(plaintext []byte, recipients ...Recipient) ([]byte, error) {
	if len(plaintext) > MaxPlaintextBytes {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plaintext), ErrTooLarge)
	}
	to, err := ageRecipients(recipients)
	if err != nil {
		return nil, err
	}
	return encrypt(plaintext, to...)
}

// encrypt writes an age file.
func encrypt(plaintext []byte, to ...age.Recipient) ([]byte, error) {
	var file bytes.Buffer
	file.Grow(len(plaintext) + 256 + len(to)*1600)
	w, err := age.Encrypt(&file, to...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return file.Bytes(), nil
}

func ageRecipients(recipients []Recipient) ([]age.Recipient, error) {
	if len(recipients) == 0 || len(recipients) > MaxRecipients {
		return nil, ErrRecipients
	}
	to := make([]age.Recipient, len(recipients))
	for i, r := range recipients {
		if r.key == nil {
			return nil, ErrRecipients
		}
		to[i] = r.key
	}
	return to, nil
}

// Open decrypts an age file. It returns nothing unless the whole file is
// authentic. Errors: ErrNoKey, ErrTooLarge, ErrNotRecipient, ErrDamaged.
func Open(file []byte, identity Identity) ([]byte, error) {
	key := identity.key.get()
	if key == nil {
		return nil, ErrNoKey
	}
	if len(file) > maxFileBytes {
		return nil, fmt.Errorf("open %d bytes: %w", len(file), ErrTooLarge)
	}
	if err := checkHeader(file); err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(file), key)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, ErrNotRecipient
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w: %v", ErrDamaged, err)
	}
	plaintext, err := io.ReadAll(io.LimitReader(r, MaxPlaintextBytes+1))
	if err != nil {
		return nil, fmt.Errorf("open: %w: %v", ErrDamaged, err)
	}
	if len(plaintext) > MaxPlaintextBytes {
		clear(plaintext)
		return nil, fmt.Errorf("open: %w", ErrTooLarge)
	}
	return plaintext, nil
}

// checkHeader admits only hybrid stanzas, and no more than MaxRecipients, before
// any costly work. The age library parses and authenticates the rest.
func checkHeader(file []byte) error {
	rest, ok := bytes.CutPrefix(file, []byte(ageVersionLine))
	if !ok {
		return fmt.Errorf("open: %w: no age version line", ErrDamaged)
	}
	stanzas := 0
	for len(file)-len(rest) <= maxHeaderBytes {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		switch {
		case !ok:
			return fmt.Errorf("open: %w: header is cut", ErrDamaged)
		case bytes.HasPrefix(line, []byte("---")):
			if stanzas == 0 {
				return fmt.Errorf("open: %w: no stanza", ErrDamaged)
			}
			return nil
		case bytes.HasPrefix(line, []byte("->")):
			stanzas++
			if !bytes.HasPrefix(line, []byte(stanzaPrefix)) {
				return fmt.Errorf("open: %w: a stanza is not mlkem768x25519", ErrDamaged)
			}
		}
		if stanzas > MaxRecipients {
			break
		}
		rest = after
	}
	return fmt.Errorf("open: header: %w", ErrTooLarge)
}
