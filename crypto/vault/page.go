package vault

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Entry is one secret with its id. It prints as "[redacted]".
type Entry struct {
	ID    string // 1 to MaxIDBytes bytes; may be personal, is never stored in clear
	Value []byte // at most MaxValueBytes
	// Replace allows another value than the one already held. The old value
	// stays readable, to who has root key and blobs, until the next rotation.
	Replace bool
	// Reserve lets the entry into the room that is kept beyond the bound: for what
	// an erasure needs, which a full vault must not refuse.
	Reserve bool
}

// Format writes "[redacted]" for every verb.
func (Entry) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }

const (
	pageFormat    = 0x01
	pageHeadBytes = 1 + chacha20poly1305.NonceSizeX
	pageStep      = 256
)

var errPage = errors.New("page is not authentic or not in the one spelling")

func (e Entry) encodedBytes() int { return 4 + len(e.ID) + len(e.Value) }

func sortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
}

func pageSize(entries []Entry) int {
	n := 4
	for _, e := range entries {
		n += e.encodedBytes()
	}
	return (n + pageStep - 1) / pageStep * pageStep
}

// encodePage writes entries, which are sorted and within bounds.
func encodePage(entries []Entry) []byte {
	b := make([]byte, 0, pageSize(entries))
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.ID)))
		b = append(b, e.ID...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.Value)))
		b = append(b, e.Value...)
	}
	return b[:cap(b)]
}

// decodePage is the inverse of encodePage; values are copies. Errors: errPage.
func decodePage(b []byte) ([]Entry, error) {
	if len(b) < pageStep || len(b) > MaxBlobBytes {
		return nil, errPage
	}
	count, rest := binary.BigEndian.Uint32(b), b[4:]
	if uint64(count)*5 > uint64(len(rest)) { // the shortest entry has one byte of id
		return nil, errPage
	}
	entries := make([]Entry, 0, count)
	for range count {
		id, after, ok := cutField(rest, MaxIDBytes)
		if !ok || len(id) == 0 {
			return nil, errPage
		}
		value, after, ok := cutField(after, MaxValueBytes)
		if !ok || (len(entries) > 0 && entries[len(entries)-1].ID >= string(id)) {
			return nil, errPage
		}
		entries = append(entries, Entry{ID: string(id), Value: append([]byte{}, value...)})
		rest = after
	}
	if pageSize(entries) != len(b) || slices.ContainsFunc(rest, func(c byte) bool { return c != 0 }) {
		return nil, errPage
	}
	return entries, nil
}

func cutField(b []byte, maxBytes int) (field, after []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > maxBytes || n > len(b)-2 {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// sealPage encrypts one page and wipes its plaintext.
func sealPage(key *[32]byte, ad []byte, entries []Entry) []byte {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	plaintext := encodePage(entries)
	defer clear(plaintext)
	blob := make([]byte, pageHeadBytes, pageHeadBytes+len(plaintext)+aead.Overhead())
	blob[0] = pageFormat
	rand.Read(blob[1:])
	return aead.Seal(blob, blob[1:pageHeadBytes], plaintext, ad)
}

func openPage(key *[32]byte, ad, blob []byte) ([]Entry, error) {
	if len(blob) < pageHeadBytes || len(blob) > MaxBlobBytes || blob[0] != pageFormat {
		return nil, errPage
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	plaintext, err := aead.Open(nil, blob[1:pageHeadBytes], blob[pageHeadBytes:], ad)
	if err != nil {
		return nil, errPage
	}
	defer clear(plaintext)
	return decodePage(plaintext)
}
