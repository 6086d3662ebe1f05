package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Blobs is a node's second database: the vault's blocks, sealed parts, the
// outbox, sessions. It is not versioned and not touched when ledger state is
// restored.
//
// A write returns nil when it is durable. Each call's writes are atomic and
// calls take effect one after another, in an order that every reader sees; many
// callers share one commit and its fsync (blobs_commit.go). After a failed
// commit the outcome of its writes is unknown and every further call answers
// ErrStopped until the database is opened again; there is no second fsync on
// the same file. After any other error of a write nothing was written. Deleted, overwritten and expired values stay on disk for a
// while: secrets are erased by destroying their keys, never by Delete.
//
// Keys hold no personal data. No error or log line contains a key or a value.
type Blobs struct {
	dir          string
	db           *badger.DB
	log          *slog.Logger
	minFreeBytes uint64
	queue        chan *blobOp
	drained      chan struct{} // closed when the committer has ended
	damage       atomic.Pointer[func(error)]

	mu      sync.RWMutex
	closed  bool
	stopped error
	active  sync.WaitGroup // calls in progress; Add only under mu and not closed
}

// Limits of one atomic call.
const (
	MaxKeyBytes    = 4096
	MaxSetBytes    = 3 << 20 // keys, values and 32 bytes for each
	MaxSetEntries  = 20_000
	entryCostBytes = 32
)

var (
	// ErrTooLarge: a key, a value or all writes of one call exceed the limits.
	// Nothing was written. Smaller calls are not atomic together, so the caller
	// has to say whether that is right.
	ErrTooLarge = errors.New("too large for one atomic write")
	// ErrStopped: an earlier commit failed and its outcome is unknown, or a read
	// or Verify found damage.
	ErrStopped = errors.New("database stopped")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("database closed")
)

// KV is one entry to write.
type KV struct {
	Key, Value []byte
	TTL        time.Duration // 0: for ever
}

// OpenBlobs opens the database in dir, creating it where there is none.
func OpenBlobs(dir string, log *slog.Logger, opts ...OpenOption) (*Blobs, error) {
	o := openOptionsOf(opts)
	db, err := openBadger(dir, log, o, badger.Open, badger.DefaultOptions(dir).
		WithDetectConflicts(true).
		WithMemTableSize(24<<20). // a set of MaxSetBytes must fit 15 % of it
		WithBaseTableSize(2<<20).
		WithValueThreshold(MaxValueBytes+1). // smaller ones stay inline
		WithNumLevelZeroTables(6+rand.N(4)). // see OpenState
		WithNumLevelZeroTablesStall(24).
		WithIndexCacheSize(16<<20))
	if err != nil {
		return nil, err
	}
	b := &Blobs{
		dir:          dir,
		db:           db,
		log:          log,
		minFreeBytes: o.minFreeBytes,
		queue:        make(chan *blobOp, maxGroupCalls),
		drained:      make(chan struct{}),
	}
	go b.commitLoop()
	return b, nil
}

// Put sets one value.
func (b *Blobs) Put(key, value []byte) error {
	return b.PutMany([]KV{{Key: key, Value: value}})
}

// PutTTL sets a value that is absent after ttl, by the machine's clock in whole
// seconds: it lives at least ttl and less than a second longer.
func (b *Blobs) PutTTL(key, value []byte, ttl time.Duration) error {
	return b.PutMany([]KV{{Key: key, Value: value, TTL: ttl}})
}

// PutMany sets all values or none. Of two entries with one key the later counts.
func (b *Blobs) PutMany(entries []KV) error {
	writes := make([]blobWrite, len(entries))
	for i, e := range entries {
		w, err := putOf(e.Key, e.Value, e.TTL)
		if err != nil {
			return err
		}
		writes[i] = w
	}
	return b.submit(&blobOp{writes: writes})
}

// Delete removes all of these keys; absent ones are no error.
func (b *Blobs) Delete(keys ...[]byte) error {
	writes := make([]blobWrite, len(keys))
	for i, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
		writes[i] = blobWrite{key: key, deleted: true}
	}
	return b.submit(&blobOp{writes: writes})
}

// Get returns a copy of a value, and whether there is one.
func (b *Blobs) Get(key []byte) (value []byte, found bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	if err := b.enter(); err != nil {
		return nil, false, err
	}
	defer b.active.Done()
	err = guarded(func() error {
		txn := b.db.NewTransaction(false)
		defer txn.Discard()
		value, found, err = getBlob(txn, key)
		return err
	})
	if err != nil {
		return nil, false, b.met(fmt.Errorf("read: %w", err))
	}
	return value, found, nil
}

// Scan calls fn for every key with this prefix in ascending order, as of one
// moment. key and value are fn's until it returns. fs.SkipAll from fn ends the
// scan without an error; any other error is returned as it is.
func (b *Blobs) Scan(prefix []byte, fn func(key, value []byte) error) error {
	return b.scan(prefix, true, fn)
}

// Keys is Scan without the values.
func (b *Blobs) Keys(prefix []byte, fn func(key []byte) error) error {
	return b.scan(prefix, false, func(key, _ []byte) error { return fn(key) })
}

func (b *Blobs) scan(prefix []byte, values bool, fn func(key, value []byte) error) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.active.Done()
	txn := b.db.NewTransaction(false)
	defer txn.Discard()
	cursor, err := openCursor(txn, prefix, values)
	if err != nil {
		return b.met(err)
	}
	defer cursor.close()
	for {
		key, value, ok, err := cursor.next()
		if err != nil || !ok {
			return b.met(err)
		}
		if err := fn(key, value); err != nil {
			if errors.Is(err, fs.SkipAll) {
				return nil
			}
			return err
		}
	}
}

// Verify checks every table on disk, see the function of this name. After
// ErrCorrupt the Blobs answers nothing more.
func (b *Blobs) Verify() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.active.Done()
	return b.met(Verify(b.db))
}

// Close waits for the calls in progress and closes the database. No call comes
// back after it.
func (b *Blobs) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.active.Wait()
	close(b.queue)
	<-b.drained
	if err := b.db.Close(); err != nil {
		return fmt.Errorf("close database %s: %w", b.dir, err)
	}
	return nil
}

// enter registers a call, which ends with active.Done.
func (b *Blobs) enter() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case b.closed:
		return ErrClosed
	case b.stopped != nil:
		return b.stopped
	}
	b.active.Add(1)
	return nil
}

func (b *Blobs) stop(cause error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = fmt.Errorf("%w: %w", ErrStopped, cause)
	if f := b.damage.Load(); f != nil {
		(*f)(b.stopped)
	}
	return b.stopped
}
