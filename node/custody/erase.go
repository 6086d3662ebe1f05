package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// Order of effects of an erasure, and what a crash after each leaves behind:
//
//  1. the person is closed to every other       nothing
//     operation, those under way have ended
//  2. classes a and b in the vault              destroyed at New
//  3. plan stored: reference and record under   New goes on with 4
//     a; holders, handles and times under b
//  4. erasure record final                      New asks the outbox again, which answers
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
	Ref  string `cbor:"1,keyasint"`
	Leaf []byte `cbor:"2,keyasint"`
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
}

type holderTold struct {
	Holder  string           `cbor:"1,keyasint"`
	Handles []sign.PublicKey `cbor:"2,keyasint"`
}

type handleClosing struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Issuer string         `cbor:"2,keyasint"`
	DueMs  uint64         `cbor:"3,keyasint"`
}

type holderNumbers struct {
	Holder  string             `cbor:"1,keyasint"`
	Numbers []record.KeyNumber `cbor:"2,keyasint"`
}

// erasures is the erasures under way, in memory.
type erasures struct {
	mu      sync.Mutex
	jobs    map[record.ID]*erasureJob
	handles map[sign.PublicKey]bool // that will be closed
}

type erasureJob struct {
	plan *erasurePlan
	told map[string]bool // holders that have answered
}

func (e *erasures) add(p *erasurePlan) *erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs == nil {
		e.jobs, e.handles = map[record.ID]*erasureJob{}, map[sign.PublicKey]bool{}
	}
	if e.jobs[p.Erasure] == nil {
		e.jobs[p.Erasure] = &erasureJob{plan: p, told: map[string]bool{}}
	}
	for _, c := range p.Close {
		e.handles[c.Handle] = true
	}
	return e.jobs[p.Erasure]
}

func (e *erasures) remove(p *erasurePlan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.jobs, p.Erasure)
	for _, c := range p.Close {
		delete(e.handles, c.Handle)
	}
}

func (e *erasures) job(id record.ID) *erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs[id]
}

func (e *erasures) all() []*erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	var jobs []*erasureJob
	for _, j := range e.jobs {
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b *erasureJob) int { return slices.Compare(a.plan.Erasure[:], b.plan.Erasure[:]) })
	return jobs
}

// closes reports whether a handle is about to be closed.
func (e *erasures) closes(k sign.PublicKey) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handles[k]
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
			d.erasing.add(&p)
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
	for _, at := range d.found {
		if !strings.HasPrefix(at, "e/") {
			continue
		}
		id, err := parseID(at[2:min(len(at), 34)])
		if err != nil {
			return errors.New("an entry of an erasure is damaged")
		}
		if d.erasing.job(id) == nil {
			d.spend(at)
		}
	}
	return nil
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
	for _, step := range []string{"a", "b"} {
		if _, ok := plans[step]; !ok {
			continue
		}
		_, entry, file, err := newClass(erasureAt(id, step), "", step)
		if err != nil {
			return err
		}
		entry.Reserve = true
		entries, files = append(entries, entry), append(files, file)
	}
	if err := d.Blobs.PutMany(files); err != nil {
		return err
	}
	if err := d.put(entries...); err != nil {
		return err
	}
	for step, plan := range plans {
		c := d.transient(erasureAt(id, step))
		plain := canon.Must(plan)
		sealed, err := d.sealFor(c.id, sealedErasure, id, plain)
		clear(plain)
		if err != nil {
			return err
		}
		more = append(more, store.KV{Key: erasureKey(id, step), Value: canon.Must(&sealedBlob{Class: c.id, Sealed: sealed})})
	}
	return d.Blobs.PutMany(more)
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
	return view, &Done{Key: c.Key, Final: true, Records: []Posted{{ID: view.ID, Kind: record.KindErasure.String(), Index: view.Index, TimeMs: view.TimeMs}}}, nil
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
		return nil, record.Refuse(record.CodeErased, "")
	}
	q.erasing = true
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
	id = newID()
	plan, holders, err := d.plan(ctx, st, q, id, issuer)
	if err != nil {
		return id, err
	}
	rec := &record.Record{Kind: record.KindErasure, ID: id, Issuer: issuer,
		Body: &record.Erasure{Numbers: d.numbers(q), Holders: holders, Cause: r.Cause}}
	leaf, err := rec.Leaf()
	if err != nil {
		return id, err
	}
	var more []store.KV
	if c.Key != "" {
		more = append(more, store.KV{Key: d.memoKey(c, issuer, ""), Value: canon.Must(&memo{Body: body, Erasure: id[:]}), TTL: memoFor})
	}
	err = d.sealSteps(id, map[string]any{"a": &erasureStart{Ref: string(q.ref), Leaf: leaf}, "b": plan}, more...)
	if err == nil {
		d.erasing.add(plan)
	}
	return id, err
}

// numbers returns those of a person's content identities, in the order of their
// classes' names. The record identities stay.
func (d *Desk) numbers(q *person) []record.KeyNumber {
	var out []record.KeyNumber
	for _, c := range d.classesOf(q, "c/") {
		out = append(out, record.KeyNumber(c.number))
	}
	return out
}

// plan finds who holds what of a person, and which handles end.
func (d *Desk) plan(ctx context.Context, st *store.State, q *person, id record.ID, issuer string) (*erasurePlan, []string, error) {
	p := &erasurePlan{Erasure: id}
	holders := []string{issuer}
	for _, c := range d.classesOf(q, "c/") {
		service, holder, received := strings.Cut(c.name[2:], "@")
		if !received {
			s, err := d.service(st, service)
			if err != nil {
				return nil, nil, err
			}
			holder = s.Owner
		}
		holders = append(holders, holder)
	}
	handles, err := d.knownHandles(st, q)
	if err != nil {
		return nil, nil, err
	}
	at := map[string][]sign.PublicKey{}
	for _, k := range handles {
		owner, err := d.ownerOf(st, k.For)
		if err != nil {
			return nil, nil, err
		}
		h, err := rules.HandleState(st, k.Key)
		if err != nil || h == nil {
			return nil, nil, err
		}
		if d.mine(owner) && h.Closed == 0 {
			p.Close = append(p.Close, handleClosing{Handle: k.Key, Issuer: owner, DueMs: d.nowMs() + uint64(d.CloseDelay().Milliseconds())})
		}
		to, err := d.recipients(ctx, st, k.Key, h, d.mine(owner))
		if err != nil {
			return nil, nil, err
		}
		for _, party := range to {
			holders = append(holders, party)
			at[party] = append(at[party], k.Key)
		}
	}
	holders = set(holders)
	for _, party := range holders {
		if d.mine(party) {
			p.Own = append(p.Own, party)
		} else {
			p.Tell = append(p.Tell, holderTold{Holder: party, Handles: at[party]})
		}
	}
	for _, c := range d.classesOf(q, "r/") {
		p.Until = append(p.Until, dayText(monthEnds(c.name)))
	}
	return p, holders, nil
}

// ownerOf returns the party that a handle is towards.
func (d *Desk) ownerOf(st *store.State, id string) (string, error) {
	s, err := rules.Load[rules.Service](st, rules.KeyService(id))
	if err != nil || s == nil {
		return id, err
	}
	return s.Owner, nil
}

// recipients returns to whom data went under a handle: by anyone where the handle
// is towards us, else by us.
func (d *Desk) recipients(ctx context.Context, st *store.State, k sign.PublicKey, h *rules.Handle, all bool) ([]string, error) {
	to := map[record.ID]string{}
	for n := uint64(1); n <= h.Events; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, rec, err := recordOfEvent(st, k, n)
		if err != nil {
			return nil, err
		}
		switch b := rec.Body.(type) {
		case *record.Provision:
			if all || d.mine(rec.Issuer) {
				to[rec.ID] = b.To
			}
		case *record.OptOut:
			if all || d.mine(rec.Issuer) {
				to[rec.ID] = b.To
			}
		case *record.Undelivered:
			delete(to, b.Intent)
		}
	}
	var out []string
	for _, party := range to {
		out = append(out, party)
	}
	return set(out), nil
}

// Erasure returns how far an erasure has come.
func (d *Desk) Erasure(_ context.Context, id string) (*ErasureView, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	rid, err := parseID(id)
	if err != nil {
		return nil, record.Refuse(record.CodeErasureUnknown, "")
	}
	e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(rid))
	if err != nil || e == nil {
		return nil, orElse(err, record.Refuse(record.CodeErasureUnknown, ""))
	}
	v := &ErasureView{ID: id, TimeMs: e.TimeMs, Pending: slices.Concat([]string{}, e.Pending), Done: []HolderErased{}}
	for _, h := range e.Done {
		v.Done = append(v.Done, HolderErased{Holder: h.Holder, TimeMs: h.TimeMs, Class: h.Class, Generation: h.Generation})
	}
	if v.Index, _, err = st.IndexOf(rid); err != nil {
		return nil, err
	}
	if job := d.erasing.job(rid); job != nil {
		v.RecordsUntil = job.plan.Until
	}
	return v, nil
}
