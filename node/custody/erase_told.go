package custody

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// serveErase takes another member's word on whom an erasure is about: only people
// who came from there are erased. It answers when that is durable.
func (d *Desk) serveErase(_ context.Context, st *store.State, from string, r *eraseRequest) ([]byte, error) {
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(r.Erasure))
	if err != nil || e == nil {
		return nil, orElse(err, record.Refuse(record.CodeErasureUnknown, ""))
	}
	if _, ok, err := d.acts(st, from, e.Issuer); err != nil || !ok {
		return nil, orElse(err, record.Refuse(record.CodeNotAuthorised, "the erasure is by %s", e.Issuer))
	}
	p := &erasurePlan{Erasure: r.Erasure}
	for _, holder := range e.Pending {
		if d.mine(holder) {
			p.Own = append(p.Own, holder)
		}
	}
	if len(p.Own) == 0 {
		return nil, nil
	}
	for _, k := range r.Handles {
		ok, err := d.cameFrom(st, from, k)
		if err != nil {
			return nil, err
		}
		if ok {
			p.Told = append(p.Told, k)
		}
	}
	if len(p.Told) == 0 {
		return nil, record.Refuse(record.CodeNotAuthorised, "no such handle of yours")
	}
	defer d.lock("erasure/" + hex.EncodeToString(r.Erasure[:]))()
	if d.erasing.job(r.Erasure) == nil {
		for _, holder := range p.Own {
			n := holderNumbers{Holder: holder}
			told, err := d.toldClasses(p.Told, []string{holder})
			if err != nil {
				return nil, err
			}
			for _, c := range told {
				n.Numbers = append(n.Numbers, record.KeyNumber(c.number))
			}
			if len(n.Numbers) > 0 {
				p.Numbers = append(p.Numbers, n)
			}
		}
		if err := d.sealSteps(r.Erasure, map[string]any{"b": p}); err != nil {
			return nil, err
		}
		d.erasing.add(p)
	}
	d.spawn(func(ctx context.Context) { d.goOn(ctx, r.Erasure) })
	return nil, nil
}

// cameFrom reports whether a handle is towards a party of a member, or such a
// party handed data over to us under it.
func (d *Desk) cameFrom(st *store.State, member string, k sign.PublicKey) (bool, error) {
	h, err := rules.HandleState(st, k)
	if err != nil || h == nil {
		return false, err
	}
	owner, err := d.ownerOf(st, h.For)
	if err != nil {
		return false, err
	}
	if _, ok, err := d.acts(st, member, owner); err != nil || ok {
		return ok, err
	}
	for n := uint64(1); n <= h.Events; n++ {
		_, rec, err := recordOfEvent(st, k, n)
		if err != nil {
			return false, err
		}
		if b, is := rec.Body.(*record.Provision); is && d.mine(b.To) {
			if _, ok, err := d.acts(st, member, rec.Issuer); err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}

// toldClasses returns what holders of this node hold under handles of others.
func (d *Desk) toldClasses(handles []sign.PublicKey, holders []string) ([]*class, error) {
	var out []*class
	for _, k := range handles {
		known, ok, err := d.personOf(k)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		d.people.mu.Lock()
		q, err := d.people.person(known.Ref)
		d.people.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if q == nil {
			continue
		}
		for _, holder := range holders {
			if c := d.classOf(q, "c/"+known.For+"@"+holder); c != nil && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// shredTold destroys what came under the handles of another member's erasure. A
// person of whom nothing else is held goes altogether, records apart.
func (d *Desk) shredTold(ctx context.Context, p *erasurePlan) error {
	for _, intent := range d.waiting.under(p.Told) {
		if err := d.destroyParcel(intent); err != nil {
			return err
		}
	}
	var ids []string
	var closed []*person
	defer func() {
		for _, q := range closed {
			d.reopen(q)
		}
	}()
	for _, k := range p.Told {
		known, ok, err := d.personOf(k)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if !d.goingOut(known.Ref) {
			q, err := d.quiesce(ctx, known.Ref)
			if err != nil {
				return err
			}
			closed = append(closed, q)
		}
	}
	told, err := d.toldClasses(p.Told, p.Own)
	if err != nil {
		return err
	}
	for _, c := range told {
		ids = append(ids, c.at)
	}
	for _, q := range closed {
		rest := slices.DeleteFunc(d.entriesOf(q), func(id string) bool { return slices.Contains(ids, id) })
		keeps := slices.ContainsFunc(rest, func(id string) bool { return strings.HasPrefix(id, "p/"+string(q.ref)+"/c/") })
		if !keeps {
			if err := d.orphanRecords(q); err != nil {
				return err
			}
			ids = append(ids, rest...)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return d.shred(append(ids, d.takeSpent()...)...)
}
