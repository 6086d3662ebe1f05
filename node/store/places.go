package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/dgraph-io/badger/v4"
)

// Where the record with an id is, and where a handle's events are. A key for each
// would be half of what the applying goroutine writes, at a random place each, so
// there is an index for every spanLeaves leaves, as for leaf hashes (find.go):
// written once, placeBuckets keys by the first bits. Of the leaves after the last such
// span a batch writes its own by themselves (pieces), which go when the span is
// written; they are kept in memory. So that no batch writes the spans of two indexes,
// each lags behind by a number of leaves of its own.
//
// A bucket is entries of spotBytes, ascending: the first 16 bytes of the key, and
// the leaf's place in the span (uint16). An id has no more bytes. Two handles that
// share 16 bytes take 2^64 keys to find, and spoil nobody's proofs but their own.
const (
	placeBuckets = 128
	spotBytes    = 16 + 2

	idLag    = spanLeaves / 3 // more than a batch has leaves
	eventLag = 2 * idLag
)

type placeKey [16]byte

// A place is one entry of an index.
type place struct {
	key   placeKey
	index uint64
}

// placeIndex is one of these indexes. The applying goroutine writes it; any number
// read.
type placeIndex struct {
	prefix byte
	lag    uint64

	mu   sync.RWMutex
	from uint64                // the leaves from here on are in tail
	tail map[placeKey][]uint64 // ascending; what is in a slice never changes

	pieces []uint64 // first leaves of what is stored for tail, ascending; the applying goroutine's
}

func newPlaceIndex(prefix byte, lag uint64) *placeIndex {
	return &placeIndex{prefix: prefix, lag: lag, tail: map[placeKey][]uint64{}}
}

// spansEnd returns where the spans end that are written when the log has a size.
func (x *placeIndex) spansEnd(size uint64) uint64 {
	return (max(size, x.lag) - x.lag) / spanLeaves * spanLeaves
}

func (x *placeIndex) pieceKey(first uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{x.prefix, 'p'}, first)
}

func (x *placeIndex) bucketKey(span uint64, k placeKey) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{x.prefix, 's'}, span), k[0]/(256/placeBuckets))
}

// add writes a batch's entries, ascending by index, where the log has size leaves
// after it. Once they are stored, the caller calls what it returns.
func (x *placeIndex) add(w *writer, size uint64, fresh []place) (stored func()) {
	end := x.spansEnd(size)
	if end > x.from {
		x.spans(w, end, fresh)
	}
	for rest := fresh; len(rest) > 0; {
		n := pieceOf(rest)
		x.pieces = append(x.pieces, rest[0].index)
		w.put(x.pieceKey(rest[0].index), encodePlaces(rest[:n]))
		rest = rest[n:]
	}
	return func() { x.grow(end, fresh) }
}

// pieceOf returns how many entries the next piece takes: what fits a block (see
// segmentBytes), and all of one leaf.
func pieceOf(all []place) int {
	n := min(len(all), segmentBytes/spotBytes)
	for n < len(all) && all[n].index == all[n-1].index {
		n++
	}
	return n
}

// spans writes the spans up to end, and deletes the pieces that nobody needs then.
func (x *placeIndex) spans(w *writer, end uint64, fresh []place) {
	all := slices.Clone(fresh)
	for k, indices := range x.tail {
		for _, i := range indices {
			all = append(all, place{k, i})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.index/spanLeaves, b.index/spanLeaves), bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.index, b.index))
	})
	for start := x.from; start < end; start += spanLeaves {
		n := 0
		for n < len(all) && all[n].index < start+spanLeaves {
			n++
		}
		x.span(w, start/spanLeaves, all[:n])
		all = all[n:]
	}
	for len(x.pieces) > 1 && x.pieces[1] <= end { // the last one may reach beyond
		w.delete(x.pieceKey(x.pieces[0]))
		x.pieces = x.pieces[1:]
	}
}

// grow shows readers what was stored.
func (x *placeIndex) grow(end uint64, fresh []place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if end > x.from {
		old := x.tail
		x.from, x.tail = end, make(map[placeKey][]uint64, len(old)/2)
		for k, indices := range old {
			if n, _ := slices.BinarySearch(indices, end); n < len(indices) {
				x.tail[k] = slices.Clone(indices[n:])
			}
		}
	}
	for _, p := range fresh {
		if p.index >= end {
			x.tail[p.key] = append(x.tail[p.key], p.index)
		}
	}
}

// span writes the index of one span from its sorted entries.
func (x *placeIndex) span(w *writer, span uint64, all []place) {
	for b := range placeBuckets {
		n := 0
		for n < len(all) && int(all[n].key[0])/(256/placeBuckets) == b {
			n++
		}
		w.put(x.bucketKey(span, placeKey{byte(b * (256 / placeBuckets))}), encodePlaces(all[:n]))
		all = all[n:]
	}
}

func encodePlaces(all []place) []byte {
	b := make([]byte, 0, len(all)*spotBytes) // an empty bucket is not a missing one
	for _, p := range all {
		b = binary.BigEndian.AppendUint16(append(b, p.key[:]...), uint16(p.index%spanLeaves))
	}
	return b
}

// load reads what is after the last span back into memory.
func (x *placeIndex) load(txn *badger.Txn, size uint64) error {
	x.from = x.spansEnd(size)
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, []byte{x.prefix, 'p'}
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		b, err := it.Item().ValueCopy(nil)
		if err != nil {
			return readFault(err)
		}
		key := it.Item().Key()
		if len(key) != 2+8 || len(b)%spotBytes != 0 {
			return fmt.Errorf("%w: index %c: a piece of %d bytes", ErrDamaged, x.prefix, len(b))
		}
		x.piece(binary.BigEndian.Uint64(key[2:]), b)
	}
	return nil
}

func (x *placeIndex) piece(first uint64, entries []byte) {
	x.pieces = append(x.pieces, first)
	for ; len(entries) > 0; entries = entries[spotBytes:] {
		k, i := placeKey(entries), first/spanLeaves*spanLeaves+uint64(binary.BigEndian.Uint16(entries[16:]))
		if i < first { // a piece may begin in one span and end in the next
			i += spanLeaves
		}
		if i >= x.from {
			x.tail[k] = append(x.tail[k], i)
		}
	}
}

// places returns the first leaves of a key, at most that many, ascending.
func (s *State) places(x *placeIndex, k placeKey, most int) (out []uint64, err error) {
	defer s.ledger.guard(&err)
	x.mu.RLock()
	from, tail := x.from, x.tail[k]
	x.mu.RUnlock()
	txn := s.ledger.db.NewTransactionAt(^uint64(0), false) // a span may have become whole since; it never changes then
	defer txn.Discard()
	for start := uint64(0); start < min(from, s.Size) && len(out) < most; start += spanLeaves {
		bucket, err := get(txn, x.bucketKey(start/spanLeaves, k))
		if err != nil {
			return nil, err
		}
		if bucket == nil || len(bucket)%spotBytes != 0 {
			return nil, fmt.Errorf("%w: index %c of leaves from %d: %d bytes", ErrDamaged, x.prefix, start, len(bucket))
		}
		out = appendPlaces(out, start, bucket, k)
	}
	out = append(out, tail...)
	n, _ := slices.BinarySearch(out, s.Size) // the rest is younger than this state
	return out[:min(n, most)], nil
}

func appendPlaces(out []uint64, start uint64, bucket []byte, k placeKey) []uint64 {
	spot := func(i int) []byte { return bucket[i*spotBytes:][:spotBytes] }
	lo, hi := 0, len(bucket)/spotBytes
	for lo < hi {
		if mid := (lo + hi) / 2; bytes.Compare(spot(mid)[:16], k[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < len(bucket)/spotBytes && placeKey(spot(lo)) == k; lo++ {
		out = append(out, start+uint64(binary.BigEndian.Uint16(spot(lo)[16:])))
	}
	return out
}

// IndexOf returns the leaf index of a record, and whether there is one. Ids are
// drawn by their issuers and nothing compares them: of several records with one id
// the first counts, so that nobody takes an id over that is in the log.
func (s *State) IndexOf(id record.ID) (index uint64, found bool, err error) {
	at, err := s.places(s.ledger.ids, placeKey(id), 1)
	if err != nil || len(at) == 0 {
		return 0, false, err
	}
	return at[0], true, nil
}

// EventsOf returns the leaf indices of a handle's first n events, in order. It
// fails where there are fewer.
func (s *State) EventsOf(h sign.PublicKey, n uint64) ([]uint64, error) {
	at, err := s.places(s.ledger.events, placeKey(h[:]), int(min(n, s.Size)))
	if err == nil && uint64(len(at)) != n {
		err = fmt.Errorf("%w: %d of %d events of a handle are indexed", ErrDamaged, len(at), n)
	}
	return at, err
}
