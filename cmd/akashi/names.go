package main

import (
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// publicNames are the public names that pages show.
type publicNames struct {
	st       *store.State
	dir      *rules.Directory
	services map[string]*rules.Service
	parties  map[string]record.Text
}

func namesOf(st *store.State) (*publicNames, error) {
	w := &publicNames{st: st, services: map[string]*rules.Service{}, parties: map[string]record.Text{}}
	var err error
	if w.dir, err = rules.Load[rules.Directory](st, rules.KeyDirectory); err != nil || w.dir == nil {
		return nil, err
	}
	for _, id := range w.dir.Services {
		if w.services[id], err = rules.Load[rules.Service](st, rules.KeyService(id)); err != nil {
			return nil, err
		}
	}
	for _, id := range w.dir.Parties {
		p, err := rules.Load[rules.Party](st, rules.KeyParty(id))
		if err != nil {
			return nil, err
		}
		w.parties[id] = p.Name
	}
	return w, nil
}

func (w *publicNames) party(id string) record.Text {
	if t, ok := w.parties[id]; ok {
		return t
	}
	return record.Text{Ja: id, En: id}
}

// to is party for a recipient who may be named in words only, or not at all.
func (w *publicNames) to(id string) record.Text {
	if id == "" {
		return record.Text{Ja: "（封じてあります）", En: "(sealed)"}
	}
	return w.party(id)
}

func (w *publicNames) service(id string) record.Text {
	if s, ok := w.services[id]; ok {
		return s.Name
	}
	return w.party(id)
}

func (w *publicNames) purpose(code string) record.Text {
	if code == "" {
		return record.Text{}
	}
	if p, err := rules.Load[record.Purpose](w.st, rules.KeyPurpose(code)); err == nil && p != nil {
		return p.Label
	}
	return record.Text{Ja: code, En: code}
}

func (w *publicNames) items(codes []string) []record.Text {
	var out []record.Text
	for _, code := range codes {
		t := record.Text{Ja: code, En: code}
		if a, err := rules.Load[record.Attribute](w.st, rules.KeyAttribute(code)); err == nil && a != nil {
			t = a.Label
		}
		out = append(out, t)
	}
	return out
}
