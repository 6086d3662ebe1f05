package cosign

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// another member's.
func (s *Cosigner) keep(e entry) {
	if f := s.final.Load(); f != nil && e.Size < f.End.Size {
		return
	}
	m := s.sigs[e.Size]
	old, have := m[e.Member]
	switch {
	case have && old.Time >= e.Time && old.key == e.key:
		return
	case !have && s.kept[e.Member] >= maxKept && e.Member != s.Self:
		return
	case !have:
		s.kept[e.Member]++
	}
	if m == nil {
		m = map[string]entry{}
		s.sigs[e.Size] = m
	}
	m[e.Member] = e
}

// ErrMessage says that a message of another member is malformed.
var ErrMessage = errors.New("malformed cosignature message")

// errEarly says that a cosignature over an end that is not derived yet does not
// verify: perhaps it lies in a policy epoch that this member has not reached. It
// says nothing of the rest of the message.
var errEarly = errors.New("not under a key that is known yet")

// Receive takes another member's message.
func (s *Cosigner) Receive(b []byte) error {
	var m message
	if err := canon.Unmarshal(b, &m); err != nil || len(m.Entries) > maxEntries {
		return ErrMessage
	}
	var early error
	for _, e := range m.Entries {
		err := s.receive(e)
		if err != nil && !errors.Is(err, errEarly) {
			return err
		}
		early = cmp.Or(early, err)
	}
	s.collect()
	if m.Beat {
		s.mu.Lock()
		s.beat = true
		s.mu.Unlock()
		s.wake()
	}
	return early
}

func (s *Cosigner) receive(e entry) error {
	m := member(s.of(e.Size), e.Member)
	if m == nil && e.Size > s.State().Size { // perhaps one that joins
		return fmt.Errorf("%w: member %q: %w", ErrMessage, e.Member, errEarly)
	}
	if m == nil || e.Size == 0 || e.Time > record.MaxTimeMs/1000 {
		return fmt.Errorf("%w: member %q", ErrMessage, e.Member)
	}
	s.mu.Lock()
	old, have := s.sigs[e.Size][e.Member]
	root, late := s.recent[e.Size]
	s.mu.Unlock()
	if have && old.Root == e.Root && old.Time >= e.Time && old.key == m.Key || late && root == e.Root {
		return nil
	}
	cp := sign.Checkpoint{Origin: s.Origin, Size: e.Size, Root: e.Root}
	cs := sign.Cosignature{Signer: m.Name, Time: e.Time, Sig: e.Sig}
	st := s.State()
	if err := cs.Verify(m.Key, cp); err != nil {
		if e.Size > st.Size { // it is sent again
			err = errEarly
		}
		return fmt.Errorf("%w: member %s: %w", ErrMessage, e.Member, err)
	}
	e.key = m.Key
	root, derived, err := s.rootAt(e.Size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case derived && root != e.Root:
		s.differs(e)
		s.wake()
	case !derived && have && old.Root != e.Root:
		s.pairs = append(s.pairs[:min(len(s.pairs), maxOdd)], [2]entry{old, e})
		s.wake()
	default:
		s.keep(e)
		if derived && s.agree(e) {
			s.wake()
		}
	}
	return nil
}

// encode returns a message's bytes.
