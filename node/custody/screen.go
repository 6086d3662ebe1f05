package custody

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// screenCache keeps what never changes: screens by hash, and where consents are.
type screenCache struct {
	mu       sync.Mutex
	screens  map[record.Digest]*record.Screen
	consents map[consentPlace]foundConsent
}

type consentPlace struct {
	handle sign.PublicKey
	terms  record.Digest
	scope  uint8
	height uint64
}

type foundConsent struct {
	id         record.ID
	index      uint64
	commitment record.Digest
}

const (
	maxScreens  = 1024
	maxConsents = 1 << 16
)

// screen returns what a consent screen said, read from the leaf that published it.
func (d *Desk) screen(st *store.State, hash record.Digest) (*record.Screen, *rules.Terms, error) {
	terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(hash))
	if err != nil {
		return nil, nil, err
	}
	if terms == nil {
		return nil, nil, record.Refuse(record.CodeTermsUnknown, "")
	}
	d.screens.mu.Lock()
	s := d.screens.screens[hash]
	d.screens.mu.Unlock()
	if s != nil {
		return s, terms, nil
	}
	err = eachOfBatch(st, terms.Height, func(_ uint64, r *record.Record) error {
		if t, ok := r.Body.(*record.Terms); ok && t.Hash() == hash {
			s, err = t.Decode()
			return errors.Join(err, fs.SkipAll)
		}
		return nil
	})
	if err == nil && s == nil {
		err = errors.New("terms are in the register and not in the log")
	}
	if err != nil {
		return nil, nil, err
	}
	d.screens.mu.Lock()
	if len(d.screens.screens) >= maxScreens || d.screens.screens == nil {
		d.screens.screens = map[record.Digest]*record.Screen{}
	}
	d.screens.screens[hash] = s
	d.screens.mu.Unlock()
	return s, terms, nil
}

// eachOfBatch calls fn with the records of a batch; fs.SkipAll ends it.
func eachOfBatch(st *store.State, height uint64, fn func(index uint64, r *record.Record) error) error {
	end, err := st.EndOf(height)
	if err != nil {
		return err
	}
	err = st.Range(end.First, end.Size, func(index uint64, leaf []byte) error {
		if record.IsSeal(leaf) {
			return nil
		}
		r, err := record.Parse(leaf)
		if err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		return fn(index, r)
	})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// termsOf returns the hash of a service's terms by number.
func termsOf(s *rules.Service, number uint32) (record.Digest, error) {
	if number == 0 || int(number) > len(s.Terms) {
		return record.Digest{}, record.Refuse(record.CodeTermsUnknown, "number %d", number)
	}
	return s.Terms[number-1].Hash, nil
}

// consentOf finds the record by which a scope was turned on: in the batch that
// the handle's state names, under the handle or one that moved to it.
func (d *Desk) consentOf(st *store.State, k sign.PublicKey, h *rules.Handle, hash record.Digest, sc *rules.ScopeState) (*foundConsent, error) {
	place := consentPlace{k, hash, sc.Scope, sc.Height}
	d.screens.mu.Lock()
	found, ok := d.screens.consents[place]
	d.screens.mu.Unlock()
	if ok {
		return &found, nil
	}
	under := map[sign.PublicKey]bool{k: true}
	for n := 0; len(h.MovedFrom) == sign.PublicKeySize && n < maxGenerations; n++ {
		old := sign.PublicKey(h.MovedFrom)
		under[old] = true
		var err error
		if h, err = rules.HandleState(st, old); err != nil || h == nil {
			return nil, err
		}
	}
	err := eachOfBatch(st, sc.Height, func(index uint64, r *record.Record) error {
		if c, is := r.Body.(*record.Consent); is && under[c.Handle] && c.Terms == hash && c.Scope == sc.Scope {
			found, ok = foundConsent{r.ID, index, *r.Commitment}, true // the last one counts
		}
		return nil
	})
	if err != nil || !ok {
		return nil, err
	}
	d.screens.mu.Lock()
	if len(d.screens.consents) >= maxConsents || d.screens.consents == nil {
		d.screens.consents = map[consentPlace]foundConsent{}
	}
	d.screens.consents[place] = found
	d.screens.mu.Unlock()
	return &found, nil
}

// Since returns the version of a service's terms that a person compares new ones
// with: the oldest under which one of their choices stands, of those that are on
// where any is, so that no change stays unmarked that they have not agreed to. It is
// "" where nothing was ever chosen.
func Since(s *rules.Service, stands []ScopeNow) string {
	on := slices.ContainsFunc(stands, func(sc ScopeNow) bool { return sc.On })
	for _, t := range s.Terms {
		if slices.ContainsFunc(stands, func(sc ScopeNow) bool { return sc.Version == t.Version && sc.On == on }) {
			return t.Version
		}
	}
	return ""
}
