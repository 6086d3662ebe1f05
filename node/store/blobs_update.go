package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Update runs fn and makes its writes durable together, or none of them where
// fn returns an error, which Update then returns. Nothing else is written
// between fn's first read and its last write, so fn may compare and set; it
// never runs twice. fn runs in the goroutine that makes all commits: it must be
// short and must not call the Blobs itself, only the transaction, and only
// until it returns.
func (b *Blobs) Update(fn func(tx *BlobTx) error) error {
	return b.submit(&blobOp{update: fn})
}

// BlobTx is the transaction of one Update. It sees its own writes.
type BlobTx struct {
	txn       *badger.Txn // nil once Update's function has returned
	staged    map[string]blobWrite
	sizeBytes int
	broken    error // a read failed: the database is damaged
}

// Get returns a copy of a value, and whether there is one.
func (tx *BlobTx) Get(key []byte) (value []byte, found bool, err error) {
	if err := tx.check(key); err != nil {
		return nil, false, err
	}
	if w, ok := tx.staged[string(key)]; ok {
		return bytes.Clone(w.value), !w.deleted, nil
	}
	err = guarded(func() error {
		value, found, err = getBlob(tx.txn, key)
		return err
	})
	if err != nil {
		tx.broken = fmt.Errorf("read: %w", err)
		return nil, false, tx.broken
	}
	return value, found, nil
}

// Put sets a value; the slices may be used again.
func (tx *BlobTx) Put(key, value []byte) error { return tx.PutTTL(key, value, 0) }

// PutTTL sets a value that is absent after ttl, see Blobs.PutTTL; 0 is for ever.
func (tx *BlobTx) PutTTL(key, value []byte, ttl time.Duration) error {
	if err := tx.check(key); err != nil {
		return err
	}
	w, err := putOf(bytes.Clone(key), value, ttl)
	if err != nil {
		return err
	}
	w.value = append([]byte{}, value...)
	return tx.stage(w)
}

// Delete removes a key; an absent one is no error.
func (tx *BlobTx) Delete(key []byte) error {
	if err := tx.check(key); err != nil {
		return err
	}
	return tx.stage(blobWrite{key: bytes.Clone(key), deleted: true})
}

// Scan is Blobs.Scan as of its beginning: what fn writes meanwhile is not met.
func (tx *BlobTx) Scan(prefix []byte, fn func(key, value []byte) error) error {
	if tx.txn == nil {
		return ErrClosed
	}
	staged := make([]blobWrite, 0, len(tx.staged))
	for _, key := range slices.Sorted(maps.Keys(tx.staged)) {
		if strings.HasPrefix(key, string(prefix)) {
			staged = append(staged, tx.staged[key])
		}
	}
	err := tx.merge(prefix, staged, fn)
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// merge walks the database and the staged writes side by side.
func (tx *BlobTx) merge(prefix []byte, staged []blobWrite, fn func(key, value []byte) error) error {
	cursor, err := openCursor(tx.txn, prefix, true)
	if err != nil {
		tx.broken = err
		return err
	}
	defer cursor.close()
	for more := true; more; {
		key, value, ok, err := cursor.next()
		if err != nil {
			tx.broken = err
			return err
		}
		more = ok
		for len(staged) > 0 && (!ok || bytes.Compare(staged[0].key, key) < 0) {
			if w := staged[0]; !w.deleted {
				if err := fn(w.key, bytes.Clone(w.value)); err != nil {
					return err
				}
			}
			staged = staged[1:]
		}
		if !ok {
			continue
		}
		if len(staged) > 0 && bytes.Equal(staged[0].key, key) {
			w := staged[0]
			staged = staged[1:]
			if w.deleted {
				continue
			}
			value = bytes.Clone(w.value)
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (tx *BlobTx) check(key []byte) error {
	if tx.txn == nil {
		return ErrClosed
	}
	return checkKey(key)
}

func (tx *BlobTx) stage(w blobWrite) error {
	old, again := tx.staged[string(w.key)]
	sizeBytes, entries := tx.sizeBytes+w.costBytes(), len(tx.staged)+1
	if again {
		sizeBytes, entries = sizeBytes-old.costBytes(), entries-1
	}
	if err := checkSet(entries, sizeBytes); err != nil {
		return err
	}
	if tx.staged == nil {
		tx.staged = make(map[string]blobWrite)
	}
	tx.staged[string(w.key)], tx.sizeBytes = w, sizeBytes
	return nil
}

func (tx *BlobTx) writes() []blobWrite { return slices.Collect(maps.Values(tx.staged)) }
