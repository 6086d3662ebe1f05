package custody

import (
	"context"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// What desks ask each other. Requests and answers are canonical CBOR; an answer
// that says nothing is empty.
const (
	callOpening = "opening"        // the owner of a service: what was chosen in a consent
	callOnward  = "onward"         // who handed data over: may it go on?
	callOffer   = "parcel.offer"   // the recipient: a one-time key for an intent
	callDeliver = "parcel.deliver" // the recipient: openings and parcel
	callErase   = "erase"          // a holder: whom an erasure is about
)

// Sizes of messages, in bytes.
const (
	maxSmallBytes  = 4 << 10
	maxParcelBytes = 512 << 10 // of the items in a parcel
	maxDeliver     = 768 << 10
	maxEraseBytes  = 512 << 10
	maxAnswer      = record.MaxLeafBytes + 1<<10
)

type openingRequest struct {
	ID    record.ID `cbor:"1,keyasint"`
	Party string    `cbor:"2,keyasint"` // on whose behalf
}

type onwardRequest struct {
	Intent record.ID `cbor:"1,keyasint"`
	To     string    `cbor:"2,keyasint"`
	Party  string    `cbor:"3,keyasint"`
}

type onwardAnswer struct {
	Approved bool `cbor:"1,keyasint"`
}

type offerRequest struct {
	Intent record.ID `cbor:"1,keyasint"`
}

type offerAnswer struct {
	Recipient string `cbor:"1,keyasint,omitempty"` // none: the parcel is here already
}

type deliverRequest struct {
	Intent record.ID      `cbor:"1,keyasint"`
	Part   record.Opening `cbor:"2,keyasint"`
	Items  record.Opening `cbor:"3,keyasint"`
	Parcel []byte         `cbor:"4,keyasint"`
}

type eraseRequest struct {
	Erasure record.ID        `cbor:"1,keyasint"`
	Handles []sign.PublicKey `cbor:"2,keyasint"`
	Size    uint64           `cbor:"3,keyasint"` // of the log that the caller sees: to be judged by no older one

	Dataset []byte      `cbor:"4,keyasint,omitempty"` // number of the dataset that it is confined to
	Intents []record.ID `cbor:"5,keyasint,omitempty"` // its hand-overs
}

// parcel is the body of a parcel.
type parcel struct {
	Items []parcelItem `cbor:"1,keyasint"`
}

type parcelItem struct {
	Code  string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint"`
	Level string `cbor:"3,keyasint,omitempty"`
}

// ask asks another member's desk, or our own.
func (d *Desk) ask(ctx context.Context, member, what string, req, answer any) error {
	b := canon.Must(req)
	var got []byte
	var err error
	if member == d.Self {
		got, err = d.Handle(ctx, d.Self, what, b)
	} else {
		got, err = d.Network.Call(ctx, member, what, b)
	}
	if err != nil {
		return err
	}
	if answer == nil {
		if len(got) != 0 {
			return fmt.Errorf("answer of %s to %s: %d bytes where none belong", member, what, len(got))
		}
		return nil
	}
	if err := canon.UnmarshalMax(got, maxAnswer, answer); err != nil {
		return fmt.Errorf("answer of %s to %s: %w", member, what, err)
	}
	return nil
}

// Handle serves another member's desk, which the transport has authenticated.
// What it may ask follows from the register at the newest final state.
func (d *Desk) Handle(ctx context.Context, from, what string, req []byte) ([]byte, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	p, err := d.party(st, from)
	if err != nil {
		return nil, err
	}
	if p == nil || !p.Member || !p.Active() {
		return nil, record.Refuse(record.CodeMemberNotActive, "%s", from)
	}
	switch what {
	case callOpening:
		return serve(req, maxSmallBytes, func(r *openingRequest) ([]byte, error) { return d.serveOpening(st, from, r) })
	case callOnward:
		return serve(req, maxSmallBytes, func(r *onwardRequest) ([]byte, error) { return d.serveOnward(st, from, r) })
	case callOffer:
		return serve(req, maxSmallBytes, func(r *offerRequest) ([]byte, error) { return d.serveOffer(st, from, r) })
	case callDeliver:
		return serve(req, maxDeliver, func(r *deliverRequest) ([]byte, error) { return d.serveDeliver(st, from, r) })
	case callErase:
		return serve(req, maxEraseBytes, func(r *eraseRequest) ([]byte, error) { return d.serveErase(ctx, st, from, r) })
	}
	return nil, record.Refuse(CodeMalformed, "no such call")
}

func serve[T any](req []byte, maxBytes int, f func(*T) ([]byte, error)) ([]byte, error) {
	r := new(T)
	if err := canon.UnmarshalMax(req, maxBytes, r); err != nil {
		return nil, record.Refuse(CodeMalformed, "%v", err)
	}
	return f(r)
}

// acts reports whether a member's node acts for a party.
func (d *Desk) acts(st *store.State, member, id string) (*rules.Party, bool, error) {
	p, err := d.party(st, id)
	if err != nil || p == nil {
		return nil, false, err
	}
	return p, p.Host == member && p.Active(), nil
}

// serveOpening tells a party that a scope lists what was chosen.
func (d *Desk) serveOpening(st *store.State, from string, r *openingRequest) ([]byte, error) {
	refuse := record.Refuse(record.CodeNotAuthorised, "not listed in the consent")
	p, ok, err := d.acts(st, from, r.Party)
	if err != nil || !ok {
		return nil, orElse(err, refuse)
	}
	rec, index, err := recordByID(st, r.ID)
	if err != nil || rec == nil {
		return nil, orElse(err, refuse)
	}
	g, ok := rec.Body.(*record.Consent)
	if !ok || !d.mine(rec.Issuer) {
		return nil, refuse
	}
	terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(g.Terms))
	if err != nil || terms == nil || int(g.Scope) >= len(terms.Scopes) {
		return nil, orElse(err, refuse)
	}
	end, err := st.EndWith(index)
	if err != nil {
		return nil, err
	}
	if !rules.Lists(&terms.Scopes[g.Scope], p, end.Height) {
		return nil, refuse
	}
	o, err := d.openRecord(r.ID)
	if err != nil || o == nil {
		return nil, orElse(err, record.Refuse(record.CodeErased, ""))
	}
	return canon.Must(&o.Part), nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (d *Desk) serveOnward(st *store.State, from string, r *onwardRequest) ([]byte, error) {
	refuse := record.Refuse(record.CodeNotAuthorised, "no such hand-over")
	_, ok, err := d.acts(st, from, r.Party)
	if err != nil || !ok {
		return nil, orElse(err, refuse)
	}
	rec, _, err := recordByID(st, r.Intent)
	if err != nil || rec == nil {
		return nil, orElse(err, refuse)
	}
	p, ok := rec.Body.(*record.Provision)
	if !ok || p.To != r.Party || !d.mine(rec.Issuer) || !record.ValidID(r.To) {
		return nil, refuse
	}
	approved, err := d.onward(st, rec, r.To)
	if err != nil {
		return nil, err
	}
	return canon.Must(&onwardAnswer{Approved: approved}), nil
}
