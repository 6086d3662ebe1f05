package custody

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// serveErase takes another member's word on whom an erasure is about: only people
// who came from there are erased. It answers when that is durable. A holder whom
// the erasure names attests only when its issuer has spoken: who passed the data
// on may know of fewer handles.
func (d *Desk) serveErase(ctx context.Context, st *store.State, from string, r *eraseRequest) ([]byte, error) {
	if st.Size < r.Size {
		return nil, record.Refuse(CodeNotFinal, "the caller has seen more")
	}
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(r.Erasure))
	if err != nil || e == nil {
		return nil, orElse(err, record.Refuse(record.CodeErasureUnknown, ""))
	}
	byIssuer, err := d.speaks(st, from, e)
	if err != nil {
		return nil, err
	}
	if n := len(r.Dataset); n != 0 && (n != len(seal.Number{}) || !byIssuer) {
		return nil, record.Refuse(record.CodeNotAuthorised, "the dataset")
	}
	told, err := d.toldFrom(ctx, st, from, r.Handles)
	if err != nil {
		return nil, err
	}
	refuse, err := d.openFromThem(st, from, r.Intents)
	if err != nil {
		return nil, err
	}
	own := d.ownHolders(e)
	if len(told) == 0 || len(own) == 0 {
		return nil, record.Refuse(record.CodeNotAuthorised, "no such handle of yours, or no holder of this node")
	}
	defer d.lock("erasure/" + hex.EncodeToString(r.Erasure[:]))()
	if job := d.erasing.job(r.Erasure); job != nil {
		err = d.replan(job, func(p *erasurePlan) error {
			p.Own = own
			if byIssuer {
				p.ByIssuer, p.Dataset, p.Refuse = true, r.Dataset, refuse
			}
			return d.addTold(p, told)
		})
	} else {
		err = d.beginTold(e, &erasurePlan{Erasure: r.Erasure, Own: own, ByIssuer: byIssuer, Dataset: r.Dataset, Refuse: refuse}, told)
	}
	if err != nil {
		return nil, err
	}
	d.spawn(func(ctx context.Context) { d.goOn(ctx, r.Erasure) })
	return nil, nil
}

// beginTold makes a plan durable, unless nothing is left to do: all have attested,
// and nothing is held.
func (d *Desk) beginTold(e *rules.Erasure, p *erasurePlan, told []sign.PublicKey) error {
	held, err := d.toldClasses(p, told, p.Own)
	if err != nil {
		return err
	}
	asked := slices.ContainsFunc(p.Own, func(id string) bool { return slices.Contains(e.Pending, id) })
	if !asked && len(held) == 0 && len(d.waiting.under(told)) == 0 {
		return nil
	}
	if err := d.addTold(p, told); err != nil {
		return err
	}
	if err := d.sealSteps(p.Erasure, map[string]any{"b": p}); err != nil {
		return err
	}
	d.erasing.add(p, 0)
	return nil
}

// speaks wants a member to act for an erasure's issuer or for one of its holders,
// and reports which.
func (d *Desk) speaks(st *store.State, member string, e *rules.Erasure) (byIssuer bool, err error) {
	if _, ok, err := d.acts(st, member, e.Issuer); err != nil || ok {
		return ok, err
	}
	for _, id := range holdersOf(e) {
		if _, ok, err := d.acts(st, member, id); err != nil || ok {
			return false, err
		}
	}
	return false, record.Refuse(record.CodeNotAuthorised, "the erasure is by %s", e.Issuer)
}

// holdersOf returns everybody whom an erasure asks, or has asked.
func holdersOf(e *rules.Erasure) []string {
	ids := slices.Clone(e.Pending)
	for _, h := range e.Done {
		ids = append(ids, h.Holder)
	}
	return set(ids)
}

// ownHolders returns the holders of an erasure that are of this node.
func (d *Desk) ownHolders(e *rules.Erasure) []string {
	return slices.DeleteFunc(holdersOf(e), func(id string) bool { return !d.mine(id) })
}

// toldFrom returns the handles that a member may speak of.
func (d *Desk) toldFrom(ctx context.Context, st *store.State, member string, handles []sign.PublicKey) ([]sign.PublicKey, error) {
	var out []sign.PublicKey
	for _, k := range handles {
		ok, err := d.cameFrom(ctx, st, member, k)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, k)
		}
	}
	return out, nil
}

// addTold adds handles to a plan, with the numbers of what is held under them.
func (d *Desk) addTold(p *erasurePlan, told []sign.PublicKey) error {
	for _, k := range told {
		if !slices.Contains(p.Told, k) {
			p.Told = append(p.Told, k)
		}
	}
	for _, holder := range p.Own {
		numbers := p.numbersOf(holder)
		held, err := d.toldClasses(p, p.Told, []string{holder})
		if err != nil {
			return err
		}
		for _, c := range held {
			n := record.KeyNumber(c.number)
			numbers = slices.DeleteFunc(numbers, func(o record.KeyNumber) bool { return o == n })
			if !d.leaves(c.id) { // else it is recorded already
				numbers = append(numbers, n)
			}
		}
		p.Numbers = slices.DeleteFunc(p.Numbers, func(n holderNumbers) bool { return n.Holder == holder })
		if len(numbers) > 0 {
			p.Numbers = append(p.Numbers, holderNumbers{Holder: holder, Numbers: numbers})
		}
	}
	return nil
}

// replan changes a plan, durably before it counts.
func (d *Desk) replan(job *erasureJob, change func(*erasurePlan) error) error {
	next := *job.plan
	next.Told, next.Numbers = slices.Clone(next.Told), slices.Clone(next.Numbers)
	if err := change(&next); err != nil {
		return err
	}
	id := next.Erasure
	c := d.transient(erasureAt(id, "b"))
	if c == nil {
		return errGone
	}
	plain := canon.Must(&next)
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedErasure, id, plain)
	if err != nil {
		return err
	}
	err = d.Blobs.PutMany([]store.KV{{Key: erasureKey(id, "b"), Value: canon.Must(&sealedBlob{Class: c.id, Sealed: sealed})}})
	if err == nil {
		d.erasing.replace(job, &next)
	}
	return err
}

// cameFrom reports whether a handle is towards a party of a member, or such a
// party handed data over to us under it.
func (d *Desk) cameFrom(ctx context.Context, st *store.State, member string, k sign.PublicKey) (bool, error) {
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
	for rec, err := range under(ctx, st, k, h) {
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

// toldClasses returns what a plan is about of what holders of this node hold under
// handles of others.
func (d *Desk) toldClasses(p *erasurePlan, handles []sign.PublicKey, holders []string) ([]*class, error) {
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
			for _, c := range d.receivedBy(q, known.For, holder) {
				if !slices.Contains(out, c) && (len(p.Dataset) == 0 || isOfDataset(c.name, p.Dataset)) {
					out = append(out, c)
				}
			}
		}
	}
	return out, nil
}

// shredTold destroys what came under the handles of another member's erasure. A
// person of whom nothing else is held goes altogether, records apart.
func (d *Desk) shredTold(ctx context.Context, job *erasureJob) error {
	if err := d.refuseTold(ctx, job.plan); err != nil {
		return err
	}
	var closed []*person
	defer func() {
		for _, q := range closed {
			d.reopen(q)
		}
	}()
	for _, k := range job.plan.Told {
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
	if err := d.noteHeld(job, closed); err != nil {
		return err
	}
	ids, err := d.toldEntries(job.plan, closed)
	if err != nil || len(ids) == 0 {
		return err
	}
	return d.shredWithSpent(ids...)
}

// refuseTold destroys the parcels that wait, those of a dataset in the ledger, too:
// their handles are not going to be closed.
func (d *Desk) refuseTold(ctx context.Context, p *erasurePlan) error {
	if len(p.Dataset) == 0 {
		for _, intent := range d.waiting.under(p.Told) {
			if err := d.destroyParcel(intent); err != nil {
				return err
			}
		}
		return nil
	}
	for _, intent := range p.Refuse {
		st, err := d.state()
		if err != nil {
			return err
		}
		in, err := rules.Load[rules.Intent](st, rules.KeyIntent(intent))
		if err == nil && in == nil { // closed, and taken in before what is here is shredded
			continue
		}
		if err == nil {
			_, err = d.Undeliver(ctx, Call{Client: ownClient}, hex.EncodeToString(intent[:]), record.CodeErased)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteHeld adds to the plan what must be attested of people before nothing is
// known of them any more: numbers of what came in since, and how long their
// records are kept.
func (d *Desk) noteHeld(job *erasureJob, people []*person) error {
	next := *job.plan
	next.Numbers = slices.Clone(next.Numbers)
	if err := d.addTold(&next, nil); err != nil {
		return err
	}
	for _, q := range people {
		kept, err := d.keptUntil(q)
		if err != nil {
			return err
		}
		next.Until = set(slices.Concat(next.Until, kept))
		if len(next.Dataset) > 0 {
			continue
		}
		if err := d.noteWhole(&next, q); err != nil {
			return err
		}
	}
	if slices.Equal(canon.Must(&next), canon.Must(job.plan)) {
		return nil
	}
	return d.replan(job, func(p *erasurePlan) error { *p = next; return nil })
}

// noteWhole adds the numbers of a person who goes altogether, and of the handles, to
// those of a holder of this node.
func (d *Desk) noteWhole(p *erasurePlan, q *person) error {
	if other, err := d.holdsOther(p, q); err != nil || other {
		return err
	}
	st, err := d.state()
	if err != nil {
		return err
	}
	own, err := d.personNumber(q.ref)
	if err != nil {
		return err
	}
	ways, err := d.handleNumbers(st, d.handlesHeld(q, ""))
	if err != nil {
		return err
	}
	ways = slices.DeleteFunc(append(ways, own), func(n record.KeyNumber) bool {
		return slices.ContainsFunc(p.Numbers, func(h holderNumbers) bool { return slices.Contains(h.Numbers, n) })
	})
	if len(ways) > 0 {
		p.Numbers = append(p.Numbers, holderNumbers{Holder: p.Own[0], Numbers: ways})
	}
	return nil
}

// holdsOther reports whether content is held of a person that an erasure is not
// about.
func (d *Desk) holdsOther(p *erasurePlan, q *person) (bool, error) {
	told, err := d.toldClasses(p, p.Told, p.Own)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(d.contentOf(q, ""), func(c *class) bool {
		return !slices.ContainsFunc(told, func(t *class) bool { return t.id == c.id })
	}), nil
}

// toldEntries returns the vault entries that go.
func (d *Desk) toldEntries(p *erasurePlan, people []*person) (ids []string, err error) {
	told, err := d.toldClasses(p, p.Told, p.Own)
	if err != nil {
		return nil, err
	}
	for _, c := range told {
		ids = append(ids, c.at)
	}
	if len(p.Dataset) > 0 {
		return ids, nil
	}
	for _, q := range people {
		if other, err := d.holdsOther(p, q); err != nil || other {
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := d.orphanRecords(q); err != nil {
			return nil, err
		}
		ids = append(ids, d.entriesOf(q)...)
	}
	return ids, nil
}
