package escrow

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
)

// Fetched says what a custodian had.
type Fetched struct {
	Entries int // put into the vault
	Erased  int // that it had, and the ledger says are to be destroyed: not taken
}

// Fetch brings a member's keys back from a custodian into its vault. Copies whose
// number has a tombstone at the newest final state are not taken, whatever the
// custodian says; so the caller first catches up with the ledger. What the vault has
// already stays as it is: several custodians may be asked in turn.
func (s *Sender) Fetch(ctx context.Context, custodian string) (Fetched, error) {
	var f Fetched
	labels, err := s.labels(ctx, custodian)
	if err != nil {
		return f, err
	}
	st := s.State()
	if st == nil {
		return f, errors.New("nothing is final yet: what was erased is not known")
	}
	alive := labels[:0]
	for _, l := range labels {
		dead, err := buried(st, l.Number)
		if err != nil {
			return f, err
		}
		if dead {
			f.Erased++
			continue
		}
		alive = append(alive, l)
	}
	for len(alive) > 0 {
		n, done, err := s.fetchSome(ctx, custodian, alive[:min(len(alive), maxCopies)])
		if err != nil {
			return f, err
		}
		f.Entries, alive = f.Entries+n, alive[done:]
	}
	return f, nil
}

// fetchSome asks for the first of these copies, and returns how many were taken and
// how many the custodian answered.
func (s *Sender) fetchSome(ctx context.Context, custodian string, labels []Label) (n, done int, err error) {
	key, err := seal.NewOneTime()
	if err != nil {
		return 0, 0, err
	}
	r := &getRequest{Recipient: key.Recipient().String()}
	rand.Read(r.Session[:])
	for _, l := range labels {
		b := l.bytes()
		r.Labels = append(r.Labels, b[:]...)
	}
	var a getAnswer
	if err := s.ask(ctx, custodian, callGet, r, &a); err != nil {
		return 0, 0, err
	}
	copies, err := unpacked(r.Session, custodian, s.Self, a.Parcel, key)
	if err != nil {
		return 0, 0, err
	}
	if a.Done < 1 || a.Done > len(labels) || len(copies) > a.Done {
		return 0, 0, errors.New("an answer to another question")
	}
	var entries []vault.Entry
	for _, c := range copies {
		if !slices.Contains(labels[:a.Done], c.Label) {
			return 0, 0, errForeign
		}
		e, err := s.Key.open(c.Label, c.Sealed)
		if err != nil {
			return 0, 0, err
		}
		entries = append(entries, vault.Entry{ID: string(e.ID), Value: e.Value, Reserve: true})
	}
	defer func() {
		for _, e := range entries {
			clear(e.Value)
		}
	}()
	err = s.Vault.Put(entries...)
	return len(entries), a.Done, err
}
