package custody

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Order of effects of a hand-over at the recipient:
//
//  1. one-time key in the vault            the sender gets the same key again
//  2. parcel and openings stored           the sender offers again and is told that it is here
//  3. person and classes in the vault      a person of whom nothing is held; used when asked again
//  4. receiving record with its opening    the outbox brings it in
//     and a note of it (one write)
//  5. final
//  6. items sealed to the person           opened again, with the same result
//  7. parcel, note deleted                 Tick finds no note: only the key is left
//  8. one-time key destroyed               New finds a key without a parcel and destroys it
//
// To the left what happens, to the right what a crash after it leaves behind.
// Where the receiving record is refused, 8 follows 4 at once.

// waitingBlob is a parcel that waits. The openings are sealed under a class of its
// own, the parcel to its one-time key.
type waitingBlob struct {
	Class  [16]byte       `cbor:"1,keyasint"`
	Sealed []byte         `cbor:"2,keyasint"`
	Parcel []byte         `cbor:"3,keyasint"`
	Handle sign.PublicKey `cbor:"4,keyasint"`
}

// receivedNote says which record opens a parcel, and for whom.
type receivedNote struct {
	Received record.ID `cbor:"1,keyasint"`
	Class    [16]byte  `cbor:"2,keyasint"` // content class that gets the items
}

// waitingRoom is the parcels that wait, in memory.
type waitingRoom struct {
	mu      sync.Mutex
	handles map[record.ID]sign.PublicKey
	arrived chan struct{} // closed when a parcel comes
}

func (w *waitingRoom) add(id record.ID, h sign.PublicKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handles == nil {
		w.handles = map[record.ID]sign.PublicKey{}
	}
	w.handles[id] = h
	if w.arrived != nil {
		close(w.arrived)
		w.arrived = nil
	}
}

func (w *waitingRoom) has(id record.ID) (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.handles[id]; ok {
		return true, nil
	}
	if w.arrived == nil {
		w.arrived = make(chan struct{})
	}
	return false, w.arrived
}

func (w *waitingRoom) remove(id record.ID) {
	w.mu.Lock()
	delete(w.handles, id)
	w.mu.Unlock()
}

func (w *waitingRoom) all() []record.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]record.ID, 0, len(w.handles))
	for id := range w.handles {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b record.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (w *waitingRoom) under(handles []sign.PublicKey) []record.ID {
	return slices.DeleteFunc(w.all(), func(id record.ID) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !slices.Contains(handles, w.handles[id])
	})
}

// loadWaiting finds what waits, and destroys one-time keys whose parcel is gone.
func (d *Desk) loadWaiting() error {
	err := d.Blobs.Scan(blobPrefix(kindWaiting), func(key, value []byte) error {
		id, err := idOfKey(kindWaiting, key)
		if err != nil {
			return err
		}
		b := new(waitingBlob)
		if err := canon.UnmarshalMax(value, maxBlobBytes, b); err != nil {
			return err
		}
		d.waiting.add(id, b.Handle)
		return nil
	})
	if err != nil {
		return err
	}
	ids, err := d.Vault.List("w/")
	for _, at := range ids {
		id, err := parseID(at[2:min(len(at), 34)])
		if err != nil {
			return errors.New("an entry of a parcel is damaged")
		}
		if here, _ := d.waiting.has(id); !here {
			d.spent = append(d.spent, at) // where the sender still wants it, it is offered another
		}
	}
	return err
}

func onceID(id record.ID) string { return "w/" + hex.EncodeToString(id[:]) + "/one" }
func boxID(id record.ID) string  { return "w/" + hex.EncodeToString(id[:]) + "/box" }

// openIntent returns an open intent towards a party of this node from one of a
// member's.
func (d *Desk) openIntent(st *store.State, from string, id record.ID) (*rules.Intent, error) {
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	if err != nil {
		return nil, err
	}
	refuse := record.Refuse(record.CodeReceiveWithout, "no such hand-over is open and final here")
	if in == nil || !d.mine(in.To) {
		return nil, refuse
	}
	_, ok, err := d.acts(st, from, in.From)
	if err != nil || !ok {
		return nil, orElse(err, refuse)
	}
	return in, nil
}

// serveOffer makes a one-time recipient for an intent towards us.
func (d *Desk) serveOffer(st *store.State, from string, r *offerRequest) ([]byte, error) {
	if _, err := d.openIntent(st, from, r.Intent); err != nil {
		return nil, err
	}
	defer d.lock(onceID(r.Intent))()
	if here, _ := d.waiting.has(r.Intent); here {
		return canon.Must(&offerAnswer{}), nil
	}
	d.unspend(onceID(r.Intent))
	b, err := d.Vault.Get(onceID(r.Intent))
	if errors.Is(err, vault.ErrNotFound) {
		one, err2 := seal.NewOneTime()
		if err2 != nil {
			return nil, err2
		}
		b = one.Marshal()
		err = d.put(vault.Entry{ID: onceID(r.Intent), Value: slices.Clone(b)})
	}
	if err != nil {
		return nil, err
	}
	defer clear(b)
	one, err := seal.ParseOneTime(b)
	if err != nil {
		return nil, err
	}
	return canon.Must(&offerAnswer{Recipient: one.Recipient().String()}), nil
}

// unspend keeps a transient secret that was about to be destroyed.
func (d *Desk) unspend(at string) {
	d.spentMu.Lock()
	d.spent = slices.DeleteFunc(d.spent, func(s string) bool { return s == at })
	d.spentMu.Unlock()
}

// serveDeliver stores a parcel whose openings fit the intent. It answers when the
// parcel is durable.
func (d *Desk) serveDeliver(st *store.State, from string, r *deliverRequest) ([]byte, error) {
	in, err := d.openIntent(st, from, r.Intent)
	if err != nil {
		return nil, err
	}
	rec, _, err := recordByID(st, r.Intent)
	if err != nil {
		return nil, err
	}
	p, ok := rec.Body.(*record.Provision)
	if !ok || !seal.CheckOpening(*rec.Commitment, r.Part.Nonce, r.Part.Part) || !seal.CheckOpening(p.Items, r.Items.Nonce, r.Items.Part) {
		return nil, record.Refuse(record.CodeIntentItems, "the openings are not those of the record")
	}
	if _, err := record.DecodePart(record.KindProvision, r.Part.Part); err != nil {
		return nil, err
	}
	if _, err := decodeItems(r.Items.Part); err != nil {
		return nil, record.Refuse(record.CodeIntentItems, "the items")
	}
	defer d.lock(onceID(r.Intent))()
	if here, _ := d.waiting.has(r.Intent); here {
		return nil, nil
	}
	if has, err := d.Vault.Has(onceID(r.Intent)); err != nil || !has {
		return nil, orElse(err, record.Refuse(record.CodeReceiveWithout, "nothing was offered"))
	}
	if err := d.storeParcel(in, r); err != nil {
		return nil, err
	}
	if d.AutoReceive {
		d.spawn(func(ctx context.Context) { d.autoReceive(ctx, r.Intent) })
	}
	return nil, nil
}

func (d *Desk) storeParcel(in *rules.Intent, r *deliverRequest) error {
	c := d.transient(boxID(r.Intent))
	if c == nil {
		var entry vault.Entry
		var file store.KV
		var err error
		if c, entry, file, err = newClass(boxID(r.Intent), "", "box"); err != nil {
			return err
		}
		if err := d.Blobs.PutMany([]store.KV{file}); err != nil {
			return err
		}
		if err := d.put(entry); err != nil {
			return err
		}
	}
	d.unspend(boxID(r.Intent))
	plain := canon.Must(&openings{Kind: record.KindProvision, Part: r.Part, Items: &r.Items})
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedWaiting, r.Intent, plain)
	if err != nil {
		return err
	}
	b := canon.Must(&waitingBlob{Class: c.id, Sealed: sealed, Parcel: r.Parcel, Handle: in.Handle})
	if len(b) > maxBlobBytes {
		return record.Refuse(record.CodeRecordOversize, "a parcel of %d bytes", len(r.Parcel))
	}
	if err := d.Blobs.PutMany([]store.KV{{Key: blobKey(kindWaiting, r.Intent[:]), Value: b}}); err != nil {
		return err
	}
	d.waiting.add(r.Intent, in.Handle)
	return nil
}

// transient returns a class that belongs to nobody, by its vault entry.
func (d *Desk) transient(at string) *class {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.people.loose[at]
}

// autoReceive confirms a parcel without being asked.
func (d *Desk) autoReceive(ctx context.Context, id record.ID) {
	_, err := d.Receive(ctx, ownCall("receive/"+hex.EncodeToString(id[:])), ReceiveRequest{Intent: hex.EncodeToString(id[:]), HowAcquired: "consent"})
	if err != nil {
		d.Log.Info("a parcel was not received", "err", safe(err))
	}
}

// arrivalWait is how long Receive waits for a parcel that is on its way.
const arrivalWait = 5 * time.Second

// Receive confirms a hand-over: it posts the receiving record, and opens the parcel
// only when that is final.
func (d *Desk) Receive(ctx context.Context, c Call, r ReceiveRequest) (*Done, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	id, err := parseID(r.Intent)
	if err != nil {
		return nil, record.Refuse(record.CodeReceiveWithout, "")
	}
	to, provided, err := d.addressee(st, c, id)
	if err != nil {
		return nil, err
	}
	body := d.bodyOf("receive", r.Intent, r.HowAcquired)
	if done, res, err := d.again(ctx, c, to, "", body); done != nil || err != nil {
		if done != nil && res.Final {
			err = d.received(st, id, done, provided)
		}
		return done, err
	}
	if r.HowAcquired == "" || !utf8Valid(r.HowAcquired) {
		return nil, record.Refuse(record.CodeAcquisition, "")
	}
	if err := d.await(ctx, id); err != nil {
		return nil, err
	}
	defer d.lock("receive/" + r.Intent)()
	if st, err = d.state(); err != nil {
		return nil, err
	}
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	if err != nil || in == nil {
		return nil, orElse(err, record.Refuse(record.CodeDuplicate, "the hand-over is closed"))
	}
	p, made, release, err := d.receiving(st, id, in, &r)
	if err != nil {
		return nil, err
	}
	p.body = body
	done, res, err := d.post(ctx, c, *p)
	release()
	if err != nil {
		if codeOf(err) != "" { // refused: nothing of it may stay
			err = errors.Join(err, d.destroyParcel(id), d.forget(made))
			d.shredSpent()
		}
		return nil, err
	}
	if !res.Final {
		return done, nil // Tick opens it when it is final
	}
	return done, d.received(st, id, done, in.TimeMs)
}

// addressee returns the party that a hand-over is to, and when it was posted.
func (d *Desk) addressee(st *store.State, c Call, id record.ID) (to string, timeMs uint64, err error) {
	refuse := record.Refuse(record.CodeReceiveWithout, "")
	rec, index, err := recordByID(st, id)
	if err != nil || rec == nil {
		return "", 0, orElse(err, refuse)
	}
	p, ok := rec.Body.(*record.Provision)
	if !ok || !d.mine(p.To) || c.As != "" && c.As != p.To {
		return "", 0, refuse
	}
	end, err := st.EndWith(index)
	if err != nil {
		return "", 0, err
	}
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	if err != nil {
		return "", 0, err
	}
	if in == nil && c.Key == "" {
		return "", 0, record.Refuse(record.CodeDuplicate, "the hand-over is closed")
	}
	return p.To, end.TimeMs, nil
}

// await waits a little for a parcel that is on its way.
func (d *Desk) await(ctx context.Context, id record.ID) error {
	ctx, cancel := context.WithTimeout(ctx, arrivalWait)
	defer cancel()
	for {
		here, arrived := d.waiting.has(id)
		if here {
			return nil
		}
		if st, err := d.state(); err != nil {
			return err
		} else if in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id)); err != nil || in == nil {
			return orElse(err, record.Refuse(record.CodeDuplicate, "the hand-over is closed"))
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return record.Refuse(CodeParcelAbsent, "")
		}
	}
}

// receiving builds the receiving record. made is the vault entries of a person who
// was not known before.
func (d *Desk) receiving(st *store.State, id record.ID, in *rules.Intent, r *ReceiveRequest) (p *posting, made []string, release func(), err error) {
	h, err := rules.HandleState(st, in.Handle)
	if err != nil || h == nil {
		return nil, nil, nil, orElse(err, record.Refuse(record.CodeHandleUnknown, ""))
	}
	s, err := d.service(st, h.For)
	if err != nil {
		return nil, nil, nil, err
	}
	defer d.lock("person of " + string(in.Handle[:]))()
	ref, known, err := d.recipientOf(st, in.Handle, h)
	if err != nil {
		return nil, nil, nil, err
	}
	classes, entries, err := d.missing(ref, d.recordName(), contentName(h.For, in.To, s.Owner))
	if err != nil {
		return nil, nil, nil, err
	}
	entries = append(entries, handleEntry(in.Handle, ref, h.For))
	entries = d.fresh1(entries)
	if !known {
		for _, e := range entries {
			made = append(made, e.ID)
		}
	}
	if err := d.put(entries...); err != nil {
		return nil, nil, nil, err
	}
	if _, release, err = d.use(ref); err != nil {
		return nil, nil, nil, err
	}
	open, commitment := commit(&record.ReceivedPart{Person: string(ref), From: in.From, HowAcquired: r.HowAcquired, TimeMs: d.nowMs()})
	rec := &record.Record{Kind: record.KindReceived, ID: newID(), Issuer: in.To, Commitment: &commitment,
		Body: &record.Received{Intent: id, Items: in.Items}}
	keep, err := d.keepOpenings(classes[0], rec.ID, &openings{Kind: rec.Kind, Part: open})
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	note := store.KV{Key: blobKey(kindReceived, id[:]), Value: canon.Must(&receivedNote{Received: rec.ID, Class: classes[1].id})}
	return &posting{issuer: in.To, records: []*record.Record{rec}, keep: []store.KV{keep, note}}, made, release, nil
}

// recipientOf returns our own reference of the person under a handle: known from an
// earlier hand-over, also under a handle that moved to this one, else new.
func (d *Desk) recipientOf(st *store.State, k sign.PublicKey, h *rules.Handle) (ref Ref, known bool, err error) {
	for n := 0; n < maxGenerations; n++ {
		if p, ok := d.personOf(k); ok {
			if d.goingOut(p.Ref) {
				return "", false, record.Refuse(record.CodeErased, "")
			}
			return p.Ref, true, nil
		}
		if len(h.MovedFrom) != sign.PublicKeySize {
			break
		}
		k = sign.PublicKey(h.MovedFrom)
		if h, err = rules.HandleState(st, k); err != nil || h == nil {
			return "", false, err
		}
	}
	var b [10]byte
	rand.Read(b[:])
	return Ref("r-" + hex.EncodeToString(b[:])), false, nil
}

// received ends a hand-over whose receiving record is final.
func (d *Desk) received(st *store.State, id record.ID, done *Done, providedMs uint64) error {
	hours, err := receiveHours(st)
	if err != nil {
		return err
	}
	done.Late = done.Records[0].TimeMs > providedMs+hours*record.HourMs
	return d.takeIn(id)
}

// takeIn opens a parcel whose receiving record is final and seals its items to the
// person.
func (d *Desk) takeIn(id record.ID) error {
	unlock := d.lock("take/" + hex.EncodeToString(id[:]))
	defer unlock()
	note, err := loadBlob[receivedNote](d, blobKey(kindReceived, id[:]))
	if err != nil || note == nil {
		return err
	}
	st, err := d.state()
	if err != nil {
		return err
	}
	rec, _, err := recordByID(st, note.Received)
	if err != nil {
		return err
	}
	if rec == nil { // not final yet, or closed otherwise
		in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
		if err != nil || in != nil {
			return err
		}
		return d.destroyParcel(id)
	}
	provision, _, err := recordByID(st, id)
	if err != nil || provision == nil {
		return err
	}
	if c := d.people.class(note.Class); c != nil {
		q, release, err := d.use(c.ref)
		if err == nil {
			err = d.fill(id, q, c, provision)
			release()
		}
		if code := codeOf(err); err != nil && code != record.CodeErased && code != CodePersonUnknown {
			return err
		}
	}
	return d.destroyParcel(id)
}

// fill opens the parcel into a class.
func (d *Desk) fill(id record.ID, q *person, c *class, provision *record.Record) error {
	b, err := loadBlob[waitingBlob](d, blobKey(kindWaiting, id[:]))
	if err != nil || b == nil {
		return err
	}
	secret, err := d.Vault.Get(onceID(id))
	if err != nil {
		return err
	}
	defer clear(secret)
	one, err := seal.ParseOneTime(secret)
	if err != nil {
		return err
	}
	p := provision.Body.(*record.Provision)
	plain, err := seal.OpenParcel(b.Parcel, seal.ParcelHeader{Intent: id, Sender: provision.Issuer, Recipient: p.To}, one)
	if err != nil {
		d.Log.Warn("a parcel does not open", "from", provision.Issuer)
		return nil // its sender sent something else: the record stands, the data did not come
	}
	defer clear(plain)
	got, err := d.unpack(id, b, plain)
	if err != nil {
		d.Log.Warn("a parcel holds what was not announced", "from", provision.Issuer)
		return nil
	}
	defer d.lock(string(q.ref))()
	return d.setItems(c, got, provision.Issuer, "")
}

// unpack holds a parcel against the items of its record: nothing more is taken.
func (d *Desk) unpack(id record.ID, b *waitingBlob, plain []byte) (map[string]string, error) {
	var p parcel
	if err := canon.UnmarshalMax(plain, maxDeliver, &p); err != nil {
		return nil, err
	}
	opened, err := d.openFrom(b.Class, sealedWaiting, id, b.Sealed)
	if err != nil {
		return nil, err
	}
	defer clear(opened)
	var o openings
	if err := canon.Unmarshal(opened, &o); err != nil {
		return nil, err
	}
	announced, err := decodeItems(o.Items.Part)
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for _, it := range p.Items {
		if !slices.Contains(announced, it.Code) || !utf8Valid(it.Value) {
			return nil, errors.New("another item")
		}
		got[it.Code] = it.Value
	}
	return got, checkItems(got)
}

// destroyParcel forgets a parcel; its keys are destroyed with the next pass.
func (d *Desk) destroyParcel(id record.ID) error {
	d.waiting.remove(id)
	d.spend(onceID(id), boxID(id))
	return d.Blobs.Delete(blobKey(kindReceived, id[:]), blobKey(kindWaiting, id[:]))
}

// spend has transient secrets destroyed with the next pass: many share a rotation.
func (d *Desk) spend(at ...string) {
	d.spentMu.Lock()
	d.spent = append(d.spent, at...)
	d.spentMu.Unlock()
}

// Undeliver closes a hand-over that the recipient does not take, and destroys the
// one-time key unopened.
func (d *Desk) Undeliver(ctx context.Context, c Call, intent string, reason record.Code) (*Done, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	id, err := parseID(intent)
	if err != nil {
		return nil, record.Refuse(record.CodeReceiveWithout, "")
	}
	if !record.ValidCode(reason) {
		return nil, record.Refuse(CodeMalformed, "the reason is not a code")
	}
	to, _, err := d.addressee(st, c, id)
	if err != nil {
		return nil, err
	}
	body := d.bodyOf("undeliver", intent, string(reason))
	done, _, err := d.again(ctx, c, to, "", body)
	if done == nil && err == nil {
		rec := &record.Record{Kind: record.KindUndelivered, ID: newID(), Issuer: to, Body: &record.Undelivered{Intent: id, Reason: reason}}
		done, _, err = d.post(ctx, c, posting{issuer: to, body: body, records: []*record.Record{rec}})
	}
	if err != nil {
		return nil, err
	}
	err = d.destroyParcel(id)
	d.shredSpent()
	return done, err
}
