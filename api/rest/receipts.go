package rest

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// source reads a final checkpoint as package receipt wants it.
type source struct{ f *Final }

func (f *Final) source() receipt.Source { return source{f} }

func (s source) Note() ([]byte, error)                { return s.f.Note(), nil }
func (s source) Leaf(index uint64) ([]byte, error)    { return s.f.State.Leaf(index) }
func (s source) Path(i uint64) ([]merkle.Hash, error) { return s.f.State.Inclusion(i, s.f.State.Size) }
func (s source) Prove(key []byte) (register.Proof, error) {
	return s.f.State.Prove(key)
}

// policy returns the policy under which what is handed out must verify.
func (f *Final) policy() (*sign.Policy, error) {
	p, err := rules.PolicyAt(f.State, f.State.Height)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, errors.New("no policy in the register")
	}
	return p.Sign(), nil
}

// checked verifies a file as its reader will, before it is handed out.
func (c *call) checked(b []byte, name string) (any, error) {
	b, err := c.verified(b, nil)
	return file{media: "application/json", name: name, bytes: b}, err
}

func (c *call) verified(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	p, err := c.final.policy()
	if err != nil {
		return nil, err
	}
	if _, err := receipt.Verify(b, p); err != nil {
		return nil, errors.Join(errors.New("a file that was just made does not verify"), err)
	}
	return b, nil
}

func (c *call) receipt() (any, error) {
	index, rec, err := c.located()
	if err != nil {
		return nil, err
	}
	if rec == nil || index == 0 {
		return nil, fault(codeNoReceipt)
	}
	status, err := c.flag("status")
	if err != nil {
		return nil, err
	}
	b, err := c.receiptOf(index, rec, status)
	if errors.Is(err, receipt.ErrNoStatus) {
		return nil, fault(codeNoStatus)
	}
	if err != nil {
		return nil, err
	}
	return c.checked(b, hex.EncodeToString(rec.ID[:])+".akashi.json")
}

// Receipt returns the receipt of a record that concerns a person, with the status
// now, as the person's own token would get it. CodeOf tells why there is none.
func (s *server) Receipt(ctx context.Context, person custody.Ref, index uint64) ([]byte, error) {
	c := s.callOf(ctx, person)
	return c.verified(c.ownReceipt(index))
}

// callOf is a call of a person by their own pages.
func (s *server) callOf(ctx context.Context, person custody.Ref) *call {
	return &call{server: s, ctx: ctx, caller: token.Caller{Role: token.Subject, Person: string(person)}, final: s.Final()}
}

// ownReceipt builds the receipt of a record that concerns the caller, with its status
// where it has one.
func (c *call) ownReceipt(index uint64) ([]byte, error) {
	if c.final == nil {
		return nil, fault(codeNotFinal)
	}
	if index >= c.final.State.Size {
		return nil, fault(codeBeyond)
	}
	leaf, err := c.final.State.Leaf(index)
	if err != nil {
		return nil, err
	}
	if index == 0 || record.IsSeal(leaf) {
		return nil, fault(codeNoReceipt)
	}
	rec, err := record.Parse(leaf)
	if err != nil {
		return nil, err
	}
	b, err := c.receiptOf(index, rec, true)
	if errors.Is(err, receipt.ErrNoStatus) {
		b, err = c.receiptOf(index, rec, false)
	}
	return b, err
}

// receiptOf builds the receipt of a record as the caller may have it.
func (c *call) receiptOf(index uint64, rec *record.Record, status bool) ([]byte, error) {
	o := receipt.Options{Status: status}
	var err error
	if err := c.disclosed(index, rec, &o); err != nil {
		return nil, err
	}
	if o.Screen, err = c.screenOf(rec); err != nil {
		return nil, err
	}
	b, err := receipt.Build(c.source(), index, o)
	if errors.Is(err, receipt.ErrKeyChanged) {
		at, scan := c.final.State.KeyLeaf(c.ctx, index, rec.Issuer)
		if o.KeyIndex, err = &at, scan; err == nil {
			b, err = receipt.Build(c.source(), index, o)
		}
	}
	if errors.Is(err, receipt.ErrNoReceipt) {
		return nil, fault(codeNoReceipt)
	}
	return b, err
}

// disclosed adds what the caller may see of the sealed part. A subject gets only
// receipts of their own records; managers and auditors get the public part, and auditors
// openings elsewhere.
func (c *call) disclosed(index uint64, rec *record.Record, o *receipt.Options) error {
	if !(admin | app | subject).has(c.caller.Role) {
		return nil
	}
	opening, err := c.openingOf(index)
	if err != nil {
		return err
	}
	if c.caller.Role == token.Subject {
		mine, err := c.concerns(rec, opening)
		if err != nil {
			return err
		}
		if !mine {
			return fault(codeRole)
		}
	}
	if opening == nil {
		return nil
	}
	if rec.Commitment != nil {
		o.Opening = &receipt.Opening{Nonce: opening.Part.Nonce[:], Part: opening.Part.Part}
	}
	if opening.Items != nil {
		o.Items = &receipt.Opening{Nonce: opening.Items.Nonce[:], Part: opening.Items.Part}
	}
	return nil
}

// receiptFor begins what the access log says of openings read for receipts.
const receiptFor = "receipt for "

// openingOf is what this member keeps to open a record, nil for nothing.
func (c *call) openingOf(index uint64) (*custody.RecordOpening, error) {
	openings := c.opened
	if openings == nil {
		var err error
		if openings, err = c.Desk.OpeningsAt(c.ctx, receiptFor+string(c.caller.Role), []uint64{index}); err != nil {
			return nil, err
		}
	}
	o, ok := openings[index]
	if !ok {
		return nil, nil
	}
	return &o, nil
}

// concerns reports whether a record is about the subject who asks: its sealed
// part says so, or it stands under one of their handles.
func (c *call) concerns(rec *record.Record, opening *custody.RecordOpening) (bool, error) {
	if opening != nil && rec.Commitment != nil {
		part, err := record.DecodePart(rec.Kind, opening.Part.Part)
		if err != nil {
			return false, err
		}
		return personIn(part) == c.caller.Person, nil
	}
	h, ok := record.HandleOf(rec.Body)
	if !ok {
		return c.closes(rec)
	}
	return c.owns(h)
}

// closes reports whether a record ends a hand-over under one of the subject's
// handles: those that other members wrote name only the intent.
func (c *call) closes(rec *record.Record) (bool, error) {
	var intent record.ID
	switch b := rec.Body.(type) {
	case *record.Received:
		intent = b.Intent
	case *record.Undelivered:
		intent = b.Intent
	default:
		return false, nil
	}
	index, found, err := c.final.State.IndexOf(intent)
	if err != nil || !found {
		return false, err
	}
	leaf, err := c.final.State.Leaf(index)
	if err != nil {
		return false, err
	}
	handOver, err := record.Parse(leaf)
	if err != nil {
		return false, err
	}
	h, ok := record.HandleOf(handOver.Body)
	if !ok {
		return false, nil
	}
	return c.owns(h)
}

// owns reports whether a handle is one of the subject who asks.
func (c *call) owns(h sign.PublicKey) (bool, error) {
	if c.handles == nil {
		var err error
		if c.handles, err = c.Desk.Handles(c.ctx, custody.Ref(c.caller.Person)); err != nil {
			return false, err
		}
	}
	for _, mine := range c.handles {
		if mine.Key == h {
			return true, nil
		}
	}
	return false, nil
}

func personIn(part any) string {
	switch p := part.(type) {
	case *record.ConsentPart:
		return p.Person
	case *record.HandOverPart:
		return p.Person
	case *record.ReceivedPart:
		return p.Person
	case *record.NotePart:
		return p.Person
	}
	return ""
}

// screenOf returns the screen of a record's terms, nil where it has none.
func (c *call) screenOf(rec *record.Record) ([]byte, error) {
	var hash record.Digest
	switch b := rec.Body.(type) {
	case *record.Consent:
		hash = b.Terms
	case *record.Revocation:
		hash = b.Terms
	case *record.Stop:
		if len(b.Terms) != len(hash) {
			return nil, nil
		}
		hash = record.Digest(b.Terms)
	case *record.Provision:
		h, err := rules.HandleState(c.final.State, b.Handle)
		if err != nil || h == nil {
			return nil, err
		}
		s, err := rules.Load[rules.Service](c.final.State, rules.KeyService(h.For))
		if err != nil || s == nil || b.Terms == 0 || int(b.Terms) > len(s.Terms) {
			return nil, err
		}
		hash = s.Terms[b.Terms-1].Hash
	default:
		return nil, nil
	}
	p, err := c.published(hash)
	if err != nil {
		return nil, err
	}
	return p.bytes, nil
}
