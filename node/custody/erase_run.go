package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// runErasure goes on with an erasure from wherever it is. It returns nil when
// nothing is left that could be done now.
func (d *Desk) runErasure(ctx context.Context, id record.ID) error {
	defer d.lock("erasure/" + hex.EncodeToString(id[:]))()
	job := d.erasing.job(id)
	if job == nil {
		return nil
	}
	var start erasureStart
	begun, err := d.openStep(id, "a", &start)
	if err != nil {
		return err
	}
	if begun {
		if err := d.begunErasure(ctx, job, &start); err != nil {
			return err
		}
	}
	if d.retiring.has(id) { // a dataset, whose keys are not destroyed yet
		return nil
	}
	if _, e, err := d.erasureNow(id); err != nil || e == nil {
		return orElse(err, d.neverRecorded(ctx, job))
	}
	if len(job.plan.Told) > 0 {
		if err := d.shredTold(ctx, job); err != nil {
			return err
		}
	}
	done, err := d.attestAndTell(ctx, job)
	if err != nil {
		return err
	}
	closed, err := d.closeHandles(ctx, job)
	if err != nil || !done || !closed {
		return err
	}
	return d.endErasure(job)
}

// attestAndTell does steps 7 and 8. It reports whether everybody has attested who is of
// this node or was to be told by it.
func (d *Desk) attestAndTell(ctx context.Context, job *erasureJob) (bool, error) {
	st, e, err := d.erasureNow(job.plan.Erasure)
	if err != nil || e == nil {
		return false, err
	}
	late, err := d.passedOn(ctx, st, job.plan)
	if err != nil {
		return false, err
	}
	if err := d.attest(ctx, st, e, job.plan, late); err != nil {
		return false, err
	}
	if st, e, err = d.erasureNow(job.plan.Erasure); err != nil || e == nil {
		return false, err
	}
	told := d.tell(ctx, st, e, job, late)
	own := d.ownHolders(e)
	if slices.Equal(own, job.plan.Own) {
		return told && !slices.ContainsFunc(own, func(id string) bool { return slices.Contains(e.Pending, id) }), nil
	}
	return false, d.replan(job, func(p *erasurePlan) error { p.Own = own; return nil }) // it was passed on within this node
}

func (d *Desk) erasureNow(id record.ID) (*store.State, *rules.Erasure, error) {
	st, err := d.state()
	if err != nil {
		return nil, nil, err
	}
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(id))
	return st, e, err
}

// begunErasure does steps 4 to 6.
func (d *Desk) begunErasure(ctx context.Context, job *erasureJob, start *erasureStart) error {
	id := job.plan.Erasure
	rec, err := record.Parse(start.Leaf)
	if err != nil {
		return err
	}
	d.copyPlans(ctx, job)
	_, _, err = d.postOwn(ctx, "erase/"+hex.EncodeToString(id[:]), rec, true)
	if err != nil {
		if codeOf(err) != "" {
			return errors.Join(err, d.cancelErasure(job, Ref(start.Ref)))
		}
		return err
	}
	d.people.mu.Lock()
	q, err := d.people.person(Ref(start.Ref))
	d.people.mu.Unlock()
	if err != nil {
		return err
	}
	ids := []string{erasureAt(id, "a")}
	if start.Service == "" {
		if err := d.Blobs.PutMany([]store.KV{{Key: d.markKey(Ref(start.Ref)), Value: []byte{1}}}); err != nil {
			return err
		}
	}
	if q != nil {
		erased, err := d.erasedEntries(q, start.Service)
		if err != nil {
			return err
		}
		ids = append(ids, erased...)
	}
	gone := Gone{Person: Ref(start.Ref), Handles: d.handlesHeld(q, start.Service), All: start.Service == ""}
	for _, intent := range d.waiting.under(gone.Handles) {
		if err := d.destroyParcel(intent); err != nil {
			return err
		}
	}
	if err := d.shredWithSpent(ids...); err != nil {
		return err
	}
	if q != nil && start.Service != "" {
		d.reopen(q)
	}
	d.gone(gone)
	return d.Blobs.Delete(erasureKey(id, "a"))
}

// erasedEntries returns the vault entries that go: all, with the record classes
// kept under entries that name nobody, or those of one service.
func (d *Desk) erasedEntries(q *person, service string) ([]string, error) {
	if service == "" {
		return d.entriesOf(q), d.orphanRecords(q)
	}
	var ids []string
	for _, c := range d.contentOf(q, service) {
		ids = append(ids, c.at)
	}
	for _, h := range d.handlesHeld(q, service) {
		ids = append(ids, handleID(h), personID(q.ref, handleID(h)))
	}
	return ids, nil
}

// handlesHeld returns a person's known handles, towards one service or ("") all.
func (d *Desk) handlesHeld(q *person, service string) []sign.PublicKey {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	var out []sign.PublicKey
	if q != nil {
		for h, is := range q.handles {
			if service == "" || is == service {
				out = append(out, h)
			}
		}
	}
	return out
}

func (d *Desk) cancelErasure(job *erasureJob, ref Ref) error {
	d.erasing.remove(job.plan) // before the person is open: its handles are not about to close
	d.people.mu.Lock()
	if q := d.people.byRef[ref]; q != nil { // who is on the way out stays there
		q.erasing = false
	}
	d.people.mu.Unlock()
	return d.endErasure(job)
}

// orphanRecords keeps a person's record classes under entries that name no person.
// No retention runs beside it: between the old entry and the new one, it would
// destroy the one that it knows.
func (d *Desk) orphanRecords(q *person) error {
	d.retiring.run.Lock()
	defer d.retiring.run.Unlock()
	for _, c := range d.classesOf(q, "r/") {
		value, err := d.Vault.Get(personID(q.ref, c.name))
		if errors.Is(err, vault.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		at := "z/" + hex.EncodeToString(c.id[:]) + "/" + c.name[2:]
		if err := d.put(vault.Entry{ID: at, Value: value, Reserve: true}); err != nil {
			return err
		}
	}
	return nil
}

// entriesOf returns every vault entry of a person.
func (d *Desk) entriesOf(q *person) []string {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	ids := []string{personID(q.ref, "ks")}
	for name := range q.classes {
		ids = append(ids, personID(q.ref, name))
	}
	for id := range q.lookups {
		ids = append(ids, id, personID(q.ref, id))
	}
	for h := range q.handles {
		ids = append(ids, handleID(h), personID(q.ref, handleID(h)))
	}
	return ids
}

// shred destroys vault entries: out of the index, out of memory, then out of the
// vault. What their classes sealed is deleted for tidiness. Where a bucket of theirs
// is damaged nothing changes: all of them are in the index again.
func (d *Desk) shred(ids ...string) error {
	r, err := d.people.remove(ids)
	if err != nil {
		return err
	}
	d.keys.wipe(r.gone...)
	var sealed []string // with keys that end
	for _, id := range r.gone {
		sealed = append(sealed, string(blobKey(kindKey, id[:])), string(blobKey(kindSheet, id[:])))
	}
	if _, err := d.Vault.ShredBeside(sealed, ids...); err != nil {
		d.people.restore(r)
		return err
	}
	d.people.drop(r.empty)
	d.tellPiecesGone(ids)
	d.bulk.gone(r.gone...)
	return nil
}

// removed is what remove took out of the index.
type removed struct {
	gone  [][16]byte // classes that no other entry keeps
	empty []*person  // people of whom nothing is left
	undo  []func()
}

// remove takes vault entries out of the index. People of whom nothing is left are
// closed to every operation until drop, since the vault still has them. Errors:
// ErrBlock, with nothing changed; else I/O.
func (p *people) remove(ids []string) (*removed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	people := map[Ref]*person{}
	for _, id := range ids {
		if ref, _, ok := personEntry(id); ok && people[ref] == nil {
			q, err := p.person(ref)
			if err != nil {
				return nil, err
			}
			people[ref] = q
		}
	}
	r := new(removed)
	for _, id := range ids {
		ref, what, of := personEntry(id)
		if q := people[ref]; of && q != nil {
			c, undo := q.remove(what)
			r.undo = append(r.undo, undo)
			if c != nil && !p.classes[c.id].orphan {
				r.gone = append(r.gone, c.id)
			}
			continue
		}
		if hexID, _, ok := strings.Cut(strings.TrimPrefix(id, "z/"), "/"); ok && id[0] == 'z' {
			if c, err := parseID(hexID); err == nil {
				r.gone = append(r.gone, [16]byte(c))
			}
		}
		if c := p.loose[id]; c != nil {
			delete(p.loose, id)
			delete(p.looseBy, c.id)
			r.undo = append(r.undo, func() { p.loose[id], p.looseBy[c.id] = c, c })
			r.gone = append(r.gone, c.id)
		}
	}
	for _, id := range r.gone {
		p.forgetClass(id, r)
	}
	for _, q := range people {
		if q != nil && q.empty() {
			was := q.erasing
			q.erasing = true
			r.undo = append(r.undo, func() { q.erasing = was })
			r.empty = append(r.empty, q)
		}
	}
	return r, nil
}

func (p *people) forgetClass(id [16]byte, r *removed) {
	if s, there := p.classes[id]; there {
		delete(p.classes, id)
		r.undo = append(r.undo, func() { p.classes[id] = s })
	}
	if p.dated.leaving[id] {
		delete(p.dated.leaving, id)
		r.undo = append(r.undo, func() { p.dated.leaving[id] = true })
	}
}

// restore undoes remove, of which nothing took effect in the vault: without it a
// repeated erasure would find less to destroy, and attest to it.
func (p *people) restore(r *removed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
}

// drop forgets people of whom nothing is held.
func (p *people) drop(empty []*person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range empty {
		if p.byRef[q.ref] == q {
			delete(p.byRef, q.ref)
			p.count--
		}
	}
}

// personEntry takes the id of an entry of a person apart.
func personEntry(id string) (ref Ref, what string, ok bool) {
	rest, ok := strings.CutPrefix(id, "p/")
	name, what, _ := strings.Cut(rest, "/")
	return Ref(name), what, ok
}

// forget destroys the entries of a person who was made for nothing.
func (d *Desk) forget(entries []string) error {
	if len(entries) == 0 {
		return nil
	}
	return d.shred(entries...)
}
