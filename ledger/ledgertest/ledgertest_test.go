package ledgertest_test

import (
	"bytes"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// story runs one consent with its hand-over and its end.
func story(t *testing.T, c *ledgertest.Consortium) *record.Record {
	terms := c.Offer("a-sha", "a-portal")
	hana := c.Person("hana").Handle("a-portal", 0)
	c.Must("a-sha", c.Grant(hana, terms, 0))
	c.Pass(86400_000)
	p := c.Provision(hana.Public(), 1, 0, "b-sha")
	c.Must("a-sha", p)
	c.Must("b-sha", c.Received(p))
	c.Must("pf", c.Revoke(hana, terms, 0))
	if got := c.Post("a-sha", c.Provision(hana.Public(), 1, 0, "b-sha"))[0]; got != record.CodeRevoked {
		t.Fatalf("provision after the revocation: %q", got)
	}
	return p
}

func TestStory(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	p := story(t, c)
	last := c.Last().Height

	index, height := c.Find(p.ID)
	leaf := merkle.LeafHash(c.Leaves[index])
	for h := height; h <= last; h++ {
		open, err := c.Policy().Open(c.Note(h))
		if err != nil {
			t.Fatal(err)
		}
		if err := merkle.VerifyInclusion(leaf, index, open.Size, c.Inclusion(index, h), open.Root); err != nil {
			t.Errorf("height %d: %v", h, err)
		}
		_, seal := c.Batched(h)
		value, present, err := register.Verify(merkle.Hash(seal.Register), []byte(rules.KeyHead), c.Prove(h, rules.KeyHead))
		if err != nil || !present || len(value) == 0 {
			t.Errorf("head at height %d: %x %v %v", h, value, present, err)
		}
	}
}

func TestEqualSeedsGiveEqualBytes(t *testing.T) {
	var logs [2][][]byte
	for i := range logs {
		c := ledgertest.New(t, ledgertest.Options{Seed: "s"})
		story(t, c)
		logs[i] = c.Leaves
	}
	if !bytes.Equal(bytes.Join(logs[0], nil), bytes.Join(logs[1], nil)) {
		t.Error("two runs differ")
	}
}

func TestCloneGoesItsOwnWay(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	story(t, c)
	root := c.Last().Root
	d := c.Clone(t)
	d.Must("pf", d.Tick())
	if c.Last().Root != root {
		t.Error("the clone wrote to the original")
	}
	c.Must("pf", c.Tick())
	if c.Last().Root != d.Last().Root || c.Last().Register.Root() != d.Last().Register.Root() {
		t.Error("equal batches on original and clone differ")
	}
}
