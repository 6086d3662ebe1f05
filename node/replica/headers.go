package replica

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Bounds of how far back a second header is looked for.
const (
	placesBack = 256 // batches of the log
	voidsKept  = 64  // headers of void batches
	toldMost   = 16  // pairs of one leader that are told: node/evidence keeps no more
)

// headers finds two headers of one leader for one place among the entries that
// Raft delivers. The second of two is void, as the batch that it follows has a
// successor, unless the first one was void for another reason. Only the goroutine
// that applies uses it.
type headers struct {
	ledger *store.Ledger
	origin string
	twice  func(a, b *record.Header) // a leader signed both, for one place
	voids  []*record.Header          // signed, of void batches, oldest first
	told   map[string]int            // pairs, by leader
}

// applied takes the header of a batch that is in the log.
func (w *headers) applied(h *record.Header) {
	for _, o := range w.voids {
		w.compare(o, h)
	}
}

// void takes an entry without effect. Who signed nothing, or has no key to sign
// with, is not to blame.
func (w *headers) void(entry []byte) error {
	e, err := record.ParseEntry(entry)
	if err != nil {
		return nil
	}
	h, st := &e.Header, w.ledger.State()
	if signed, err := SignedByLeader(st, w.origin, h); err != nil || !signed {
		return err
	}
	for _, o := range w.voids {
		w.compare(o, h)
	}
	if w.voids = append(w.voids, h); len(w.voids) > voidsKept {
		w.voids = w.voids[1:]
	}
	o, err := successor(st, h.Prev)
	if err != nil || o == nil {
		return err
	}
	w.compare(o, h)
	return nil
}

// SignedByLeader reports whether a header has the signature of the member that it
// names, with the key that the register has for it.
func SignedByLeader(v rules.View, origin string, h *record.Header) (bool, error) {
	leader, err := rules.Load[rules.Party](v, rules.KeyParty(h.Leader))
	if err != nil || leader == nil || !leader.Member {
		return false, err
	}
	return sign.Verify(leader.Key, sign.DomainHeader, origin, h.Signed(), h.Sig) == nil, nil
}

func (w *headers) compare(a, b *record.Header) {
	if !a.SamePlace(b) || a.Hash() == b.Hash() || w.told[a.Leader] == toldMost {
		return
	}
	if w.told == nil {
		w.told = map[string]int{}
	}
	w.told[a.Leader]++
	w.twice(a, b)
}

// successor returns the header of the batch that follows a header in the log,
// nil where there is none within placesBack.
func successor(st *store.State, prev record.Digest) (*record.Header, error) {
	for height := st.Height; height > 0 && height+placesBack > st.Height; height-- {
		before, err := headerHash(st, height-1)
		if err != nil {
			return nil, err
		}
		if before != prev {
			continue
		}
		end, err := st.EndOf(height)
		if err != nil {
			return nil, err
		}
		leaf, err := st.Leaf(end.Size - 1)
		if err != nil {
			return nil, err
		}
		seal, err := record.ParseSeal(leaf)
		if err != nil {
			return nil, fmt.Errorf("%w: seal of height %d: %w", store.ErrDamaged, height, err)
		}
		return seal.Header, nil
	}
	return nil, nil
}

// headerHash names the batch of a height as the next header does.
func headerHash(st *store.State, height uint64) (record.Digest, error) {
	if height == 0 {
		leaf, err := st.Leaf(0)
		return record.Digest(merkle.LeafHash(leaf)), err
	}
	end, err := st.EndOf(height)
	if err != nil {
		return record.Digest{}, err
	}
	return end.Header, nil
}
