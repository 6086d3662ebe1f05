package receipt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// rotations is a log of three policy epochs, with a final checkpoint in each and
// a receipt made in the first.
type rotations struct {
	c        *ledgertest.Consortium
	policies []*sign.Policy // by epoch, without ranges
	closing  []uint64       // heights
	old      []byte         // receipt of epoch 0
	early    []byte         // chain as it stood in epoch 1
	chain    []byte
}

func closingOf(c *ledgertest.Consortium, epoch, height uint64) receipt.Closing {
	h := c.Heights[height]
	index := h.First
	for ; record.PeekKind(c.Leaves[index]) != record.KindMember; index++ {
	}
	return receipt.Closing{Epoch: epoch, Index: index, Note: c.Note(height), Size: h.Size,
		Leaf: func(i uint64) ([]byte, error) { return c.Leaves[i], nil },
		Path: func(i uint64) ([]merkle.Hash, error) { return c.Inclusion(i, height), nil }}
}

func newRotations(t testing.TB) *rotations {
	t.Helper()
	r := &rotations{c: ledgertest.New(t, ledgertest.Options{})}
	c := r.c
	terms := c.Offer("a-sha", "a-portal")
	grant := c.Grant(c.Person("hana").Handle("a-portal", 0), terms, 0)
	c.Must("a-sha", grant)
	r.policies = append(r.policies, c.Policy())
	index, _ := c.Find(grant.ID)
	r.old = build(t, c, index)
	var steps []receipt.Closing
	for _, member := range []string{"b-sha", "c-sha"} {
		c.Must("a-sha", c.Tick())
		c.Batch(c.Submit("pf", c.Tick(), c.Rotate(member, []string{record.RoleCosigner}, "a-sha", "b-sha", "pf"), c.Tick()))
		r.closing = append(r.closing, c.Last().Height)
		r.policies = append(r.policies, c.Policy())
		steps = append(steps, closingOf(c, uint64(len(steps)), c.Last().Height))
		b, err := receipt.BuildChain(steps)
		if err != nil {
			t.Fatal(err)
		}
		r.early, r.chain = r.chain, b
		c.Must("a-sha", c.Tick())
	}
	return r
}

// build returns the receipt of a leaf at the newest height.
func build(t testing.TB, c *ledgertest.Consortium, index uint64) []byte {
	t.Helper()
	b, err := receipt.Build(newest(c), index, receipt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestChainLeadsToTheNewest: with the policy of the founding and the chain, every
// epoch's files verify; each policy alone takes its own only.
func TestChainLeadsToTheNewest(t *testing.T) {
	r := newRotations(t)
	c := r.c
	index := c.Heights[2].First
	renewed := build(t, c, index)
	followed, err := receipt.FollowChain(r.chain, r.policies[:1])
	if err != nil || len(followed) != 3 {
		t.Fatalf("%d policies, %v", len(followed), err)
	}
	for epoch, p := range followed {
		if p.Range == nil || p.Range.Epoch != uint64(epoch) || !bytes.Equal(p.Format(), r.policies[epoch].Format()) {
			t.Errorf("epoch %d: %+v", epoch, p.Range)
		}
		if epoch < 2 && p.Range.Closing.Height != r.closing[epoch] {
			t.Errorf("epoch %d closes at %d, want %d", epoch, p.Range.Closing.Height, r.closing[epoch])
		}
	}
	verifies := func(what string, file []byte, want bool, ps ...*sign.Policy) {
		t.Helper()
		if _, err := receipt.Verify(file, ps...); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	verifies("old under the first", r.old, true, r.policies[0])
	verifies("old under the newest", r.old, false, r.policies[2])
	verifies("old under the chain", r.old, true, followed...)
	verifies("renewed under the first", renewed, false, r.policies[0])
	verifies("renewed under the newest", renewed, true, r.policies[2])
	verifies("renewed under the chain", renewed, true, followed...)
	verifies("renewed under all, given one by one", renewed, true, r.policies...)
	empty, err := receipt.BuildChain(nil) // of a log where nothing has changed
	if err != nil {
		t.Fatal(err)
	}
	if same, err := receipt.FollowChain(empty, r.policies[:1]); err != nil || len(same) != 1 || same[0] != r.policies[0] {
		t.Errorf("an empty chain: %d policies, %v", len(same), err)
	}
	if _, err := receipt.FollowChain(empty, nil); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("an empty chain without a policy: %v", err)
	}
	later, err := receipt.FollowChain(r.chain, r.policies[1:2])
	if err != nil || len(later) != 2 || later[0].Range.Epoch != 1 {
		t.Errorf("from epoch 1: %d policies, %v", len(later), err)
	}
	for epoch, p := range r.policies { // what others' code says of the same
		tw, err := torchwood.ParsePolicy(p.FormatRange())
		if err != nil {
			t.Fatal(err)
		}
		for at, file := range map[int][]byte{0: r.old, 2: renewed} {
			var f struct {
				Leaf  []byte
				Proof string
			}
			if err := json.Unmarshal(file, &f); err != nil {
				t.Fatal(err)
			}
			if err := torchwood.VerifyProof(tw, tlog.RecordHash(f.Leaf), []byte(f.Proof)); (err == nil) != (at == epoch) {
				t.Errorf("torchwood, policy of epoch %d, receipt of epoch %d: %v", epoch, at, err)
			}
		}
	}
}

// TestChainRange: k retired keys can still sign, but what they sign beyond their
// epoch does not count, and neither does a checkpoint of the new epoch's keys
// before it begins.
func TestChainRange(t *testing.T) {
	r := newRotations(t)
	c := r.c
	followed, err := receipt.FollowChain(r.chain, r.policies[:1])
	if err != nil {
		t.Fatal(err)
	}
	signed := func(epoch int, height uint64) []byte {
		cp, keys := c.Checkpoint(height), map[string]sign.PublicKey{}
		var sigs []sign.Cosignature
		for _, m := range r.policies[epoch].Members[:3] {
			key := c.Member(m.ID).Cosign
			if key.Public() != m.Key {
				key = c.PrivateKey(m.Key)
			}
			sigs, keys[m.Signer] = append(sigs, key.Cosign(m.Signer, cp, c.NowMs/1000)), m.Key
		}
		note, err := sign.FormatNote(cp, c.Log, sigs, keys)
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	for _, v := range []struct {
		what   string
		epoch  int
		height uint64
		want   bool
	}{
		{"the closing end of epoch 0", 0, r.closing[0], true},
		{"epoch 0 beyond its closing end", 0, r.closing[0] + 1, false},
		{"epoch 1 at the closing end of epoch 0", 1, r.closing[0], false},
		{"epoch 1 from its first end", 1, r.closing[0] + 1, true},
		{"epoch 1 at its closing end", 1, r.closing[1], true},
		{"epoch 1 beyond it", 1, c.Last().Height, false},
		{"epoch 2", 2, c.Last().Height, true},
		{"epoch 2 too early", 2, r.closing[1], false},
	} {
		_, err := followed[v.epoch].Open(signed(v.epoch, v.height))
		if (err == nil) != v.want || err != nil && !errors.Is(err, sign.ErrRange) {
			t.Errorf("%s: %v", v.what, err)
		}
	}
}

// TestChainRefusals: what is not the chain of this log's epochs.
func TestChainRefusals(t *testing.T) {
	r := newRotations(t)
	c := r.c
	follow := func(b []byte, ps ...*sign.Policy) error { _, err := receipt.FollowChain(b, ps); return err }
	if err := follow(r.chain, r.policies[2]); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("from the newest: %v", err)
	}
	if err := follow(r.chain, ledgertest.New(t, ledgertest.Options{Seed: "other"}).Policy()); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("from another consortium: %v", err)
	}
	tick := func(height uint64) uint64 { // a leaf of that batch that changes nobody
		i := c.Heights[height].First
		for ; record.PeekKind(c.Leaves[i]) != record.KindTick; i++ {
		}
		return i
	}
	for what, change := range map[string]func([]receipt.Closing){
		"links exchanged":          func(s []receipt.Closing) { s[0], s[1] = s[1], s[0] },
		"an epoch renamed":         func(s []receipt.Closing) { s[1].Epoch = 2 },
		"another record":           func(s []receipt.Closing) { s[0].Index = tick(r.closing[0]) },
		"a change of before":       func(s []receipt.Closing) { s[1].Index = s[0].Index },
		"under the new policy":     func(s []receipt.Closing) { s[1].Note = c.Note(r.closing[1] + 1) },
		"a later end of the epoch": func(s []receipt.Closing) { s[0] = laterEnd(c, s[0], r.closing[0]+1) },
	} {
		steps := []receipt.Closing{closingOf(c, 0, r.closing[0]), closingOf(c, 1, r.closing[1])}
		change(steps)
		b, err := receipt.BuildChain(steps)
		if err != nil {
			t.Fatal(err)
		}
		if err := follow(b, r.policies[0]); err == nil {
			t.Errorf("%s: followed", what)
		}
	}
	for i := 0; i < len(r.chain); i += 7 {
		b := bytes.Clone(r.chain)
		b[i] ^= 1
		if err := follow(b, r.policies[0]); err == nil {
			t.Fatalf("byte %d changed: followed", i)
		}
	}
}

// laterEnd is a link at an end of the next epoch, cosigned by its members.
func laterEnd(c *ledgertest.Consortium, s receipt.Closing, height uint64) receipt.Closing {
	s.Note, s.Size = c.Note(height), c.Heights[height].Size
	s.Path = func(i uint64) ([]merkle.Hash, error) { return c.Inclusion(i, height), nil }
	return s
}

// TestChainVectors: the published chain leads from its first policy to its last,
// and is still what is built.
func TestChainVectors(t *testing.T) {
	r := newRotations(t)
	last, err := receipt.FollowChain(r.chain, r.policies[:1])
	if err != nil {
		t.Fatal(err)
	}
	published(t, map[string][]byte{"policy-chain.json": r.chain, "policy-chain.first": r.policies[0].Format(), "policy-chain.last": last[2].FormatRange(),
		"policy-chain-old.akashi.json": r.old, "policy-chain-new.akashi.json": build(t, r.c, r.c.Heights[2].First)})
}

// TestChainOfMembers: a chain over a member that joins and one that leaves, with
// its vectors. Each epoch has its own members and k.
func TestChainOfMembers(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	first := c.Policy()
	var old []byte
	var steps []receipt.Closing
	change := func(r *record.Record) {
		c.Must("a-sha", r)
		steps = append(steps, closingOf(c, uint64(len(steps)), c.Last().Height))
		c.Must("a-sha", c.Tick())
	}
	c.Must("a-sha", c.Tick())
	old = build(t, c, c.Last().First)
	change(c.Join("d-sha", "a-sha", "b-sha", "c-sha"))
	change(c.Join("e-sha", "a-sha", "b-sha", "c-sha", "d-sha"))
	change(c.Remove("b-sha", "a-sha", "c-sha", "d-sha", "e-sha"))
	c.Must("e-sha", c.Tick())
	chain, err := receipt.BuildChain(steps)
	if err != nil {
		t.Fatal(err)
	}
	followed, err := receipt.FollowChain(chain, []*sign.Policy{first})
	if err != nil || len(followed) != 4 {
		t.Fatalf("%d policies, %v", len(followed), err)
	}
	for epoch, want := range []struct{ k, n int }{{3, 4}, {4, 5}, {4, 6}, {4, 5}} {
		if p := followed[epoch]; p.K != want.k || len(p.Members) != want.n {
			t.Errorf("epoch %d: %d of %d, want %d of %d", epoch, p.K, len(p.Members), want.k, want.n)
		}
	}
	last := followed[3]
	if !bytes.Equal(last.Format(), c.Policy().Format()) {
		t.Errorf("it leads to\n%s", last.Format())
	}
	renewed := build(t, c, c.Last().First) // issued by a member that the first policy does not know
	for what, v := range map[string]struct {
		file []byte
		want bool
		ps   []*sign.Policy
	}{
		"old under the chain": {old, true, followed}, "old under the first": {old, true, followed[:1]}, "old under the last": {old, false, followed[3:]},
		"new under the chain": {renewed, true, followed}, "new under the last": {renewed, true, followed[3:]}, "new under the first": {renewed, false, followed[:1]},
	} {
		if _, err := receipt.Verify(v.file, v.ps...); (err == nil) != v.want {
			t.Errorf("%s: %v", what, err)
		}
	}
	published(t, map[string][]byte{"policy-chain-members.json": chain, "policy-chain-members.first": first.Format(),
		"policy-chain-members.last": last.FormatRange(), "policy-chain-members.akashi.json": renewed})
}

// published compares vectors with what is built.
func published(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		path := filepath.Join(vectors, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from what is built (%v)", name, err)
		}
	}
}
