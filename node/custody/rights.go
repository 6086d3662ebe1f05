package custody

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// What a person asks a member for by right.
const (
	RightDisclosure    = "disclosure"     // of data: APPI Art. 33(1)
	RightRecords       = "records"        // of provision records: Art. 33(5)
	RightCorrection    = "correction"     // Art. 34(1)
	RightStopUse       = "stop-use"       // or erasure: Art. 35(1), (5)
	RightStopProvision = "stop-provision" // Art. 35(3), (5)
)

// Rights are the kinds of requests, in the order in which they are shown.
var Rights = []string{RightDisclosure, RightRecords, RightCorrection, RightStopUse, RightStopProvision}

// What became of a request.
const (
	RightOpen    = "open"
	RightDone    = "done"
	RightPartly  = "partly"
	RightRefused = "refused"
)

// The law says "without delay". A business can be sued from two weeks after the
// request on (APPI Art. 39(1)); a public body decides within 30 days (Arts. 83(1),
// 94(1), 102(1)). Those days are the clock that is shown.
const (
	daysOfBusiness   = 14
	daysOfPublicBody = 30
)

// regimePublic is that of parties under APPI chapter 5.
const regimePublic = "ch5"

// maxRights bounds the requests of one person about one service.
const maxRights = 100

// maxRightsListed bounds what the member's own list shows.
const maxRightsListed = 1000

// Codes of requests.
const (
	CodeRightUnknown  record.Code = "request.unknown"  // no such request is open to this caller
	CodeRightAnswered record.Code = "request.answered" // it has another answer already
	CodeRightReason   record.Code = "request.reason"   // what is not done in full must be explained (APPI Art. 36)
)

// RightRequest is what a person asks for.
type RightRequest struct {
	Person  Ref      `json:"person"`
	Kind    string   `json:"kind"`            // of Rights
	Service string   `json:"service"`         // under which the member holds something of the person
	Items   []string `json:"items,omitempty"` // item codes that it is about; none: all
	Note    string   `json:"note,omitempty"`  // in the person's words
}

// RightAnswer is the member's word on a request.
type RightAnswer struct {
	State    string `json:"state"`              // done, partly, refused
	Text     string `json:"text,omitempty"`     // to the person; needed unless done (APPI Art. 36)
	Identity string `json:"identity,omitempty"` // how it was checked who asked; needed unless refused (APPI Art. 37(1), Cabinet Order Art. 12(iii))
}

// RightView is a request as it stands.
type RightView struct {
	ID         string   `json:"id"`
	Person     Ref      `json:"person"`
	Kind       string   `json:"kind"`
	Service    string   `json:"service"`
	Items      []string `json:"items,omitempty"`
	Note       string   `json:"note,omitempty"`
	FiledMs    uint64   `json:"filedMs"`
	Due        string   `json:"due"`    // last day, 2006-01-02 in JST
	Public     bool     `json:"public"` // the member is a public body: other articles hold
	Overdue    bool     `json:"overdue"`
	State      string   `json:"state"`
	Answer     string   `json:"answer,omitempty"`
	Identity   string   `json:"identity,omitempty"` // how the member checked who asked
	AnsweredMs uint64   `json:"answeredMs,omitempty"`
}

// right is a request as it is kept, sealed under the content of the service that
// it is about: whoever erases that erases it, too. That content has no deadline, also
// where what is received has one: a request is there until it is answered.
type right struct {
	Kind       string   `cbor:"1,keyasint"`
	Items      []string `cbor:"2,keyasint,omitempty"`
	Note       string   `cbor:"3,keyasint,omitempty"`
	FiledMs    uint64   `cbor:"4,keyasint"`
	Due        int64    `cbor:"5,keyasint"` // day
	Public     bool     `cbor:"6,keyasint,omitempty"`
	State      string   `cbor:"7,keyasint"`
	Answer     string   `cbor:"8,keyasint,omitempty"`
	AnsweredMs uint64   `cbor:"9,keyasint,omitempty"`
	Identity   string   `cbor:"10,keyasint,omitempty"`
}

// FileRight takes a request in. With an Idempotency-Key it is taken in once. It is
// durable when the call returns; nothing of it enters the ledger.
func (d *Desk) FileRight(_ context.Context, c Call, r RightRequest) (*RightView, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	r.Items = set(r.Items)
	if !slices.Contains(Rights, r.Kind) || len(r.Note) > maxTextBytes || !utf8Valid(r.Note) || len(r.Items) > record.MaxItems {
		return nil, record.Refuse(CodeMalformed, "a request")
	}
	for _, item := range r.Items {
		if _, err := d.attribute(st, item); err != nil {
			return nil, err
		}
	}
	defer d.lock(string(r.Person))()
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, err
	}
	defer release()
	id := newID()
	if c.Key != "" {
		id = record.ID(d.code("right", c.Client, c.Key, string(r.Person))[:len(id)])
	}
	old, err := d.rightsAbout(q, r.Service)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(old, func(v RightView) bool { return v.ID == hex.EncodeToString(id[:]) }); i >= 0 {
		return &old[i], nil
	}
	if len(old) >= maxRights {
		return nil, record.Refuse(CodeMalformed, "%d requests, at most %d", len(old), maxRights)
	}
	class, err := d.classForRights(q, r.Service)
	if err != nil {
		return nil, err
	}
	n, public, err := d.rightDays(st)
	if err != nil {
		return nil, err
	}
	v := &right{Kind: r.Kind, Items: r.Items, Note: r.Note, FiledMs: d.nowMs(), Due: record.DayOf(d.nowMs()) + n, Public: public, State: RightOpen}
	if r.Kind == RightDisclosure {
		if err := d.holdFor(id, &r, v.Due); err != nil {
			return nil, err
		}
	}
	return d.rightView(class, id, v), d.keepRight(class, id, v)
}

// holdFor holds what a person asks to see until the day on which the answer is due.
// A hold without its request, which a crash may leave, ends by itself. What was
// received from others is not held: it is erased with its provider's.
func (d *Desk) holdFor(id record.ID, r *RightRequest, due int64) error {
	name := hex.EncodeToString(id[:])
	_, err := d.PlaceHold(d.ctx, Call{Client: ownClient, Key: "right/" + name}, HoldRequest{Person: r.Person, Kind: HoldDisclosure, Services: []string{r.Service},
		Reason: "開示の請求 request for disclosure", Request: name, Until: timeOf(record.DayEndMs(due))})
	if code := codeOf(err); code == CodeHoldNothing {
		err = nil
	}
	return err
}

// rightDays is how many days this member has.
func (d *Desk) rightDays(st *store.State) (days int64, public bool, err error) {
	p, err := d.party(st, d.Self)
	if err != nil {
		return 0, false, err
	}
	if p != nil && p.Regime == regimePublic {
		return daysOfPublicBody, true, nil
	}
	return daysOfBusiness, false, nil
}

// classForRights is what requests about a service are sealed under: the content as its
// owner holds it, else as it came from another, without a deadline.
func (d *Desk) classForRights(q *person, service string) (*class, error) {
	refuse := record.Refuse(record.CodeServiceUnknown, "nothing is held for it")
	if !record.ValidID(service) {
		return nil, refuse
	}
	if c := d.classOf(q, "c/"+service); c != nil {
		return c, nil
	}
	received := d.classesOf(q, receivedName(service, ""))
	if len(received) == 0 {
		return nil, refuse
	}
	_, holder := received[0].of()
	classes, err := d.ensure(q, receivedName(service, holder))
	if err != nil {
		return nil, err
	}
	return classes[0], nil
}

// rightsAbout returns a person's requests about a service, or ("") all.
func (d *Desk) rightsAbout(q *person, service string) (out []RightView, err error) {
	for _, c := range d.contentOf(q, service) {
		some, err := d.rightsOf(c)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// Rights returns a person's requests, newest first.
func (d *Desk) Rights(_ context.Context, ref Ref) ([]RightView, error) {
	q, release, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	out, err := d.rightsAbout(q, "")
	newestRights(out)
	return out, err
}

func newestRights(list []RightView) {
	slices.SortFunc(list, func(a, b RightView) int { return cmp.Or(cmp.Compare(b.FiledMs, a.FiledMs), cmp.Compare(a.ID, b.ID)) })
}

// AllRights returns what people ask the member for, newest first and at most
// maxRightsListed; open leaves out what is answered.
func (d *Desk) AllRights(_ context.Context, open bool) ([]RightView, error) {
	var out []RightView
	err := d.eachRight(blobPrefix(kindRight), func(c *class, id record.ID, v *right) error {
		if open && v.State != RightOpen {
			return nil
		}
		if out = append(out, *d.rightView(c, id, v)); len(out) == maxRightsListed {
			return fs.SkipAll
		}
		return nil
	})
	newestRights(out)
	return out, err
}

// AnswerRight answers a request once; the same answer again is no error.
func (d *Desk) AnswerRight(_ context.Context, id string, a RightAnswer) (*RightView, error) {
	rid, err := parseID(id)
	if err != nil {
		return nil, record.Refuse(CodeRightUnknown, "")
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	defer d.lock("right/" + id)()
	about, v, err := d.findRight(rid)
	switch {
	case err != nil:
		return nil, err
	case v == nil:
		return nil, record.Refuse(CodeRightUnknown, "")
	case v.State == a.State && v.Answer == a.Text && v.Identity == a.Identity:
		return d.rightView(about, rid, v), d.liftFor(rid, a.State)
	case v.State != RightOpen:
		return nil, record.Refuse(CodeRightAnswered, "")
	}
	v.State, v.Answer, v.Identity, v.AnsweredMs = a.State, a.Text, a.Identity, d.nowMs()
	if err := d.keepRight(about, rid, v); err != nil {
		return nil, err
	}
	return d.rightView(about, rid, v), d.liftFor(rid, a.State)
}

// check refuses an answer that is none: who asked was not told why, or may be
// somebody else. Where nobody could tell, the answer is a refusal that says so.
func (a *RightAnswer) check() error {
	switch {
	case a.State != RightDone && a.State != RightPartly && a.State != RightRefused,
		len(a.Text) > maxTextBytes, !utf8Valid(a.Text), len(a.Identity) > maxTextBytes, !utf8Valid(a.Identity):
		return record.Refuse(CodeMalformed, "an answer")
	case a.State != RightRefused && strings.TrimSpace(a.Identity) == "":
		return record.Refuse(record.CodeIdentityNotVerified, "")
	case a.State != RightDone && strings.TrimSpace(a.Text) == "":
		return record.Refuse(CodeRightReason, "")
	}
	return nil
}

// liftFor lifts the holds that name a request. After a crash before it they end by
// themselves.
func (d *Desk) liftFor(id record.ID, state string) error {
	for _, x := range d.holds.pending(id, d.readingMs()) {
		if _, err := d.lift(ownClient, x.id, "the request was answered: "+state); err != nil {
			return err
		}
	}
	return nil
}

// findRight returns a request and what it is sealed under, nil where it is gone.
func (d *Desk) findRight(id record.ID) (about *class, found *right, err error) {
	err = d.eachRight(blobPrefix(kindRight), func(c *class, got record.ID, v *right) error {
		if got != id {
			return nil
		}
		about, found = c, v
		return fs.SkipAll
	})
	return about, found, err
}

func rightKey(class [16]byte, id record.ID) []byte {
	return blobKeyOf(kindRight, hex.EncodeToString(class[:])+"/"+hex.EncodeToString(id[:]))
}

func (d *Desk) keepRight(c *class, id record.ID, v *right) error {
	plain := canon.Must(v)
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedRight, id, plain)
	if err != nil {
		return err
	}
	return d.Blobs.PutMany([]store.KV{{Key: rightKey(c.id, id), Value: sealed}})
}

func (d *Desk) openRight(c *class, id record.ID, sealed []byte) (*right, error) {
	plain, err := d.openFrom(c.id, sealedRight, id, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	v := new(right)
	return v, canon.UnmarshalMax(plain, maxBlobBytes, v)
}

// rightsOf returns the requests of a class.
func (d *Desk) rightsOf(c *class) (out []RightView, err error) {
	err = d.eachRight(append(blobPrefix(kindRight), hex.EncodeToString(c.id[:])+"/"...), func(c *class, id record.ID, v *right) error {
		out = append(out, *d.rightView(c, id, v))
		return nil
	})
	return out, err
}

// eachRight calls fn with every request under a prefix whose key is still here;
// fs.SkipAll ends it.
func (d *Desk) eachRight(prefix []byte, fn func(*class, record.ID, *right) error) error {
	err := d.Blobs.Scan(prefix, func(key, sealed []byte) error {
		about, id, ok := strings.Cut(string(key[len(blobPrefix(kindRight)):]), "/")
		c16, err1 := hex.DecodeString(about)
		rid, err2 := parseID(id)
		if !ok || err1 != nil || err2 != nil || len(c16) != 16 {
			return fmt.Errorf("a key of kind %c is damaged", kindRight)
		}
		c, err := d.people.class([16]byte(c16))
		if err != nil || c == nil {
			return err // or erased
		}
		v, err := d.openRight(c, rid, sealed)
		if errors.Is(err, errGone) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(c, rid, v)
	})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

func (d *Desk) rightView(c *class, id record.ID, v *right) *RightView {
	if v == nil {
		return nil
	}
	service, _ := c.of()
	return &RightView{ID: hex.EncodeToString(id[:]), Person: c.ref, Kind: v.Kind, Service: service, Items: v.Items, Note: v.Note, FiledMs: v.FiledMs,
		Due: dayText(v.Due), Public: v.Public, Overdue: v.State == RightOpen && d.nowMs() >= record.DayEndMs(v.Due), State: v.State, Answer: v.Answer,
		Identity: v.Identity, AnsweredMs: v.AnsweredMs}
}
