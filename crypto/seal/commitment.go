package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Nonce opens one commitment. It is secret as long as the sealed part is, prints
// as "[redacted]", and is published or handed out only by converting its bytes.
// Unlike the other secrets it is a plain array: keep it out of unexported fields
// of structs that may be printed.
type Nonce [32]byte

// NewNonce draws a nonce. Each commitment gets its own.
func NewNonce() Nonce {
	var n Nonce
	rand.Read(n[:])
	return n
}

// String returns "[redacted]".
func (Nonce) String() string { return redactedText }

// GoString returns "[redacted]".
func (Nonce) GoString() string { return redactedText }

// Format writes "[redacted]" for every verb.
func (Nonce) Format(s fmt.State, _ rune) { io.WriteString(s, redactedText) }

// LogValue returns "[redacted]".
func (Nonce) LogValue() slog.Value { return slog.StringValue(redactedText) }

// Commit returns HMAC-SHA-256(nonce, part). The part is the canonical encoding
// of what is committed to; it is hashed as it is.
func Commit(nonce Nonce, part []byte) [32]byte {
	mac := hmac.New(sha256.New, nonce[:])
	mac.Write(part)
	return [32]byte(mac.Sum(nil))
}

// CheckOpening reports whether nonce and part open the commitment.
func CheckOpening(commitment [32]byte, nonce Nonce, part []byte) bool {
	got := Commit(nonce, part)
	return subtle.ConstantTimeCompare(got[:], commitment[:]) == 1
}
