package cosign

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/ledger/rules"
)

// An outbox holds what one member has not been sent yet: for each signer and
// size the newest cosignature, so that a slow member costs no memory.
type outbox struct {
	mu      sync.Mutex
	entries map[string]entry
	beat    bool
	ready   chan struct{}
	done    chan struct{} // closed when its member has left
}

func newOutbox() *outbox {
	return &outbox{entries: map[string]entry{}, ready: make(chan struct{}, 1), done: make(chan struct{})}
}

func (o *outbox) add(es []entry, beat bool) {
	o.mu.Lock()
	for _, e := range es {
		if len(o.entries) < maxEntries {
			o.entries[fmt.Sprintf("%s/%d", e.Member, e.Size)] = e
		}
	}
	o.beat = o.beat || beat
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

func (o *outbox) take() *message {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := &message{Entries: sortedEntries(o.entries), Beat: o.beat}
	clear(o.entries)
	o.beat = false
	return m
}

// deliver sends one member what there is for it. What does not arrive is not
// sent again: the lag check and the heartbeat make up for it.
func (s *Cosigner) deliver(to string, o *outbox) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-o.done:
			return
		case <-o.ready:
		}
		m := o.take()
		if len(m.Entries) == 0 && !m.Beat {
			continue
		}
		ctx, cancel := context.WithTimeout(s.ctx, sendTimeout)
		if err := s.Send(ctx, to, encode(m)); err != nil {
			s.Log.Debug("cosignatures not delivered", "to", to, "err", err)
		}
		cancel()
	}
}

// announce sends the cosignatures of a final checkpoint to everyone.
func (s *Cosigner) announce(f *Final) {
	entries := make([]entry, len(f.Sigs))
	for i, m := range f.Sigs {
		entries[i] = entry{Member: m.Member, Height: f.End.Height, Size: f.End.Size, Root: f.End.Root, Time: m.Time, Sig: m.Sig}
	}
	for _, o := range s.addressed() {
		o.add(entries, false)
	}
}

// address makes a line to each member of a policy. It is called before others
// close this Cosigner, never beside it.
func (s *Cosigner) address(p *rules.Policy) {
	s.outMu.Lock()
	defer s.outMu.Unlock()
	for _, m := range p.Members {
		if m.ID != s.Self && s.out[m.ID] == nil {
			o := newOutbox()
			s.out[m.ID] = o
			s.wg.Go(func() { s.deliver(m.ID, o) })
		}
	}
}

// forsake ends the lines to who has left: the end that says so is final, and told.
// Who leaves with an end that is only derived is needed for it, and hears of it.
func (s *Cosigner) forsake(final uint64) {
	s.epochMu.RLock()
	defer s.epochMu.RUnlock()
	stays := func(id string) bool {
		return slices.ContainsFunc(s.epochs, func(e epoch) bool { return e.policy.Epoch >= final && member(e.policy, id) != nil })
	}
	s.outMu.Lock()
	defer s.outMu.Unlock()
	for id, o := range s.out {
		if !stays(id) {
			close(o.done)
			delete(s.out, id)
		}
	}
}

// addressed returns the lines to the others.
func (s *Cosigner) addressed() map[string]*outbox {
	s.outMu.Lock()
	defer s.outMu.Unlock()
	return maps.Clone(s.out)
}
