package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// ship signs a submission, makes it durable and sends it: steps 2 to 4 of the
// order of effects.
func (o *Outbox) ship(s *submission) {
	key, ok := o.Key(s.lane.issuer)
	if !ok {
		o.giveUp(s, ErrNoKey)
		return
	}
	o.sign(s, key)
	if err := o.Blobs.PutMany(s.writes(o.Retention)); err != nil {
		if errors.Is(err, store.ErrStopped) {
			o.stop(err)
			return
		}
		o.Log.Error("a submission could not be stored", "issuer", s.lane.issuer, "err", err)
		o.giveUp(s, fmt.Errorf("%w: %w", ErrStorage, err))
		return
	}
	s.lane.mu.Lock()
	s.durable, s.started = true, true
	for _, c := range s.calls {
		c.keep, c.kept = nil, 0
	}
	s.lane.mu.Unlock()
	o.moved(s)
	o.deliver(s)
}

// sign completes a submission. Its leaves were hashed when they were built.
func (o *Outbox) sign(s *submission, key sign.Key) {
	n := 0
	for _, c := range s.calls {
		n += len(c.leaves)
	}
	s.signed.Leaves = make([][]byte, 0, n)
	s.hashes = make([]merkle.Hash, 0, n)
	for _, c := range s.calls {
		s.signed.Leaves = append(s.signed.Leaves, c.leaves...)
		s.hashes = append(s.hashes, c.hashes...)
	}
	sub := record.Submission{Issuer: s.lane.issuer, Seq: s.seq, NotAfterMs: o.NowMs() + uint64(o.Lifetime.Milliseconds()),
		Count: uint32(n), Root: record.Digest(merkle.RootOf(s.hashes))}
	sub.Sig = key.Sign(sign.DomainSubmission, o.Origin, sub.Signed())
	s.signed.Submission = sub
}

// writes returns what makes a submission durable.
func (s *submission) writes(retention time.Duration) []store.KV {
	e := entry{Signed: s.signed, Urgent: s.urgent, Tries: uint8(s.tries)}
	n := 1
	for _, c := range s.calls {
		n += 1 + len(c.keep)
		e.Parts = append(e.Parts, part{Key: c.key, Body: c.body, Count: uint16(len(c.leaves))})
	}
	kvs := make([]store.KV, 0, n)
	kvs = append(kvs, store.KV{Key: seqKey(prefixPending, s.lane.issuer, s.seq), Value: canon.Must(&e)})
	for _, c := range s.calls {
		a := attempt{body: c.body, seq: s.seq, from: uint16(c.from), count: uint16(len(c.leaves))}
		kvs = append(kvs, store.KV{Key: attemptKey(s.lane.issuer, c.key), Value: a.bytes(), TTL: c.retention(retention)})
		kvs = append(kvs, c.keep...)
	}
	return kvs
}

// retention is for how long the call's idempotency entry is kept.
func (c *call) retention(usual time.Duration) time.Duration {
	if c.brief {
		return min(usual, briefRetention)
	}
	return usual
}

// retention is for how long the outcome is kept: until after the entries of all
// its requests.
func (s *submission) retention(usual time.Duration) time.Duration {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	for _, c := range s.calls {
		if !c.brief {
			return usual + 24*time.Hour
		}
	}
	return min(usual+24*time.Hour, 2*briefRetention)
}

// giveUp ends the requests of a submission that was never written.
func (o *Outbox) giveUp(s *submission, err error) {
	s.lane.drop(s)
	for _, c := range s.calls {
		o.finish(c, nil, err)
		o.forget(c)
	}
	o.moved(s)
}

// moved says that the requests of a submission have left earlier ones behind.
// An earlier one that is empty now is filed as failed.
func (o *Outbox) moved(s *submission) {
	var empty []*submission
	s.lane.mu.Lock()
	for _, c := range s.calls {
		if prev := c.prev; prev != nil {
			c.prev = nil
			if prev.left--; prev.left == 0 {
				empty = append(empty, prev)
			}
		}
	}
	s.lane.mu.Unlock()
	for _, prev := range empty {
		o.toFile(filing{sub: prev, done: &done{Failed: true}})
	}
}

// deliver sends a submission until there is no more reason to: it is applied,
// or nobody would accept it. One that a leader has queued is only lost when
// leaders change, so copies of it are rare: under load they would crowd out the
// originals. The slot is given back with the first copy, so that one that is
// stuck does not hold up the rest.
func (o *Outbox) deliver(s *submission) {
	busy, queued := busyWait, 4*o.Resend
	begin := time.Now()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for o.NowMs() <= s.signed.Submission.NotAfterMs {
		changed := o.leaderChange()
		wait := o.Resend
		switch err := o.send(s); {
		case err == nil:
			wait, queued = queued, min(2*queued, 32*o.Resend)
			busy = busyWait
		case errors.Is(err, ErrBusy):
			wait, busy = busy, min(2*busy, o.Resend)
		case errors.Is(err, ErrNoLeader):
			o.leaderless.Store(int64(time.Since(o.begin) + 4*o.Resend))
		default:
			o.Log.Debug("a submission was not sent", "issuer", s.lane.issuer, "seq", s.seq, "err", err)
			o.outlived(s)
		}
		timer.Reset(wait)
		select {
		case <-s.settled:
			return
		case <-o.ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
		if !s.lane.pending(s) {
			return
		}
		if time.Since(begin) >= o.Resend {
			s.lane.giveSlot(s)
		}
	}
	s.lane.giveSlot(s)
}

func (o *Outbox) send(s *submission) error {
	ctx, cancel := context.WithTimeout(o.ctx, sendTimeout)
	defer cancel()
	err := o.Leader.Send(ctx, &s.signed, s.urgent)
	if err == nil && o.leaderless.Swap(0) != 0 {
		for _, l := range o.allLanes() {
			poke(l.wake)
		}
	}
	return err
}
