package audit_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

func TestOpenings(t *testing.T) {
	c, recs := newLog(t)
	o := &openings{c, map[record.ID]bool{}}
	r := run(t, c, logOf(c), audit.Options{Openings: o})
	if !r.OK {
		t.Fatal(r.Text(false))
	}
	if r.Provisions != (audit.Provisions{Opened: 4}) || check(r, audit.CheckSealed).Unchecked != 0 || check(r, audit.CheckContent).Holds != 6 {
		t.Errorf("%+v\n%s", r.Provisions, r.Text(false))
	}
	o.erased[recs["provision"].ID], o.erased[recs["two"].ID] = true, true
	delete(c.Items, recs["optout"].ID)
	r = run(t, c, logOf(c), audit.Options{Openings: o})
	if !r.OK || r.Provisions != (audit.Provisions{Opened: 1, Attested: 1, Erased: 1, Unopened: 1}) {
		t.Errorf("%+v\n%s", r.Provisions, r.Text(false))
	}
}

// What only the openings show.
func TestSealedContent(t *testing.T) {
	type story struct {
		*ledgertest.Consortium
		terms record.Digest
	}
	provision := func(s *story, p *record.HandOverPart, items ...string) *record.Record {
		hana := s.Person("hana").Handle("a-portal", 0)
		r := s.Consortium.Provision(hana.Public(), 1, 0, "b-sha")
		b := r.Body.(*record.Provision)
		b.Items = s.Commit(s.Items, r.ID, &record.ItemsPart{Items: items})
		d := s.Commit(s.Openings, r.ID, p)
		r.Commitment = &d
		return r
	}
	part := func(levels ...record.Level) *record.HandOverPart {
		return &record.HandOverPart{Person: "p", Purpose: "service", TimeMs: 1, Levels: levels}
	}
	consent := func(s *story, items ...string) *record.Record {
		r := s.Grant(s.Person("taro").Handle("a-portal", 0), s.terms, 0)
		d := s.Commit(s.Openings, r.ID, &record.ConsentPart{Items: items, Person: "p", TimeMs: 1})
		r.Commitment = &d
		b := r.Body.(*record.Consent)
		b.Sig = s.Person("taro").Handle("a-portal", 0).Sign("consent", s.Origin, b.Statement(d))
		return r
	}
	// platform hands income over under the second scope, with a level.
	platform := func(s *story, l record.Level) *record.Record {
		hana := s.Person("hana").Handle("a-portal", 0)
		g := s.Grant(hana, s.terms, 1, uint32(record.DayOf(s.NowMs))+30)
		d := s.Commit(s.Openings, g.ID, &record.ConsentPart{Items: []string{"income"}, Person: "p", TimeMs: 1})
		g.Commitment = &d
		b := g.Body.(*record.Consent)
		b.Sig = hana.Sign("consent", s.Origin, b.Statement(d))
		s.Must("a-sha", g)
		r := provision(s, &record.HandOverPart{Person: "p", Purpose: "platform", TimeMs: 1, Levels: []record.Level{l}}, "income")
		r.Body.(*record.Provision).Scope = 1
		return r
	}
	for _, tt := range []struct {
		name, code string
		rec        func(s *story) *record.Record
	}{
		{"as consented", "", func(s *story) *record.Record { return provision(s, part(), "name", "user-id") }},
		{"item without consent", "item-not-consented", func(s *story) *record.Record { return provision(s, part(), "birth-year") }},
		{"item not on the screen", "item-not-on-screen", func(s *story) *record.Record { return provision(s, part(), "allergy") }},
		{"other purpose", "purpose-not-consented", func(s *story) *record.Record {
			return provision(s, &record.HandOverPart{Person: "p", Purpose: "platform", TimeMs: 1}, "name")
		}},
		{"level of an item that is not there", "item.unknown", func(s *story) *record.Record {
			return provision(s, part(record.Level{Item: "address", Level: "city"}), "name")
		}},
		{"unknown level", "finer-than-allowed", func(s *story) *record.Record {
			return provision(s, part(record.Level{Item: "name", Level: "room"}), "name")
		}},
		{"known level", "", func(s *story) *record.Record {
			return provision(s, part(record.Level{Item: "name", Level: "city"}), "name")
		}},
		{"unknown bracket", "bracket-unknown", func(s *story) *record.Record {
			return platform(s, record.Level{Item: "income", Level: "exactly-1234567"})
		}},
		{"known bracket", "", func(s *story) *record.Record {
			return platform(s, record.Level{Item: "income", Level: "3m-6m"})
		}},
		{"consent beyond the screen", "item-not-on-screen", func(s *story) *record.Record { return consent(s, "allergy", "user-id") }},
		{"consent without what is required", "required-item-missing", func(s *story) *record.Record { return consent(s, "name") }},
		{"consent", "", func(s *story) *record.Record { return consent(s, "name", "user-id") }},
		{"opening of something else", "opening.mismatch", func(s *story) *record.Record {
			r := provision(s, part(), "name")
			s.Openings[r.ID] = s.Items[r.ID]
			return r
		}},
		{"item not filed", "optout-item-not-filed", func(s *story) *record.Record {
			s.Must("a-sha", s.Filing("f-1", s.NowMs, "name"))
			r := s.OptOut(s.Person("hana").Handle("a-portal", 0).Public(), "f-1", "b-sha")
			r.Body.(*record.OptOut).Items = s.Commit(s.Items, r.ID, &record.ItemsPart{Items: []string{"income"}})
			return r
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &story{Consortium: ledgertest.New(t, ledgertest.Options{})}
			s.terms = s.Offer("a-sha", "a-portal")
			s.Must("a-sha", s.Grant(s.Person("hana").Handle("a-portal", 0), s.terms, 0))
			rec := tt.rec(s)
			s.Must("a-sha", rec)
			r := run(t, s.Consortium, logOf(s.Consortium), audit.Options{Openings: &openings{s.Consortium, nil}})
			if tt.code == "" {
				if !r.OK {
					t.Error(r.Text(false))
				}
				return
			}
			index, _ := s.Find(rec.ID)
			if f := finds(t, r, tt.code, index); f.Member != "a-sha" || len(r.Findings) != 1 {
				t.Error(r.Text(false))
			}
		})
	}
}
