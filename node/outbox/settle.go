package outbox

import (
	"time"

	"github.com/akashi-ledger/akashi/ledger/rules"
)

// A settler compares what is open for long with the ledger itself: after a
// start, after a snapshot that skipped batches, and before anything is declared
// failed. It is the only one that reads the ledger, so news never wait for it.
type settler struct {
	wake    chan struct{}
	ticked  time.Time
	ticking chan struct{} // closed when the last tick has been submitted
}

func (o *Outbox) settleLoop() {
	ticker := time.NewTicker(o.Resend)
	defer ticker.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.settle.wake:
		case <-ticker.C:
		}
		for _, l := range o.allLanes() {
			if err := o.settleLane(l); err != nil {
				o.Log.Error("open submissions could not be compared with the ledger", "issuer", l.issuer, "err", err)
			}
		}
	}
}

// old returns the open submissions that news should have reached by now.
func (l *lane) old(finalMs uint64) (subs []*submission) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.open {
		if s.durable && (time.Since(s.at) >= l.o.Resend || s.signed.Submission.NotAfterMs < finalMs) {
			subs = append(subs, s)
		}
	}
	return subs
}

func (o *Outbox) settleLane(l *lane) error {
	finalHeight, finalMs := o.final() // before the view, which is then at least as new
	subs := l.old(finalMs)
	if len(subs) == 0 {
		return nil
	}
	view := o.State()
	head, err := rules.Load[rules.Head](view, rules.KeyHead)
	if err != nil || head == nil {
		return err
	}
	window, err := rules.Load[rules.Seq](view, rules.KeySeq(l.issuer))
	if err != nil {
		return err
	}
	if window == nil {
		window = new(rules.Seq)
	}
	l.mu.Lock()
	l.next = max(l.next, window.High+1)
	l.mu.Unlock()
	for _, s := range subs {
		if err := o.settleOne(s, view, head, window); err != nil {
			return err
		}
		notAfter := s.signed.Submission.NotAfterMs
		switch {
		case finalMs > notAfter && head.Height >= finalHeight:
			o.expire(s)
		case head.TimeMs <= notAfter && o.NowMs() > notAfter:
			o.tick()
		}
	}
	return nil
}

// settleOne reads the outcome of a submission whose number is used, and begins
// to send one that was read back and is not in the ledger.
func (o *Outbox) settleOne(s *submission, view View, head *rules.Head, window *rules.Seq) error {
	l := s.lane
	l.mu.Lock()
	look := l.open[s.seq] == s && window.Used(s.seq) && !s.gone
	l.mu.Unlock()
	var v *verdict
	if look {
		var err error
		if v, err = s.find(view, head, uint64(o.Lifetime.Milliseconds())); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[s.seq] != s {
		return nil
	}
	if v != nil {
		l.decide(s, v)
		poke(o.follow.wake)
		return nil
	}
	if look {
		s.gone = true
		o.Log.Warn("the number of a submission is used, but not by it", "issuer", l.issuer, "seq", s.seq)
	}
	if !s.started && !s.gone {
		s.started = true
		o.wg.Go(func() { o.deliver(s) })
	}
	return nil
}

// expire ends a submission that a final batch later than its not_after does
// not have.
func (o *Outbox) expire(s *submission) {
	l := s.lane
	l.mu.Lock()
	if l.open[s.seq] != s {
		l.mu.Unlock()
		return
	}
	l.closeOpen(s)
	whole := s.whole
	l.mu.Unlock()
	if whole != "" {
		o.concludeWith(s, refuseAll(0, 0, len(s.hashes), whole))
		return
	}
	for _, c := range s.calls {
		o.finish(c, nil, ErrExpired)
	}
	o.toFile(filing{sub: s, done: &done{Failed: true}})
}

// tick asks for a record that moves an idle log on, one at a time and at most
// one every two seconds.
func (o *Outbox) tick() {
	if o.settle.ticking != nil {
		select {
		case <-o.settle.ticking:
		default:
			return
		}
	}
	if now := time.Now(); now.Sub(o.settle.ticked) >= tickEvery {
		o.settle.ticked = now
		submitted := make(chan struct{})
		o.settle.ticking = submitted
		go func() {
			defer close(submitted)
			o.Tick()
		}()
	}
}
