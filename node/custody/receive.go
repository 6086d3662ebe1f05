package custody

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
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

// receivedNote says which record opens a parcel, and for whom.
type receivedNote struct {
	Received record.ID `cbor:"1,keyasint"`
	Class    [16]byte  `cbor:"2,keyasint"` // content class that gets the items
}

// autoReceive confirms a parcel without being asked.
func (d *Desk) autoReceive(ctx context.Context, id record.ID) {
	how, err := d.howAcquired(id)
	if err == nil {
		_, err = d.Receive(ctx, ownCall("receive/"+hex.EncodeToString(id[:])), ReceiveRequest{Intent: hex.EncodeToString(id[:]), HowAcquired: how})
	}
	if err != nil {
		d.Log.Info("a parcel was not received", "err", safe(err))
	}
}

// howAcquired says by what kind of record a hand-over came.
func (d *Desk) howAcquired(id record.ID) (string, error) {
	st, err := d.state()
	if err != nil {
		return "", err
	}
	rec, _, err := recordByID(st, id)
	if err != nil || rec == nil {
		return "", err
	}
	if rec.Kind == record.KindOptOut {
		return "opt-out filing", nil
	}
	return "consent", nil
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
	p, made, release, err := d.receiving(ctx, st, id, in, &r)
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
	if _, to, err = handsOver(rec); err != nil || !d.mine(to) || c.As != "" && c.As != to {
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
	return to, end.TimeMs, nil
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
func (d *Desk) receiving(ctx context.Context, st *store.State, id record.ID, in *rules.Intent, r *ReceiveRequest) (p *posting, made []string, release func(), err error) {
	h, err := rules.HandleState(st, in.Handle)
	if err != nil || h == nil {
		return nil, nil, nil, orElse(err, record.Refuse(record.CodeHandleUnknown, ""))
	}
	b, err := loadBlob[waitingBlob](d, blobKey(kindWaiting, id[:]))
	if err != nil || b == nil {
		return nil, nil, nil, orElse(err, record.Refuse(CodeParcelAbsent, ""))
	}
	a, err := d.announcedIn(id, b)
	if err != nil {
		return nil, nil, nil, err
	}
	defer d.lock("person of " + string(in.Handle[:]))()
	ref, known, err := d.recipientOf(st, in.Handle, h)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := d.roomFor(ref); err != nil {
		return nil, nil, nil, err
	}
	given, _, err := recordByID(st, id)
	if err != nil || given == nil {
		return nil, nil, nil, orElse(err, record.Refuse(record.CodeReceiveWithout, ""))
	}
	name, err := d.receivedUntil(st, ref, h, given, a)
	if err != nil {
		return nil, nil, nil, err
	}
	classes, entries, files, err := d.missing(ref, d.recordName(), name)
	if err != nil {
		return nil, nil, nil, err
	}
	entries = append(entries, handleEntry(in.Handle, ref, h.For))
	entries = d.fresh1(entries)
	if !known {
		all, err := withNames(entries)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, e := range all {
			made = append(made, e.ID)
		}
	}
	if err := d.putBeside(files, entries...); err != nil {
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
	goesOn, err := d.continued(ctx, st, a.part.Series, in, h, rec, classes[0])
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	note := store.KV{Key: blobKey(kindReceived, id[:]), Value: canon.Must(&receivedNote{Received: rec.ID, Class: classes[1].id})}
	return &posting{issuer: in.To, records: []*record.Record{rec}, keep: append(goesOn, keep, note)}, made, release, nil
}

// recipientOf returns our own reference of the person under a handle: known from an
// earlier hand-over, also under a handle that moved to this one, else new.
func (d *Desk) recipientOf(st *store.State, k sign.PublicKey, h *rules.Handle) (ref Ref, known bool, err error) {
	for n := 0; n < maxGenerations; n++ {
		if p, ok, err := d.personOf(k); err != nil {
			return "", false, err
		} else if ok {
			if d.goingOut(p.Ref) { // perhaps from another service only: asked again later
				return "", false, record.Refuse(CodePersonLeaving, "")
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
	c, err := d.people.class(note.Class)
	if err != nil {
		return err
	}
	if c != nil {
		q, release, err := d.use(c.ref)
		if err == nil {
			err = d.fill(id, q, c, provision)
			release()
		}
		if code := codeOf(err); err != nil && code != record.CodeErased && code != CodePersonUnknown && code != CodeRetention {
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
	_, to, err := handsOver(provision)
	if err != nil {
		return err
	}
	plain, err := seal.OpenParcel(b.Parcel, seal.ParcelHeader{Intent: id, Sender: provision.Issuer, Recipient: to}, one)
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
	if err := d.setItems(c, got, provision.Issuer, ""); err != nil {
		return err
	}
	return d.carryStops(q)
}

// announced is what the record of a hand-over says, as its openings show.
type announced struct {
	part  *record.HandOverPart
	items []string
}

// announcedIn opens what came with a parcel that waits.
func (d *Desk) announcedIn(id record.ID, b *waitingBlob) (*announced, error) {
	plain, err := d.openFrom(b.Class, sealedWaiting, id, b.Sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var o openings
	if err := canon.Unmarshal(plain, &o); err != nil {
		return nil, err
	}
	part, err := record.DecodePart(record.KindProvision, o.Part.Part)
	if err != nil {
		return nil, err
	}
	items, err := decodeItems(o.Items.Part)
	return &announced{part.(*record.HandOverPart), items}, err
}

// unpack holds a parcel against the items of its record: nothing more is taken.
func (d *Desk) unpack(id record.ID, b *waitingBlob, plain []byte) (map[string]string, error) {
	var p parcel
	if err := canon.UnmarshalMax(plain, maxDeliver, &p); err != nil {
		return nil, err
	}
	a, err := d.announcedIn(id, b)
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for _, it := range p.Items {
		if !slices.Contains(a.items, it.Code) || !utf8Valid(it.Value) {
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
		return nil, malformed("reason", "it is not a code")
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
