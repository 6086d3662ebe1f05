// Package canon is the one spelling of every signed or hashed byte string:
// deterministic CBOR after RFC 8949 §4.2.1.
//
// # Format
//
// Maps have unsigned integer keys in ascending order (struct tags
// `cbor:"1,keyasint"`), integers are minimal, strings are valid UTF-8, every
// length is definite. Floats, tags, null for a missing field and the values
// undefined and simple are not used. An optional field that is empty is left
// out.
//
// A decoder accepts one spelling only: it decodes, encodes again and compares.
// The strict options of the CBOR library alone are not enough: they accept
// integers that are longer than needed and keys out of order.
//
// Text is never normalised; bytes that were signed are hashed as received.
//
// Invariant: for every accepted input b, Marshal(Unmarshal(b)) == b.
package canon

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Limits on what a decoder accepts, checked before anything is allocated.
const (
	MaxBytes    = 1 << 20 // longest input of Unmarshal; callers with a tighter limit use UnmarshalMax
	MaxDepth    = 16      // nested maps and arrays
	MaxElements = 16384   // elements of one array or pairs of one map
)

// An Error says why an input was refused. Code is stable and shared with the
// API and the command line.
type Error struct {
	Code string // one of the Code… constants
	Err  error
}

// The stable codes of refused input.
const (
	CodeMalformed    = "cbor.malformed"
	CodeNotCanonical = "cbor.not-canonical"
	CodeOversize     = "cbor.oversize"
	CodeDepth        = "cbor.depth"
	CodeDuplicateKey = "cbor.duplicate-key"
)

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code
	}
	return e.Code + ": " + e.Err.Error()
}

// Unwrap returns the reason beneath the code.
func (e *Error) Unwrap() error { return e.Err }

var encMode, decMode = modes()

func modes() (cbor.EncMode, cbor.DecMode) {
	eo := cbor.CoreDetEncOptions()
	eo.TagsMd = cbor.TagsForbidden
	eo.NilContainers = cbor.NilContainerAsEmpty // else null would be a second spelling of an empty list
	em, err := eo.EncMode()
	if err != nil {
		panic("canon: encoder options: " + err.Error())
	}
	dm, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   MaxDepth,
		MaxArrayElements:  MaxElements,
		MaxMapPairs:       MaxElements,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic("canon: decoder options: " + err.Error())
	}
	return em, dm
}

// Marshal returns the canonical bytes of v.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Must is Marshal for values that cannot fail to encode: structs of integers,
// strings, byte strings and lists of them. A failure is a bug and panics.
func Must(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic("canon: " + err.Error())
	}
	return b
}

// Unmarshal decodes b, at most MaxBytes long, into v. It returns an *Error
// when b is not the canonical encoding of a value of v's type.
func Unmarshal(b []byte, v any) error { return UnmarshalMax(b, MaxBytes, v) }

// UnmarshalMax is Unmarshal for inputs of at most maxBytes bytes.
func UnmarshalMax(b []byte, maxBytes int, v any) error {
	if len(b) > maxBytes {
		return &Error{CodeOversize, fmt.Errorf("%d bytes, at most %d", len(b), maxBytes)}
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return refused(err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return &Error{CodeMalformed, err}
	}
	if !bytes.Equal(again, b) {
		return &Error{CodeNotCanonical, errors.New("another spelling of the same value")}
	}
	return nil
}

// Decode decodes bytes that this program encoded itself, such as values of its
// own store: without the second encoding that shows that they are canonical.
func Decode(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return refused(err)
	}
	return nil
}

// First decodes the first item of b into v and returns the bytes after it. The
// item must be canonical.
func First(b []byte, v any) (rest []byte, err error) {
	if len(b) > MaxBytes {
		return nil, &Error{CodeOversize, fmt.Errorf("%d bytes, at most %d", len(b), MaxBytes)}
	}
	rest, err = decMode.UnmarshalFirst(b, v)
	if err != nil {
		return nil, refused(err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return nil, &Error{CodeMalformed, err}
	}
	if !bytes.Equal(again, b[:len(b)-len(rest)]) {
		return nil, &Error{CodeNotCanonical, errors.New("another spelling of the same value")}
	}
	return rest, nil
}

func refused(err error) error {
	var dup *cbor.DupMapKeyError
	var depth *cbor.MaxNestedLevelError
	var items *cbor.MaxArrayElementsError
	var pairs *cbor.MaxMapPairsError
	switch {
	case errors.As(err, &dup):
		return &Error{CodeDuplicateKey, err}
	case errors.As(err, &depth):
		return &Error{CodeDepth, err}
	case errors.As(err, &items), errors.As(err, &pairs):
		return &Error{CodeOversize, err}
	case strings.Contains(err.Error(), "indefinite-length"):
		return &Error{CodeNotCanonical, err}
	}
	return &Error{CodeMalformed, err}
}
