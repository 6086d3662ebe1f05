package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// Order of effects of an erasure, and what a crash after each leaves behind:
//
//  1. the person is closed to every other       nothing
//     operation, those under way have ended
//  2. classes a and b in the vault              destroyed at New
//  3. plan stored: reference and record under   New goes on with 4
//     a; holders, handles and times under b,
//     these in the vault, too (erase_copy.go)
//  4. custodians have the latter (copyPlans);   New asks the outbox again, which answers
//     erasure record final
//  5. mark of the reference; record classes     New goes on with 4
//     under entries without a reference
//  6. one rotation: content identities, K_s,    the plan under a opens no more, so New
//     lookups, handle index, class a            goes on with 7
//  7. attestations of the parties of this node  posted under the same keys
//  8. holders elsewhere told which handles      told again; they hold it for done
//  9. handles closed, each at its own time      closed when due
//  10. plan under b deleted, class b destroyed  nothing is left
//
// 6 is the point of no return: before it everything is still there, after it no
// copy of any blob opens to the person. Where 4 is refused, 2 and 3 are undone.
// A member that is told goes through 3 (under b only), 6 and 7.

// erasureStart is the plan that dies with the person.
type erasureStart struct {
	Ref     string `cbor:"1,keyasint"`
	Leaf    []byte `cbor:"2,keyasint"`
	Service string `cbor:"3,keyasint,omitempty"` // "": everything
}

// erasurePlan is what remains to be done. It names no person.
type erasurePlan struct {
	Erasure record.ID        `cbor:"1,keyasint"`
	Own     []string         `cbor:"2,keyasint,omitempty"` // holders of this node
	Tell    []holderTold     `cbor:"3,keyasint,omitempty"`
	Close   []handleClosing  `cbor:"4,keyasint,omitempty"`
	Until   []string         `cbor:"5,keyasint,omitempty"` // last days of the record identities
	Told    []sign.PublicKey `cbor:"6,keyasint,omitempty"` // whom another member's erasure is about
	Numbers []holderNumbers  `cbor:"7,keyasint,omitempty"` // further identities, by holder

	ByIssuer bool `cbor:"8,keyasint,omitempty"` // its issuer has said whom it is about

	Dataset []byte      `cbor:"9,keyasint,omitempty"`  // number of the dataset that it is confined to
	Refuse  []record.ID `cbor:"10,keyasint,omitempty"` // hand-overs of it that are open here

	Blind bool `cbor:"11,keyasint,omitempty"` // made after a loss: what is kept is not known
}

type holderTold struct {
	Holder  string           `cbor:"1,keyasint"`
	Handles []sign.PublicKey `cbor:"2,keyasint"`
	Intents []record.ID      `cbor:"3,keyasint,omitempty"` // hand-overs of the dataset
}

type handleClosing struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Issuer string         `cbor:"2,keyasint"`
	DueMs  uint64         `cbor:"3,keyasint"` // by the machine's clock
}

type holderNumbers struct {
	Holder  string             `cbor:"1,keyasint"`
	Numbers []record.KeyNumber `cbor:"2,keyasint"`
}

func erasureKey(id record.ID, step string) []byte {
	return blobKeyOf(kindErasure, hex.EncodeToString(id[:])+"/"+step)
}

func erasureAt(id record.ID, step string) string {
	return "e/" + hex.EncodeToString(id[:]) + "/" + step
}

// loadErasures goes on with the erasures that an earlier desk began.
func (d *Desk) loadErasures() error {
	var ids []record.ID
	err := d.Blobs.Scan(blobPrefix(kindErasure), func(key, _ []byte) error {
		rest, ok := strings.CutSuffix(string(key[len(blobPrefix(kindErasure)):]), "/b")
		if !ok {
			return nil
		}
		id, err := parseID(rest)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		var p erasurePlan
		if ok, err := d.openStep(id, "b", &p); err != nil {
			return err
		} else if ok {
			d.erasing.add(&p, d.nowMs())
		}
		var start erasureStart
		if ok, err := d.openStep(id, "a", &start); err != nil {
			return err
		} else if ok {
			if err := d.people.erasingAgain(Ref(start.Ref)); err != nil {
				return err
			}
		}
	}
	return d.adoptPlans()
}

// openStep reads a plan, false where it is not there or its key is gone.
func (d *Desk) openStep(id record.ID, step string, into any) (bool, error) {
	b, err := loadBlob[sealedBlob](d, erasureKey(id, step))
	if err != nil || b == nil {
		return false, err
	}
	plain, err := d.openFrom(b.Class, sealedErasure, id, b.Sealed)
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer clear(plain)
	return true, canon.Unmarshal(plain, into)
}

// sealSteps makes plans durable, each sealed under a class of its own: keys first.
func (d *Desk) sealSteps(id record.ID, plans map[string]any, more ...store.KV) error {
	var entries []vault.Entry
	var files []store.KV
	if p, ok := plans["b"].(*erasurePlan); ok {
		entries = p.pieces()
	}
	for step, plan := range plans {
		entry, file, blob, err := d.sealStep(id, step, plan)
		if err != nil {
			return err
		}
		entries, files, more = append(entries, entry), append(files, file), append(more, blob)
	}
	if err := d.putBeside(files, entries...); err != nil {
		return err
	}
	return d.Blobs.PutMany(more)
}

// sealStep draws a plan's class, and seals the plan under it: the class's vault entry
// and wrapped key, and the plan's blob.
func (d *Desk) sealStep(id record.ID, step string, plan any) (entry vault.Entry, file, blob store.KV, err error) {
	c, key, entry, file, err := drawClass(erasureAt(id, step), "", step)
	if err != nil {
		return entry, file, blob, err
	}
	defer key.Wipe()
	plain := canon.Must(plan)
	defer clear(plain)
	sealed, err := seal.SealItem(key, d.aad(sealedErasure, id), plain)
	entry.Reserve = true
	return entry, file, store.KV{Key: erasureKey(id, step), Value: canon.Must(&sealedBlob{Class: c.id, Sealed: sealed})}, err
}

// Erase destroys everything of a person that no law obliges the member to keep,
// here at once and at everybody who received it from here as soon as they answer.
func (d *Desk) Erase(ctx context.Context, c Call, r EraseRequest) (*ErasureView, *Done, error) {
	issuer, err := d.actor(c, "")
	if err != nil {
		return nil, nil, err
	}
	body := d.bodyOf("erase", jsonOf(r))
	job, err := d.eraseAgain(c, issuer, body)
	if err != nil {
		return nil, nil, err
	}
	if job == (record.ID{}) {
		if job, err = d.planErasure(ctx, c, issuer, body, &r); err != nil {
			return nil, nil, err
		}
	}
	if err := d.runErasure(ctx, job); err != nil {
		if codeOf(err) != "" && c.Key != "" && d.erasing.job(job) == nil { // refused and undone: the key is free again
			err = errors.Join(err, d.Blobs.Delete(d.memoKey(c, issuer, "")))
		}
		return nil, nil, err
	}
	view, err := d.Erasure(ctx, hex.EncodeToString(job[:]))
	if err != nil {
		return nil, nil, err
	}
	return view, doneErasing(c, view), nil
}

func doneErasing(c Call, view *ErasureView) *Done {
	return &Done{Key: c.Key, Final: true, Records: []Posted{{ID: view.ID, Kind: record.KindErasure.String(), Index: view.Index, TimeMs: view.TimeMs}}}
}

func (d *Desk) eraseAgain(c Call, issuer string, body [32]byte) (record.ID, error) {
	if c.Key == "" {
		return record.ID{}, nil
	}
	m, err := loadBlob[memo](d, d.memoKey(c, issuer, ""))
	if err != nil || m == nil {
		return record.ID{}, err
	}
	if !hmac.Equal(m.Body[:], body[:]) || len(m.Erasure) != len(record.ID{}) {
		return record.ID{}, outbox.ErrKeyReused
	}
	return record.ID(m.Erasure), nil
}

// quiesce closes a person to other operations and waits for those under way.
func (d *Desk) quiesce(ctx context.Context, ref Ref) (*person, error) {
	q, _, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, d.people.changed.Broadcast)()
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	q.using--
	if q.erasing {
		return nil, record.Refuse(CodePersonLeaving, "")
	}
	q.erasing = true
	if q.leaving != nil {
		close(q.leaving)
		q.leaving = nil
	}
	for q.using > 0 {
		if ctx.Err() != nil {
			q.erasing = false
			return nil, ctx.Err()
		}
		p.changed.Wait()
	}
	return q, nil
}

// erasingAgain closes a person whose erasure an earlier desk began.
func (p *people) erasingAgain(ref Ref) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, err := p.person(ref)
	if q != nil {
		q.erasing = true
	}
	return err
}

func (d *Desk) reopen(q *person) {
	d.people.mu.Lock()
	q.erasing = false
	d.people.mu.Unlock()
}

// planErasure does steps 1 to 3.
func (d *Desk) planErasure(ctx context.Context, c Call, issuer string, body [32]byte, r *EraseRequest) (id record.ID, err error) {
	q, err := d.quiesce(ctx, r.Person)
	if err != nil {
		return id, err
	}
	defer func() {
		if err != nil {
			d.reopen(q)
		}
	}()
	st, err := d.state()
	if err != nil {
		return id, err
	}
	only, err := d.erasedService(q, r.Service)
	if err != nil {
		return id, err
	}
	if err := d.freeOfHolds(q, only); err != nil {
		return id, err
	}
	id = newID()
	plan, holders, err := d.plan(ctx, st, q, planned{id: id, issuer: issuer, service: only})
	if err != nil {
		return id, err
	}
	numbers, err := d.numbers(st, q, only)
	if err != nil {
		return id, err
	}
	rec := &record.Record{Kind: record.KindErasure, ID: id, Issuer: issuer,
		Body: &record.Erasure{Numbers: numbers, Holders: holders, Cause: r.Cause}}
	leaf, err := rec.Leaf()
	if err != nil {
		return id, err
	}
	var more []store.KV
	if c.Key != "" {
		more = append(more, store.KV{Key: d.memoKey(c, issuer, ""), Value: canon.Must(&memo{Body: body, Erasure: id[:]}), TTL: memoFor})
	}
	err = d.sealSteps(id, map[string]any{"a": &erasureStart{Ref: string(q.ref), Leaf: leaf, Service: only}, "b": plan}, more...)
	if err == nil {
		d.erasing.add(plan, 0, plan.pieceIDs()...)
	}
	return id, err
}
