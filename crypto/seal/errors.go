package seal

import "errors"

// Sizes, checked before anything is allocated or decrypted.
const (
	// MaxPlaintextBytes bounds what one age file may hold.
	MaxPlaintextBytes = 4 << 20
	// MaxItemBytes bounds the plaintext of one item.
	MaxItemBytes = 1 << 20
	// MaxRecipients bounds the stanzas of one age file. Opening tries each of
	// them at about 100 µs, so the bound is also one on work.
	MaxRecipients = 16
	// MaxNameBytes bounds members, kinds, senders and recipients by name.
	MaxNameBytes = 255
)

// What callers branch on. All but ErrNotRecipient and ErrDamaged are mistakes
// of the caller and say nothing about stored bytes.
var (
	// ErrNotRecipient: the file is well formed, but not for this identity.
	ErrNotRecipient = errors.New("not sealed to this identity")
	// ErrDamaged: the bytes are not what was sealed: changed, cut, under another
	// key or with other associated data, or not in the one accepted spelling.
	ErrDamaged = errors.New("sealed bytes are damaged or not what was asked for")
	// ErrTooLarge: a size is above its bound.
	ErrTooLarge = errors.New("too large to seal or open")
	// ErrRecipients: none, too many, or an empty one.
	ErrRecipients = errors.New("needs 1 to 16 recipients")
	// ErrPortable: the text is neither an X25519 nor a hybrid age recipient.
	ErrPortable = errors.New("not an age recipient")
	// ErrRecipient: the text is not a hybrid age recipient.
	ErrRecipient = errors.New("not a hybrid age recipient")
	// ErrIdentity: the bytes are not a marshalled identity of the kind asked for.
	ErrIdentity = errors.New("not a marshalled identity")
	// ErrNoKey: the key is the zero value or was wiped.
	ErrNoKey = errors.New("key is empty or wiped")
	// ErrName: a member, kind, sender or recipient is empty or over 255 bytes.
	ErrName = errors.New("name must have 1 to 255 bytes")
	// ErrSecret: a secret was handed to an encoder that was not meant to get it.
	ErrSecret = errors.New("a secret is not encoded implicitly")
)
