package custody

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Consents returns every scope of a person over every service of the directory,
// as it stands at the newest final state.
func (d *Desk) Consents(_ context.Context, ref Ref) ([]ConsentView, error) {
	st, q, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	handles, err := d.knownHandles(st, q)
	if err != nil {
		return nil, err
	}
	out := []ConsentView{}
	for _, k := range handles {
		h, err := rules.HandleState(st, k.Key)
		if err != nil || h == nil {
			return nil, err
		}
		if len(h.Scopes) == 0 {
			continue
		}
		s, err := d.service(st, h.For)
		if err != nil {
			return nil, err
		}
		for i := range h.Scopes {
			v, err := d.consentView(st, s, k.Key, h, &h.Scopes[i])
			if err != nil {
				return nil, err
			}
			if d.erasing.closes(k.Key) { // nothing leaves any more, and the ledger says so within the hour
				v.State, v.On = "closed", false
			}
			out = append(out, *v)
		}
	}
	return out, nil
}

// knownHandles returns a person's handles that are in the ledger: the derived
// ones, then those under which data came.
func (d *Desk) knownHandles(st *store.State, q *person) ([]HandleOf, error) {
	all, err := d.handlesAt(st, q)
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(all, func(h HandleOf) bool { return !h.Open })
	have := map[sign.PublicKey]bool{}
	for _, h := range out {
		have[h.Key] = true
	}
	known := d.handlesOf(q)
	keys := make([]sign.PublicKey, 0, len(known))
	for k := range known {
		if !have[k] {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b sign.PublicKey) int { return slices.Compare(a[:], b[:]) })
	for _, k := range keys {
		h, err := rules.HandleState(st, k)
		if err != nil {
			return nil, err
		}
		if h != nil {
			out = append(out, HandleOf{For: known[k], Key: k, Open: true})
		}
	}
	return out, nil
}

func (d *Desk) consentView(st *store.State, s *rules.Service, k sign.PublicKey, h *rules.Handle, sc *rules.ScopeState) (*ConsentView, error) {
	hash, err := termsOf(s, sc.Terms)
	if err != nil {
		return nil, err
	}
	terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(hash))
	if err != nil {
		return nil, err
	}
	v := &ConsentView{Service: s.ID, Terms: hex.EncodeToString(hash[:]), Version: s.Terms[sc.Terms-1].Version, Scope: sc.Scope,
		Purpose: terms.Scopes[sc.Scope].Purpose, On: sc.On, Handle: k, State: "active"}
	if sc.Expiry != 0 {
		v.Until = dayText(int64(sc.Expiry))
	}
	switch {
	case h.Closed != 0:
		v.State, v.On = "closed", false
	case !sc.On && sc.By == rules.ByStop:
		v.State = "stopped"
	case !sc.On:
		v.State = "revoked"
	case sc.Expired(d.nowMs()):
		v.State, v.On = "expired", false
	}
	found, err := d.consentOf(st, k, h, hash, sc)
	if err != nil || found == nil {
		return v, err
	}
	v.Index = found.index
	o, err := d.openRecord(found.id)
	if err != nil || o == nil {
		return v, err
	}
	if v.part, err = decodeConsent(o.Part.Part); err != nil {
		return nil, err
	}
	v.Items = v.part.Items
	v.Again = !v.On && d.resumable(s, h, sc, v.part)
	return v, nil
}

// Events returns every record under every handle of a person, in the order of the
// log: over every service and party of the directory, each generation.
func (d *Desk) Events(ctx context.Context, ref Ref) ([]Event, error) {
	st, q, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	handles, err := d.knownHandles(st, q)
	if err != nil {
		return nil, err
	}
	all, err := d.traces(ctx, st, handles)
	if err != nil {
		return nil, err
	}
	out := make([]Event, len(all))
	for i := range all {
		e, err := d.traced(st, &all[i])
		if err != nil {
			return nil, err
		}
		out[i] = *e
	}
	return out, nil
}

func (d *Desk) intentState(deadlineMs uint64) string {
	if d.nowMs() > deadlineMs {
		return "overdue"
	}
	return "open"
}

// placed is a record and where it is in the log.
type placed struct {
	*record.Record
	index uint64
}

// under yields every record under a handle, in order.
func under(ctx context.Context, st *store.State, k sign.PublicKey, h *rules.Handle) iter.Seq2[placed, error] {
	return func(yield func(placed, error) bool) {
		at, err := st.EventsOf(k, h.Events)
		if err == nil {
			err = st.LeavesAt(at, func(index uint64, leaf []byte) error {
				rec, err := record.Parse(bytes.Clone(leaf))
				switch {
				case err != nil:
					return err
				case !yield(placed{rec, index}, nil):
					return errEnough
				}
				return ctx.Err()
			})
		}
		if err != nil && err != errEnough {
			yield(placed{}, err)
		}
	}
}

// errEnough ends a walk whose caller needs no more of it.
var errEnough = errors.New("enough")

func (d *Desk) event(st *store.State, h *rules.Handle, index uint64, rec *record.Record) (*Event, error) {
	end, err := st.EndWith(index)
	if err != nil {
		return nil, err
	}
	e := &Event{Index: index, Kind: rec.Kind.String(), ID: hex.EncodeToString(rec.ID[:]), Service: h.For, Issuer: rec.Issuer, TimeMs: end.TimeMs}
	scope := func(hash record.Digest, n uint8) error {
		t, err := rules.Load[rules.Terms](st, rules.KeyTerms(hash))
		if err == nil && t != nil && int(n) < len(t.Scopes) {
			e.Purpose = t.Scopes[n].Purpose
		}
		return err
	}
	switch b := rec.Body.(type) {
	case *record.Consent:
		err = scope(b.Terms, b.Scope)
	case *record.Revocation:
		err = scope(b.Terms, b.Scope)
	case *record.Stop:
		if b.Scope != record.ScopeAll {
			err = scope(record.Digest(b.Terms), b.Scope)
		}
	case *record.Provision:
		e.To = b.To
		var s *rules.Service
		if s, err = d.service(st, h.For); err == nil {
			var hash record.Digest
			if hash, err = termsOf(s, b.Terms); err == nil {
				err, e.Version = scope(hash, b.Scope), s.Terms[b.Terms-1].Version
			}
		}
	case *record.OptOut:
		e.To, e.Filing = b.To, b.Filing
	case *record.Undelivered:
		e.Code = b.Reason
	case *record.Denial:
		e.Code = b.Reason
	}
	if err != nil {
		return nil, err
	}
	return e, d.showOpening(e, rec)
}

// showOpening adds what the member can still open of a record.
func (d *Desk) showOpening(e *Event, rec *record.Record) error {
	o, err := d.openRecord(rec.ID)
	if err != nil || o == nil || d.pastKeep(o, rec.ID, e.TimeMs) {
		return err
	}
	part, err := record.DecodePart(o.Kind, o.Part.Part)
	if err != nil {
		return err
	}
	switch p := part.(type) {
	case *record.ConsentPart:
		e.Items = p.Items
	case *record.HandOverPart:
		e.Purpose = p.Purpose
		if rec.Kind == record.KindException {
			e.To, e.Items, e.Ground, e.Statute, e.Reason = p.To, p.Items, p.Basis, p.Statute, p.Reason
		}
	case *record.ReceivedPart:
		e.How = p.HowAcquired
	}
	if o.Items != nil {
		items, err := decodeItems(o.Items.Part)
		if err != nil {
			return err
		}
		e.Items = items
	}
	b, err := json.Marshal(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, &e.Opening)
}
