package receipt_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// source is a consortium's log at one height.
type source struct {
	c      *ledgertest.Consortium
	height uint64
	leaves ledgertest.Mem
	note   []byte
}

func at(c *ledgertest.Consortium, height uint64) *source {
	return &source{c, height, c.RegisterAt(height), c.Note(height)}
}

func newest(c *ledgertest.Consortium) *source { return at(c, c.Last().Height) }

func (s *source) Note() ([]byte, error)                { return s.note, nil }
func (s *source) Leaf(i uint64) ([]byte, error)        { return s.c.Leaves[i], nil }
func (s *source) Path(i uint64) ([]merkle.Hash, error) { return s.c.Inclusion(i, s.height), nil }
func (s *source) Prove(key []byte) (register.Proof, error) {
	return s.c.Heights[s.height].Register.Prove(s.leaves.Mem, key)
}

// options returns what the holder of all openings of a record adds.
func options(c *ledgertest.Consortium, r *record.Record) receipt.Options {
	var o receipt.Options
	if p, ok := c.Openings[r.ID]; ok && r.Commitment != nil {
		o.Opening = &receipt.Opening{Nonce: p.Nonce[:], Part: p.Part}
	}
	if p, ok := c.Items[r.ID]; ok {
		o.Items = &receipt.Opening{Nonce: p.Nonce[:], Part: p.Part}
	}
	return o
}

// built returns the receipt of a record at a source, which must verify.
func built(t testing.TB, src *source, r *record.Record, o receipt.Options) ([]byte, *receipt.Verdict) {
	t.Helper()
	index, _ := src.c.Find(r.ID)
	b, err := receipt.Build(src, index, o)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	v, err := receipt.Verify(b, src.c.Policy())
	if err != nil {
		t.Fatalf("verify: %v\n%s", err, b)
	}
	return b, v
}

// code returns the stable code of an error.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *receipt.Error
	if !errors.As(err, &e) {
		t.Fatalf("an error without a code: %v", err)
	}
	return e.Code()
}

// fields returns a file's JSON for tests that look inside.
func fields(t testing.TB, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// story is a small history with every kind of record a person has.
type story struct {
	c     *ledgertest.Consortium
	terms record.Digest
	hana  sign.Key
	recs  map[string]*record.Record
}

func newStory(t testing.TB, o ledgertest.Options) *story {
	s := &story{c: ledgertest.New(t, o), recs: map[string]*record.Record{}}
	c := s.c
	s.terms = c.Offer("a-sha", "a-portal")
	s.hana = c.Person("hana").Handle("a-portal", 0)
	s.post("consent", "a-sha", c.Grant(s.hana, s.terms, 0))
	c.Pass(86400_000)
	p := c.Provision(s.hana.Public(), 1, 0, "b-sha")
	s.post("provision", "a-sha", p)
	s.post("received", "b-sha", c.Received(p))
	p2 := c.Provision(s.hana.Public(), 1, 0, "b-sha")
	s.post("provision2", "a-sha", p2)
	s.post("undelivered", "b-sha", c.Undelivered(p2))
	s.post("denial", "b-sha", c.Denial(s.hana.Public(), record.CodeRevoked))
	s.post("filing", "a-sha", c.Filing("f-1", c.NowMs, "name"))
	s.post("optout", "a-sha", c.OptOut(s.hana.Public(), "f-1", "b-sha"))
	s.post("exception", "a-sha", c.Exception(s.hana.Public(), c.Member("a-sha").Approver))
	s.post("platform", "a-sha", c.Grant(s.hana, s.terms, 1, uint32(record.DayOf(c.NowMs))+30))
	s.post("revocation", "pf", c.Revoke(s.hana, s.terms, 0))
	return s
}

func (s *story) post(name, issuer string, r *record.Record) {
	s.c.Must(issuer, r)
	s.recs[name] = r
}
