package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Provide hands items over under a consent: it checks everything at a fresh final
// state, posts the intent, and sends the parcel when that is final.
//
// Order of effects: the intent with its openings and the parcel to be sent (one
// durable write of the outbox) → final → parcel offered, sealed, delivered. A crash
// before the first leaves nothing; after it the outbox brings the intent in and the
// parcel follows.
//
// A refusal that a person should see is recorded as a denial under the handle.
func (d *Desk) Provide(ctx context.Context, c Call, r ProvideRequest) (*Done, error) {
	r.Items = set(r.Items)
	body := d.bodyOf("provide", jsonOf(r))
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, r.Service)
	if err != nil {
		return nil, err
	}
	from := ""
	if c.As == "" && d.mine(s.Owner) {
		from = s.Owner
	}
	if from, err = d.actor(c, from); err != nil {
		return nil, err
	}
	if done, res, err := d.again(ctx, c, from, "", body); done != nil || err != nil {
		if err == nil && res.Final {
			d.send1(res.Outcomes[0].ID)
		}
		return done, err
	}
	h := &handOver{ProvideRequest: r, from: from, service: s}
	p, err := d.checked(ctx, c, h)
	if err != nil {
		return nil, err
	}
	p.body = body
	return d.dispatch(ctx, c, h, p)
}

// checked makes the intent of a hand-over that passes the checks at a fresh final
// state, or records why it does not.
func (d *Desk) checked(ctx context.Context, c Call, h *handOver) (*posting, error) {
	st, err := d.freshState(ctx)
	if err != nil {
		return nil, err
	}
	p, err := d.prepare(ctx, st, h)
	if err != nil {
		d.deny(ctx, c, h, err)
	}
	return p, err
}

// dispatch posts the intent of a hand-over that passed the checks, and sends its
// parcel on its way.
func (d *Desk) dispatch(ctx context.Context, c Call, h *handOver, p *posting) (*Done, error) {
	defer h.release()
	done, res, err := d.post(ctx, c, *p)
	if err != nil {
		d.deny(ctx, c, h, err)
		return nil, err
	}
	d.parcels.add(p.records[0].ID, h.deadlineMs)
	if res.Final {
		d.send1(res.Outcomes[0].ID)
	}
	return done, nil
}

// A handOver is a request on its way through the checks.
type handOver struct {
	ProvideRequest
	from    string
	service *rules.Service
	filing  string // of a hand-over under an opt-out filing; else it is under a consent
	dataset *class // whose items these are, nil for what is registered

	key        sign.PublicKey // zero until the handle is known
	handle     *rules.Handle
	scope      *rules.ScopeState
	hash       record.Digest
	terms      *rules.Terms
	person     *person
	release    func()
	values     []parcelItem
	deadlineMs uint64
}

func (d *Desk) prepare(ctx context.Context, st *store.State, h *handOver) (p *posting, err error) {
	h.release = func() {}
	defer func() {
		if err != nil {
			h.release()
		}
	}()
	to, err := d.addressed(st, h)
	if err != nil {
		return nil, err
	}
	q, release, err := d.use(h.Person)
	if codeOf(err) == CodePersonUnknown {
		return nil, record.Refuse(record.CodeNoConsent, "")
	}
	if err != nil {
		return nil, err
	}
	h.person, h.release = q, release
	if err := d.stoppedBy(q, h.Purpose, to, false); err != nil {
		return nil, err
	}
	if h.key, h.handle, err = d.handleFor(st, q, h.service.ID); err != nil {
		return nil, err
	}
	if err := d.findScope(st, h); err != nil {
		return nil, err
	}
	if err := d.checkItems(ctx, st, h); err != nil {
		return nil, err
	}
	if !rules.Lists(&h.terms.Scopes[h.scope.Scope], to, h.scope.Height) {
		return nil, record.Refuse(record.CodeRecipientNotListed, "%s", h.To)
	}
	if h.dataset, err = d.givenOut(h); err != nil {
		return nil, err
	}
	if err := d.gather(st, h); err != nil {
		return nil, err
	}
	if err := d.checkOnward(ctx, st, h); err != nil {
		return nil, err
	}
	return d.intent(st, h)
}

// addressed returns the recipient, who must be another and here now.
func (d *Desk) addressed(st *store.State, h *handOver) (*rules.Party, error) {
	to, there, err := d.here(st, h.To)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, record.Refuse(record.CodeMemberNotActive, "%s", h.To)
	}
	if h.To == h.from {
		return nil, record.Refuse(record.CodeNotAuthorised, "a hand-over to oneself")
	}
	return to, nil
}

// findScope finds the scope of the purpose, which must be on.
func (d *Desk) findScope(st *store.State, h *handOver) error {
	if h.handle == nil {
		return record.Refuse(record.CodeNoConsent, "")
	}
	why := record.CodeNoConsent
	for i := range h.handle.Scopes {
		sc := &h.handle.Scopes[i]
		hash, err := termsOf(h.service, sc.Terms)
		if err != nil {
			return err
		}
		terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(hash))
		if err != nil || terms == nil || int(sc.Scope) >= len(terms.Scopes) {
			return fmt.Errorf("terms of a consent: %w", err)
		}
		code := h.handle.Allows(sc.Terms, sc.Scope, d.nowMs())
		if terms.Scopes[sc.Scope].Purpose == h.Purpose {
			if code != "" {
				return record.Refuse(code, "")
			}
			h.scope, h.hash, h.terms = sc, hash, terms
			return nil
		}
		if code == "" {
			why = record.CodePurposeNotConsented
		} else if why == record.CodeNoConsent {
			why = code
		}
	}
	return record.Refuse(why, "%s", h.Purpose)
}

// checkItems wants every item in the scope and among those that were chosen, as
// the consent's opening says.
func (d *Desk) checkItems(ctx context.Context, st *store.State, h *handOver) error {
	if len(h.Items) == 0 {
		return record.Refuse(record.CodeItemNotConsented, "no item")
	}
	sc := &h.terms.Scopes[h.scope.Scope]
	for _, item := range h.Items {
		if !sc.Has(item) {
			return record.Refuse(record.CodeItemNotConsented, "%s", item)
		}
	}
	found, err := d.consentOf(st, h.key, h.handle, h.hash, h.scope)
	if err != nil {
		return err
	}
	if found == nil {
		return record.Refuse(record.CodeNoConsent, "")
	}
	part, err := d.consentPart(ctx, st, h, found)
	if err != nil {
		return err
	}
	for _, item := range h.Items {
		if !slices.Contains(part.Items, item) {
			return record.Refuse(record.CodeItemNotConsented, "%s", item)
		}
	}
	return nil
}

// consentPart returns what was chosen: from our own openings, or asked from the
// service's owner and held against the commitment in the leaf.
func (d *Desk) consentPart(ctx context.Context, st *store.State, h *handOver, found *foundConsent) (*record.ConsentPart, error) {
	var open *record.Opening
	if d.mine(h.service.Owner) {
		o, err := d.openRecord(found.id)
		if err != nil {
			return nil, err
		}
		if o != nil {
			open = &o.Part
		}
	} else {
		host, err := d.hostOf(st, h.service.Owner)
		if err != nil {
			return nil, err
		}
		open = new(record.Opening)
		if err := d.ask(ctx, host, callOpening, &openingRequest{ID: found.id, Party: h.from}, open); err != nil {
			return nil, err
		}
	}
	if open == nil || !seal.CheckOpening(found.commitment, open.Nonce, open.Part) {
		return nil, record.Refuse(record.CodeItemNotConsented, "the consent's opening is gone or another")
	}
	return decodeConsent(open.Part)
}

// gather collects the values, and holds them against brackets and granularity.
func (d *Desk) gather(st *store.State, h *handOver) error {
	for item := range h.Values {
		if !slices.Contains(h.Items, item) {
			return record.Refuse(record.CodeItemNotConsented, "a value without its item")
		}
	}
	levels, err := rules.Load[[]string](st, "levels")
	if err != nil {
		return err
	}
	for _, item := range slices.Sorted(maps.Keys(h.Levels)) {
		if !slices.Contains(h.Items, item) {
			return record.Refuse(record.CodeItemNotConsented, "a level without its item")
		}
		a, err := d.attribute(st, item)
		if err != nil {
			return err
		}
		if levels != nil && finer(*levels, h.Levels[item], a.Granularity) {
			return record.Refuse(record.CodeFinerThanAllowed, "%s", item)
		}
	}
	sheets, err := d.sheetsFor(st, h)
	if err != nil {
		return err
	}
	size := 0
	for _, item := range h.Items {
		a, err := d.attribute(st, item)
		if err != nil {
			return err
		}
		value, ok := h.Values[item]
		for i := 0; !ok && i < len(sheets); i++ {
			value, ok = sheets[i].value(item)
		}
		if !ok {
			return record.Refuse(CodeItemAbsent, "%s", item)
		}
		if !utf8Valid(value) {
			return malformed("values", "a value")
		}
		if len(a.Brackets) > 0 && !slices.Contains(a.Brackets, value) {
			return record.Refuse(record.CodeBracketUnknown, "%s", item)
		}
		h.values = append(h.values, parcelItem{Code: item, Value: value, Level: h.Levels[item]})
		size += len(item) + len(value) + 64
	}
	if size > maxParcelBytes {
		return record.Refuse(record.CodeRecordOversize, "%d bytes of items, at most %d", size, maxParcelBytes)
	}
	return nil
}

// finer reports whether a level is finer than the finest allowed one. A level that
// nobody knows is.
func finer(levels []string, level, finest string) bool {
	limit := slices.Index(levels, finest)
	if limit < 0 {
		return false
	}
	i := slices.Index(levels, level)
	return i < 0 || i > limit
}

// intent builds the record, its openings and the parcel that is to be sent.
func (d *Desk) intent(st *store.State, h *handOver) (*posting, error) {
	unlock := d.lock(string(h.Person))
	classes, err := d.ensure(h.person, d.recordName(), contentName(h.service.ID, h.from, h.service.Owner))
	unlock()
	if err != nil {
		return nil, err
	}
	if h.deadlineMs, err = d.deadline(st); err != nil {
		return nil, err
	}
	part := &record.HandOverPart{Person: string(h.Person), Purpose: h.Purpose, TimeMs: d.nowMs(), Method: h.Method, Contract: h.Contract}
	for _, item := range slices.Sorted(maps.Keys(h.Levels)) {
		part.Levels = append(part.Levels, record.Level{Item: item, Level: h.Levels[item]})
	}
	if h.dataset != nil {
		part.Dataset = datasetPart(h.dataset)
	}
	if h.OnwardOf != "" {
		id, err := parseID(h.OnwardOf)
		if err != nil {
			return nil, record.Refuse(record.CodeOnwardNotApproved, "no such hand-over")
		}
		part.Onward = id[:]
	}
	goesOn, err := d.goesOn(st, h, part, classes[0])
	if err != nil {
		return nil, err
	}
	open, commitment := commit(part)
	items, itemsCommitment := commit(&record.ItemsPart{Items: h.Items})
	rec := &record.Record{ID: newID(), Issuer: h.from, Commitment: &commitment}
	if h.filing != "" {
		rec.Kind, rec.Body = record.KindOptOut, &record.OptOut{Handle: h.key, Filing: h.filing, To: h.To, DeadlineMs: h.deadlineMs, Items: itemsCommitment}
	} else {
		rec.Kind, rec.Body = record.KindProvision, &record.Provision{Handle: h.key, Terms: h.scope.Terms, Scope: h.scope.Scope, To: h.To,
			DeadlineMs: h.deadlineMs, Items: itemsCommitment}
	}
	keep, err := d.keepOpenings(classes[0], rec.ID, &openings{Kind: rec.Kind, Part: open, Items: &items})
	if err != nil {
		return nil, err
	}
	if h.dataset != nil { // what is not delivered yet goes with the dataset
		classes[1] = h.dataset
	}
	parcel, err := d.keepParcel(classes[1], rec.ID, h)
	if err != nil {
		return nil, err
	}
	p := &posting{issuer: h.from, records: []*record.Record{rec}, purposes: []string{h.Purpose}, keep: []store.KV{keep, parcel}}
	if h.dataset != nil {
		note, err := d.noteGiven(h.dataset, &givenNote{Intent: rec.ID, Handle: h.key, To: h.To})
		if err != nil {
			return nil, err
		}
		p.keep = append(p.keep, note)
	}
	p.keep = append(p.keep, d.inSeries(rec.ID, goesOn)...)
	return p, nil
}

// deadline is receive-hours from now, rounded up to a whole hour.
func (d *Desk) deadline(st *store.State) (uint64, error) {
	hours, err := receiveHours(st)
	if err != nil {
		return 0, err
	}
	return (d.nowMs() + hours*record.HourMs + record.HourMs - 1) / record.HourMs * record.HourMs, nil
}

func receiveHours(st *store.State) (uint64, error) {
	v, err := rules.Load[rules.Value](st, rules.KeyParameter("receive-hours"))
	if err != nil || v == nil {
		return 24, err
	}
	n, err := strconv.ParseUint(v.V, 10, 16)
	if err != nil || n == 0 || n > 366*24 {
		return 24, nil // members voted for what is no number of hours
	}
	return n, nil
}

// denied are the refusals that are recorded under a handle: data was asked for and
// kept back.
var denied = []record.Code{record.CodeMemberNotActive, record.CodeNoConsent, record.CodeRevoked, record.CodeExpired,
	record.CodeItemNotConsented, record.CodePurposeNotConsented, record.CodeRecipientNotListed, record.CodeFinerThanAllowed,
	record.CodeBracketUnknown, record.CodeOnwardNotApproved, record.CodeErased, record.CodeOptedOut,
	record.CodeOptOutNotFiled, record.CodeOptOutItemNotFiled, record.CodeSensitive}

// deny records a refusal under the handle, where there is one: as well as it can.
func (d *Desk) deny(ctx context.Context, c Call, h *handOver, why error) {
	code := codeOf(why)
	if !slices.Contains(denied, code) {
		return
	}
	if h.handle == nil {
		st, err := d.state()
		if err != nil {
			return
		}
		q, release, err := d.use(h.Person)
		if err != nil {
			return
		}
		defer release()
		if h.key, h.handle, err = d.handleFor(st, q, h.service.ID); err != nil || h.handle == nil {
			return
		}
	}
	rec := &record.Record{Kind: record.KindDenial, ID: newID(), Issuer: h.from, Body: &record.Denial{Handle: h.key, Reason: code}}
	if _, _, err := d.send(ctx, Call{Client: ownClient}, posting{issuer: h.from, body: d.bodyOf("denial", hex.EncodeToString(rec.ID[:])),
		records: []*record.Record{rec}}); err != nil {
		d.Log.Warn("a denial was not recorded", "code", string(code), "err", safe(err))
	}
}

// errOtherRecord says that another record bears an id. Its issuer chose it, and the
// rules do not compare ids of records: the first in the log has it, so that this
// happens only where a leader that saw an id brought a record of its own in first.
var errOtherRecord = errors.New("another kind of record bears the id")

// recordByID returns a record of the final log, nil where there is none.
func recordByID(st *store.State, id record.ID) (*record.Record, uint64, error) {
	index, ok, err := st.IndexOf(id)
	if err != nil || !ok || index >= st.Size {
		return nil, 0, err
	}
	leaf, err := st.Leaf(index)
	if err != nil {
		return nil, 0, err
	}
	rec, err := record.Parse(leaf)
	return rec, index, err
}

func parseID(s string) (id record.ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("not the id of a record")
	}
	return record.ID(b), nil
}

func decodeItems(part []byte) ([]string, error) {
	p := new(record.ItemsPart)
	err := canon.UnmarshalMax(part, record.MaxLeafBytes, p)
	return p.Items, err
}
