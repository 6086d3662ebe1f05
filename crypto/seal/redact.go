package seal

import (
	"fmt"
	"io"
	"log/slog"
)

const redactedText = "[redacted]"

// redacted, embedded, keeps a secret out of prints, logs and text encodings.
type redacted struct{}

// hidden holds a secret two pointers away. fmt reads unexported fields of a
// struct that holds ours without asking for Format, and under %s it follows one
// pointer (it reports the wrong verb with the value behind it), but never two.
type hidden[T any] struct{ at **T }

func hide[T any](secret *T) hidden[T] { return hidden[T]{at: &secret} }

// get returns the secret, nil where there is none.
func (h hidden[T]) get() *T {
	if h.at == nil {
		return nil
	}
	return *h.at
}

// String returns "[redacted]".
func (redacted) String() string { return redactedText }

// GoString returns "[redacted]".
func (redacted) GoString() string { return redactedText }

// Format writes "[redacted]" for every verb.
func (redacted) Format(s fmt.State, _ rune) { io.WriteString(s, redactedText) }

// LogValue returns "[redacted]".
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }

// MarshalText refuses, so that JSON and XML fail loudly.
func (redacted) MarshalText() ([]byte, error) { return nil, ErrSecret }
