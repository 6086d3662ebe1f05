package receipt_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// judged is one batch, with what a node has to judge it again.
type judged struct {
	t      testing.TB
	c      *ledgertest.Consortium
	d      *receipt.Derivation
	leaves [][]byte
	seal   *record.Seal
	writes []register.Write
	tree   *register.Tree // before the batch
	mem    ledgertest.Mem
}

// newJudged is a batch that opens and deletes register values: a recipient's
// record closes the intent.
func newJudged(t testing.TB, o ledgertest.Options) *judged {
	c := ledgertest.New(t, o)
	terms, hana := c.Offer("a-sha", "a-portal"), c.Person("hana").Handle("a-portal", 0)
	c.Must("a-sha", c.Grant(hana, terms, 0))
	p, other := c.Provision(hana.Public(), 1, 0, "b-sha"), c.Provision(hana.Public(), 1, 0, "b-sha")
	c.Must("a-sha", p, other)
	j := &judged{t: t, c: c}
	height := c.Last().Height
	size := c.Last().Size
	view, tiles := c.View(height)
	edge, err := view.Edge(size, tiles)
	if err != nil {
		t.Fatal(err)
	}
	j.tree, j.mem = c.Heights[height].Register, c.RegisterAt(height)
	j.d = &receipt.Derivation{Policy: c.Policy(), Edge: edge, Previous: c.Leaves[size-1], Path: c.Inclusion(size-1, height),
		Prove:  func(key []byte) (register.Proof, error) { return j.tree.Prove(j.mem.Mem, key) },
		Beside: func(h *register.Hidden) (register.Proof, error) { return j.tree.Neighbour(j.mem.Mem, h) }}
	e := c.Entry(c.Submit("b-sha", c.Received(p), c.Received(p)), c.Submit("c-sha", c.Tick()))
	j.d.Entry = canon.Must(e)
	r := c.Apply(e)
	j.writes = r.Writes
	j.leaves, j.seal = c.Batched(height + 1)
	if len(j.seal.Refusals) == 0 {
		t.Fatal("nothing was refused: the batch is too simple")
	}
	return j
}

// cosign lets members cosign the batch with a seal of theirs.
func (j *judged) cosign(seal *record.Seal, leaves [][]byte, members ...string) *receipt.Derivation {
	d := *j.d
	d.Seal = seal.Leaf()
	var hashes []merkle.Hash
	for _, l := range append(slices.Clip(leaves), d.Seal) {
		hashes = append(hashes, merkle.LeafHash(l))
	}
	after := d.Edge.With(hashes...)
	d.Theirs = cosigned(j.c, sign.Checkpoint{Origin: j.c.Origin, Size: after.Size, Root: after.Root()}, members...)
	return &d
}

// otherWrite is the seal of a member whose rules write one value differently.
func (j *judged) otherWrite() *record.Seal {
	j.t.Helper()
	writes := append(slices.Clone(j.writes), register.Write{Key: []byte("parameter/phase"), Value: []byte{1}})
	after, err := j.tree.Update(j.mem.Mem, writes)
	if err != nil {
		j.t.Fatal(err)
	}
	s := *j.seal
	s.Register = record.Digest(after.Root())
	return &s
}

func (j *judged) file(d *receipt.Derivation) []byte {
	j.t.Helper()
	b, err := receipt.BuildDerivation(d)
	if err != nil {
		j.t.Fatal(err)
	}
	return b
}

// TestDerivation: a member whose rules differ by one write, or that judges one
// record differently, is named; one that judged as everybody is not.
func TestDerivation(t *testing.T) {
	j := newJudged(t, ledgertest.Options{})
	confirmed := func(name string, b []byte, want ...string) {
		t.Helper()
		v, err := receipt.Verify(b, j.c.Policy())
		if err != nil || v.Kind != receipt.EvidenceDerivation || !slices.Equal(v.Evidence.Signers, want) {
			t.Errorf("%s: %v\n%.2000s", name, err, b)
		}
	}
	confirmed("another write", j.file(j.cosign(j.otherWrite(), j.leaves, "pf", "b-sha")), "b-sha", "pf")

	all := *j.seal
	all.Refusals = nil
	e, err := record.ParseEntry(j.d.Entry)
	if err != nil {
		t.Fatal(err)
	}
	confirmed("a refused record accepted", j.file(j.cosign(&all, append(slices.Clone(e.Submissions[0].Leaves), e.Submissions[1].Leaves...), "pf")), "pf")

	none := *j.seal
	none.Refusals = []record.Refused{{Sub: 0, All: true, Code: record.CodeSubmissionIssuer}}
	confirmed("a good submission refused", j.file(j.cosign(&none, e.Submissions[1].Leaves, "pf")), "pf")

	var refusal *receipt.Error
	if _, err := receipt.BuildDerivation(j.cosign(j.seal, j.leaves, "pf")); !errors.As(err, &refusal) || refusal.Code() != "evidence.seal" {
		t.Errorf("a batch that follows from the rules: %v", err)
	}
	other := *j.seal
	other.Refusals = []record.Refused{{Sub: 0, All: true, Code: record.CodeSubmissionRoot}}
	if _, err := receipt.BuildDerivation(j.cosign(&other, e.Submissions[1].Leaves, "pf")); !errors.As(err, &refusal) || refusal.Code() != "evidence.seal" {
		t.Errorf("who was given other records is not to blame: %v", err)
	}
	if _, err := receipt.BuildDerivation(j.cosign(j.otherWrite(), j.leaves[1:], "pf")); !errors.As(err, &refusal) || refusal.Code() != "evidence.seal" {
		t.Errorf("a root of other leaves: %v", err)
	}
	header := *j.otherWrite()
	h := *header.Header
	h.TimeMs++
	header.Header = &h
	if _, err := receipt.BuildDerivation(j.cosign(&header, j.leaves, "pf")); !errors.As(err, &refusal) || refusal.Code() != "evidence.entry" {
		t.Errorf("another batch at the same place: %v", err)
	}
}

// A member that seals a void batch, which has no effect, is named too.
func TestDerivationOfVoid(t *testing.T) {
	j := newJudged(t, ledgertest.Options{})
	e, err := record.ParseEntry(j.d.Entry)
	if err != nil {
		t.Fatal(err)
	}
	e.Header.TimeMs += 3600_000
	j.c.Sign(e)
	j.d.Entry = canon.Must(e)
	s := *j.seal
	s.Header = &e.Header
	v, err := receipt.Verify(j.file(j.cosign(&s, j.leaves, "pf")), j.c.Policy())
	if err != nil || v.Evidence.Signers[0] != "pf" {
		t.Error(err)
	}
}
