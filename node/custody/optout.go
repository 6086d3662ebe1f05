package custody

import (
	"context"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// ProvideOptOut hands items over under an opt-out filing (APPI Art. 27(2)): like
// Provide, with the filing in the place of the consent. It is refused before the
// filing is in force, for what was not filed, for what may never go this way, and
// after the person said stop.
func (d *Desk) ProvideOptOut(ctx context.Context, c Call, r OptOutRequest) (*Done, error) {
	r.Items = set(r.Items)
	body := d.bodyOf("provide-optout", jsonOf(r))
	st, s, err := d.forService(c, r.Service)
	if err != nil {
		return nil, err
	}
	if done, res, err := d.again(ctx, c, s.Owner, "", body); done != nil || err != nil {
		if err == nil && res.Final {
			d.send1(res.Outcomes[0].ID)
		}
		return done, err
	}
	if st, err = d.freshState(ctx); err != nil {
		return nil, err
	}
	h := &handOver{from: s.Owner, service: s, filing: r.Filing, release: func() {}, ProvideRequest: ProvideRequest{Person: r.Person,
		Service: r.Service, To: r.To, Items: r.Items, Purpose: r.Purpose, Levels: r.Levels, Values: r.Values, Method: r.Method}}
	p, err := d.prepareOptOut(st, h)
	if err != nil {
		d.deny(ctx, c, h, err)
		h.release()
		return nil, err
	}
	p.body = body
	return d.dispatch(ctx, c, h, p)
}

func (d *Desk) prepareOptOut(st *store.State, h *handOver) (*posting, error) {
	to, err := d.addressed(st, h)
	if err != nil {
		return nil, err
	}
	if err := d.mayBeFiled(st, h); err != nil {
		return nil, err
	}
	q, release, err := d.use(h.Person)
	if err != nil {
		return nil, err
	}
	h.person, h.release = q, release
	if err := d.stoppedBy(q, h.Purpose, to, true); err != nil {
		return nil, err
	}
	if h.key, h.handle, err = d.handleFor(st, q, h.service.ID); err != nil {
		return nil, err
	}
	if h.handle == nil {
		return nil, record.Refuse(record.CodeHandleUnknown, "open the handle when data is held without consent")
	}
	f, err := d.filed(st, h.from, h.filing, h.handle)
	if err != nil {
		return nil, err
	}
	for _, item := range h.Items {
		if !slices.Contains(f.Items, item) {
			return nil, record.Refuse(record.CodeOptOutItemNotFiled, "%s", item)
		}
	}
	if err := d.gather(st, h); err != nil {
		return nil, err
	}
	return d.intent(st, h)
}

// mayBeFiled refuses what no filing covers: sensitive and biometric items (APPI
// Art. 27(2), proviso), and a purpose that nobody knows.
func (d *Desk) mayBeFiled(st *store.State, h *handOver) error {
	if len(h.Items) == 0 {
		return record.Refuse(record.CodeOptOutItemNotFiled, "no item")
	}
	if !record.ValidID(h.filing) {
		return record.Refuse(record.CodeOptOutNotFiled, "")
	}
	if err := d.knownPurpose(st, h.Purpose); err != nil {
		return err
	}
	for _, item := range h.Items {
		a, err := d.attribute(st, item)
		if err != nil {
			return err
		}
		if a.Class == "sensitive" || a.Class == "biometric" {
			return record.Refuse(record.CodeSensitive, "%s", item)
		}
	}
	return nil
}

func (d *Desk) knownPurpose(st *store.State, purpose string) error {
	if record.ValidID(purpose) {
		v, err := rules.Load[record.Purpose](st, rules.KeyPurpose(purpose))
		if err != nil || v != nil {
			return err
		}
	}
	return record.Refuse(record.CodePurposeNotOnScreen, "not in the vocabulary")
}

// filed returns a filing that is in force and not stopped under a handle.
func (d *Desk) filed(st *store.State, issuer, number string, h *rules.Handle) (*rules.Filing, error) {
	f, err := rules.Load[rules.Filing](st, rules.KeyFiling(issuer, number))
	switch {
	case err != nil:
		return nil, fmt.Errorf("a filing: %w", err)
	case f == nil, d.nowMs() < f.FromMs:
		return nil, record.Refuse(record.CodeOptOutNotFiled, "")
	case h.Stopped != 0:
		return nil, record.Refuse(record.CodeOptedOut, "")
	}
	return f, nil
}
