package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	blockDomain = "akashi/vault/block/v1\n"
	deltaDomain = "akashi/vault/delta/v1\n"
)

var emptyBlockHash = sha256.Sum256([]byte(blockDomain))

// secrets is everything secret that an open vault holds.
type secrets struct {
	at      record // generation, root key and block
	entries map[string][]byte
	bytes   int // encoded size of all entries

	deltas uint64   // deltas applied on top of the block
	chain  [32]byte // what the next delta binds to
}

func (s *secrets) set(e Entry) {
	if old, ok := s.entries[e.ID]; ok {
		s.bytes -= Entry{ID: e.ID, Value: old}.encodedBytes()
		clear(old)
	}
	s.entries[e.ID] = e.Value
	s.bytes += e.encodedBytes()
}

// wipe zeroes root key and values. Ids are strings and stay until collected.
func (s *secrets) wipe() {
	clear(s.at.key[:])
	for _, value := range s.entries {
		clear(value)
	}
	clear(s.entries)
}

func (r record) ad(domain string) []byte {
	b := append([]byte(domain), r.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, r.generation)
	return append(b, r.block[:]...)
}

func (r record) pageAD(page uint32) []byte {
	b := binary.BigEndian.AppendUint32(r.ad(blockDomain), page)
	return binary.BigEndian.AppendUint32(b, r.pages)
}

func (r record) deltaAD(sequence uint64, chain [32]byte) []byte {
	b := binary.BigEndian.AppendUint64(r.ad(deltaDomain), sequence)
	return append(b, chain[:]...)
}

// cutPages divides sorted entries into pages of about pageBytes each.
func cutPages(entries []Entry) (pages [][]Entry) {
	start, size := 0, 0
	for i, e := range entries {
		if size += e.encodedBytes(); size >= pageBytes {
			pages = append(pages, entries[start:i+1])
			start, size = i+1, 0
		}
	}
	if start < len(entries) {
		pages = append(pages, entries[start:])
	}
	return pages
}

// writeBlock puts the sorted entries as the block of r and completes r.
func writeBlock(blobs Blobs, r *record, entries []Entry) error {
	pages := cutPages(entries)
	r.pages = uint32(len(pages))
	hash := sha256.New()
	hash.Write([]byte(blockDomain))
	for i, page := range pages {
		blob := sealPage(&r.key, r.pageAD(uint32(i)), page)
		sum := sha256.Sum256(blob)
		hash.Write(sum[:])
		if err := blobs.Put(r.pageKey(uint32(i)), blob); err != nil {
			return ioFault("put block", err)
		}
	}
	r.hash = [32]byte(hash.Sum(nil))
	return nil
}

// readBlock returns the entries of the block of r in order.
// Errors: ErrBlock where it is not exactly the one that r names; else I/O.
func readBlock(blobs Blobs, r record) ([]Entry, error) {
	var entries []Entry
	hash := sha256.New()
	hash.Write([]byte(blockDomain))
	for page := range r.pages {
		blob, err := blobs.Get(r.pageKey(page))
		if errors.Is(err, ErrNoBlob) {
			return nil, because(ErrBlock, "page %d of %d: %w", page, r.pages, err)
		}
		if err != nil {
			return nil, ioFault("get block", err)
		}
		sum := sha256.Sum256(blob)
		hash.Write(sum[:])
		got, err := openPage(&r.key, r.pageAD(page), blob)
		if err != nil {
			return nil, because(ErrBlock, "page %d of %d: %w", page, r.pages, err)
		}
		if len(entries) > 0 && (len(got) == 0 || got[0].ID <= entries[len(entries)-1].ID) {
			return nil, because(ErrBlock, "page %d of %d: %w", page, r.pages, errPage)
		}
		entries = append(entries, got...)
	}
	if [32]byte(hash.Sum(nil)) != r.hash {
		return nil, because(ErrBlock, "hash differs")
	}
	return entries, nil
}

// putDelta appends sorted entries to the vault as one delta.
func putDelta(blobs Blobs, s *secrets, entries []Entry) error {
	sequence := s.deltas + 1
	blob := sealPage(&s.at.key, s.at.deltaAD(sequence, s.chain), entries)
	if err := blobs.Put(s.at.deltaKey(sequence), blob); err != nil {
		return ioFault("put delta", err)
	}
	s.deltas, s.chain = sequence, sha256.Sum256(blob)
	return nil
}

// readDeltas applies the count deltas of the generation to s. With dropTail a
// last delta that is damaged is left out. Errors: ErrDelta; else I/O.
func readDeltas(blobs Blobs, s *secrets, count uint64, dropTail bool) error {
	for sequence := uint64(1); sequence <= count; sequence++ {
		blob, err := blobs.Get(s.at.deltaKey(sequence))
		if err != nil && !errors.Is(err, ErrNoBlob) {
			return ioFault("get delta", err)
		}
		var entries []Entry
		if err == nil {
			entries, err = openPage(&s.at.key, s.at.deltaAD(sequence, s.chain), blob)
		}
		if err != nil && dropTail && sequence == count {
			return nil
		}
		if err != nil {
			return because(ErrDelta, "delta %d of %d: %w", sequence, count, err)
		}
		for _, e := range entries {
			s.set(e)
		}
		s.deltas, s.chain = sequence, sha256.Sum256(blob)
	}
	return nil
}

// load reads block and deltas of r.
func load(blobs Blobs, r record, deltas uint64, dropTail bool) (*secrets, error) {
	entries, err := readBlock(blobs, r)
	if err != nil {
		return nil, err
	}
	s := &secrets{at: r, chain: r.hash, entries: make(map[string][]byte, len(entries))}
	for _, e := range entries {
		s.set(e)
	}
	if err := readDeltas(blobs, s, deltas, dropTail); err != nil {
		s.wipe()
		return nil, err
	}
	return s, nil
}
