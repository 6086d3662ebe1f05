package outbox

import (
	"sync"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// A follower takes news of the ledger from goroutines that must not wait.
type follower struct {
	wake chan struct{}

	mu      sync.Mutex
	batches []*store.Batch
	height  uint64 // highest final
	timeMs  uint64
}

// Applied is called for every applied batch, in order, by the goroutine that
// applies. It neither blocks nor does I/O.
func (o *Outbox) Applied(b *store.Batch) {
	if b.Result == nil || b.Result.Void != nil || len(b.Result.Outcomes) == 0 || o.closing.Load() {
		return
	}
	o.follow.mu.Lock()
	o.follow.batches = append(o.follow.batches, b)
	o.follow.mu.Unlock()
	poke(o.follow.wake)
}

// Final is called when a height becomes final, with its batch time, and once at
// start. It may come before Applied of that height. It never blocks.
func (o *Outbox) Final(height, timeMs uint64) {
	o.follow.mu.Lock()
	if height >= o.follow.height {
		o.follow.height, o.follow.timeMs = height, timeMs
	}
	o.follow.mu.Unlock()
	poke(o.follow.wake)
}

// final returns the highest final height and its time.
func (o *Outbox) final() (height, timeMs uint64) {
	o.follow.mu.Lock()
	defer o.follow.mu.Unlock()
	return o.follow.height, o.follow.timeMs
}

func (o *Outbox) followLoop() {
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.follow.wake:
		}
		o.follow.mu.Lock()
		batches := o.follow.batches
		o.follow.batches = nil
		o.follow.mu.Unlock()
		for _, b := range batches {
			o.judge(b)
		}
		height, timeMs := o.final()
		for _, l := range o.allLanes() {
			subs, overdue := l.finals(height, timeMs)
			for _, s := range subs {
				o.conclude(s)
			}
			if overdue {
				poke(o.settle.wake)
			}
		}
	}
}

// judge takes the outcomes of a batch that are this node's.
func (o *Outbox) judge(b *store.Batch) {
	for i := range b.Result.Outcomes {
		out := &b.Result.Outcomes[i]
		l := o.laneNamed(out.Issuer)
		if l == nil {
			continue
		}
		l.mu.Lock()
		if usesNumber(out.All) && out.Seq >= l.next {
			o.Log.Warn("a submission of ours that this outbox does not know", "issuer", l.issuer, "seq", out.Seq)
			l.next = out.Seq + 1
		}
		s := l.open[out.Seq]
		switch {
		case s == nil || !s.durable || s.signed.Submission != b.Result.Seal.Submissions[i]:
		case usesNumber(out.All):
			l.decide(s, verdictOf(out, &b.End))
		case out.All == record.CodeSignature && o.rekeyed(s):
			o.Log.Info("the issuer's key was replaced on the way: requests go again", "issuer", l.issuer, "seq", s.seq)
			l.decide(s, &verdict{height: b.End.Height, timeMs: b.End.TimeMs, full: true})
		case out.All == record.CodeSubmissionIssuer || out.All == record.CodeSignature:
			o.Log.Warn("a submission was refused whole", "issuer", l.issuer, "seq", s.seq, "code", string(out.All))
			s.whole = out.All
			l.release(s)
		}
		l.mu.Unlock()
	}
}

// decide sets a submission's verdict. The lane's lock is held.
func (l *lane) decide(s *submission, v *verdict) {
	s.verdict = v
	l.closeOpen(s)
	l.applied[s.seq] = s
	if v.full {
		return
	}
	for _, c := range s.calls {
		if c.committed != nil {
			close(c.committed)
		}
	}
}

// finals takes out the submissions that are final, and reports whether an open
// one is past its time.
func (l *lane) finals(height, timeMs uint64) (subs []*submission, overdue bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for seq, s := range l.applied {
		if s.verdict.height <= height {
			subs = append(subs, s)
			delete(l.applied, seq)
		}
	}
	for _, s := range l.open {
		overdue = overdue || s.durable && s.signed.Submission.NotAfterMs < timeMs
	}
	return subs, overdue
}

// conclude answers the requests of a submission whose verdict is final.
func (o *Outbox) conclude(s *submission) {
	v := s.verdict
	if v.full {
		if len(s.calls) > 1 || s.tries+1 < maxTries {
			o.again(s)
			return
		}
		v = refuseAll(v.height, v.timeMs, len(s.hashes), record.CodeBatchFull)
	}
	o.concludeWith(s, v)
}

func (o *Outbox) concludeWith(s *submission, v *verdict) {
	for _, c := range s.calls {
		o.finish(c, &Result{Outcomes: v.outcomes(c), Final: true}, nil)
	}
	o.toFile(filing{sub: s, done: s.doneWith(v)})
}

// again puts the requests of a submission back at the head of their queue.
func (o *Outbox) again(s *submission) {
	o.Log.Info("requests go again", "issuer", s.lane.issuer, "seq", s.seq, "requests", len(s.calls))
	l := s.lane
	l.mu.Lock()
	s.left = len(s.calls)
	q := &l.queues[classOf(s.urgent)]
	old := q.calls
	*q = queue{records: q.records, bytes: q.bytes}
	for _, c := range s.calls {
		c.sub, c.prev, c.tries = nil, s, s.tries+1
		q.push(c)
	}
	q.calls = append(q.calls, old...)
	l.mu.Unlock()
	poke(l.wake)
}
