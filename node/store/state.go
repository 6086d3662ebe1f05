package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/dgraph-io/badger/v4"
)

// A State is the ledger at the end of one batch. It never changes; its reads
// come from Badger at that height.
type State struct {
	End
	ledger *Ledger
	ts     uint64
	tree   *merkle.Tree // only the applying goroutine uses it
	view   *merkle.View
	reg    *register.Tree
	empty  bool
}

func listed(key []byte) bool {
	for _, p := range []string{"sensor/", "tree/", "erasure/", "filing/"} {
		if bytes.HasPrefix(key, []byte(p)) {
			return true
		}
	}
	return false
}

func indexKey(prefix byte, i uint64) []byte { return binary.BigEndian.AppendUint64([]byte{prefix}, i) }

func endKey(height uint64) []byte { return indexKey(prefixEnd, height) }

func tileKey(id merkle.TileID) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixTile, id.Level}, id.Index)
}

// get returns a copy of a value, nil where there is none.
func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, readFault(err)
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, readFault(err)
	}
	if v == nil {
		v = []byte{}
	}
	return v, nil
}

func (s *State) read(key []byte) (b []byte, err error) {
	defer s.ledger.guard(&err)
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	return get(txn, key)
}

// A View reads the register at the state's height through one transaction.
type View struct {
	ledger *Ledger
	txn    *badger.Txn
}

// View opens a view; the caller closes it.
func (s *State) View() *View { return &View{s.ledger, s.ledger.db.NewTransactionAt(s.ts, false)} }

// Get returns the value of a register key, nil where there is none.
func (v *View) Get(key []byte) (b []byte, err error) {
	defer v.ledger.guard(&err)
	kh := register.HashKey(key)
	return get(v.txn, append([]byte{prefixRegister}, kh[:]...))
}

// Close releases the view.
func (v *View) Close() { v.txn.Discard() }

// Get returns the value of a register key at the state's height, nil where
// there is none.
func (s *State) Get(key []byte) ([]byte, error) {
	v := s.View()
	defer v.Close()
	return v.Get(key)
}

// Leaves is the register's leaves at one height.
type Leaves struct {
	ledger *Ledger
	txn    *badger.Txn
	empty  bool
}

// Leaves opens the register's leaves; the caller closes them.
func (s *State) Leaves() *Leaves {
	return &Leaves{ledger: s.ledger, txn: s.ledger.db.NewTransactionAt(s.ts, false), empty: s.empty}
}

// Close releases the leaves.
func (l *Leaves) Close() { l.txn.Discard() }

// Get implements register.Leaves.
func (l *Leaves) Get(kh register.KeyHash) (v []byte, found bool, err error) {
	if l.empty {
		return nil, false, nil
	}
	defer l.ledger.guard(&err)
	v, err = get(l.txn, append([]byte{prefixRegister}, kh[:]...))
	return v, v != nil, err
}

// Scan implements register.Leaves.
func (l *Leaves) Scan(prefix register.KeyHash, bits int, fn func(register.KeyHash, []byte) error) (err error) {
	if l.empty {
		return nil
	}
	called := false
	defer l.ledger.guardBeside(&called, &err)
	opts := badger.DefaultIteratorOptions
	opts.Prefix = append([]byte{prefixRegister}, prefix[:bits/8]...)
	opts.PrefetchValues = false // they stand in the tables: a prefetch would copy each in a goroutine of its own
	it := l.txn.NewIterator(opts)
	defer it.Close()
	for it.Seek(append([]byte{prefixRegister}, prefix[:]...)); it.Valid(); it.Next() {
		var kh register.KeyHash
		copy(kh[:], it.Item().Key()[1:])
		if r := bits % 8; r != 0 && kh[bits/8]>>(8-r) != prefix[bits/8]>>(8-r) {
			return nil
		}
		err := it.Item().Value(func(v []byte) error {
			called = true
			err := fn(kh, v)
			called = false
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Prove returns the register's proof for a key at the state's height.
func (s *State) Prove(key []byte) (register.Proof, error) {
	l := s.Leaves()
	defer l.Close()
	return s.reg.Prove(l, key)
}

// Neighbour returns the proof that a register.Partial asks for.
func (s *State) Neighbour(h *register.Hidden) (register.Proof, error) {
	l := s.Leaves()
	defer l.Close()
	return s.reg.Neighbour(l, h)
}

// Tree returns the log's tree at the state's size.
func (s *State) Tree() *merkle.View { return s.view }

// Tile implements merkle.TileReader: a full tile.
func (s *State) Tile(id merkle.TileID) (b []byte, err error) {
	defer s.ledger.guard(&err)
	b, err = s.read(tileKey(id))
	if err == nil && b == nil {
		return nil, fmt.Errorf("%w: tile %d/%d is missing", ErrDamaged, id.Level, id.Index)
	}
	return b, err
}

// Inclusion returns the proof of a leaf at a size, at most the state's.
func (s *State) Inclusion(index, size uint64) ([]merkle.Hash, error) {
	return s.view.InclusionProof(index, size, s)
}

// Consistency returns the proof between two sizes, at most the state's.
func (s *State) Consistency(oldSize, newSize uint64) ([]merkle.Hash, error) {
	return s.view.ConsistencyProof(oldSize, newSize, s)
}

// Range calls fn with the leaves from start to end (exclusive), in order. The
// bytes are valid during the call only.
func (s *State) Range(start, end uint64, fn func(index uint64, leaf []byte) error) (err error) {
	end = min(end, s.Size)
	if start >= end {
		return nil
	}
	called := false
	defer s.ledger.guardBeside(&called, &err)
	each := func(index uint64, leaf []byte) error {
		called = true
		err := fn(index, leaf)
		called = false
		return err
	}
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	from, err := segmentOf(txn, []byte{prefixLeaves}, start)
	if err != nil {
		return err
	}
	opts := badger.DefaultIteratorOptions
	opts.Prefix = []byte{prefixLeaves}
	opts.PrefetchSize = 8
	opts.PrefetchValues = end-start > 1 // one leaf lies in one segment
	it := txn.NewIterator(opts)
	defer it.Close()
	at := from
	for it.Seek(indexKey(prefixLeaves, from)); it.Valid() && at < end; it.Next() {
		if first := binary.BigEndian.Uint64(it.Item().Key()[1:]); first != at {
			return fmt.Errorf("%w: leaves from %d are missing", ErrDamaged, at)
		}
		if err := it.Item().Value(func(seg []byte) error { return split(seg, &at, start, end, each) }); err != nil {
			return err
		}
	}
	if at < end {
		return fmt.Errorf("%w: leaves from %d are missing", ErrDamaged, at)
	}
	return nil
}

func split(seg []byte, at *uint64, start, end uint64, fn func(uint64, []byte) error) error {
	for len(seg) > 0 && *at < end {
		if len(seg) < 2 || len(seg) < 2+int(binary.BigEndian.Uint16(seg)) {
			return fmt.Errorf("%w: segment at %d", ErrDamaged, *at)
		}
		n := 2 + int(binary.BigEndian.Uint16(seg))
		if *at >= start {
			if err := fn(*at, seg[2:n]); err != nil {
				return err
			}
		}
		seg = seg[n:]
		*at++
	}
	return nil
}

// segmentOf returns the first index of the segment that holds a leaf.
func segmentOf(txn *badger.Txn, prefix []byte, index uint64) (uint64, error) {
	it := newestBefore(txn, prefix)
	defer it.Close()
	it.Seek(binary.BigEndian.AppendUint64(bytes.Clone(prefix), index))
	if !it.Valid() {
		return 0, fmt.Errorf("%w: leaf %d is missing", ErrDamaged, index)
	}
	return binary.BigEndian.Uint64(it.Item().Key()[len(prefix):]), nil
}

// newestBefore seeks the last key at or before another.
func newestBefore(txn *badger.Txn, prefix []byte) *badger.Iterator {
	opts := badger.DefaultIteratorOptions
	opts.Reverse, opts.PrefetchValues, opts.Prefix = true, false, prefix
	return txn.NewIterator(opts)
}

// Leaf returns a copy of one leaf.
func (s *State) Leaf(index uint64) ([]byte, error) {
	var out []byte
	err := s.LeavesAt([]uint64{index}, func(_ uint64, leaf []byte) error {
		out = bytes.Clone(leaf)
		return nil
	})
	return out, err
}

// LeavesAt calls fn with the leaves at some indices, in their order. One iterator reads
// all of them, and indices that ascend find neighbours without another search: opening
// an iterator takes longer than finding a leaf. The slice is only valid during the call.
func (s *State) LeavesAt(at []uint64, fn func(index uint64, leaf []byte) error) (err error) {
	called := false
	defer s.ledger.guardBeside(&called, &err)
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	it := newestBefore(txn, []byte{prefixLeaves})
	defer it.Close()
	each := func(index uint64, leaf []byte) error {
		if len(at) == 0 || at[0] != index {
			return nil
		}
		at, called = at[1:], true
		err := fn(index, leaf)
		called = false
		return err
	}
	for len(at) > 0 {
		start := at[0]
		if start >= s.Size {
			return fmt.Errorf("leaf %d is beyond size %d", start, s.Size)
		}
		if it.Seek(indexKey(prefixLeaves, start)); !it.Valid() {
			return fmt.Errorf("%w: leaf %d is missing", ErrDamaged, start)
		}
		first, left := binary.BigEndian.Uint64(it.Item().Key()[1:]), len(at)
		if err := it.Item().Value(func(seg []byte) error { return split(seg, &first, start, s.Size, each) }); err != nil {
			return err
		}
		if len(at) == left {
			return fmt.Errorf("%w: leaf %d is missing", ErrDamaged, start)
		}
	}
	return nil
}

func (s *State) leafHashes(start, end uint64) ([]merkle.Hash, error) {
	var hs []merkle.Hash
	sized := *s
	sized.Size = end
	err := sized.Range(start, end, func(_ uint64, leaf []byte) error {
		hs = append(hs, merkle.LeafHash(leaf))
		return nil
	})
	return hs, err
}

// EndOf returns the end of an earlier batch.
func (s *State) EndOf(height uint64) (*End, error) { return s.end(height) }

func (s *State) end(height uint64) (e *End, err error) {
	defer s.ledger.guard(&err)
	b, err := s.read(endKey(height))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("%w: end of height %d is missing", ErrDamaged, height)
	}
	e = new(End)
	if err := canon.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("%w: end of height %d: %w", ErrDamaged, height, err)
	}
	return e, nil
}

// whole wants the end of every batch since genesis, and of every batch that took
// several transactions all of them.
func (s *State) whole() error {
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, []byte{prefixEnd}
	it := txn.NewIterator(opts)
	defer it.Close()
	next := uint64(0)
	for it.Rewind(); it.Valid(); it.Next() {
		if h := binary.BigEndian.Uint64(it.Item().Key()[1:]); h != next {
			return fmt.Errorf("%w: batch %d is missing", ErrDamaged, next)
		}
		next++
	}
	if next != s.Height+1 {
		return fmt.Errorf("%w: batch %d is missing", ErrDamaged, next)
	}
	return wholeParts(txn)
}

// EndWith returns the end of the batch that holds a leaf.
func (s *State) EndWith(index uint64) (*End, error) {
	if index >= s.Size {
		return nil, fmt.Errorf("leaf %d is beyond size %d", index, s.Size)
	}
	lo, hi := uint64(0), s.Height
	for lo < hi {
		mid := (lo + hi) / 2
		e, err := s.end(mid)
		if err != nil {
			return nil, err
		}
		if e.Size > index {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return s.end(lo)
}

// Listed calls fn with every register key of a listed kind ("sensor/",
// "tree/", "erasure/", "filing/") in ascending order, with its value.
func (s *State) Listed(prefix string, fn func(key string, value []byte) error) (err error) {
	called := false
	defer s.ledger.guardBeside(&called, &err)
	txn := s.ledger.db.NewTransactionAt(s.ts, false)
	defer txn.Discard()
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, append([]byte{prefixListed}, prefix...)
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)[1:]
		kh := register.HashKey(key)
		v, err := get(txn, append([]byte{prefixRegister}, kh[:]...))
		if err != nil {
			return err
		}
		called = true
		if err := fn(string(key), v); err != nil {
			return err
		}
		called = false
	}
	return nil
}
