package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Retention: what is due is destroyed, many identities in one rotation of the
// vault, and recorded. Order of effects of a pass, and what a crash after each
// leaves behind:
//
//  1. classes marked as leaving, in memory        due again at New
//  2. plan stored: the leaf of an erasure record  New goes on with 3
//     (cause retention), one for each issuer and
//     512 identities; it names nobody
//  3. erasure records final: the tombstones       posted again under the same key
//  4. one rotation for all of them                New goes on with 4
//  5. attestations                                posted again under the same key
//  6. plan deleted                                nothing is left
//
// A plan names its classes by their ids, so that it does not matter under which
// entry an identity stands by then, or whether a person's erasure was quicker.

const (
	maxRetired  = 2048 // identities in one rotation
	refreshWait = 10 * time.Second
)

// retirement is a plan.
type retirement struct {
	Leaf    []byte     `cbor:"1,keyasint"`
	Classes [][16]byte `cbor:"2,keyasint"`

	rec *record.Record // that the leaf is
}

// retirements are the plans under way, in memory.
type retirements struct {
	run   sync.Mutex // planning, and from looking classes up to their destruction; nothing is waited for under it
	mu    sync.Mutex
	plans map[record.ID]*retirement
}

func (r *retirements) add(p *retirement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.plans == nil {
		r.plans = map[record.ID]*retirement{}
	}
	r.plans[p.rec.ID] = p
}

func (r *retirements) remove(id record.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.plans, id)
}

func (r *retirements) has(id record.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plans[id] != nil
}

func (r *retirements) all() []*retirement {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*retirement
	for _, p := range r.plans {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *retirement) int { return slices.Compare(a.rec.ID[:], b.rec.ID[:]) })
	return out
}

// loadRetirements goes on with the plans that an earlier desk stored.
func (d *Desk) loadRetirements() error {
	return d.Blobs.Scan(blobPrefix(kindRetire), func(key, value []byte) error {
		p := new(retirement)
		if err := canon.UnmarshalMax(value, maxBlobBytes, p); err != nil {
			return err
		}
		var err error
		if p.rec, err = record.Parse(p.Leaf); err != nil {
			return err
		}
		if p.rec.Kind != record.KindErasure {
			return errors.New("a plan of retention is no erasure")
		}
		d.people.mu.Lock()
		defer d.people.mu.Unlock()
		for _, id := range p.Classes {
			d.people.dated.leaving[id] = true
		}
		d.retiring.add(p)
		return nil
	})
}

// retireDue destroys what is due.
func (d *Desk) retireDue(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = d.retirePass(ctx); err != nil {
			d.Log.Warn("what is due is not destroyed yet", "err", safe(err))
			return
		}
	}
}

// retirePass destroys what is due, at most maxRetired identities. It reports
// whether there may be more. What others must be told of waits for custodians, and
// nothing else waits with it.
func (d *Desk) retirePass(ctx context.Context) (more bool, err error) {
	d.ledgerTime(ctx)
	taken, err := d.planDue()
	if err != nil {
		return false, err
	}
	var alone, told []*retirement
	for _, p := range d.retiring.all() {
		if d.erasing.job(p.rec.ID) == nil {
			alone = append(alone, p)
		} else {
			told = append(told, p)
		}
	}
	return taken >= maxRetired, errors.Join(d.runRetirements(ctx, alone), d.runRetirements(ctx, told))
}

// planDue plans the end of what is due, at most maxRetired identities, and returns of
// how many.
func (d *Desk) planDue() (int, error) {
	d.retiring.run.Lock()
	defer d.retiring.run.Unlock()
	st, err := d.state()
	if err != nil {
		return 0, err
	}
	due, err := d.takeDue(d.ledgerMs(), maxRetired)
	if err != nil { // the others are destroyed all the same
		d.Log.Error("some keys that are due are not found", "err", err.Error())
	}
	return len(due), d.planRetirements(st, due)
}

// ledgerTime asks for fresh cosignatures where something is due by this node's
// clock alone.
func (d *Desk) ledgerTime(ctx context.Context) {
	next, ok := d.nextDue()
	if !ok || next > d.nowMs() || next <= d.ledgerMs() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	if err := d.Refresh(ctx); err != nil {
		d.Log.Info("the ledger's time is not known", "err", safe(err))
	}
}

// planRetirements stores plans for classes that were marked as leaving, grouped by
// whose they are. What has a tombstone already needs no second one.
func (d *Desk) planRetirements(st *store.State, due []*class) (err error) {
	unplanned := map[*class]bool{}
	defer func() { d.stay(slices.Collect(maps.Keys(unplanned))...) }()
	byIssuer := map[string][]*class{}
	var buried []string
	for _, c := range due {
		unplanned[c] = true
	}
	for _, c := range due {
		tomb, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(record.KeyNumber(c.number)))
		if err != nil {
			return err
		}
		if tomb != nil {
			buried = append(buried, c.at)
			continue
		}
		issuer, err := d.issuerFor(st, c)
		if err != nil {
			return err
		}
		byIssuer[issuer] = append(byIssuer[issuer], c)
	}
	if len(buried) > 0 {
		if err := d.shred(buried...); err != nil {
			return err
		}
	}
	for issuer, all := range byIssuer {
		for some := range slices.Chunk(all, record.MaxNumbers) {
			p, err := newRetirement(issuer, "retention", []string{issuer}, some...)
			if err != nil {
				return err
			}
			if err := d.storeRetirement(p); err != nil {
				return err
			}
			for _, c := range some {
				delete(unplanned, c)
			}
		}
	}
	return nil
}

// newRetirement makes a plan. The holders are the issuer and, of a dataset, those who
// received it.
func newRetirement(issuer, cause string, holders []string, classes ...*class) (*retirement, error) {
	e := &record.Erasure{Holders: holders, Cause: cause}
	p := &retirement{rec: &record.Record{Kind: record.KindErasure, ID: newID(), Issuer: issuer, Body: e}}
	for _, c := range classes {
		e.Numbers = append(e.Numbers, record.KeyNumber(c.number))
		p.Classes = append(p.Classes, c.id)
	}
	var err error
	p.Leaf, err = p.rec.Leaf()
	return p, err
}

// storeRetirement makes a plan durable.
func (d *Desk) storeRetirement(p *retirement, more ...store.KV) error {
	if err := d.Blobs.PutMany(append(more, store.KV{Key: blobKey(kindRetire, p.rec.ID[:]), Value: canon.Must(p)})); err != nil {
		return err
	}
	d.retiring.add(p)
	return nil
}

// issuerFor returns in whose name a class is destroyed: who received what is in it,
// the owner of its service, or this member.
func (d *Desk) issuerFor(st *store.State, c *class) (string, error) {
	service, _ := datedParts(c.name)
	if service == "" {
		return d.Self, nil
	}
	_, owner := c.of()
	var err error
	if owner == "" {
		owner, err = d.ownerOf(st, service)
	}
	if err != nil || !d.mine(owner) {
		return d.Self, err
	}
	if p, err := d.party(st, owner); err != nil || p == nil || p.Left != 0 {
		return d.Self, err
	}
	return owner, nil
}

// runRetirements does steps 3 to 6 of plans. What cannot be posted now waits. Who asks
// for a dataset's erasure and the pass may be at the same plan at once: each step comes
// to the same for both.
func (d *Desk) runRetirements(ctx context.Context, plans []*retirement) (err error) {
	var ready []*retirement
	recorded := map[*retirement]bool{}
	d.copyPlans(ctx, d.jobsOf(plans)...) // all at once: silent custodians hold the pass up once
	for _, p := range plans {
		ok, err2 := d.recordRetirement(ctx, p.rec)
		if err2 != nil {
			err = errors.Join(err, err2)
			continue
		}
		ready, recorded[p] = append(ready, p), ok
	}
	ready, err2 := d.shredRetired(ready)
	err = errors.Join(err, err2)
	for _, p := range ready {
		if recorded[p] {
			if err2 := d.attestRetirement(ctx, p.rec); err2 != nil {
				err = errors.Join(err, err2)
				continue
			}
		}
		if err2 := d.Blobs.Delete(blobKey(kindRetire, p.rec.ID[:])); err2 != nil {
			return errors.Join(err, err2)
		}
		d.retiring.remove(p.rec.ID)
	}
	return err
}

// shredRetired does step 4 of plans that are recorded, and returns those that are not
// done yet.
func (d *Desk) shredRetired(plans []*retirement) (open []*retirement, err error) {
	d.retiring.run.Lock()
	defer d.retiring.run.Unlock()
	var ids []string
	for _, p := range plans {
		if !d.retiring.has(p.rec.ID) { // by who asked for it, or by the pass
			continue
		}
		entries, err2 := d.entriesAt(p.Classes)
		if err2 != nil {
			err = errors.Join(err, err2)
			continue
		}
		open, ids = append(open, p), append(ids, entries...)
	}
	if len(ids) > 0 {
		if err2 := d.shredWithSpent(ids...); err2 != nil {
			return nil, errors.Join(err, err2)
		}
	}
	return open, err
}

// jobsOf returns the plans of erasures that go with those of retention: of datasets.
func (d *Desk) jobsOf(plans []*retirement) (out []*erasureJob) {
	for _, p := range plans {
		if job := d.erasing.job(p.rec.ID); job != nil {
			out = append(out, job)
		}
	}
	return out
}

// neverAccepted reports whether a refusal will never become an acceptance. The
// deadline stands all the same: the keys go without a record of their own.
func neverAccepted(code record.Code) bool {
	return slices.Contains([]record.Code{record.CodeErased, record.CodeRecordDuplicate, record.CodeSubmissionIssuer,
		record.CodePartyUnknown, record.CodeNotAuthorised}, code)
}

// errNotFinal says that a record is not final yet.
var errNotFinal = errors.New("the record is not final yet")

// recordRetirement posts the erasure of a plan; false where it is refused for good.
func (d *Desk) recordRetirement(ctx context.Context, rec *record.Record) (bool, error) {
	done, _, err := d.postOwn(ctx, "retire/"+hex.EncodeToString(rec.ID[:]), rec, true)
	if code := codeOf(err); neverAccepted(code) {
		d.Log.Error("destroyed without a record", "code", string(code), "identities", len(rec.Body.(*record.Erasure).Numbers))
		return false, nil
	}
	if err == nil && !done.Final {
		err = errNotFinal
	}
	if err != nil {
		return false, fmt.Errorf("record of retention: %w", err)
	}
	return true, nil
}

// entriesAt returns the vault entries of classes that are still there.
func (d *Desk) entriesAt(classes [][16]byte) (ids []string, err error) {
	for _, id := range classes {
		c, err := d.people.class(id)
		if err != nil {
			return nil, err
		}
		if c != nil {
			ids = append(ids, c.at)
			continue
		}
		d.people.mu.Lock()
		delete(d.people.dated.leaving, id)
		d.people.mu.Unlock()
	}
	return ids, nil
}

// attestRetirement posts the word of the holders of this node: the issuer and, of a
// dataset, who received it here. It says nothing of what is kept: the identities are of
// many people.
func (d *Desk) attestRetirement(ctx context.Context, rec *record.Record) error {
	_, e, err := d.erasureNow(rec.ID)
	if err != nil || e == nil {
		return orElse(err, errNotFinal)
	}
	now, err := d.Vault.Shred()
	if err != nil {
		return err
	}
	for _, holder := range e.Pending {
		if holder != rec.Issuer && !d.mine(holder) {
			continue
		}
		a := &record.Attestation{Erasure: rec.ID, Class: now.Class, Generation: now.Generation}
		_, _, err = d.postOwn(ctx, "attest/"+hex.EncodeToString(rec.ID[:])+"/"+holder,
			&record.Record{Kind: record.KindAttestation, ID: newID(), Issuer: holder, Body: a}, true)
		if err != nil && codeOf(err) != record.CodeDuplicate {
			return err
		}
	}
	return nil
}
