package custody

import (
	"bytes"
	"context"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// AfterLoss goes on with the erasures by parties of this node that an earlier one
// began, where the plan did not come back (adoptPlans): because no custodian answered in
// time, and the disk was lost before one did. What they destroy did not come back either.
// Whom to tell and what to close follows from the ledger: an erasure publishes the numbers
// of its handles, which nobody can compute who has not the desk's key, and this node has
// it back. What a dataset's erasure was about does not follow; who has not answered stands
// in its certificate.
func (d *Desk) AfterLoss() error {
	st, err := d.state()
	if err != nil {
		return err
	}
	if err := d.orphanErased(); err != nil {
		return err
	}
	lost, err := d.withoutPlan(st)
	if err != nil || len(lost) == 0 {
		return err
	}
	buried, err := d.buriedHandles(st)
	if err != nil {
		return err
	}
	for id, e := range lost {
		if err := d.planAnew(st, id, e, buried[id]); err != nil {
			return err
		}
	}
	return nil
}

// withoutPlan returns the erasures by parties of this node of which there is no plan:
// nearly all of them are done.
func (d *Desk) withoutPlan(st *store.State) (map[record.ID]*rules.Erasure, error) {
	out := map[record.ID]*rules.Erasure{}
	err := st.Listed("erasure/", func(key string, value []byte) error {
		e, id := new(rules.Erasure), record.ID([]byte(key[len("erasure/"):]))
		if err := canon.Decode(value, e); err != nil || !d.mine(e.Issuer) || d.erasing.job(id) != nil {
			return err
		}
		out[id] = e
		return nil
	})
	return out, err
}

// buriedHandles returns the handles of the ledger whose number at this node has a
// tombstone, by the erasure that it is of. It reads the whole log.
func (d *Desk) buriedHandles(st *store.State) (map[record.ID][]sign.PublicKey, error) {
	out := map[record.ID][]sign.PublicKey{}
	err := st.Range(0, st.Size, func(_ uint64, leaf []byte) error {
		k, ok, err := handleIn(leaf)
		if err != nil || !ok {
			return err
		}
		tomb, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(d.handleNumber(string(k[:]))))
		if err == nil && tomb != nil && !slices.Contains(out[tomb.Erasure], k) {
			out[tomb.Erasure] = append(out[tomb.Erasure], k)
		}
		return orElse(d.ctx.Err(), err)
	})
	return out, err
}

// handleIn returns the handle that a leaf brings into the ledger, if it may be one.
func handleIn(leaf []byte) (k sign.PublicKey, ok bool, err error) {
	switch record.PeekKind(leaf) {
	case record.KindConsent, record.KindHandleOpen, record.KindHandleMove:
	default:
		return k, false, nil
	}
	rec, err := record.Parse(bytes.Clone(leaf))
	if err != nil {
		return k, false, err
	}
	switch b := rec.Body.(type) {
	case *record.Consent:
		return b.Handle, true, nil
	case *record.HandleOpen:
		return b.Handle, true, nil
	case *record.HandleMove:
		return b.New, true, nil
	}
	return k, false, nil
}

// planAnew makes what can be known of a lost plan durable, unless nothing is left to do.
func (d *Desk) planAnew(st *store.State, id record.ID, e *rules.Erasure, handles []sign.PublicKey) error {
	p := &erasurePlan{Erasure: id, ByIssuer: true, Blind: true}
	for _, holder := range e.Pending {
		if d.mine(holder) {
			p.Own = append(p.Own, holder)
		}
	}
	if err := d.planHandles(d.ctx, st, p, e, handles); err != nil {
		return err
	}
	if len(p.Own)+len(p.Tell)+len(p.Close) == 0 {
		return nil
	}
	if err := d.sealSteps(id, map[string]any{"b": p}); err != nil {
		return err
	}
	d.erasing.add(p, 0, p.pieceIDs()...)
	return nil
}

// planHandles plans the closing of an erasure's handles, and who has not attested that
// got data under them.
func (d *Desk) planHandles(ctx context.Context, st *store.State, p *erasurePlan, e *rules.Erasure, handles []sign.PublicKey) error {
	at := map[string][]sign.PublicKey{}
	for _, k := range handles {
		h, err := rules.HandleState(st, k)
		if err != nil {
			return err
		}
		if h == nil { // the record was refused
			continue
		}
		to, err := d.planHandle(ctx, st, p, HandleOf{For: h.For, Key: k})
		if err != nil {
			return err
		}
		for _, party := range to {
			at[party] = append(at[party], k)
		}
	}
	for _, holder := range e.Pending {
		if len(at[holder]) > 0 && !d.mine(holder) {
			p.Tell = append(p.Tell, holderTold{Holder: holder, Handles: at[holder]})
		}
	}
	return nil
}
