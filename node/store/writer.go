package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/dgraph-io/badger/v4"
)

// A writer collects what a batch writes, and stores it in as few transactions as
// Badger takes: one may have 15 % of a memtable, and memory for memtables, and for
// the tables made of them, is what a node has least of.
//
// All have the batch's timestamp, so nothing reads the first before the last is
// there, which has the batch's End and the applied mark. Where there are several,
// each has a key that says how many: who finds one looks for the others.
type writer struct{ effects []effect }

// An effect is a key with its value, or that it is gone.
type effect struct {
	key, value []byte
	gone       bool
}

func (w *writer) put(key, value []byte) { w.effects = append(w.effects, effect{key, value, false}) }

func (w *writer) delete(key []byte) { w.effects = append(w.effects, effect{key, nil, true}) }

// commit stores all of it as the batch of a height.
func (w *writer) commit(db *badger.DB, height uint64) error {
	parts, err := w.parts(db, height)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := storeAt(db, height+1, part); err != nil {
			return err
		}
	}
	return nil
}

// effectBytes is more than Badger counts of an entry beside its key and value.
const effectBytes = 32

// parts cuts the effects into what one transaction each may hold.
func (w *writer) parts(db *badger.DB, height uint64) (parts [][]effect, err error) {
	mostBytes, most := int(db.MaxBatchSize())-4*effectBytes, int(db.MaxBatchCount())-4
	from, bytes := 0, 0
	for i, e := range w.effects {
		n := len(e.key) + len(e.value) + effectBytes
		if i > from && (bytes+n > mostBytes || i-from == most) {
			parts = append(parts, w.effects[from:i:i])
			from, bytes = i, 0
		}
		bytes += n
	}
	parts = append(parts, w.effects[from:])
	if len(parts) > 0xff {
		return nil, fmt.Errorf("a batch of %d transactions", len(parts))
	}
	for i := range parts {
		if len(parts) > 1 {
			parts[i] = append(parts[i], effect{key: partKey(height, byte(i), byte(len(parts))), value: []byte{}})
		}
	}
	return parts, nil
}

func partKey(height uint64, part, parts byte) []byte {
	return append(indexKey(prefixPart, height), parts, part)
}

func storeAt(db *badger.DB, ts uint64, part []effect) error {
	txn := db.NewTransactionAt(ts-1, true)
	defer txn.Discard()
	for _, e := range part {
		var err error
		switch {
		case e.gone:
			err = txn.Delete(e.key)
		case len(e.value) > maxStateValueBytes:
			err = fmt.Errorf("a value of %d bytes", len(e.value))
		default:
			err = txn.SetEntry(badger.NewEntry(e.key, e.value))
		}
		if err != nil {
			return err
		}
	}
	return txn.CommitAt(ts, nil)
}

// wholeParts wants all transactions of every batch of which there is one. Beside them
// there may be some of an attempt that a crash ended, where another version of the
// program cut the batch into another number.
func wholeParts(txn *badger.Txn) error {
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues, opts.Prefix = false, []byte{prefixPart}
	it := txn.NewIterator(opts)
	defer it.Close()
	whole := true
	var first, want []byte // of the attempt, and the next key of it
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		if len(key) != len(partKey(0, 0, 0)) {
			return fmt.Errorf("%w: the key of a part has %d bytes", ErrDamaged, len(key))
		}
		if height := key[:9]; !bytes.HasPrefix(first, height) {
			if !whole {
				break
			}
			whole = false
		}
		if attempt := key[:10]; !bytes.HasPrefix(first, attempt) {
			first = partKey(binary.BigEndian.Uint64(key[1:]), 0, key[9])
			want = first
		}
		if !bytes.Equal(key, want) {
			continue
		}
		want = partKey(binary.BigEndian.Uint64(key[1:]), key[10]+1, key[9])
		whole = whole || want[10] == want[9]
	}
	if !whole {
		return fmt.Errorf("%w: a part of batch %d is missing", ErrDamaged, binary.BigEndian.Uint64(first[1:]))
	}
	return nil
}

func (w *writer) register(writes []register.Write) {
	for _, wr := range writes {
		kh := register.HashKey(wr.Key)
		key := append([]byte{prefixRegister}, kh[:]...)
		if wr.Value == nil {
			w.delete(key)
		} else {
			w.put(key, wr.Value)
		}
		if listed(wr.Key) {
			if k := append([]byte{prefixListed}, wr.Key...); wr.Value == nil {
				w.delete(k)
			} else {
				w.put(k, []byte{})
			}
		}
	}
}

// leaves stores a batch's leaves in segments of at most segmentBytes; a larger
// leaf has one of its own.
func (w *writer) leaves(first uint64, all [][]byte) {
	var seg []byte
	n := uint64(0)
	flush := func() {
		if n > 0 {
			w.put(indexKey(prefixLeaves, first), seg)
		}
		first, n, seg = first+n, 0, nil
	}
	for _, leaf := range all {
		if len(seg)+2+len(leaf) > segmentBytes {
			flush()
		}
		if seg == nil {
			seg = make([]byte, 0, max(segmentBytes, 2+len(leaf)))
		}
		seg = binary.BigEndian.AppendUint16(seg, uint16(len(leaf)))
		seg = append(seg, leaf...)
		n++
	}
	flush()
}

func (w *writer) tiles(tiles []merkle.FullTile) {
	for _, t := range tiles {
		w.put(tileKey(t.ID), t.Data)
	}
}
