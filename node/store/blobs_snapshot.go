package store

import (
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Snapshot calls fn for every entry whose key begin does not leave out, in ascending
// order, as of one moment: what is written meanwhile is not met, and nothing waits
// for it. TTL is what an entry has left to live. Key and value are fn's until it
// returns; its error ends the snapshot and is returned as it is.
func (b *Blobs) Snapshot(leaveOut func(key []byte) bool, fn func(e KV) error) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.active.Done()
	txn := b.db.NewTransaction(false)
	defer txn.Discard()
	cursor, err := openCursor(txn, nil, false)
	if err != nil {
		return b.met(err)
	}
	defer cursor.close()
	for {
		key, _, ok, err := cursor.next()
		if err != nil || !ok {
			return b.met(err)
		}
		if leaveOut(key) {
			continue
		}
		e := KV{Key: key}
		err = guarded(func() (err error) {
			item := cursor.it.Item()
			e.TTL = ttlLeft(item)
			e.Value, err = copyOf(item)
			return err
		})
		if err != nil {
			return b.met(err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// ttlLeft is 0 for an entry that lives for ever, and at least a second otherwise.
func ttlLeft(item *badger.Item) time.Duration {
	at := item.ExpiresAt()
	if at == 0 {
		return 0
	}
	return max(time.Until(time.Unix(int64(at), 0)), time.Second)
}
