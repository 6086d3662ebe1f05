package cosign

import (
	"context"
	"fmt"
	"sync"
)

// An outbox holds what one member has not been sent yet: for each signer and
// size the newest cosignature, so that a slow member costs no memory.
type outbox struct {
	mu      sync.Mutex
	entries map[string]entry
	beat    bool
	ready   chan struct{}
}

func newOutbox() *outbox {
	return &outbox{entries: map[string]entry{}, ready: make(chan struct{}, 1)}
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
	for _, o := range s.out {
		o.add(entries, false)
	}
}
