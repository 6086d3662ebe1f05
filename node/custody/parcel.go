package custody

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// parcelBlob is a parcel of ours, from the intent until that is closed. What is to
// be handed over is sealed under the person's content class, so that an erasure
// takes it along.
type parcelBlob struct {
	Class      [16]byte `cbor:"1,keyasint"`
	Sealed     []byte   `cbor:"2,keyasint,omitempty"` // empty once delivered
	DeadlineMs uint64   `cbor:"3,keyasint"`
	ByMs       uint64   `cbor:"4,keyasint"` // after it the intent has failed unless it is in the log
}

// parcelQueue is the parcels in memory.
type parcelQueue struct {
	mu   sync.Mutex
	jobs map[record.ID]*parcelJob
}

type parcelJob struct {
	deadlineMs uint64
	sending    bool
	tries      int
	next       time.Time // of the machine's clock
}

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	callWait   = 20 * time.Second
	lookAgain  = 10 * time.Second // whether a delivered hand-over is closed
)

func (q *parcelQueue) add(id record.ID, deadlineMs uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.jobs == nil {
		q.jobs = map[record.ID]*parcelJob{}
	}
	if q.jobs[id] == nil {
		q.jobs[id] = &parcelJob{deadlineMs: deadlineMs}
	}
}

// take marks a parcel as being sent.
func (q *parcelQueue) take(id record.ID, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.jobs[id]
	if j == nil || j.sending || now.Before(j.next) {
		return false
	}
	j.sending = true
	return true
}

// gave puts a parcel back with its outcome.
func (q *parcelQueue) gave(id record.ID, o parcelOutcome, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.jobs[id]
	if j == nil {
		return
	}
	j.sending = false
	switch o {
	case parcelGone:
		delete(q.jobs, id)
	case parcelDelivered:
		j.next = now.Add(lookAgain)
	case parcelLater:
		j.next = now.Add(min(firstRetry<<min(j.tries, 20), lastRetry))
		j.tries++
	}
}

func (q *parcelQueue) due(now time.Time) []record.ID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []record.ID
	for id, j := range q.jobs {
		if !j.sending && !now.Before(j.next) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b record.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (d *Desk) loadParcels() error {
	return d.Blobs.Scan(blobPrefix(kindParcel), func(key, value []byte) error {
		id, err := idOfKey(kindParcel, key)
		if err != nil {
			return err
		}
		b := new(parcelBlob)
		if err := canon.UnmarshalMax(value, maxBlobBytes, b); err != nil {
			return err
		}
		d.parcels.add(id, b.DeadlineMs)
		return nil
	})
}

func (d *Desk) keepParcel(c *class, id record.ID, h *handOver) (store.KV, error) {
	plain := canon.Must(&parcel{Items: h.values})
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedParcel, id, plain)
	return store.KV{Key: blobKey(kindParcel, id[:]), Value: canon.Must(&parcelBlob{Class: c.id, Sealed: sealed, DeadlineMs: h.deadlineMs,
		ByMs: d.nowMs() + uint64(2*record.MaxNotAfter/time.Millisecond)})}, err
}

// Overdue returns how many hand-overs of this node are past their deadline and not
// closed.
func (d *Desk) Overdue() int {
	d.parcels.mu.Lock()
	defer d.parcels.mu.Unlock()
	n := 0
	for _, j := range d.parcels.jobs {
		if d.nowMs() > j.deadlineMs {
			n++
		}
	}
	return n
}

// send1 sends a parcel without being waited for.
func (d *Desk) send1(id record.ID) {
	d.spawn(func(ctx context.Context) { d.sendParcel(ctx, id) })
}

func (d *Desk) sendParcel(ctx context.Context, id record.ID) {
	if !d.parcels.take(id, time.Now()) {
		return
	}
	outcome, err := d.tryParcel(ctx, id)
	if err != nil {
		d.Log.Info("a parcel is not delivered yet", "err", safe(err))
	}
	d.parcels.gave(id, outcome, time.Now())
}

// safe leaves out of logs what another member wrote.
func safe(err error) string {
	if code := codeOf(err); code != "" {
		return string(code)
	}
	return err.Error()
}

type parcelOutcome int

const (
	parcelLater parcelOutcome = iota
	parcelDelivered
	parcelGone // nothing is left to do
)

// tryParcel does the next step of a parcel: send it while its intent is open and
// the consent on at a fresh final state, forget it when the intent is closed.
func (d *Desk) tryParcel(ctx context.Context, id record.ID) (parcelOutcome, error) {
	key := blobKey(kindParcel, id[:])
	b, err := loadBlob[parcelBlob](d, key)
	if err != nil {
		return parcelLater, err
	}
	if b == nil {
		return parcelGone, nil
	}
	st, err := d.state()
	if err != nil {
		return parcelLater, err
	}
	rec, _, err := recordByID(st, id)
	if err != nil {
		return parcelLater, err
	}
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	switch {
	case err != nil:
		return parcelLater, err
	case rec == nil && st.TimeMs <= b.ByMs:
		return parcelLater, nil // not final yet
	case rec == nil || in == nil:
		return parcelGone, d.Blobs.Delete(key)
	case len(b.Sealed) == 0:
		return parcelDelivered, nil
	}
	if st, err = d.freshState(ctx); err != nil {
		return parcelLater, err
	}
	why, err := d.mayLeave(st, rec)
	if err != nil {
		return parcelLater, err
	}
	if why == "" {
		why, err = d.deliver(ctx, st, id, rec, in, b)
	}
	if err != nil {
		return parcelLater, err
	}
	if why != "" {
		d.Log.Info("a parcel stays here", "code", string(why))
	}
	b.Sealed = nil
	return parcelDelivered, d.Blobs.PutMany([]store.KV{{Key: key, Value: canon.Must(b)}})
}

// mayLeave says why data may not leave any more under an intent that is final.
func (d *Desk) mayLeave(st *store.State, rec *record.Record) (record.Code, error) {
	k, id, err := handsOver(rec)
	if err != nil {
		return "", err
	}
	_, there, err := d.here(st, id)
	if err != nil {
		return "", err
	}
	if !there {
		return record.CodeMemberNotActive, nil
	}
	h, err := rules.HandleState(st, k)
	if err != nil {
		return "", err
	}
	if h == nil || h.Closed != 0 || d.erasing.closes(k) {
		return record.CodeErased, nil
	}
	if o, ok := rec.Body.(*record.OptOut); ok {
		_, err := d.filed(st, rec.Issuer, o.Filing, h)
		if code := codeOf(err); code != "" {
			return code, nil
		}
		return "", err
	}
	p := rec.Body.(*record.Provision)
	return h.Allows(p.Terms, p.Scope, d.nowMs()), nil
}

// handsOver returns under which handle, and to whom, a record hands items over.
func handsOver(rec *record.Record) (k sign.PublicKey, to string, err error) {
	switch b := rec.Body.(type) {
	case *record.Provision:
		return b.Handle, b.To, nil
	case *record.OptOut:
		return b.Handle, b.To, nil
	}
	return k, "", errOtherRecord
}

// deliver hands a parcel over. It returns a code where the data is gone.
func (d *Desk) deliver(ctx context.Context, st *store.State, id record.ID, rec *record.Record, in *rules.Intent, b *parcelBlob) (record.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	c, err := d.people.class(b.Class)
	if err != nil {
		return "", err
	}
	if c == nil {
		return record.CodeErased, nil
	}
	if code := codeOf(d.readable(c)); code != "" { // a dataset, which is due or leaving
		return code, nil
	}
	ctx, release, err := d.useUntilErased(ctx, c.ref)
	switch code := codeOf(err); {
	case code == record.CodeErased || code == CodePersonUnknown:
		return record.CodeErased, nil
	case err != nil: // an erasure under way may be of another service, or be refused yet
		return "", err
	}
	defer release()
	o, err := d.openRecord(id)
	if err != nil {
		return "", err
	}
	if o == nil || o.Items == nil {
		return record.CodeErased, nil
	}
	host, err := d.hostOf(st, in.To)
	if err != nil {
		return "", err
	}
	if _, ok := d.silent.patience(host, d.Wall()); !ok {
		return "", errSilent
	}
	offer, begin := new(offerAnswer), time.Now()
	err = d.ask(ctx, host, callOffer, &offerRequest{Intent: id}, offer)
	d.silent.ended(ctx, host, err, time.Since(begin), d.Wall())
	if err != nil || offer.Recipient == "" {
		return "", err
	}
	to, err := seal.ParseRecipient(offer.Recipient)
	if err != nil {
		return "", err
	}
	plain, err := d.openFrom(b.Class, sealedParcel, id, b.Sealed)
	if err == errGone {
		return record.CodeErased, nil
	}
	if err != nil {
		return "", err
	}
	defer clear(plain)
	file, err := seal.SealParcel(seal.ParcelHeader{Intent: id, Sender: rec.Issuer, Recipient: in.To}, plain, to)
	if err != nil {
		return "", err
	}
	return "", d.ask(ctx, host, callDeliver, &deliverRequest{Intent: id, Part: o.Part, Items: *o.Items, Parcel: file}, nil)
}
