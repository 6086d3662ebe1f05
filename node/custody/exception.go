package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// A disclosure on a legal ground takes three steps, by two callers:
//
//  1. AskException, by whoever wants it: everything is checked, nothing is posted.
//     What was asked lives askedFor, sealed under the person's content.
//  2. ApproveException, by another: the second approver's key signs over record id,
//     handle and commitment, and the record goes into the ledger. Repeated, it
//     happens once: the record's id is its key in the outbox.
//  3. ExceptionItems, by whoever asked: the items, once the record is final.
//
// A crash between two steps leaves the step before. The recipient stands in the
// sealed part alone, so that there is no intent, no parcel and no receiving record:
// a court or the police has no node here. A recipient who is a party is named there
// too, and gets the items by the hand that asked for them.

// askedFor is how long a disclosure may be approved and fetched.
const askedFor = 7 * 24 * time.Hour

// maxTextBytes bounds each text of a disclosure.
const maxTextBytes = 2000

// maxAsked bounds the list of those that were asked for.
const maxAsked = 100

// asked is a disclosure that was asked for.
type asked struct {
	Service string         `cbor:"1,keyasint"`
	Issuer  string         `cbor:"2,keyasint"`
	Client  string         `cbor:"3,keyasint"`
	Handle  sign.PublicKey `cbor:"4,keyasint"`
	Part    record.Opening `cbor:"5,keyasint"`
	Body    [32]byte       `cbor:"6,keyasint"`
	Dataset string         `cbor:"7,keyasint,omitempty"`
}

// AskException prepares a disclosure on a legal ground for a second person's
// approval.
func (d *Desk) AskException(ctx context.Context, c Call, r ExceptionRequest) (*ExceptionView, error) {
	r.Items = set(r.Items)
	body := d.bodyOf("exception", jsonOf(r))
	part, err := partOf(&r)
	if err != nil {
		return nil, err
	}
	st, err := d.freshState(ctx)
	if err != nil {
		return nil, err
	}
	s, err := d.ownService(st, c, r.Service)
	if err != nil {
		return nil, err
	}
	if s.Owner != d.Self { // the rules know a second approver of members only
		return nil, record.Refuse(record.CodeApprover, "%s has no second approver", s.Owner)
	}
	id := newID()
	if c.Key != "" { // a repeated call is about the same record
		id = record.ID(d.code("exception", s.Owner, c.Client, c.Key)[:len(id)])
		if a, part, err := d.askedAbout(id); err != nil || a != nil {
			if err == nil && !hmac.Equal(a.Body[:], body[:]) {
				err = outbox.ErrKeyReused
			}
			if err != nil {
				return nil, err
			}
			return d.viewAsked(st, id, a, part)
		}
	}
	h := &handOver{from: s.Owner, service: s, ProvideRequest: ProvideRequest{Person: r.Person, Service: r.Service, Items: r.Items}}
	defer func() { h.release() }()
	if err := d.prepareException(st, h, r.Dataset); err != nil {
		return nil, err
	}
	open := record.Opening{Nonce: seal.NewNonce(), Part: canon.Must(part)}
	a := &asked{Service: s.ID, Issuer: s.Owner, Client: c.Client, Handle: h.key, Part: open, Body: body, Dataset: r.Dataset}
	if err := d.keepAsked(h.person, id, a); err != nil {
		return nil, err
	}
	return d.viewAsked(st, id, a, part)
}

// partOf is what the record of a disclosure seals.
func partOf(r *ExceptionRequest) (*record.HandOverPart, error) {
	for _, f := range []struct{ name, text string }{{"to", r.To}, {"purpose", r.Purpose}, {"statute", r.Statute}, {"request", r.Request},
		{"reason", r.Reason}, {"necessity", r.Necessity}, {"requester", r.Requester}} {
		if len(f.text) > maxTextBytes || !utf8Valid(f.text) {
			return nil, malformed(f.name, "a text of %d bytes, at most %d, in UTF-8", len(f.text), maxTextBytes)
		}
	}
	p := &record.HandOverPart{Person: string(r.Person), Purpose: r.Purpose, To: r.To, Basis: r.Ground, Reason: r.Reason, Items: r.Items,
		Requester: r.Requester, Statute: r.Statute, Request: r.Request, Necessity: r.Necessity}
	at, err := time.Parse(time.RFC3339, r.Date)
	if err != nil {
		at, err = time.ParseInLocation(time.DateOnly, r.Date, record.JST)
	}
	if ms := at.UnixMilli(); err == nil && ms > 0 && ms <= record.MaxTimeMs {
		p.TimeMs = uint64(ms)
	}
	return p, p.CheckGround()
}

// prepareException checks person, handle and items.
func (d *Desk) prepareException(st *store.State, h *handOver, dataset string) (err error) {
	h.release = func() {}
	if h.dataset, err = d.disclosed(dataset, h.Person); err != nil {
		return err
	}
	q, release, err := d.use(h.Person)
	if err != nil {
		return err
	}
	h.person, h.release = q, release
	if h.key, h.handle, err = d.handleFor(st, q, h.service.ID); err != nil {
		return err
	}
	if h.handle == nil {
		return record.Refuse(record.CodeHandleUnknown, "open the handle when data is held without consent")
	}
	return d.gather(st, h)
}

// disclosed returns the person's dataset whose items are disclosed, nil for none.
func (d *Desk) disclosed(id string, ref Ref) (*class, error) {
	if id == "" {
		return nil, nil
	}
	c, err := d.dataset(id)
	if err == nil && c.ref != ref {
		err = record.Refuse(CodeDatasetUnknown, "not of this person")
	}
	return c, err
}

// keepAsked seals what was asked for under the person's content, so that an erasure
// takes it along.
func (d *Desk) keepAsked(q *person, id record.ID, a *asked) error {
	unlock := d.lock(string(q.ref))
	classes, err := d.ensure(q, "c/"+a.Service)
	unlock()
	if err != nil {
		return err
	}
	plain := canon.Must(a)
	defer clear(plain)
	sealed, err := d.sealFor(classes[0].id, sealedAsked, id, plain)
	if err != nil {
		return err
	}
	return d.Blobs.PutMany([]store.KV{{Key: blobKey(kindAsked, id[:]), Value: canon.Must(&sealedBlob{Class: classes[0].id, Sealed: sealed}), TTL: askedFor}})
}

// askedAbout returns what was asked for, nil where nothing was or its key is gone.
func (d *Desk) askedAbout(id record.ID) (*asked, *record.HandOverPart, error) {
	b, err := loadBlob[sealedBlob](d, blobKey(kindAsked, id[:]))
	if err != nil || b == nil {
		return nil, nil, err
	}
	plain, err := d.openFrom(b.Class, sealedAsked, id, b.Sealed)
	if errors.Is(err, errGone) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer clear(plain)
	a := new(asked)
	if err := canon.Unmarshal(plain, a); err != nil {
		return nil, nil, err
	}
	part, err := record.DecodePart(record.KindException, a.Part.Part)
	if err != nil {
		return nil, nil, err
	}
	return a, part.(*record.HandOverPart), nil
}

// askedFrom is askedAbout for a caller who names it.
func (d *Desk) askedFrom(c Call, id string) (record.ID, *asked, *record.HandOverPart, error) {
	rid, err := parseID(id)
	if err != nil {
		return rid, nil, nil, record.Refuse(CodeAskedUnknown, "")
	}
	a, part, err := d.askedAbout(rid)
	if err == nil && a == nil {
		err = record.Refuse(CodeAskedUnknown, "")
	}
	if err == nil && (!d.mine(a.Issuer) || c.As != "" && c.As != a.Issuer) {
		err = record.Refuse(record.CodeNotAuthorised, "asked at %s", a.Issuer)
	}
	return rid, a, part, err
}

func (d *Desk) viewAsked(st *store.State, id record.ID, a *asked, p *record.HandOverPart) (*ExceptionView, error) {
	posted, _, err := d.posted(st, id, a)
	if err != nil {
		return nil, err
	}
	v := &ExceptionView{ID: hex.EncodeToString(id[:]), State: "asked", AskedBy: a.Client, Person: Ref(p.Person), Service: a.Service, To: p.To,
		Items: p.Items, Purpose: p.Purpose, TimeMs: p.TimeMs, Ground: p.Basis, Statute: p.Statute, Request: p.Request, Reason: p.Reason,
		Necessity: p.Necessity, Requester: p.Requester, Statement: record.Approval(id, a.Handle, seal.Commit(a.Part.Nonce, a.Part.Part))}
	if posted {
		v.State = "final"
	}
	return v, nil
}

// posted reports whether the record of a disclosure is final.
func (d *Desk) posted(st *store.State, id record.ID, a *asked) (bool, uint64, error) {
	rec, index, err := recordByID(st, id)
	if err != nil || rec == nil {
		return false, 0, err
	}
	if rec.Kind != record.KindException || rec.Issuer != a.Issuer || rec.Commitment == nil || !seal.CheckOpening(*rec.Commitment, a.Part.Nonce, a.Part.Part) {
		return false, 0, errOtherRecord
	}
	return true, index, nil
}

// Exception shows a disclosure that was asked for.
func (d *Desk) Exception(_ context.Context, c Call, id string) (*ExceptionView, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	rid, a, part, err := d.askedFrom(c, id)
	if err != nil {
		return nil, err
	}
	return d.viewAsked(st, rid, a, part)
}

// Exceptions lists what was asked for lately and nobody has erased, at most
// maxAsked, in no order.
func (d *Desk) Exceptions(_ context.Context) ([]ExceptionView, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	var ids []record.ID
	err = d.Blobs.Scan(blobPrefix(kindAsked), func(key, _ []byte) error {
		id, err := idOfKey(kindAsked, key)
		if len(ids) < maxAsked {
			ids = append(ids, id)
		}
		return err
	})
	out := []ExceptionView{}
	for _, id := range ids {
		a, part, err := d.askedAbout(id)
		if err != nil {
			return nil, err
		}
		if a == nil {
			continue
		}
		v, err := d.viewAsked(st, id, a, part)
		if err != nil {
			return nil, err
		}
		out = append(out, *v)
	}
	return out, err
}

// ApproveException is the second person's word: the record is signed with the
// second approver's key and posted. A signature that was made elsewhere with that
// key may be brought.
func (d *Desk) ApproveException(ctx context.Context, c Call, id string, brought []byte) (*Done, error) {
	rid, a, _, err := d.askedFrom(c, id)
	if err != nil {
		return nil, err
	}
	if a.Client == c.Client {
		return nil, record.Refuse(record.CodeApprover, "whoever asks does not approve")
	}
	commitment := record.Digest(seal.Commit(a.Part.Nonce, a.Part.Part))
	e := &record.Exception{Handle: a.Handle}
	switch len(brought) {
	case 0:
		e.Sig = d.Approve(record.Approval(rid, a.Handle, commitment))
	case sign.SignatureSize:
		e.Sig = sign.Signature(brought)
	default:
		return nil, record.Refuse(record.CodeSignature, "a signature of %d bytes", len(brought))
	}
	p := posting{issuer: a.Issuer, body: d.bodyOf("approve", id), records: []*record.Record{
		{Kind: record.KindException, ID: rid, Issuer: a.Issuer, Commitment: &commitment, Body: e}}}
	own := ownCall("exception/" + id)
	own.Committed = c.Committed
	done, _, err := d.again(ctx, own, p.issuer, "", p.body)
	if done == nil && err == nil {
		done, err = d.postException(ctx, own, a, &p)
	}
	if err != nil {
		return nil, err
	}
	done.Key = c.Key
	return done, nil
}

func (d *Desk) postException(ctx context.Context, own Call, a *asked, p *posting) (*Done, error) {
	st, err := d.freshState(ctx)
	if err != nil {
		return nil, err
	}
	part, err := record.DecodePart(record.KindException, a.Part.Part)
	if err != nil {
		return nil, err
	}
	q, release, err := d.stillThere(st, a, Ref(part.(*record.HandOverPart).Person))
	if err != nil {
		return nil, err
	}
	defer release()
	if err := d.approverSigned(st, a, p.records[0]); err != nil {
		return nil, err
	}
	unlock := d.lock(string(q.ref))
	classes, err := d.ensure(q, d.recordName())
	unlock()
	if err != nil {
		return nil, err
	}
	keep, err := d.keepOpenings(classes[0], p.records[0].ID, &openings{Kind: record.KindException, Part: a.Part})
	if err != nil {
		return nil, err
	}
	p.keep = []store.KV{keep}
	done, _, err := d.post(ctx, own, *p)
	return done, err
}

// approverSigned refuses a signature that the ledger would refuse, before it is
// in the outbox for good.
func (d *Desk) approverSigned(st *store.State, a *asked, rec *record.Record) error {
	p, err := d.party(st, a.Issuer)
	if err != nil {
		return err
	}
	if p == nil || len(p.Approver) != sign.PublicKeySize {
		return record.Refuse(record.CodeApprover, "%s has no second approver", a.Issuer)
	}
	e := rec.Body.(*record.Exception)
	if sign.Verify(sign.PublicKey(p.Approver), sign.DomainApproval, d.Origin, record.Approval(rec.ID, e.Handle, *rec.Commitment), e.Sig) != nil {
		return record.Refuse(record.CodeSignature, "not the second approver's")
	}
	return nil
}

// stillThere uses the person of a disclosure, whose handle must be open.
func (d *Desk) stillThere(st *store.State, a *asked, ref Ref) (*person, func(), error) {
	q, release, err := d.use(ref)
	if err != nil {
		return nil, nil, err
	}
	h, err := rules.HandleState(st, a.Handle)
	if err == nil && (h == nil || h.Closed != 0 || d.erasing.closes(a.Handle)) {
		err = record.Refuse(record.CodeHandleClosed, "")
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return q, release, nil
}

// ExceptionItems hands out the items of a disclosure whose record is final, to
// whoever asked for it. It is in the access log before they are.
func (d *Desk) ExceptionItems(ctx context.Context, c Call, id string) (map[string]string, error) {
	rid, a, part, err := d.askedFrom(c, id)
	if err != nil {
		return nil, err
	}
	if a.Client != c.Client {
		return nil, record.Refuse(record.CodeNotAuthorised, "another asked for it")
	}
	st, err := d.freshState(ctx)
	if err != nil {
		return nil, err
	}
	final, index, err := d.posted(st, rid, a)
	if err == nil && !final {
		err = record.Refuse(CodeAskedOpen, "")
	}
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, a.Service)
	if err != nil {
		return nil, err
	}
	q, release, err := d.stillThere(st, a, Ref(part.Person))
	if err != nil {
		return nil, err
	}
	defer release()
	h := &handOver{from: a.Issuer, service: s, person: q, ProvideRequest: ProvideRequest{Person: q.ref, Items: part.Items}}
	if h.dataset, err = d.disclosed(a.Dataset, q.ref); err != nil {
		return nil, err
	}
	if err := d.gather(st, h); err != nil {
		return nil, err
	}
	access := Access{Who: c.Client, TimeMs: d.nowMs(), From: index, To: index + 1, Count: 1, Done: true}
	nonce := newID()
	key := blobKeyOf(kindAccess, fmt.Sprintf("%016x/%x", access.TimeMs, nonce[:8]))
	if err := d.Blobs.PutMany([]store.KV{{Key: key, Value: canon.Must(&access)}}); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, it := range h.values {
		out[it.Code] = it.Value
	}
	return out, nil
}
