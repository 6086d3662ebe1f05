package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

var three = []string{"a-sha", "b-sha", "c-sha"}

func rotated(t *testing.T, r *record.Record) *record.MemberChange {
	t.Helper()
	return r.Body.(*record.MemberChange)
}

// TestPolicyChangeRefusals: one fault each; the same record without it is
// accepted at the end.
func TestPolicyChangeRefusals(t *testing.T) {
	c := newCity(t)
	c.Must("pf", c.Party("shop"))
	cosigner := []string{record.RoleCosigner}
	// resign signs a changed body again: proofs with the keys given, votes of three.
	resign := func(r *record.Record, keys ...sign.Key) *record.Record {
		b := rotated(t, r)
		ballot := b.Ballot(r.ID)
		for i, k := range keys {
			b.Keys[i].Proof = k.Sign(sign.DomainGovernance, c.Origin, ballot)
		}
		for i := range b.Votes {
			b.Votes[i].Sig = c.Keys[b.Votes[i].Member].Sign(sign.DomainGovernance, c.Origin, ballot)
		}
		return r
	}
	take := func(k sign.Key) *record.Record {
		r := c.Rotate("b-sha", cosigner, three...)
		rotated(t, r).Keys[0].Key = k.Public()
		return resign(r, k)
	}
	c.want("two of four", record.CodeVotesMissing, "a-sha", c.Rotate("b-sha", cosigner, "a-sha", "b-sha"))
	c.want("a party votes", record.CodeMemberNotActive, "a-sha", c.Rotate("b-sha", cosigner, "a-sha", "b-sha", "shop"))
	c.want("a party rotates", record.CodeMemberNotActive, "a-sha", c.Rotate("shop", cosigner, three...))
	c.want("nobody rotates", record.CodeMemberNotActive, "a-sha", c.Rotate("nobody", cosigner, three...))
	c.want("another's cosigner key", record.CodeKeyTaken, "a-sha", take(c.Member("c-sha").Cosign))
	c.want("its own cosigner key", record.CodeKeyTaken, "a-sha", take(c.Member("b-sha").Cosign))
	c.want("another's signing key", record.CodeKeyTaken, "a-sha", take(c.Keys["pf"]))
	c.want("another's approver", record.CodeKeyTaken, "a-sha", take(c.Member("pf").Approver))
	c.want("the log's key", record.CodeKeyTaken, "a-sha", take(c.Log))
	unproven := c.Rotate("b-sha", cosigner, three...)
	rotated(t, unproven).Keys[0].Proof[5] ^= 1
	c.want("without possession", record.CodeSignature, "a-sha", unproven)
	forged := c.Rotate("b-sha", cosigner, three...)
	rotated(t, forged).Votes[2].Sig[5] ^= 1
	c.want("a forged vote", record.CodeSignature, "a-sha", forged)
	other := c.Rotate("b-sha", cosigner, three...)
	other.ID = c.ID()
	c.want("signed for another record", record.CodeSignature, "a-sha", other)
	about := c.Rotate("b-sha", cosigner, three...)
	rotated(t, about).Member = "c-sha"
	c.want("signed about another", record.CodeSignature, "a-sha", about)
	early := c.Rotate("b-sha", cosigner, three...)
	rotated(t, early).Epoch = 1
	c.want("for the next epoch", record.CodePolicyEpoch, "a-sha", resign(early, c.PrivateKey(rotated(t, early).Keys[0].Key)))
	if p := c.PolicyAt(c.Last().Height); p.Epoch != 0 {
		t.Fatalf("epoch %d after refusals only", p.Epoch)
	}
	c.want("", "", "a-sha", c.Rotate("b-sha", cosigner, three...))
	c.Must("a-sha", c.Tick())
	c.want("its retired key", record.CodeKeyTaken, "a-sha", take(c.Member("b-sha").Cosign))
}

// TestPolicyEpochs: the closing batch is under the old policy, the next under
// the new one, and the register tells both apart.
func TestPolicyEpochs(t *testing.T) {
	c := newCity(t)
	before := c.Policy()
	others := []string{"b-sha", "c-sha", "pf"} // whose votes still verify afterwards
	change := c.Rotate("a-sha", []string{record.RoleApprover, record.RoleCosigner, record.RoleRecord}, others...)
	again := c.Rotate("b-sha", []string{record.RoleCosigner}, others...)
	old := c.Keys["a-sha"]
	r := c.Batch(c.Submit("pf", change), c.Submit("b-sha", again))
	for i, want := range []record.Code{"", record.CodePolicyEpoch} {
		if got := ledgertest.Codes(r.Outcomes[i])[0]; got != want {
			t.Fatalf("change %d of two in one batch: %q, want %q", i, got, want)
		}
	}
	closing := *c.Last()
	if r.Next == nil || r.Next.Epoch != 1 || r.Next.First != closing.Height+1 || r.Seal.PolicyEpoch != 0 || c.Head().PolicyEpoch != 0 {
		t.Fatalf("closing batch: next %+v, seal of epoch %d", r.Next, r.Seal.PolicyEpoch)
	}
	if p := c.PolicyAt(closing.Height); p.Epoch != 0 || string(p.Sign().Format()) != string(before.Format()) {
		t.Errorf("the closing end is under %+v", p)
	}
	c.Keys["a-sha"] = old
	c.Leader = 1
	c.Pass(1000)
	c.want("the old record key", record.CodeSignature, "a-sha", c.Tick())
	c.Keys["a-sha"] = c.PrivateKey(*change.Body.(*record.MemberChange).Key(record.RoleRecord))
	c.want("the new record key", "", "a-sha", c.Tick())
	past := ledgertest.Value[rules.Past](c.Consortium, rules.KeyPast(0))
	if past == nil || past.Closing != (rules.End{Height: closing.Height, Size: closing.Size, Root: record.Digest(closing.Root)}) {
		t.Errorf("past policy: %+v", past)
	}
	if p := c.PolicyAt(c.Last().Height); p.Epoch != 1 || p.K != 3 || c.Head().PolicyEpoch != 1 {
		t.Errorf("the next end is under %+v", p)
	}
	approver := c.Member("a-sha").Approver.Public()
	if p := ledgertest.Value[rules.Party](c.Consortium, rules.KeyParty("a-sha")); string(p.Approver) == string(approver[:]) {
		t.Error("the second approver's key did not change")
	}
	c.want("the same record again", record.CodePolicyEpoch, "pf", change)
	c.want("votes of the epoch before", record.CodePolicyEpoch, "b-sha", again)
}

// TestPolicyCited: which checkpoints the batches around a change may cite.
func TestPolicyCited(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Tick())
	retired := c.Member("b-sha").Cosign
	c.Must("a-sha", c.Rotate("b-sha", []string{record.RoleCosigner}, three...))
	closing := c.Last().Height
	c.Pass(1000)
	entry := func(height uint64, change func(*record.Cited)) *record.Entry {
		e := c.Entry(c.Submit("a-sha", c.Tick()))
		e.Header.Cited = c.Cite(height)
		if change != nil {
			change(&e.Header.Cited)
		}
		c.Sign(e)
		return e
	}
	under := func(height uint64, k sign.Key) func(*record.Cited) {
		return func(cited *record.Cited) {
			s := k.Cosign(c.Founding.Members[1].Cosigner, c.Checkpoint(height), cited.Sigs[1].Time)
			cited.Sigs[1].Sig = s.Sig
		}
	}
	next := c.PrivateKey(c.Policy().Members[1].Key)
	c.voids("an end before the closing one", record.CodeBatchCited, entry(closing-1, nil))
	c.voids("the closing end under the new key", record.CodeBatchCited, entry(closing, under(closing, next)))
	first := entry(closing, nil)
	if r := c.Apply(first); r.Void != nil {
		t.Fatalf("the closing end under the old policy: %v", r.Void)
	}
	c.Pass(1000)
	c.voids("an end of the old epoch", record.CodeBatchCited, entry(closing-1, nil))
	c.voids("an end of the new epoch under the retired key", record.CodeBatchCited, entry(closing+1, under(closing+1, retired)))
	if r := c.Apply(entry(closing+1, nil)); r.Void != nil {
		t.Fatalf("the new epoch's first end: %v", r.Void)
	}
	c.Pass(1000)
	if r := c.Apply(entry(closing, nil)); r.Void != nil {
		t.Fatalf("the closing end, later: %v", r.Void)
	}
}

// TestPolicyReplay: who has only the log derives the same epochs, also where one
// lasts a single batch.
func TestPolicyReplay(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Rotate("b-sha", []string{record.RoleCosigner}, three...))
	c.Must("a-sha", c.Rotate("c-sha", []string{record.RoleCosigner, record.RoleRecord}, "a-sha", "b-sha", "pf"))
	c.Must("c-sha", c.Tick())
	for h := uint64(1); h <= c.Last().Height; h++ {
		leaves, seal := c.Batched(h)
		r, err := rules.Replay(c.RegisterAt(h-1), c.PrevOf(h), seal, leaves)
		if err != nil {
			t.Fatalf("height %d: %v", h, err)
		}
		if got := r.SealLeaf([32]byte(seal.Register)); string(got) != string(c.Leaves[c.Heights[h].Size-1]) {
			t.Errorf("height %d: another seal", h)
		}
	}
	for epoch, want := range []uint64{c.Last().Height - 2, c.Last().Height - 1} {
		past := ledgertest.Value[rules.Past](c.Consortium, rules.KeyPast(uint64(epoch)))
		if past == nil || past.Closing.Height != want || past.Closing.Size != c.Heights[want].Size {
			t.Errorf("epoch %d: %+v", epoch, past)
		}
	}
}
