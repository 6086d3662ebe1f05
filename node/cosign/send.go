package cosign

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/akashi-ledger/akashi/node/store"
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

// evidence writes a file that shows two ends of one height: ours, and the one
// that a member cosigned.
func (s *Cosigner) evidence(e entry, ours store.End) error {
	dir := filepath.Join(s.Dir, "evidence")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{
		"format": "akashi-evidence/v1", "what": "cosigned another end", "origin": s.Policy.Origin,
		"member": e.Member, "height": e.Height, "size": e.Size, "root": e.Root[:], "time": e.Time, "signature": e.Sig[:],
		"ours": map[string]any{"size": ours.Size, "root": ours.Root[:], "register": ours.Register[:]},
	}, "", " ")
	if err != nil {
		return err
	}
	name := fmt.Sprintf("cosigned-%s-%d-%x.json", e.Member, e.Height, e.Root[:4])
	return os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o600)
}

// announce sends the cosignatures of a final checkpoint to everyone.
func (s *Cosigner) announce(f *Final) {
	entries := make([]entry, len(f.Sigs))
	for i, m := range f.Sigs {
		entries[i] = entry{m.Member, f.End.Height, f.End.Size, f.End.Root, m.Time, m.Sig}
	}
	for _, o := range s.out {
		o.add(entries, false)
	}
}

// conflicts keeps a member's cosignature over an end that is not ours as
// evidence. One alone says that somebody lies or is broken; k of them say that
// it is us.
func (s *Cosigner) conflicts(e entry, ours store.End) error {
	s.conflict[e.Member] = e
	same := 0
	for _, o := range s.conflict {
		if o.Size == e.Size && o.Root == e.Root {
			same++
		}
	}
	if s.proofs[e.Member]++; s.proofs[e.Member] <= maxProofs { // a liar can sign for ever
		s.Log.Error("a member cosigned another end than ours", "member", e.Member, "height", e.Height, "size", e.Size)
		if err := s.evidence(e, ours); err != nil {
			s.Log.Error("evidence was not written", "err", err)
		}
	}
	if same >= s.Policy.K {
		go s.Stop(fmt.Errorf("%w: %d members cosigned another end of height %d", ErrForked, same, e.Height))
	}
	return nil
}
