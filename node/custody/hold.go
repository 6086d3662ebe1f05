package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// A hold (保留) moves the deadline of identities that it names to its own end, and
// keeps them from being erased on demand until then. The member signs it, with a
// reason; it always ends by itself. It is of one of two kinds:
//
//	disclosure  content of one person, while a request to see it is pending
//	legal       record identities only
//
// It is placed on what may still be read, never on what is due: nothing comes back.
// Its text is sealed under the first identity that it names and goes with it.

// Kinds of holds, and how long each may last at most.
const (
	HoldDisclosure = "disclosure"
	HoldLegal      = "legal"
)

var longestHold = map[string]time.Duration{HoldDisclosure: 60 * 24 * time.Hour, HoldLegal: 366 * 24 * time.Hour}

// HoldRequest asks for a hold. Without a list it covers all that a hold of its kind
// may cover of the person.
type HoldRequest struct {
	Person   Ref       `json:"person"`
	Kind     string    `json:"kind" enum:"disclosure,legal"`
	Datasets []string  `json:"datasets,omitempty"` // ids
	Services []string  `json:"services,omitempty"` // of which all content is covered
	Months   []string  `json:"months,omitempty"`   // of records, 2006-01
	Reason   string    `json:"reason"`
	Request  string    `json:"request,omitempty"` // paper, or id of a request, that it answers
	Until    time.Time `json:"until"`             // RFC 3339; then it ends
}

// HoldView is a hold as it stands.
type HoldView struct {
	ID       string    `json:"id"` // hex
	Kind     string    `json:"kind"`
	Person   Ref       `json:"person"`
	Covers   []string  `json:"covers"` // numbers of identities, hex
	Reason   string    `json:"reason"`
	Request  string    `json:"request,omitempty"`
	PlacedBy string    `json:"placedBy"` // token name
	Placed   time.Time `json:"placed"`
	Until    time.Time `json:"until"` // its end; earlier than it was placed for where it was lifted
	Active   bool      `json:"active"`

	LiftedBy   string `json:"liftedBy,omitempty"`
	LiftReason string `json:"liftReason,omitempty"`

	// Statement is what the member signed (domain "hold"); LiftStatement what it
	// signed when the hold was lifted.
	Statement     []byte `json:"statement"`
	Signature     []byte `json:"signature"`
	LiftStatement []byte `json:"liftStatement,omitempty"`
	LiftSignature []byte `json:"liftSignature,omitempty"`
}

// holdStatement is what is signed when a hold is placed.
type holdStatement struct {
	ID       record.ID          `cbor:"1,keyasint"`
	Member   string             `cbor:"2,keyasint"`
	Kind     string             `cbor:"3,keyasint"`
	Numbers  []record.KeyNumber `cbor:"4,keyasint"`
	Reason   string             `cbor:"5,keyasint"`
	By       string             `cbor:"6,keyasint"`
	Request  string             `cbor:"7,keyasint,omitempty"`
	PlacedMs uint64             `cbor:"8,keyasint"`
	UntilMs  uint64             `cbor:"9,keyasint"`
}

// liftStatement is what is signed when a hold is lifted.
type liftStatement struct {
	ID     record.ID `cbor:"1,keyasint"`
	Member string    `cbor:"2,keyasint"`
	Reason string    `cbor:"3,keyasint"`
	By     string    `cbor:"4,keyasint"`
	TimeMs uint64    `cbor:"5,keyasint"`
}

// signed is a statement with its signature.
type signed struct {
	Statement []byte         `cbor:"1,keyasint"`
	Sig       sign.Signature `cbor:"2,keyasint"`
}

// holdText is the sealed part of a stored hold.
type holdText struct {
	Person string  `cbor:"1,keyasint"`
	Placed signed  `cbor:"2,keyasint"`
	Lifted *signed `cbor:"3,keyasint,omitempty"`
}

// holdBlob is a stored hold. Numbers and times name nobody.
type holdBlob struct {
	Class   [16]byte           `cbor:"1,keyasint"`
	Sealed  []byte             `cbor:"2,keyasint"`
	Numbers []record.KeyNumber `cbor:"3,keyasint"`
	UntilMs uint64             `cbor:"4,keyasint"`
	Request []byte             `cbor:"5,keyasint,omitempty"` // id of the request that it belongs to
	Covers  [][16]byte         `cbor:"6,keyasint"`           // classes
}

// freeOfHolds refuses while content of a person is held, of one service or ("") any.
func (d *Desk) freeOfHolds(q *person, service string) error {
	now := d.readingMs()
	for _, c := range d.contentOf(q, service) {
		if d.holds.active(c.number, now) {
			return record.Refuse(record.CodeOnHold, "")
		}
	}
	return nil
}

// PlaceHold places a hold. Under one Idempotency-Key it is placed once.
func (d *Desk) PlaceHold(_ context.Context, c Call, r HoldRequest) (*HoldView, error) {
	request, err := parseID(r.Request)
	if err != nil { // a paper
		request = record.ID{}
	}
	return d.placeHold(c, request, r)
}

// placeHold places a hold that a request, where there is one, takes along when it is
// answered.
func (d *Desk) placeHold(c Call, request record.ID, r HoldRequest) (*HoldView, error) {
	id := newID()
	if c.Key != "" {
		id = record.ID(d.code("hold", c.Client, c.Key, jsonOf(r.what()))[:len(id)])
		if v, err := d.holdView(id); v != nil || err != nil {
			return v, err
		}
	}
	now := d.readingMs()
	if err := checkHold(&r, now); err != nil {
		return nil, err
	}
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, err
	}
	defer release()
	covered, err := d.covered(q, &r)
	if err != nil {
		return nil, err
	}
	s := &holdStatement{ID: id, Member: d.Self, Kind: r.Kind, Reason: r.Reason, By: c.Client, Request: r.Request,
		PlacedMs: d.nowMs(), UntilMs: uint64(r.Until.UnixMilli())}
	for _, k := range covered {
		s.Numbers = append(s.Numbers, record.KeyNumber(k.number))
	}
	text := &holdText{Person: string(q.ref)}
	if text.Placed, err = d.signed(s); err != nil {
		return nil, err
	}
	x := &hold{id: id, class: covered[0].id, numbers: s.Numbers, untilMs: s.UntilMs, request: request}
	for _, k := range covered {
		x.covers = append(x.covers, k.id)
	}
	if err := d.hold(x, covered, now); err != nil {
		return nil, err
	}
	if err := d.storeHold(x, text); err != nil {
		d.holds.remove(x)
		return nil, err
	}
	return d.holdView(id)
}

// what is what a repeated call repeats: not the end, which may follow from the
// time of the call.
func (r HoldRequest) what() HoldRequest {
	r.Until = time.Time{}
	return r
}

func checkHold(r *HoldRequest, nowMs uint64) error {
	if !validRef(r.Person) || len(r.Reason) > maxTextBytes || len(r.Request) > maxTextBytes || !utf8Valid(r.Reason) || !utf8Valid(r.Request) {
		return record.Refuse(CodeMalformed, "person, reason or request")
	}
	longest, ok := longestHold[r.Kind]
	if !ok || r.Kind == HoldLegal && len(r.Datasets)+len(r.Services) > 0 || r.Kind == HoldDisclosure && len(r.Months) > 0 {
		return record.Refuse(CodeMalformed, "a hold of this kind on these")
	}
	if strings.TrimSpace(r.Reason) == "" {
		return record.Refuse(record.CodeReasonMissing, "")
	}
	until := r.Until.UnixMilli()
	if until <= int64(nowMs) || until > record.MaxTimeMs {
		return record.Refuse(CodeMalformed, "an end that is not ahead")
	}
	if uint64(until) > nowMs+uint64(longest.Milliseconds()) {
		return record.Refuse(CodeHoldLong, "at most %d days", int(longest.Hours()/24))
	}
	return nil
}

// covered returns the classes that a hold names.
func (d *Desk) covered(q *person, r *HoldRequest) ([]*class, error) {
	for _, id := range r.Datasets {
		if _, err := d.dataset(id); err != nil {
			return nil, err
		}
	}
	asked := slices.Concat(r.Datasets, r.Services, r.Months)
	kinds := d.contentOf(q, "")
	if r.Kind == HoldLegal {
		kinds = d.classesOf(q, "r/")
	}
	met := map[string]bool{}
	var out []*class
	for _, c := range kinds {
		number, group := hex.EncodeToString(c.number[:]), c.name[2:]
		if r.Kind == HoldDisclosure {
			var holder string
			if group, holder = c.of(); holder != "" && c.deadlineMs() == 0 { // it is erased with its provider's, and never by itself
				continue
			}
		}
		byNumber := slices.Contains(asked, number)
		if len(asked) > 0 && !byNumber && !slices.Contains(asked, group) {
			continue
		}
		met[number], met[group] = true, true
		if err := d.readable(c); err != nil && byNumber {
			return nil, err
		} else if err == nil {
			out = append(out, c)
		}
	}
	if len(out) == 0 || slices.ContainsFunc(asked, func(name string) bool { return !met[name] }) {
		return nil, record.Refuse(CodeHoldNothing, "")
	}
	if len(out) > record.MaxNumbers {
		return nil, record.Refuse(CodeMalformed, "%d identities, at most %d", len(out), record.MaxNumbers)
	}
	return out, nil
}

// hold enters a hold, unless what it covers has begun to leave meanwhile.
func (d *Desk) hold(x *hold, covered []*class, nowMs uint64) error {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	for _, c := range covered {
		if d.people.dated.leaving[c.id] || c.deadlineMs() != 0 && d.dueMs(c) <= nowMs {
			return record.Refuse(CodeRetention, "")
		}
	}
	d.holds.add(x)
	return nil
}

func (d *Desk) signed(statement any) (s signed, err error) {
	s.Statement = canon.Must(statement)
	s.Sig, err = d.SignHold(s.Statement)
	return s, err
}

func (d *Desk) storeHold(x *hold, text *holdText) error {
	plain := canon.Must(text)
	defer clear(plain)
	sealed, err := d.sealFor(x.class, sealedHold, x.id, plain)
	if err != nil {
		return err
	}
	b := &holdBlob{Class: x.class, Sealed: sealed, Numbers: x.numbers, UntilMs: x.untilMs, Covers: x.covers}
	if x.request != (record.ID{}) {
		b.Request = x.request[:]
	}
	return d.Blobs.PutMany([]store.KV{{Key: blobKey(kindHold, x.id[:]), Value: canon.Must(b)}})
}

// LiftHold ends a hold before its time, with a reason. One that has ended stays as
// it is.
func (d *Desk) LiftHold(_ context.Context, c Call, id, reason string) (*HoldView, error) {
	rid, err := parseID(id)
	if err != nil {
		return nil, record.Refuse(CodeHoldUnknown, "")
	}
	if strings.TrimSpace(reason) == "" {
		return nil, record.Refuse(record.CodeReasonMissing, "")
	}
	if len(reason) > maxTextBytes || !utf8Valid(reason) {
		return nil, record.Refuse(CodeMalformed, "a reason")
	}
	return d.lift(c.Client, rid, reason)
}

func (d *Desk) lift(by string, id record.ID, reason string) (*HoldView, error) {
	defer d.lock("hold/" + hex.EncodeToString(id[:]))()
	x, text, err := d.readHold(id)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, record.Refuse(CodeHoldUnknown, "")
	}
	now := d.readingMs()
	if before := x.untilMs; before > now {
		lifted, err := d.signed(&liftStatement{ID: id, Member: d.Self, Reason: reason, By: by, TimeMs: now})
		if err != nil {
			return nil, err
		}
		text.Lifted = &lifted
		ended := *x
		ended.untilMs = now
		if err := d.storeHold(&ended, text); err != nil {
			return nil, err
		}
		d.holds.end(x, now)
		d.lookAgain(x.covers, now)
	}
	return d.holdView(id)
}

// readHold returns a hold and its text, nil where there is none or its key is gone.
func (d *Desk) readHold(id record.ID) (*hold, *holdText, error) {
	d.holds.mu.Lock()
	x := d.holds.byID[id]
	d.holds.mu.Unlock()
	if x == nil {
		return nil, nil, nil
	}
	b, err := loadBlob[holdBlob](d, blobKey(kindHold, id[:]))
	if err != nil || b == nil {
		return nil, nil, err
	}
	plain, err := d.openFrom(b.Class, sealedHold, id, b.Sealed)
	if errors.Is(err, errGone) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer clear(plain)
	text := new(holdText)
	return x, text, canon.Unmarshal(plain, text)
}

// holdView shows a hold, nil where there is none.
func (d *Desk) holdView(id record.ID) (*HoldView, error) {
	x, text, err := d.readHold(id)
	if err != nil || text == nil {
		return nil, err
	}
	s := new(holdStatement)
	if err := canon.Unmarshal(text.Placed.Statement, s); err != nil {
		return nil, err
	}
	until := d.holds.ends(x)
	v := &HoldView{ID: hex.EncodeToString(id[:]), Kind: s.Kind, Person: Ref(text.Person), Reason: s.Reason, Request: s.Request, PlacedBy: s.By,
		Placed: timeOf(s.PlacedMs), Until: timeOf(until), Active: until > d.readingMs(), Statement: text.Placed.Statement, Signature: text.Placed.Sig[:]}
	for _, n := range s.Numbers {
		v.Covers = append(v.Covers, hex.EncodeToString(n[:]))
	}
	if text.Lifted != nil {
		l := new(liftStatement)
		if err := canon.Unmarshal(text.Lifted.Statement, l); err != nil {
			return nil, err
		}
		v.LiftedBy, v.LiftReason, v.LiftStatement, v.LiftSignature = l.By, l.Reason, text.Lifted.Statement, text.Lifted.Sig[:]
	}
	return v, nil
}

// Holds lists the holds whose text can still be read; of one person, or of all
// where ref is "".
func (d *Desk) Holds(_ context.Context, ref Ref) ([]HoldView, error) {
	out := []HoldView{}
	for _, x := range d.holds.all() {
		v, err := d.holdView(x.id)
		if err != nil {
			return nil, err
		}
		if v != nil && (ref == "" || v.Person == ref) {
			out = append(out, *v)
		}
	}
	return out, nil
}
