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
	if len(job.plan.Told) > 0 {
		if err := d.shredTold(ctx, job.plan); err != nil {
			return err
		}
	}
	st, err := d.state()
	if err != nil {
		return err
	}
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(id))
	if err != nil || e == nil {
		return err
	}
	if err := d.attest(ctx, e, job.plan); err != nil {
		return err
	}
	done := d.tell(ctx, st, e, job)
	closed, err := d.closeHandles(ctx, st, job.plan)
	if err != nil || !done || !closed {
		return err
	}
	d.erasing.remove(job.plan)
	d.spend(erasureAt(id, "a"), erasureAt(id, "b"))
	return d.Blobs.Delete(erasureKey(id, "a"), erasureKey(id, "b"))
}

// begunErasure does steps 4 to 6.
func (d *Desk) begunErasure(ctx context.Context, job *erasureJob, start *erasureStart) error {
	id := job.plan.Erasure
	rec, err := record.Parse(start.Leaf)
	if err != nil {
		return err
	}
	_, _, err = d.postOwn(ctx, "erase/"+hex.EncodeToString(id[:]), rec, true)
	if err != nil {
		if codeOf(err) != "" {
			return errors.Join(err, d.cancelErasure(job.plan, Ref(start.Ref)))
		}
		return err
	}
	if err := d.Blobs.PutMany([]store.KV{{Key: d.markKey(Ref(start.Ref)), Value: []byte{1}}}); err != nil {
		return err
	}
	d.people.mu.Lock()
	q := d.people.byRef[Ref(start.Ref)]
	d.people.mu.Unlock()
	ids := []string{erasureAt(id, "a")}
	if q != nil {
		if err := d.orphanRecords(q); err != nil {
			return err
		}
		ids = append(ids, d.entriesOf(q)...)
	}
	for _, intent := range d.waiting.under(handlesHeld(d, q)) {
		if err := d.destroyParcel(intent); err != nil {
			return err
		}
	}
	if err := d.shred(append(ids, d.takeSpent()...)...); err != nil {
		return err
	}
	return d.Blobs.Delete(erasureKey(id, "a"))
}

// handlesHeld returns a person's known handles.
func handlesHeld(d *Desk, q *person) []sign.PublicKey {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	var out []sign.PublicKey
	if q != nil {
		for h := range q.handles {
			out = append(out, h)
		}
	}
	return out
}

func (d *Desk) cancelErasure(p *erasurePlan, ref Ref) error {
	d.people.mu.Lock()
	if q := d.people.byRef[ref]; q != nil {
		q.erasing = false
	}
	d.people.mu.Unlock()
	d.erasing.remove(p)
	d.spend(erasureAt(p.Erasure, "a"), erasureAt(p.Erasure, "b"))
	return d.Blobs.Delete(erasureKey(p.Erasure, "a"), erasureKey(p.Erasure, "b"))
}

// orphanRecords keeps a person's record classes under entries that name no person.
func (d *Desk) orphanRecords(q *person) error {
	for _, c := range d.classesOf(q, "r/") {
		value, err := d.Vault.Get("p/" + string(q.ref) + "/" + c.name)
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
	ids := append([]string{"p/" + string(q.ref) + "/ks"}, q.lookups...)
	for name := range q.classes {
		ids = append(ids, "p/"+string(q.ref)+"/"+name)
	}
	for h := range q.handles {
		ids = append(ids, "h/"+string(h[:]))
	}
	return ids
}

// shred destroys vault entries: out of the index, out of memory, then out of the
// vault. What their classes sealed is deleted for tidiness.
func (d *Desk) shred(ids ...string) error {
	gone := d.people.remove(ids)
	d.keys.wipe(gone...)
	if _, err := d.Vault.Shred(ids...); err != nil {
		return err
	}
	var keys [][]byte
	for _, id := range gone {
		keys = append(keys, blobKey(kindKey, id[:]), blobKey(kindSheet, id[:]))
	}
	if len(keys) == 0 {
		return nil
	}
	return d.Blobs.Delete(keys...)
}

// remove takes vault entries out of the index and returns the classes that no
// other entry keeps.
func (p *people) remove(ids []string) (gone [][16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		kind, rest, _ := strings.Cut(id, "/")
		switch kind {
		case "p":
			ref, what, _ := strings.Cut(rest, "/")
			q := p.byRef[Ref(ref)]
			if q == nil {
				continue
			}
			if what == "ks" {
				q.secret = false
			}
			if c := q.classes[what]; c != nil {
				delete(q.classes, what)
				if now := p.classes[c.id]; now != nil && now.at == id {
					delete(p.classes, c.id)
					gone = append(gone, c.id)
				}
			}
			p.drop(q)
		case "l":
			for _, q := range p.byRef {
				if i := slices.Index(q.lookups, id); i >= 0 {
					q.lookups = slices.Delete(q.lookups, i, i+1)
					p.drop(q)
				}
			}
		case "h":
			h := sign.PublicKey([]byte(rest))
			if k, ok := p.handles[h]; ok {
				delete(p.handles, h)
				if q := p.byRef[k.Ref]; q != nil {
					delete(q.handles, h)
					p.drop(q)
				}
			}
		default:
			if c := p.loose[id]; c != nil {
				delete(p.loose, id)
				delete(p.classes, c.id)
				gone = append(gone, c.id)
			}
		}
	}
	return gone
}

// drop forgets a person of whom nothing is held. p.mu is held.
func (p *people) drop(q *person) {
	if !q.secret && len(q.classes) == 0 && len(q.lookups) == 0 && len(q.handles) == 0 {
		delete(p.byRef, q.ref)
	}
}

// forget destroys the entries of a person who was made for nothing.
func (d *Desk) forget(entries []string) error {
	if len(entries) == 0 {
		return nil
	}
	return d.shred(entries...)
}

// attest posts the word of each holder of this node. What is attested is what the
// vault says now: a later generation holds no more of the person than the first.
func (d *Desk) attest(ctx context.Context, e *rules.Erasure, p *erasurePlan) error {
	now, err := d.Vault.Shred()
	if err != nil {
		return err
	}
	for _, holder := range p.Own {
		if !slices.Contains(e.Pending, holder) {
			continue
		}
		a := &record.Attestation{Erasure: p.Erasure, Class: now.Class, Generation: now.Generation}
		for _, n := range p.Numbers {
			if n.Holder == holder {
				a.Numbers = n.Numbers
			}
		}
		key := "attest/" + hex.EncodeToString(p.Erasure[:]) + "/" + holder
		_, _, err := d.postOwn(ctx, key, &record.Record{Kind: record.KindAttestation, ID: newID(), Issuer: holder, Body: a}, true)
		if err != nil && codeOf(err) != record.CodeDuplicate {
			return err
		}
	}
	return nil
}

// tell names the handles to holders elsewhere, once each. It reports whether all
// have answered or attested.
func (d *Desk) tell(ctx context.Context, st *store.State, e *rules.Erasure, job *erasureJob) bool {
	all := true
	for _, t := range job.plan.Tell {
		if job.told[t.Holder] || !slices.Contains(e.Pending, t.Holder) {
			continue
		}
		host, err := d.hostOf(st, t.Holder)
		if err == nil {
			callCtx, cancel := context.WithTimeout(ctx, callWait)
			err = d.ask(callCtx, host, callErase, &eraseRequest{Erasure: job.plan.Erasure, Handles: t.Handles}, nil)
			cancel()
		}
		if err != nil {
			all = false
			d.Log.Info("a holder has not heard of an erasure yet", "holder", t.Holder, "err", safe(err))
			continue
		}
		job.told[t.Holder] = true
	}
	return all
}

// closeHandles closes what is due. It reports whether all are closed.
func (d *Desk) closeHandles(ctx context.Context, st *store.State, p *erasurePlan) (bool, error) {
	all := true
	for _, c := range p.Close {
		h, err := rules.HandleState(st, c.Handle)
		if err != nil {
			return false, err
		}
		if h == nil || h.Closed != 0 {
			continue
		}
		if d.nowMs() < c.DueMs {
			all = false
			continue
		}
		rec := &record.Record{Kind: record.KindHandleClose, ID: newID(), Issuer: c.Issuer, Body: &record.HandleClose{Handle: c.Handle}}
		_, _, err = d.postOwn(ctx, "close/"+c.Handle.String(), rec, false)
		if err != nil && codeOf(err) != record.CodeHandleClosed {
			return false, err
		}
	}
	return all, nil
}
