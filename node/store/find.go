package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// Which leaf has a hash: Trillian's clients ask for proofs so. A key for each
// leaf would cost the applying goroutine more than the leaf does, so there is an
// index for every spanLeaves leaves, written once by the batch that completes
// them: spanBuckets keys of about 2.5 kB, by the first bits of the hash. The
// leaves after the last whole span are looked through in their hash tiles.
//
// A bucket is entries of entryBytes, ascending: the first 8 bytes of the leaf
// hash, and the leaf's place in the span (uint16). The index only says where to
// look; what is found there is compared with the tile.
const (
	spanTiles   = 64
	spanLeaves  = spanTiles * merkle.TileWidth
	spanBuckets = 64

	prefixBytes = 8
	entryBytes  = prefixBytes + 2
)

// hashRow returns the first width leaf hashes of tile n, 32 bytes each.
type hashRow func(n uint64, width int) ([]byte, error)

func bucketOf(h []byte) byte { return h[0] >> 2 }

func spanKey(span uint64, bucket byte) []byte { return append(indexKey(prefixSpan, span), bucket) }

// indexSpan returns the buckets of one span.
func indexSpan(span uint64, row hashRow) ([spanBuckets][]byte, error) {
	var buckets [spanBuckets][]byte
	all := make([][entryBytes]byte, 0, spanLeaves)
	for n := range uint64(spanTiles) {
		hashes, err := row(span*spanTiles+n, merkle.TileWidth)
		if err != nil {
			return buckets, err
		}
		for ; len(hashes) > 0; hashes = hashes[merkle.HashSize:] {
			var e [entryBytes]byte
			copy(e[:], hashes[:prefixBytes])
			binary.BigEndian.PutUint16(e[prefixBytes:], uint16(len(all)))
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b [entryBytes]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, e := range all {
		b := &buckets[bucketOf(e[:])]
		*b = append(*b, e[:]...)
	}
	return buckets, nil
}

// candidates returns the places in a span where a leaf may have the hash,
// ascending.
func candidates(bucket []byte, h merkle.Hash) ([]uint64, error) {
	if len(bucket)%entryBytes != 0 {
		return nil, fmt.Errorf("%w: index of leaf hashes: %d bytes", ErrDamaged, len(bucket))
	}
	entry := func(i int) []byte { return bucket[i*entryBytes:][:entryBytes] }
	lo, hi := 0, len(bucket)/entryBytes
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(entry(mid)[:prefixBytes], h[:prefixBytes]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	var out []uint64
	for ; lo < len(bucket)/entryBytes && bytes.Equal(entry(lo)[:prefixBytes], h[:prefixBytes]); lo++ {
		out = append(out, uint64(binary.BigEndian.Uint16(entry(lo)[prefixBytes:])))
	}
	return out, nil
}

// scan looks through the hash tiles for the first leaf in [start, end) that has
// a hash; start begins a tile.
func scan(start, end uint64, h merkle.Hash, row hashRow) (uint64, bool, error) {
	for ; start < end; start += merkle.TileWidth {
		hashes, err := row(start/merkle.TileWidth, int(min(merkle.TileWidth, end-start)))
		if err != nil {
			return 0, false, err
		}
		for i := 0; i < len(hashes); i += merkle.HashSize {
			if bytes.Equal(hashes[i:i+merkle.HashSize], h[:]) {
				return start + uint64(i/merkle.HashSize), true, nil
			}
		}
	}
	return 0, false, nil
}

func (s *State) hashRow(n uint64, width int) ([]byte, error) {
	if width < merkle.TileWidth {
		return s.view.Tile(merkle.TileID{Index: n}, width, s)
	}
	row, err := s.Tile(merkle.TileID{Index: n})
	if err == nil && len(row) != merkle.TileWidth*merkle.HashSize {
		err = fmt.Errorf("%w: tile 0/%d has %d bytes", ErrDamaged, n, len(row))
	}
	return row, err
}

// Find returns the index of the first leaf that has a hash, and whether there is
// one.
func (s *State) Find(h merkle.Hash) (index uint64, found bool, err error) {
	defer s.ledger.guard(&err)
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	spans := s.Size / spanLeaves
	for span := range spans {
		bucket, err := get(txn, spanKey(span, bucketOf(h[:])))
		if err != nil {
			return 0, false, err
		}
		if bucket == nil {
			return 0, false, fmt.Errorf("%w: index of leaf hashes: span %d is missing", ErrDamaged, span)
		}
		if index, found, err = s.findIn(span, bucket, h); found || err != nil {
			return index, found, err
		}
	}
	return scan(spans*spanLeaves, s.Size, h, s.hashRow)
}

func (s *State) findIn(span uint64, bucket []byte, h merkle.Hash) (uint64, bool, error) {
	places, err := candidates(bucket, h)
	if err != nil {
		return 0, false, err
	}
	for _, place := range places {
		index := span*spanLeaves + place
		row, err := s.hashRow(index/merkle.TileWidth, merkle.TileWidth)
		if err != nil {
			return 0, false, err
		}
		if at := index % merkle.TileWidth * merkle.HashSize; bytes.Equal(row[at:at+merkle.HashSize], h[:]) {
			return index, true, nil
		}
	}
	return 0, false, nil
}

// spans indexes the spans that a batch completed. Its own tiles are not stored
// yet.
func (w *writer) spans(before *State, size uint64, tiles []merkle.FullTile) error {
	fresh := func(n uint64, _ int) ([]byte, error) {
		for _, t := range tiles {
			if t.ID == (merkle.TileID{Index: n}) {
				return t.Data, nil
			}
		}
		return before.hashRow(n, merkle.TileWidth)
	}
	for span := before.Size / spanLeaves; span < size/spanLeaves; span++ {
		if err := w.span(span, fresh); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) span(span uint64, row hashRow) error {
	buckets, err := indexSpan(span, row)
	if err != nil {
		return err
	}
	for i, b := range buckets {
		if b == nil {
			b = []byte{} // an empty bucket is not a missing one
		}
		w.put(spanKey(span, byte(i)), b)
	}
	return nil
}
