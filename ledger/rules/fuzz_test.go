package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// everyKind returns a consortium in which much has happened, and records of
// every kind that its next batch would accept.
func everyKind(t testing.TB) (*ledgertest.Consortium, map[string][]*record.Record) {
	t.Helper()
	c := ledgertest.New(t, ledgertest.Options{})
	terms := c.Offer("a-sha", "portal")
	p := func(name string) *record.Record { return c.Grant(c.Person(name).Handle("portal", 0), terms, 0) }
	h := c.Person("hana").Handle("portal", 0)
	tree := c.Tree("t")
	c.Must("a-sha", c.Grant(h, terms, 0), tree, c.Filing("f-1", 1, "name"), p("taro"))
	in, in2 := c.Provision(h.Public(), 1, 0, "b-sha"), c.Provision(h.Public(), 1, 0, "b-sha")
	e := c.Erasure([]record.KeyNumber{c.Number()}, "a-sha", "b-sha")
	c.Must("a-sha", in, in2, e)
	c.Must("pf", c.Party("shop"), c.Party("stall"), c.SensorApprove("s-1", "a-sha"))
	c.Must("a-sha", c.Custodian("a-sha", "b-sha", 0))
	c.Must("b-sha", c.Custodian("a-sha", "b-sha", 3))
	terms2, _ := c.Terms(c.Screen("portal", "2"))
	taro := c.Person("taro")
	return c, map[string][]*record.Record{
		"a-sha": {c.Service("x"), terms2, p("jiro"), c.Stop(h.Public(), terms, 1),
			c.HandleOpen(c.Person("x").Handle("portal", 0).Public(), "portal"),
			c.HandleMove(taro.Handle("portal", 0), taro.Handle("portal", 1)), c.Provision(h.Public(), 1, 0, "b-sha"),
			c.OptOut(h.Public(), "f-1", "b-sha"), c.FilingEnd("f-1"), c.Exception(h.Public(), c.Member("a-sha").Approver),
			c.Denial(h.Public(), record.CodeRevoked), c.Erasure([]record.KeyNumber{c.Number()}, "a-sha"),
			c.Attestation(e.ID, c.Number()), c.SensorRetire("s-1"), c.TreeAdvance(rules.TreeID(leafHash(c.Leaf(tree))), 7, record.Digest{7}),
			c.Custodian("a-sha", "pf", 0)},
		"b-sha": {c.Received(in), c.Undelivered(in2), c.Attestation(e.ID), c.Tree("u"), c.Tick(), c.CustodianLost("a-sha", "b-sha", record.LostStolen)},
		"pf": {c.Party("cafe"), c.Leave("shop"), c.SensorApprove("s-2", "b-sha"), c.Revoke(h, terms, 0), c.StopAll(h.Public()),
			c.HandleClose(h.Public()), c.Vote("v", []record.Parameter{{Name: "phase", Value: "1"}}, "b-sha", "c-sha", "pf")},
		"stall": {c.KeyChange("stall")},
	}
}

var issuers = []string{"a-sha", "b-sha", "pf", "stall"} // of everyKind

// TestEveryKindIsAccepted: the seeds below are worth mutating.
func TestEveryKindIsAccepted(t *testing.T) {
	c, recs := everyKind(t)
	kinds := map[record.Kind]bool{}
	for _, issuer := range issuers {
		got := c.Post(issuer, recs[issuer]...)
		for i, r := range recs[issuer] {
			if got[i] != "" && r.Kind != record.KindHandleClose { // pf does not own it
				t.Errorf("%v of %s: %q", r.Kind, issuer, got[i])
			}
			kinds[r.Kind] = true
		}
	}
	for k := record.KindParty; k <= record.KindCustodianLost; k++ {
		if !kinds[k] {
			t.Errorf("no record of kind %v", k)
		}
	}
	replaysAll(t, c)
}

// FuzzApply: no entry makes Apply panic or fail. The first argument says
// whether the bytes are an entry, or leaves to be signed properly.
func FuzzApply(f *testing.F) {
	c, recs := everyKind(f)
	for _, issuer := range issuers {
		sub := c.Clone(f).Submit(issuer, recs[issuer]...)
		f.Add(byte(0), canon.Must(c.Entry(sub)))
		for _, leaf := range sub.Leaves {
			f.Add(byte(1), leaf)
			f.Add(byte(2), leaf)
			f.Add(byte(3), leaf)
			f.Add(byte(4), leaf)
		}
	}
	f.Fuzz(func(t *testing.T, how byte, b []byte) {
		if how == 0 {
			if _, err := rules.Apply(c, c.Prev(), b); err != nil {
				t.Fatal(err)
			}
			return
		}
		d := c.Clone(t)
		issuer := issuers[int(how)%len(issuers)]
		r := d.Batch(d.SubmitLeaves(issuer, b, b))
		if len(d.Leaves[len(d.Leaves)-1]) > record.MaxSealBytes {
			t.Fatal("the seal is too long")
		}
		height := r.Height
		leaves, seal := d.Batched(height)
		_, again, err := replay(t, d, height, d.RegisterAt(height-1), seal, leaves)
		if err != nil || string(again) != string(seal.Leaf()) {
			t.Fatalf("it does not replay: %v", err)
		}
	})
}

// FuzzReplay: no seal or leaf makes Replay panic.
func FuzzReplay(f *testing.F) {
	c, recs := everyKind(f)
	c.Post("a-sha", recs["a-sha"]...)
	height := c.Last().Height
	leaves, seal := c.Batched(height)
	before := c.RegisterAt(height - 1)
	f.Add(seal.Leaf(), leaves[0])
	f.Fuzz(func(t *testing.T, sealLeaf, leaf []byte) {
		s, err := record.ParseSeal(sealLeaf)
		if err != nil {
			return
		}
		for _, ls := range [][][]byte{leaves, {leaf}, append([][]byte{leaf}, leaves[1:]...)} {
			rules.Replay(before, c.PrevOf(height), s, ls)
		}
	})
}
