package vault

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Entry is one secret with its id. It prints as "[redacted]".
type Entry struct {
	ID    string // 1 to MaxIDBytes bytes; may be personal, is never stored in clear
	Value []byte // at most MaxValueBytes
	// Replace allows another value than the one already held. The old value
	// stays readable, to who has root key and blobs, until the entry is shredded,
	// or folded by Compact.
	Replace bool
	// Reserve lets the entry into the room that is kept beyond the bound: for what
	// an erasure needs, which a full vault must not refuse.
	Reserve bool
}

// Format writes "[redacted]" for every verb.
func (Entry) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }

const pageStep = 256

var errPage = errors.New("page is not in the one spelling")

func (e Entry) encodedBytes() int { return 4 + len(e.ID) + len(e.Value) }

func sortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
}

func sizeOf(entries []Entry) (bytes int) {
	for _, e := range entries {
		bytes += e.encodedBytes()
	}
	return bytes
}

// pageSize returns the size of a page of entries of this encoded size.
func pageSize(bytes int) int { return (4 + bytes + pageStep - 1) / pageStep * pageStep }

// fits reports whether a page of entries of this encoded size fits into a blob.
func fits(bytes int) bool { return pageSize(bytes)+sealBytes <= MaxBlobBytes }

// encodePage writes entries, which are sorted and within bounds, into a scratch.
func encodePage(entries []Entry) []byte {
	size := pageSize(sizeOf(entries))
	b := scratch(size)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.ID)))
		b = append(b, e.ID...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.Value)))
		b = append(b, e.Value...)
	}
	return b[:size]
}

// decodePage is the inverse of encodePage; values lie in b. Errors: errPage.
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
		entries = append(entries, Entry{ID: string(id), Value: value})
		rest = after
	}
	if pageSize(sizeOf(entries)) != len(b) || slices.ContainsFunc(rest, func(c byte) bool { return c != 0 }) {
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

// page is a decrypted page: entries sorted by id, whose values lie in plaintext.
type page struct {
	plaintext []byte
	entries   []Entry
}

func (p *page) wipe() {
	if p.plaintext != nil {
		giveBack(p.plaintext)
	}
	*p = page{}
}

// find returns the entry with this id.
func (p *page) find(id string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(p.entries, id, func(e Entry, id string) int { return cmp.Compare(e.ID, id) })
	if !ok {
		return Entry{}, false
	}
	return p.entries[i], true
}

// sealPage encrypts sorted entries under a fresh key. None are a ref of zeros, and
// a blob without a key, which no writer puts.
func (p place) sealPage(generation uint64, entries []Entry) (ref, Blob) {
	if len(entries) == 0 {
		return ref{}, Blob{}
	}
	return p.seal(generation, encodePage(entries), len(entries), sizeOf(entries))
}

// openPage reads the page that r names, which the caller wipes; a ref of zeros
// has none. Errors: ErrBlock; else I/O.
func (p place) openPage(blobs Blobs, r *ref) (*page, error) {
	if r.entries == 0 {
		return &page{}, nil
	}
	plaintext, err := p.open(blobs, r)
	if err != nil {
		return nil, err
	}
	entries, err := decodePage(plaintext)
	if err == nil && (len(entries) != int(r.entries) || sizeOf(entries) != int(r.bytes)) {
		err = errors.New("counts differ")
	}
	if err != nil {
		giveBack(plaintext)
		return nil, p.damaged(err)
	}
	return &page{plaintext: plaintext, entries: entries}, nil
}
