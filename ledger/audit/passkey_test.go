package audit_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// An audit with openings checks what passkeys signed, and that consents that were
// confirmed at once stand one after another.
func TestPasskeys(t *testing.T) {
	type story struct {
		*ledgertest.Consortium
		h      sign.Key
		terms  record.Digest
		drafts []record.Draft
	}
	all := func(s *story) []*record.Record { return s.GrantAll("a-sha", s.h, s.drafts) }
	// second posts the second alone, over what the handle has now
	second := func(s *story) []*record.Record {
		st := s.State(s.h.Public())
		d := s.drafts[1:]
		d[0].Consent.Count, d[0].Consent.Head = st.Consents, st.ConsentHead
		return s.GrantAll("a-sha", s.h, d)
	}
	for _, tt := range []struct {
		name, code               string
		holds, broken, unchecked int
		recs                     func(s *story) []*record.Record // the last is to blame
		sealed                   func(recs []*record.Record) record.ID
	}{
		{"one after another", "", 2, 0, 0, all, nil},
		{"the first is sealed", "", 0, 0, 1, all, func(recs []*record.Record) record.ID { return recs[0].ID }},
		{"the second is sealed", "", 1, 0, 0, all, func(recs []*record.Record) record.ID { return recs[1].ID }},
		{"falsified", "passkey.signature", 1, 1, 0, func(s *story) []*record.Record {
			var e record.Evidence
			if err := canon.Unmarshal(s.drafts[1].Part.Evidence, &e); err != nil {
				t.Fatal(err)
			}
			e.Assertion.Signature[9] ^= 1
			s.drafts[1].Part.Evidence = canon.Must(&e)
			return all(s)
		}, nil},
		{"after a revocation", "passkey.challenge", 0, 1, 0, func(s *story) []*record.Record {
			s.Must("pf", s.Revoke(s.h, s.terms, 0)) // of an earlier consent
			return second(s)
		}, nil},
		{"after a stop", "passkey.challenge", 0, 1, 0, func(s *story) []*record.Record {
			s.Must("a-sha", s.StopAll(s.h.Public()))
			return second(s)
		}, nil},
		{"after another consent", "passkey.challenge", 0, 1, 0, func(s *story) []*record.Record {
			s.Must("a-sha", s.Grant(s.h, s.terms, 0))
			return second(s)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &story{Consortium: ledgertest.New(t, ledgertest.Options{})}
			s.terms, s.h = s.Offer("a-sha", "a-portal"), s.Person("hana").Handle("a-portal", 0)
			s.Must("a-sha", s.Grant(s.h, s.terms, 0))
			s.drafts = s.Drafts(s.h.Public(), s.terms, 0, 1)
			s.drafts[1].Consent.Expiry = uint32(record.DayOf(s.NowMs)) + 30
			s.drafts[1].Part.Items = []string{"income"}
			p := s.NewPasskey("hana", sign.AlgorithmES256, "https://id.a-sha.example")
			if err := record.Confirm(s.Origin, s.drafts, p.Answer(record.DraftChallenge(s.Origin, s.drafts))); err != nil {
				t.Fatal(err)
			}
			recs := tt.recs(s)
			s.Must("a-sha", recs...)
			if tt.sealed != nil {
				delete(s.Openings, tt.sealed(recs))
			}
			r := run(t, s.Consortium, logOf(s.Consortium), audit.Options{Openings: &openings{s.Consortium, nil}})
			if c := check(r, audit.CheckPasskey); c.Unchecked != tt.unchecked || c.Holds != tt.holds || c.Broken != tt.broken {
				t.Errorf("%+v\n%s", c, r.Text(false))
			}
			if tt.code != "" {
				index, _ := s.Find(recs[len(recs)-1].ID)
				if f := finds(t, r, tt.code, index); f.Member != "a-sha" || len(r.Findings) != 1 {
					t.Error(r.Text(false))
				}
			} else if !r.OK {
				t.Error(r.Text(false))
			}
		})
	}
}
