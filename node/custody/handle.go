package custody

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

func utf8Valid(s string) bool { return utf8.ValidString(s) }

// maxGenerations bounds the search for a person's present handle.
const maxGenerations = 1024

// handle is a person's handle in the generation that counts.
type handle struct {
	key        sign.Key
	generation uint64
	state      *rules.Handle // nil where it is not in the ledger yet
}

// current returns a person's handle for a service or party: the first generation
// that is not in the ledger, or is and not closed or about to be.
func (d *Desk) current(st *store.State, secret sign.Secret, id string) (*handle, error) {
	for g := range uint64(maxGenerations) {
		k := secret.Handle(id, g)
		h, err := rules.HandleState(st, k.Public())
		if err != nil {
			return nil, err
		}
		if h == nil || h.Closed == 0 && !d.erasing.closes(k.Public()) {
			return &handle{key: k, generation: g, state: h}, nil
		}
	}
	return nil, fmt.Errorf("more than %d generations of a handle", maxGenerations)
}

// handleFor returns the public key of a person's handle and its state: derived
// where K_s is kept here, else the one under which data came.
func (d *Desk) handleFor(st *store.State, q *person, id string) (sign.PublicKey, *rules.Handle, error) {
	if d.hasSecret(q) {
		secret, _, err := d.readSecret(q.ref)
		if err != nil {
			return sign.PublicKey{}, nil, err
		}
		h, err := d.current(st, secret, id)
		clear(secret[:])
		if err != nil {
			return sign.PublicKey{}, nil, err
		}
		if h.state != nil {
			return h.key.Public(), h.state, nil
		}
	}
	for k, is := range d.handlesOf(q) {
		if is != id {
			continue
		}
		h, err := rules.HandleState(st, k)
		for n := 0; err == nil && h != nil && len(h.MovedTo) == sign.PublicKeySize && n < maxGenerations; n++ {
			k = sign.PublicKey(h.MovedTo)
			h, err = rules.HandleState(st, k)
		}
		if err != nil {
			return sign.PublicKey{}, nil, err
		}
		if h != nil && h.Closed == 0 {
			return k, h, nil
		}
	}
	return sign.PublicKey{}, nil, nil
}

// openHandle brings a handle without consent into the ledger.
func (d *Desk) openHandle(ctx context.Context, c Call, st *store.State, s *rules.Service, q *person) (*Done, error) {
	body := d.bodyOf("open", string(q.ref), s.ID)
	if done, _, err := d.again(ctx, c, s.Owner, "", body); done != nil || err != nil {
		return done, err
	}
	secret, _, err := d.readSecret(q.ref)
	if err != nil {
		return nil, err
	}
	h, err := d.current(st, secret, s.ID)
	clear(secret[:])
	if err != nil {
		return nil, err
	}
	if h.state != nil {
		return &Done{Key: c.Key, Final: true}, nil
	}
	rec := &record.Record{Kind: record.KindHandleOpen, ID: newID(), Issuer: s.Owner, Body: &record.HandleOpen{Handle: h.key.Public(), For: s.ID}}
	done, _, err := d.post(ctx, c, posting{issuer: s.Owner, body: body, records: []*record.Record{rec}})
	return done, err
}

// HandleOf is one of a person's handles.
type HandleOf struct {
	For        string
	Generation uint64
	Key        sign.PublicKey
	Open       bool // it is in the ledger; the last generation of each id is not
}

// Handles returns a person's handles towards every service and party of the
// directory, each up to the first generation that is absent, for completeness.
func (d *Desk) Handles(_ context.Context, ref Ref) ([]HandleOf, error) {
	st, q, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	return d.handlesAt(st, q)
}

func (d *Desk) handlesAt(st *store.State, q *person) ([]HandleOf, error) {
	if !d.hasSecret(q) {
		return nil, nil
	}
	secret, _, err := d.readSecret(q.ref)
	if err != nil {
		return nil, err
	}
	defer clear(secret[:])
	dir, err := rules.Load[rules.Directory](st, rules.KeyDirectory)
	if err != nil || dir == nil {
		return nil, err
	}
	view := st.View()
	defer view.Close()
	var out []HandleOf
	for _, id := range append(dir.Services[:len(dir.Services):len(dir.Services)], dir.Parties...) {
		for g := range uint64(maxGenerations) {
			h := HandleOf{For: id, Generation: g, Key: secret.Handle(id, g).Public()}
			state, err := rules.HandleState(view, h.Key)
			if err != nil {
				return nil, err
			}
			h.Open = state != nil
			out = append(out, h)
			if !h.Open {
				break
			}
		}
	}
	return out, nil
}

// dayText writes a day in JST.
func dayText(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

// recordKeep is how long hand-over records are kept by law (APPI Art. 29(2), 30(4)).
var recordKeep = record.Period{Years: 3}

// monthEnds returns the last day on which a record of a month, 2006-01, is kept.
func monthEnds(month string) int64 {
	t, err := time.Parse("2006-01", strings.TrimPrefix(month, "r/"))
	if err != nil {
		return 0
	}
	return recordKeep.LastDay(t.AddDate(0, 1, -1).Unix() / 86400)
}
