package record

import "github.com/akashi-ledger/akashi/crypto/canon"
import "crypto/sha256"

// Service is what a member offers, or a party through its host member; the
// issuer is its owner. Consents are given to a service.
type Service struct {
	ID       string   `cbor:"1,keyasint"`
	Name     Text     `cbor:"2,keyasint"`
	Contact  Text     `cbor:"3,keyasint"`
	Clauses  []string `cbor:"4,keyasint,omitempty"` // clauses that its terms must hold, ascending
	Fields   []string `cbor:"5,keyasint,omitempty"` // item codes of registration, ascending
	SelfOnly bool     `cbor:"6,keyasint,omitempty"` // registration only by the person
}

func (s *Service) check() error {
	if err := checkID("service", s.ID); err != nil {
		return err
	}
	if err := checkText("service's name", s.Name, MaxNameBytes); err != nil {
		return err
	}
	if err := checkText("service's contact", s.Contact, MaxNameBytes); err != nil {
		return err
	}
	if err := checkIDs("clauses", s.Clauses, 64); err != nil {
		return err
	}
	return checkIDs("fields", s.Fields, MaxItems)
}

// Terms publishes one immutable version of what a consent screen says. It is
// named by the SHA-256 hash of its Screen bytes.
type Terms struct {
	Screen []byte `cbor:"1,keyasint"` // canonical bytes of a Screen
}

func (t *Terms) check() error {
	_, err := t.Decode()
	return err
}

// Decode returns the screen.
func (t *Terms) Decode() (*Screen, error) {
	s := new(Screen)
	if err := canon.UnmarshalMax(t.Screen, MaxLeafBytes, s); err != nil {
		return nil, refusedForm(err)
	}
	return s, s.check()
}

// Hash returns the name of the terms.
func (t *Terms) Hash() Digest { return sha256.Sum256(t.Screen) }

// Screen is all that a consent screen says, in its short layer and in full.
type Screen struct {
	Service     string   `cbor:"1,keyasint"`
	Version     string   `cbor:"2,keyasint"`
	EffectiveMs uint64   `cbor:"3,keyasint"`
	Text        Text     `cbor:"4,keyasint"`
	Withdrawal  Text     `cbor:"5,keyasint"`           // how to stop, and what then happens
	Retention   string   `cbor:"6,keyasint,omitempty"` // ISO 8601 duration
	Clauses     []string `cbor:"7,keyasint,omitempty"` // ascending
	Scopes      []Scope  `cbor:"8,keyasint"`           // at most 16; the index names the scope
	Foreign     string   `cbor:"9,keyasint,omitempty"` // ground of transfer abroad shown on the screen
}

// Scope is one purpose on the screen that can be on or off.
type Scope struct {
	Purpose    string   `cbor:"1,keyasint"`
	Required   []string `cbor:"2,keyasint,omitempty"` // item codes, ascending
	Optional   []string `cbor:"3,keyasint,omitempty"` // item codes, ascending
	Recipients []string `cbor:"4,keyasint,omitempty"` // party ids, ascending
	Categories []string `cbor:"5,keyasint,omitempty"` // categories of parties, ascending
	MaxExpiry  string   `cbor:"6,keyasint,omitempty"` // ISO 8601 duration of years, months or days; none: without end
}

func (s *Screen) check() error {
	if err := checkID("service", s.Service); err != nil {
		return err
	}
	if len(s.Version) == 0 || len(s.Version) > MaxIDBytes || s.EffectiveMs > MaxTimeMs {
		return refuse(CodeRecordMalformed, "version or effective time")
	}
	if err := checkText("text", s.Text, MaxTextBytes); err != nil {
		return err
	}
	if err := checkText("withdrawal", s.Withdrawal, MaxTextBytes); err != nil {
		return err
	}
	if err := checkIDs("clauses", s.Clauses, 64); err != nil {
		return err
	}
	if len(s.Scopes) == 0 || len(s.Scopes) > MaxScopes || len(s.Retention) > MaxIDBytes || len(s.Foreign) > MaxIDBytes {
		return refuse(CodeRecordMalformed, "%d scopes, 1 to %d", len(s.Scopes), MaxScopes)
	}
	for i := range s.Scopes {
		if err := s.Scopes[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scope) check() error {
	if err := checkID("purpose", s.Purpose); err != nil {
		return err
	}
	for _, l := range []struct {
		what string
		ids  []string
		most int
	}{
		{"required items", s.Required, MaxItems}, {"optional items", s.Optional, MaxItems},
		{"recipients", s.Recipients, MaxParties}, {"recipient categories", s.Categories, 16},
	} {
		if err := checkIDs(l.what, l.ids, l.most); err != nil {
			return err
		}
	}
	if s.MaxExpiry != "" {
		if _, err := ParsePeriod(s.MaxExpiry); err != nil {
			return err
		}
	}
	return nil
}

// Has reports whether the scope lists an item as required or optional.
func (s *Scope) Has(item string) bool {
	return contains(s.Required, item) || contains(s.Optional, item)
}

func contains(ids []string, id string) bool {
	for _, s := range ids {
		if s == id {
			return true
		}
	}
	return false
}
