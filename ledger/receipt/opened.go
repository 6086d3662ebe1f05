package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// opened is a record with what its openings and its screen say.
type opened struct {
	rec    *record.Record
	timeMs uint64 // of its batch
	height uint64 // of its batch
	part   any    // nil: sealed
	items  *record.ItemsPart
	screen *record.Screen
}

// open checks an opening against a commitment and returns its part.
func (o *Opening) open(c record.Digest) ([]byte, error) {
	if len(o.Nonce) != len(seal.Nonce{}) {
		return nil, fmt.Errorf("nonce of %d bytes", len(o.Nonce))
	}
	if !seal.CheckOpening(c, seal.Nonce(o.Nonce), o.Part) {
		return nil, errors.New("it does not open the record's commitment")
	}
	return o.Part, nil
}

// openPart opens the record's sealed part.
func (r *opened) openPart(o *Opening) error {
	if o == nil {
		return nil
	}
	if r.rec.Commitment == nil {
		return errors.New("the record has no sealed part")
	}
	part, err := o.open(*r.rec.Commitment)
	if err != nil {
		return err
	}
	r.part, err = record.DecodePart(r.rec.Kind, part)
	return err
}

// confirmed reports whether an opened consent says that a passkey confirmed it.
func (r *opened) confirmed() bool {
	p, ok := r.part.(*record.ConsentPart)
	return ok && len(p.Evidence) > 0
}

// itemsOf returns a record's commitment to item codes.
func itemsOf(b record.Body) (record.Digest, bool) {
	switch b := b.(type) {
	case *record.Provision:
		return b.Items, true
	case *record.OptOut:
		return b.Items, true
	case *record.Received:
		return b.Items, true
	}
	return record.Digest{}, false
}

// openItems opens the items of a hand-over.
func (r *opened) openItems(o *Opening) error {
	if o == nil {
		return nil
	}
	c, ok := itemsOf(r.rec.Body)
	if !ok {
		return errors.New("the record has no items of its own")
	}
	part, err := o.open(c)
	if err != nil {
		return err
	}
	r.items = new(record.ItemsPart)
	return canon.UnmarshalMax(part, record.MaxLeafBytes, r.items)
}

// readScreen takes a screen whose hash must be that of the terms.
func (r *opened) readScreen(b []byte, terms *record.Digest) error {
	if len(b) == 0 {
		return nil
	}
	t := &record.Terms{Screen: b}
	if terms == nil || t.Hash() != *terms {
		return errors.New("it is not the screen of the record's terms")
	}
	var err error
	r.screen, err = t.Decode()
	return err
}

// itemCodes returns the item codes that are open.
func (r *opened) itemCodes() []string {
	if r.items != nil {
		return r.items.Items
	}
	switch p := r.part.(type) {
	case *record.ConsentPart:
		return p.Items
	case *record.HandOverPart:
		return p.Items
	}
	return nil
}
