package rest

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// ScreenForm is what a consent screen says, as JSON.
type ScreenForm struct {
	Service    string      `json:"service"`
	Version    string      `json:"version"`
	Effective  time.Time   `json:"effective" doc:"RFC 3339, whole milliseconds"`
	Text       record.Text `json:"text"`
	Withdrawal record.Text `json:"withdrawal" doc:"how to stop, and what then happens"`
	Retention  string      `json:"retention,omitempty" doc:"ISO 8601 duration"`
	Clauses    []string    `json:"clauses,omitempty"`
	Scopes     []ScopeForm `json:"scopes" minItems:"1" maxItems:"16" doc:"the index names the scope"`
	Foreign    string      `json:"foreign,omitempty" doc:"ground of transfer abroad"`
}

// ScopeForm is one purpose on the screen that can be on or off.
type ScopeForm struct {
	Purpose    string   `json:"purpose"`
	Required   []string `json:"required,omitempty" doc:"item codes"`
	Optional   []string `json:"optional,omitempty" doc:"item codes"`
	Recipients []string `json:"recipients,omitempty" doc:"party ids"`
	Categories []string `json:"categories,omitempty" doc:"categories of parties"`
	MaxExpiry  string   `json:"maxExpiry,omitempty" doc:"ISO 8601 duration; none: without end"`
}

// TermsView is one published version of terms.
type TermsView struct {
	Hash   string     `json:"hash"`
	Number uint32     `json:"number" doc:"among the service's, from 1"`
	Index  uint64     `json:"index" doc:"of its leaf"`
	Height uint64     `json:"height"`
	Screen ScreenForm `json:"screen"`
	Bytes  []byte     `json:"bytes" doc:"the canonical bytes that the hash is over"`
}

// screen returns the canonical screen; lists of codes are sets and are put in
// order, text stays as it is.
func (f *ScreenForm) screen() *record.Screen {
	s := &record.Screen{Service: f.Service, Version: f.Version, EffectiveMs: uint64(f.Effective.UnixMilli()), Text: f.Text, Withdrawal: f.Withdrawal,
		Retention: f.Retention, Clauses: ordered(f.Clauses), Foreign: f.Foreign}
	for _, p := range f.Scopes {
		s.Scopes = append(s.Scopes, record.Scope{Purpose: p.Purpose, Required: ordered(p.Required), Optional: ordered(p.Optional),
			Recipients: ordered(p.Recipients), Categories: ordered(p.Categories), MaxExpiry: p.MaxExpiry})
	}
	return s
}

func formOf(s *record.Screen) ScreenForm {
	f := ScreenForm{Service: s.Service, Version: s.Version, Effective: time.UnixMilli(int64(s.EffectiveMs)).In(record.JST), Text: s.Text, Withdrawal: s.Withdrawal,
		Retention: s.Retention, Clauses: s.Clauses, Foreign: s.Foreign, Scopes: []ScopeForm{}}
	for _, p := range s.Scopes {
		f.Scopes = append(f.Scopes, ScopeForm{Purpose: p.Purpose, Required: p.Required, Optional: p.Optional,
			Recipients: p.Recipients, Categories: p.Categories, MaxExpiry: p.MaxExpiry})
	}
	return f
}

// ordered returns a sorted copy, nil where there is nothing.
func ordered(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Sorted(slices.Values(s))
}

// A screenCache holds terms that were read out of the log; they never change.
type screenCache struct {
	mu    sync.Mutex
	terms map[record.Digest]*published
}

const maxScreens = 256

type published struct {
	bytes  []byte
	index  uint64
	height uint64
	number uint32
}

func (c *call) terms() (any, error) {
	var hash record.Digest
	text := c.r.PathValue("hash")
	if n, err := hex.Decode(hash[:], []byte(text[:min(len(text), 2*len(hash))])); err != nil || n != len(hash) || len(text) != 2*n || strings.ToLower(text) != text {
		return nil, record.Refuse(record.CodeTermsUnknown, "")
	}
	p, err := c.published(hash)
	if err != nil {
		return nil, err
	}
	s, err := (&record.Terms{Screen: p.bytes}).Decode()
	if err != nil {
		return nil, err
	}
	return TermsView{Hash: text, Number: p.number, Index: p.index, Height: p.height, Screen: formOf(s), Bytes: p.bytes}, nil
}

// published finds the record that published terms.
func (c *call) published(hash record.Digest) (*published, error) {
	c.screens.mu.Lock()
	p := c.screens.terms[hash]
	c.screens.mu.Unlock()
	if p != nil {
		return p, nil
	}
	t, err := rules.Load[rules.Terms](c.final.State, rules.KeyTerms(hash))
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, record.Refuse(record.CodeTermsUnknown, "")
	}
	if p, err = c.findTerms(hash, t); err != nil {
		return nil, err
	}
	c.screens.mu.Lock()
	if len(c.screens.terms) >= maxScreens || c.screens.terms == nil {
		c.screens.terms = map[record.Digest]*published{}
	}
	c.screens.terms[hash] = p
	c.screens.mu.Unlock()
	return p, nil
}

// findTerms reads the batch that the register names.
func (c *call) findTerms(hash record.Digest, t *rules.Terms) (*published, error) {
	end, err := c.final.State.EndOf(t.Height)
	if err != nil {
		return nil, err
	}
	var found *published
	err = c.final.State.Range(end.First, end.Size, func(index uint64, leaf []byte) error {
		if record.PeekKind(leaf) != record.KindTerms {
			return nil
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			return err
		}
		if body, ok := rec.Body.(*record.Terms); ok && body.Hash() == hash {
			found = &published{bytes: slices.Clone(body.Screen), index: index, height: t.Height, number: t.Number}
			return fs.SkipAll
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, err
	}
	if found == nil {
		return nil, record.Refuse(record.CodeTermsUnknown, "")
	}
	return found, nil
}
