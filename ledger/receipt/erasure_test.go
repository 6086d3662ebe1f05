package receipt_test

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// erasure is a consortium with an erasure that one of two holders attested.
type erasure struct {
	*person
	rec  *record.Record
	atts []*record.Record
}

func newErasure(t testing.TB) *erasure {
	return newErasureIn(ledgertest.New(t, ledgertest.Options{Seed: "erasure"}))
}

func newErasureIn(c *ledgertest.Consortium) *erasure {
	p := newPerson(c, "hana")
	terms := p.c.Offer("a-sha", "a-portal")
	p.do("a-sha", p.c.Grant(p.secret.Handle("a-portal", 0), terms, 0))
	e := &erasure{person: p, rec: p.c.Erasure([]record.KeyNumber{p.c.Number(), p.c.Number()}, "a-sha", "b-sha", "pf")}
	p.c.Must("a-sha", e.rec)
	e.attest("b-sha", p.c.Number())
	return e
}

func (e *erasure) attest(holder string, more ...record.KeyNumber) {
	e.c.Pass(3600_000)
	a := e.c.Attestation(e.rec.ID, more...)
	e.c.Must(holder, a)
	e.atts = append(e.atts, a)
}

func (e *erasure) certificate(t testing.TB) []byte {
	t.Helper()
	index, _ := e.c.Find(e.rec.ID)
	var at []uint64
	for _, a := range e.atts {
		i, _ := e.c.Find(a.ID)
		at = append(at, i)
	}
	b, err := receipt.BuildErasure(newest(e.c), index, at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErasureCertificate(t *testing.T) {
	e := newErasure(t)
	v, err := receipt.Verify(e.certificate(t), e.c.Policy())
	if err != nil {
		t.Fatal(err)
	}
	x := v.Erasure
	if x.Numbers != 3 || len(x.Done) != 1 || x.Done[0].Holder != "b-sha" || x.Done[0].Class != "file-slot" || x.Done[0].TimeMs == 0 ||
		len(x.Pending) != 2 || x.Pending[0].Holder != "a-sha" || x.Pending[1].Name.Ja != "pf社" {
		t.Errorf("%+v", x)
	}
	ja := strings.Join(v.Human.Ja, "\n")
	for _, want := range []string{"消去した：b-sha社", "まだ答えていない：a-sha社", "まだ答えていない：pf社", "証明できないこと"} {
		if !strings.Contains(ja, want) {
			t.Errorf("no %q in\n%s", want, ja)
		}
	}
	e.attest("pf")
	e.attest("a-sha")
	if v, err = receipt.Verify(e.certificate(t), e.c.Policy()); err != nil || len(v.Erasure.Pending) != 0 ||
		!strings.Contains(strings.Join(v.Human.Ja, "\n"), "すべての保管者が消去しました") {
		t.Errorf("all attested: %+v, %v", v.Erasure, err)
	}
	index, _ := e.c.Find(e.rec.ID)
	one, _ := e.c.Find(e.atts[0].ID)
	two, _ := e.c.Find(e.atts[1].ID)
	for _, at := range [][]uint64{{one, two}, {two, one}, nil} {
		if _, err := receipt.BuildErasure(newest(e.c), index, at); err == nil {
			t.Errorf("attestations %v were taken for all", at)
		}
	}
}

// newKept is an erasure whose holders say what they keep. One of them passed the
// data on meanwhile; of a-sha's custodians one has attested, one has not, and one
// reported its copies stolen.
func newKept(c *ledgertest.Consortium) *erasure {
	for _, custodian := range []string{"b-sha", "c-sha", "pf"} {
		c.Must("a-sha", c.Custodian("a-sha", custodian, 0))
		c.Must(custodian, c.Custodian("a-sha", custodian, 3))
	}
	e := &erasure{person: newPerson(c, "hana"), rec: c.Erasure([]record.KeyNumber{c.Number()}, "a-sha", "b-sha")}
	c.Must("a-sha", e.rec)
	for _, said := range []struct {
		by  string
		rec *record.Record
	}{
		{"a-sha", ledgertest.Keeping(c.Attestation(e.rec.ID), ledgertest.Day("2030-04-30"))},
		{"b-sha", ledgertest.Keeping(c.Attestation(e.rec.ID, c.Number()), 0, "c-sha")},
		{"b-sha", c.AttestCopies(e.rec.ID, "a-sha", 4)},
	} {
		c.Pass(60_000)
		c.Must(said.by, said.rec)
		e.atts = append(e.atts, said.rec)
	}
	c.Must("a-sha", c.CustodianLost("a-sha", "c-sha", record.LostStolen))
	return e
}

// TestErasureKept: a certificate says what each holder keeps and until when, and
// lists whom a holder named later.
func TestErasureKept(t *testing.T) {
	e := newKept(ledgertest.New(t, ledgertest.Options{Seed: "erasure"}))
	v, err := receipt.Verify(e.certificate(t), e.c.Policy())
	if err != nil {
		t.Fatal(err)
	}
	x := v.Erasure
	if len(x.Done) != 2 || x.Done[0].Kept.RecordsUntil != "2030-04-30" || x.Done[1].Kept == nil || x.Done[1].Kept.RecordsUntil != "" ||
		len(x.Pending) != 1 || x.Pending[0].Name.Ja != "c-sha社" || len(x.Copies) != 3 || x.Complete() {
		t.Errorf("%+v", x)
	}
	ja := strings.Join(v.Human.Ja, "\n")
	for _, want := range []string{"法律で残す記録（提供の記録など）：a-sha社、2030-04-30 の終わりまで", "法律で残す記録はない：b-sha社", "まだ答えていない：c-sha社"} {
		if !strings.Contains(ja, want) {
			t.Errorf("no %q in\n%s", want, ja)
		}
	}
}

func TestMangleErasure(t *testing.T) {
	e := newErasure(t)
	b := e.certificate(t)
	mangleEveryByte(t, "erasure", b, func(m []byte) error {
		_, err := receipt.Verify(m, e.c.Policy())
		return err
	})
}

// TestErasureCopies: custodians of the holders' keys stand in the certificate, until
// they attest or lost their copies by name.
func TestErasureCopies(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{Seed: "erasure"})
	for _, custodian := range []string{"b-sha", "c-sha", "pf"} {
		c.Must("a-sha", c.Custodian("a-sha", custodian, 0))
		c.Must(custodian, c.Custodian("a-sha", custodian, 3))
	}
	e := &erasure{person: newPerson(c, "hana"), rec: c.Erasure([]record.KeyNumber{c.Number()}, "a-sha")}
	c.Must("a-sha", e.rec)
	e.attest("a-sha")
	copies := c.AttestCopies(e.rec.ID, "a-sha", 4)
	c.Must("b-sha", copies)
	e.atts = append(e.atts, copies)
	c.Must("a-sha", c.CustodianLost("a-sha", "c-sha", record.LostStolen))

	v, err := receipt.Verify(e.certificate(t), c.Policy())
	if err != nil {
		t.Fatal(err)
	}
	x := v.Erasure
	if len(x.Pending) != 0 || x.Complete() || len(x.Copies) != 3 || x.Copies[0].Generation != 4 || x.Copies[0].TimeMs == 0 ||
		x.Copies[1].Lost != record.LostStolen || x.Copies[1].LostMs == 0 || x.Copies[2].TimeMs != 0 || x.Copies[2].Lost != "" {
		t.Errorf("%+v", x)
	}
	ja := strings.Join(v.Human.Ja, "\n")
	for _, want := range []string{"消去した：a-sha社の鍵の写し（保管：b-sha社）", "例外：盗まれたと届け出た：a-sha社の鍵の写し（保管：c-sha社）", "まだ答えていない：a-sha社の鍵の写し（保管：pf社）"} {
		if !strings.Contains(ja, want) {
			t.Errorf("no %q in\n%s", want, ja)
		}
	}
	if strings.Contains(ja, "すべての保管者") {
		t.Error("complete, though one has not answered")
	}
	c.Must("pf", c.CustodianLost("a-sha", "pf", record.LostDestroyed))
	if v, err = receipt.Verify(e.certificate(t), c.Policy()); err != nil || !v.Erasure.Complete() {
		t.Errorf("every custodian answered or is excepted: %+v, %v", v.Erasure, err)
	}
	e.atts = e.atts[:1]
	index, _ := c.Find(e.rec.ID)
	first, _ := c.Find(e.atts[0].ID)
	if _, err := receipt.BuildErasure(newest(c), index, []uint64{first}); err == nil {
		t.Error("a custodian's attestation was left out, and nobody noticed")
	}
}
