package store

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// One goroutine, the committer, writes. It takes the calls that wait, runs them
// one after another inside one Badger transaction, commits it (one fsync) and
// answers all of them. A crash before the fsync has ended leaves any prefix of
// the log, and Badger replays a transaction whole or not at all: so either all
// calls of a group survive or none, and an answered one always does.
//
// Order of effects: calls staged in memory → entries and end mark in Badger's
// write-ahead log → fsync → answers. Badger shows the entries to readers only
// after the fsync.
//
// A group is closed when it exceeds one of the group limits; one more call
// within the limits of a set then still fits into Badger's transaction (15 % of
// the memtable, 4.8 MiB and 50,000 entries).
const (
	maxGroupCalls   = 1000
	maxGroupBytes   = 1 << 20
	maxGroupEntries = 10_000
)

// blobOp is one call that waits for its commit.
type blobOp struct {
	writes []blobWrite
	update func(*BlobTx) error // instead of writes
	err    error               // of update, or why the writes were refused
	done   chan error
}

type blobWrite struct {
	key, value []byte
	expiresAt  uint64 // Unix seconds, 0 never
	deleted    bool
}

func putOf(key, value []byte, ttl time.Duration) (blobWrite, error) {
	if err := checkKey(key); err != nil {
		return blobWrite{}, err
	}
	if len(value) > MaxValueBytes {
		return blobWrite{}, fmt.Errorf("value of %d bytes, limit %d: %w", len(value), MaxValueBytes, ErrTooLarge)
	}
	w := blobWrite{key: key, value: value}
	switch {
	case ttl < 0:
		return blobWrite{}, fmt.Errorf("negative time to live %v", ttl)
	case ttl > 0:
		end := time.Now().Add(ttl) // Badger compares with the same clock
		w.expiresAt = uint64(end.Unix())
		if end.Nanosecond() > 0 {
			w.expiresAt++
		}
	}
	return w, nil
}

func checkKey(key []byte) error {
	if len(key) == 0 {
		return errors.New("empty key")
	}
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("key of %d bytes, limit %d: %w", len(key), MaxKeyBytes, ErrTooLarge)
	}
	return nil
}

func checkSet(entries, sizeBytes int) error {
	if entries > MaxSetEntries || sizeBytes > MaxSetBytes {
		return fmt.Errorf("%d entries with %d bytes, limits %d and %d: %w", entries, sizeBytes, MaxSetEntries, MaxSetBytes, ErrTooLarge)
	}
	return nil
}

func (w blobWrite) costBytes() int { return len(w.key) + len(w.value) + entryCostBytes }

func costOf(writes []blobWrite) (sizeBytes int) {
	for _, w := range writes {
		sizeBytes += w.costBytes()
	}
	return sizeBytes
}

// submit waits until the call's group is durable.
func (b *Blobs) submit(op *blobOp) error {
	if op.update == nil {
		if len(op.writes) == 0 {
			return nil
		}
		if err := checkSet(len(op.writes), costOf(op.writes)); err != nil {
			return err
		}
	}
	if err := b.enter(); err != nil {
		return err
	}
	defer b.active.Done()
	op.done = make(chan error, 1)
	b.queue <- op
	return <-op.done
}

func (b *Blobs) commitLoop() {
	defer close(b.drained)
	for op := range b.queue {
		// Callers that the last commit has just answered come back with their
		// next write; without this they would find a group of one under way.
		runtime.Gosched()
		b.commitGroup(op)
	}
}

// commitGroup runs op and what waits behind it in one transaction.
func (b *Blobs) commitGroup(op *blobOp) {
	group := blobGroup{txn: b.db.NewTransaction(true)}
	defer func() { group.txn.Discard() }()
	refused := checkFree(b.dir, b.minFreeBytes)
	if b.stoppedBy() != nil {
		refused = b.stoppedBy()
	}
	var failed error
	for op != nil && failed == nil {
		group.ops = append(group.ops, op)
		if refused != nil {
			op.err = refused
		} else {
			failed = group.run(op)
		}
		op = nil
		if !group.full() {
			select {
			case op = <-b.queue:
			default:
			}
		}
	}
	if failed != nil { // nothing of the group was written
		group.answer(fmt.Errorf("write: %w", failed))
		return
	}
	if err := group.txn.Commit(); err != nil {
		b.log.Error("database stopped: commit failed", "error", err.Error())
		group.answer(b.stop(err))
		return
	}
	group.answer(nil)
}

func (b *Blobs) stoppedBy() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.stopped
}

// blobGroup is the calls of one transaction.
type blobGroup struct {
	txn       *badger.Txn
	ops       []*blobOp
	entries   int
	sizeBytes int
}

func (g *blobGroup) full() bool {
	return len(g.ops) >= maxGroupCalls || g.sizeBytes >= maxGroupBytes || g.entries >= maxGroupEntries
}

// run stages one call. An update that refuses leaves nothing behind; an error
// of run is one of Badger, after which the transaction is of no more use.
func (g *blobGroup) run(op *blobOp) error {
	writes := op.writes
	if op.update != nil {
		tx := &BlobTx{txn: g.txn}
		op.err = op.update(tx)
		tx.txn = nil
		if tx.broken != nil {
			return tx.broken
		}
		if op.err != nil {
			return nil
		}
		writes = tx.writes()
	}
	for _, w := range writes {
		var err error
		if w.deleted {
			err = g.txn.Delete(w.key)
		} else {
			err = g.txn.SetEntry(&badger.Entry{Key: w.key, Value: w.value, ExpiresAt: w.expiresAt})
		}
		if err != nil {
			return err
		}
	}
	g.entries += len(writes)
	g.sizeBytes += costOf(writes)
	return nil
}

func (g *blobGroup) answer(err error) {
	for _, op := range g.ops {
		if err != nil {
			op.done <- err
		} else {
			op.done <- op.err
		}
	}
}
