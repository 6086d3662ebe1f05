package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

func getBlob(txn *badger.Txn, key []byte) (value []byte, found bool, err error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, readError(err)
	}
	if value, err = copyOf(item); err != nil {
		return nil, false, err
	}
	return value, true, nil
}

// copyOf is never nil: an empty value is a value.
func copyOf(item *badger.Item) ([]byte, error) {
	value, err := item.ValueCopy(nil)
	if err != nil {
		return nil, readError(err)
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

// readError keeps the innermost text of an error of Badger: the outer ones
// quote the key. With memory-mapped tables a read that fails means damage.
func readError(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, " err: "); i >= 0 {
		text = text[i+len(" err: "):]
	}
	return fmt.Errorf("%w: %s", ErrCorrupt, text)
}

// cursor walks the keys with a prefix.
type cursor struct {
	it      *badger.Iterator
	values  bool
	started bool
}

func openCursor(txn *badger.Txn, prefix []byte, values bool) (*cursor, error) {
	c := &cursor{values: values}
	err := guarded(func() error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix = prefix
		opts.PrefetchValues = false // values are inline; the prefetcher would panic elsewhere
		c.it = txn.NewIterator(opts)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return c, nil
}

func (c *cursor) next() (key, value []byte, ok bool, err error) {
	err = guarded(func() (err error) {
		if c.started {
			c.it.Next()
		} else {
			c.it.Rewind()
			c.started = true
		}
		if !c.it.Valid() {
			return nil
		}
		ok = true
		item := c.it.Item()
		key = item.KeyCopy(nil)
		if c.values {
			value, err = copyOf(item)
		}
		return err
	})
	if err != nil {
		return nil, nil, false, fmt.Errorf("scan: %w", err)
	}
	return key, value, ok, nil
}

func (c *cursor) close() { guarded(func() error { c.it.Close(); return nil }) }
