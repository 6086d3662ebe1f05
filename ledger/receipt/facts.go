package receipt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// A lookup answers what the register says of a key, nil where it is proven to
// be absent. Deriving asks in an order that follows from what it has proven so
// far: a builder records the answers, a verifier takes them from the file.
type lookup func(key string) ([]byte, error)

// asking records the proofs that a derivation needs.
func (s *sourced) asking(facts *[]fact) lookup {
	seen := map[string][]byte{}
	return func(key string) ([]byte, error) {
		if v, ok := seen[key]; ok {
			return v, nil
		}
		p, err := s.Prove([]byte(key))
		if err != nil {
			return nil, fmt.Errorf("register proof: %w", err)
		}
		b, err := p.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("register proof: %w", err)
		}
		*facts = append(*facts, fact{[]byte(key), b})
		if p.Leaf != nil && p.Leaf.KeyHash == register.HashKey([]byte(key)) {
			seen[key] = p.Leaf.Value
		} else {
			seen[key] = nil
		}
		return seen[key], nil
	}
}

// answering takes the answers from proofs under a root, in order. What is left
// at the end was not asked for.
func answering(root record.Digest, facts []fact) (ask lookup, rest func() error) {
	seen := map[string][]byte{}
	ask = func(key string) ([]byte, error) {
		if v, ok := seen[key]; ok {
			return v, nil
		}
		if len(facts) == 0 || string(facts[0].Key) != key {
			return nil, fmt.Errorf("the proof of %s is missing or out of order", readable(key))
		}
		v, err := facts[0].value(root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", readable(key), err)
		}
		seen[key], facts = v, facts[1:]
		return v, nil
	}
	rest = func() error {
		if len(facts) > 0 {
			return fmt.Errorf("%d proofs that nothing needs", len(facts))
		}
		return nil
	}
	return ask, rest
}

// value verifies a register proof; nil where the key is absent.
func (f *fact) value(root record.Digest) ([]byte, error) {
	var p register.Proof
	if err := p.UnmarshalBinary(f.Proof); err != nil {
		return nil, err
	}
	v, present, err := register.Verify(merkle.Hash(root), f.Key, p)
	if err != nil || !present {
		return nil, err
	}
	return v, nil
}

// readable is the part of a key before its binary part.
func readable(key string) string {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return key[:i] + "…"
		}
	}
	return key
}

// get decodes a register value, nil where there is none.
func get[T any](ask lookup, key string) (*T, error) {
	b, err := ask(key)
	if err != nil || b == nil {
		return nil, err
	}
	v := new(T)
	if err := canon.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("value of %s: %w", readable(key), err)
	}
	return v, nil
}

// must is get for a value that cannot be absent.
func must[T any](ask lookup, key string) (*T, error) {
	v, err := get[T](ask, key)
	if err == nil && v == nil {
		err = fmt.Errorf("%s is not in the register", readable(key))
	}
	return v, err
}

// facts are what the human view needs of the register.
type facts struct {
	ask      lookup
	policy   *rules.Policy
	issuer   *rules.Party
	handle   *rules.Handle
	service  *rules.Service // nil where the handle is towards a party
	party    *rules.Party   // towards which the handle is, without a service
	terms    *rules.Terms
	hash     *record.Digest // of the terms
	scope    *record.Scope
	names    map[string]record.Text // of parties
	purposes map[string]record.Text
	items    map[string]record.Text
}

// newFacts begins with what every file needs.
func newFacts(ask lookup) (*facts, error) {
	f := &facts{ask: ask, names: map[string]record.Text{}, purposes: map[string]record.Text{}, items: map[string]record.Text{}}
	var err error
	f.policy, err = must[rules.Policy](ask, rules.KeyPolicy)
	return f, err
}

// of asks for what a record leads to.
func (f *facts) of(r *opened) error {
	var err error
	if f.issuer, err = must[rules.Party](f.ask, rules.KeyParty(r.rec.Issuer)); err != nil {
		return err
	}
	f.names[f.issuer.ID] = f.issuer.Name
	if err := f.towards(r.rec); err != nil {
		return err
	}
	if err := f.parties(recipients(r, f.scope)); err != nil {
		return err
	}
	if err := f.purpose(r); err != nil {
		return err
	}
	return f.attributes(r.itemCodes())
}

// towards finds handle, service, terms and scope of a record.
func (f *facts) towards(rec *record.Record) (err error) {
	scope := uint8(record.ScopeAll)
	switch b := rec.Body.(type) {
	case *record.Consent:
		f.hash, scope = &b.Terms, b.Scope
	case *record.Revocation:
		f.hash, scope = &b.Terms, b.Scope
	case *record.Stop:
		if b.Scope == record.ScopeAll {
			return f.handled(b.Handle)
		}
		d := record.Digest(b.Terms)
		f.hash, scope = &d, b.Scope
	case *record.Provision:
		if err := f.handled(b.Handle); err != nil {
			return err
		}
		if f.service == nil || int(b.Terms) > len(f.service.Terms) {
			return errors.New("the hand-over names terms that its service has not")
		}
		f.hash, scope = &f.service.Terms[b.Terms-1].Hash, b.Scope
	default:
		if h, ok := record.HandleOf(rec.Body); ok {
			return f.handled(h)
		}
		return nil
	}
	if f.terms, err = must[rules.Terms](f.ask, rules.KeyTerms(*f.hash)); err != nil {
		return err
	}
	if int(scope) >= len(f.terms.Scopes) {
		return errors.New("the terms have no such scope")
	}
	f.scope = &f.terms.Scopes[scope]
	if f.service == nil {
		f.service, err = must[rules.Service](f.ask, rules.KeyService(f.terms.Service))
	}
	return err
}

// handled asks for a handle and for what it is towards.
func (f *facts) handled(h sign.PublicKey) (err error) {
	if f.handle, err = must[rules.Handle](f.ask, rules.KeyHandle(h)); err != nil {
		return err
	}
	return f.owner(f.handle.For)
}

func (f *facts) owner(id string) (err error) {
	if f.service, err = get[rules.Service](f.ask, rules.KeyService(id)); err != nil || f.service != nil {
		return err
	}
	f.party, err = must[rules.Party](f.ask, rules.KeyParty(id))
	return err
}

// towardsName is what the handle is towards, for people.
func (f *facts) towardsName() (record.Text, bool) {
	switch {
	case f.service != nil:
		return f.service.Name, true
	case f.party != nil:
		return f.party.Name, true
	}
	return record.Text{}, false
}

// recipients returns the parties whose names a record's view needs, ascending.
func recipients(r *opened, sc *record.Scope) []string {
	var ids []string
	switch b := r.rec.Body.(type) {
	case *record.Consent:
		ids = append(ids, sc.Recipients...)
	case *record.Provision:
		ids = append(ids, b.To)
	case *record.OptOut:
		ids = append(ids, b.To)
	}
	if p, ok := r.part.(*record.ReceivedPart); ok && record.ValidID(p.From) {
		ids = append(ids, p.From)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (f *facts) parties(ids []string) error {
	for _, id := range ids {
		if _, ok := f.names[id]; ok {
			continue
		}
		p, err := get[rules.Party](f.ask, rules.KeyParty(id))
		if err != nil {
			return err
		}
		if f.names[id] = text(id, id); p != nil {
			f.names[id] = p.Name
		}
	}
	return nil
}

func (f *facts) purpose(r *opened) error {
	code := ""
	if f.scope != nil {
		code = f.scope.Purpose
	}
	if p, ok := r.part.(*record.HandOverPart); ok && record.ValidID(p.Purpose) {
		code = p.Purpose
	}
	if code == "" {
		return nil
	}
	return f.purposeLabel(code)
}

// purposeLabel asks for the label of a purpose, which is its code where the
// register has none.
func (f *facts) purposeLabel(code string) error {
	if _, ok := f.purposes[code]; ok {
		return nil
	}
	p, err := get[record.Purpose](f.ask, rules.KeyPurpose(code))
	if err != nil {
		return err
	}
	if f.purposes[code] = text(code, code); p != nil {
		f.purposes[code] = p.Label
	}
	return nil
}

func (f *facts) attributes(codes []string) error {
	for _, code := range codes {
		if _, ok := f.items[code]; ok || !record.ValidID(code) {
			continue
		}
		a, err := get[record.Attribute](f.ask, rules.KeyAttribute(code))
		if err != nil {
			return err
		}
		if f.items[code] = text(code, code); a != nil {
			f.items[code] = a.Label
		}
	}
	return nil
}
