package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestMemberJoins: the closing batch is under the old policy; from the next on
// the member cosigns, submits, leads and votes, and k is that of five.
func TestMemberJoins(t *testing.T) {
	c := newCity(t)
	r := c.Batch(c.Submit("pf", c.Join("d-sha", three...)))
	if r.Next == nil || r.Next.K != 4 || len(r.Next.Members) != 5 || r.Next.Members[3].ID != "d-sha" || r.Seal.PolicyEpoch != 0 {
		t.Fatalf("%+v, seal of epoch %d", r.Next, r.Seal.PolicyEpoch)
	}
	if p := c.PolicyAt(c.Last().Height); p.K != 3 || len(p.Members) != 4 {
		t.Fatalf("the closing end is under %d of %d", p.K, len(p.Members))
	}
	joined := c.Last().Height
	p := ledgertest.Value[rules.Party](c.Consortium, rules.KeyParty("d-sha"))
	peer := c.Member("d-sha").Peer.Public()
	if !p.Member || p.Host != "d-sha" || p.Joined != joined || p.Left != 0 || string(p.Peer) != string(peer[:]) || p.Addr != "d-sha.example:7000" {
		t.Errorf("%+v", p)
	}
	c.want("it submits", "", "d-sha", c.Tick())
	if n := len(c.Cite(c.Last().Height).Sigs); n != 4 {
		t.Errorf("%d cosignatures", n)
	}
	c.Leader = 4
	c.want("it leads", "", "a-sha", c.Tick())
	c.want("it admits a party", "", "d-sha", c.Party("stall"))
	set := []record.Parameter{{Name: "phase", Value: "two"}}
	c.want("two of five", record.CodeVotesMissing, "a-sha", c.Vote("v", set, "a-sha", "d-sha"))
	c.want("three of five", "", "a-sha", c.Vote("v", set, "a-sha", "b-sha", "d-sha"))
	c.want("k of before", record.CodeVotesMissing, "a-sha", c.Rotate("b-sha", []string{record.RoleRecord}, "a-sha", "b-sha", "d-sha"))
	c.want("k of now", "", "a-sha", c.Rotate("b-sha", []string{record.RoleRecord}, "a-sha", "b-sha", "c-sha", "d-sha"))
	replaysAll(t, c.Consortium)
}

// TestJoinRefusals: one fault each; the same request without it is accepted at
// the end.
func TestJoinRefusals(t *testing.T) {
	c := newCity(t)
	c.Must("pf", c.Party("shop"))
	join := func(id string, change func(*record.MemberChange)) *record.Record {
		r := c.Join(id, three...)
		change(r.Body.(*record.MemberChange))
		c.SignBallot(r)
		return r
	}
	key := func(role string, k sign.PublicKey) func(*record.MemberChange) {
		return func(b *record.MemberChange) {
			to := map[string]*sign.PublicKey{record.RoleApprover: &b.Info.Approver, record.RoleCosigner: &b.Info.CosignKey,
				record.RoleNetwork: &b.Info.Peer, record.RoleRecord: &b.Info.Key}
			*to[role] = k
			*b.Key(role) = k
		}
	}
	same := func(*record.MemberChange) {}
	c.want("two of four", record.CodeVotesMissing, "pf", c.Join("d-sha", "a-sha", "b-sha"))
	c.want("a member's id", record.CodePartyExists, "pf", join("b-sha", same))
	c.want("a party's id", record.CodePartyExists, "pf", join("shop", same))
	c.want("a service's id", record.CodeDuplicate, "pf", join("portal", same))
	c.want("another's name of a cosigner", record.CodeDuplicate, "pf",
		join("d-sha", func(b *record.MemberChange) { b.Info.Cosigner = c.Founding.Members[1].Cosigner }))
	c.want("the log's name", record.CodeDuplicate, "pf", join("d-sha", func(b *record.MemberChange) { b.Info.Cosigner = c.Origin }))
	for _, id := range []string{"a-sha", "c-sha"} {
		m := c.Member(id)
		for what, k := range map[string]sign.Key{"record": m.Key, "cosigner": m.Cosign, "approver": m.Approver} {
			r := join("d-sha", key(record.RoleRecord, k.Public()))
			b := r.Body.(*record.MemberChange)
			b.Keys[3].Proof = k.Sign(sign.DomainGovernance, c.Origin, b.Ballot(r.ID)) // even with its owner's help
			c.want("the "+what+" key of "+id, record.CodeKeyTaken, "pf", r)
		}
	}
	for i, role := range []string{record.RoleApprover, record.RoleCosigner, record.RoleNetwork, record.RoleRecord} {
		r := c.Join("d-sha", three...)
		r.Body.(*record.MemberChange).Keys[i].Proof[7] ^= 1
		c.want("without possession of the key "+role, record.CodeSignature, "pf", r)
	}
	moved := c.Join("d-sha", three...)
	moved.Body.(*record.MemberChange).Info.Addr = "evil.example:7000"
	c.want("another address than was signed", record.CodeSignature, "pf", moved)
	c.want("for the next epoch", record.CodePolicyEpoch, "pf", join("d-sha", func(b *record.MemberChange) { b.Epoch = 1 }))
	for what, change := range map[string]func(*record.MemberChange){
		"a proof missing":         func(b *record.MemberChange) { b.Keys = b.Keys[:3] },
		"a key that is not its":   func(b *record.MemberChange) { b.Keys[2].Key = b.Info.Key },
		"about another":           func(b *record.MemberChange) { b.Member = "e-sha" },
		"a word of policy files":  func(b *record.MemberChange) { b.Member, b.Info.ID = "members", "members" },
		"one key in two roles":    func(b *record.MemberChange) { key(record.RoleNetwork, b.Info.Key)(b) },
		"nothing said about it":   func(b *record.MemberChange) { b.Info = nil },
		"a rotation with a peer":  func(b *record.MemberChange) { b.Action, b.Info = record.ActionRotate, nil },
		"a removal with its keys": func(b *record.MemberChange) { b.Action, b.Info = record.ActionRemove, nil },
	} {
		r := c.Join("d-sha", three...)
		change(r.Body.(*record.MemberChange))
		if _, err := r.Leaf(); err == nil {
			t.Errorf("%s: well formed", what)
		}
	}
	if p := c.PolicyAt(c.Last().Height); p.Epoch != 0 {
		t.Fatalf("epoch %d after refusals only", p.Epoch)
	}
	c.want("", "", "pf", c.Join("d-sha", three...))
	c.Must("pf", c.Tick())
	c.want("again", record.CodePartyExists, "pf", c.Join("d-sha", append(three, "pf")...))
}

// TestJoinIsBounded: a policy has at most MaxMembers.
func TestJoinIsBounded(t *testing.T) {
	ids := make([]string, record.MaxMembers)
	for i := range ids {
		ids[i] = "m" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	c := ledgertest.New(t, ledgertest.Options{Members: ids})
	if got := c.Post(ids[0], c.Join("z-sha", ids...))[0]; got != record.CodeRecordOversize {
		t.Errorf("%q", got)
	}
}

// TestMemberLeaves: from the next batch on it does nothing any more, and what it
// left behind can be read.
func TestMemberLeaves(t *testing.T) {
	c := newCity(t)
	c.Must("b-sha", c.Party("shop"), c.Service("b-portal"))
	c.grant()
	open := c.give("b-sha")
	c.Must("a-sha", open)
	own := c.Person("hana").Handle("b-portal", 0)
	c.Must("b-sha", c.HandleOpen(own.Public(), "b-portal"))
	others := []string{"a-sha", "c-sha", "pf"} // without its own vote
	leave, late := c.Submit("pf", c.Remove("b-sha", others...)), c.Submit("b-sha", c.Tick())
	r := c.Batch(leave, late)
	if got := all(r); got[0] != "" || got[1] != "" { // keys are those at the beginning of the batch
		t.Fatalf("%q", got)
	}
	if r.Next == nil || r.Next.K != 2 || len(r.Next.Members) != 3 {
		t.Fatalf("%+v", r.Next)
	}
	left := c.Last().Height
	c.want("its submission", record.CodeSubmissionIssuer, "b-sha", c.Tick())
	c.want("its party's submission", record.CodeSubmissionIssuer, "shop", c.Tick())
	c.want("its vote", record.CodeMemberNotActive, "pf", c.Vote("v", nil, "a-sha", "b-sha", "c-sha"))
	c.want("a hand-over to it", record.CodeMemberNotActive, "a-sha", c.give("b-sha"))
	c.want("a hand-over to its party", record.CodeMemberNotActive, "a-sha", c.give("shop"))
	c.want("its receiving record", record.CodeSubmissionIssuer, "b-sha", c.Received(open))
	c.want("new keys for it", record.CodeMemberNotActive, "pf", c.Rotate("b-sha", []string{record.RoleRecord}, others...))
	c.want("removed again", record.CodeMemberNotActive, "pf", c.Remove("b-sha", others...))
	c.Leader = 1
	e := c.Entry(c.Submit("a-sha", c.Tick()))
	c.voids("its header", record.CodeBatchHeader, e)
	c.Leader = 0
	cited := c.Entry(c.Submit("a-sha", c.Tick()))
	gone := c.Member("b-sha").Cosign.Cosign(c.Founding.Members[1].Cosigner, c.Checkpoint(c.Last().Height), c.NowMs/1000)
	cited.Header.Cited.Sigs = append(cited.Header.Cited.Sigs[:1], record.CitedSig{Member: "b-sha", Time: gone.Time, Sig: gone.Sig})
	c.Sign(cited)
	c.voids("its cosignature", record.CodeBatchCited, cited)

	p := ledgertest.Value[rules.Party](c.Consortium, rules.KeyParty("b-sha"))
	if p.Left != left || !p.Member {
		t.Errorf("%+v", p)
	}
	if in := ledgertest.Value[rules.Intent](c.Consortium, rules.KeyIntent(open.ID)); in == nil || in.To != "b-sha" {
		t.Errorf("the open hand-over: %+v", in)
	}
	if h := ledgertest.Value[rules.Handle](c.Consortium, rules.KeyHandle(own.Public())); h == nil || h.Closed != 0 {
		t.Errorf("its handle: %+v", h)
	}
	terms := c.terms
	c.want("a person goes on elsewhere", "", "pf", c.Revoke(c.hana, terms, 0))
	taken := c.Party("shop")
	taken.Body.(*record.Party).Key = c.Key("sign/mine").Public()
	c.want("its party, under a key of another's", record.CodeNotAuthorised, "c-sha", taken)
	c.want("its party, at another member", "", "c-sha", c.Party("shop"))
	c.want("that submits again", "", "shop", c.Tick())
	replaysAll(t, c.Consortium)
}

// TestMemberComesBack under its id, with new keys only, and not as the recipient
// of whoever consented before.
func TestMemberComesBack(t *testing.T) {
	c := newCity(t)
	c.grant()
	c.Must("pf", c.Remove("b-sha", three...))
	c.Must("pf", c.Tick())
	old := c.Keys["b-sha"]
	voters := []string{"a-sha", "c-sha", "pf"}
	for i, role := range []string{record.RoleApprover, record.RoleCosigner, record.RoleRecord} {
		m, r := c.Founding.Members[1], c.Join("b-sha", voters...)
		b := r.Body.(*record.MemberChange)
		k := map[string]sign.PublicKey{record.RoleApprover: m.Approver, record.RoleCosigner: m.CosignKey, record.RoleRecord: m.Key}[role]
		private := map[string]sign.Key{record.RoleApprover: c.Key("approve/b-sha"), record.RoleCosigner: c.Key("cosign/b-sha"), record.RoleRecord: old}[role]
		*map[string]*sign.PublicKey{record.RoleApprover: &b.Info.Approver, record.RoleCosigner: &b.Info.CosignKey, record.RoleRecord: &b.Info.Key}[role] = k
		*b.Key(role) = k
		c.SignBallot(r)
		b.Keys[map[int]int{0: 0, 1: 1, 2: 3}[i]].Proof = private.Sign(sign.DomainGovernance, c.Origin, b.Ballot(r.ID))
		c.want("with its old "+role+" key", record.CodeKeyTaken, "pf", r)
	}
	c.want("", "", "pf", c.Join("b-sha", voters...))
	c.want("it submits", "", "b-sha", c.Tick())
	c.want("under the consent of before", record.CodeRecipientNotListed, "a-sha", c.give("b-sha"))
	c.Must("a-sha", c.Revoke(c.hana, c.terms, 0))
	c.grant()
	c.want("under one of now", "", "a-sha", c.give("b-sha"))
	c.Must("a-sha", c.Remove("b-sha", three...))
	c.Must("a-sha", c.Tick())
	c.want("its network key of the second time", record.CodeKeyTaken, "pf", func() *record.Record {
		peer := c.Member("b-sha").Peer.Public()
		r := c.Join("b-sha", voters...)
		b := r.Body.(*record.MemberChange)
		b.Info.Peer, b.Keys[2].Key = peer, peer
		c.SignBallot(r)
		return r
	}())
	replaysAll(t, c.Consortium)
}

// Test002_18_WhoJoinsLaterIsNotCovered, a member with the category that the scope
// names: consents pin the height at which they were given.
func Test002_18_WhoJoinsLaterIsNotCovered(t *testing.T) {
	c := newCity(t)
	year := uint32(record.DayOf(c.NowMs)) + 100
	give := func() *record.Record { return c.Provision(c.hana.Public(), 1, 1, "d-sha") }
	c.Must("a-sha", c.Grant(c.hana, c.terms, 1, year))
	c.want("before it joins", record.CodeMemberNotActive, "a-sha", give())
	taro := c.Person("taro").Handle("portal", 0)
	r := c.Batch(c.Submit("a-sha", c.Grant(taro, c.terms, 1, year)), c.Submit("pf", c.Join("d-sha", three...)))
	if got := all(r); got[0] != "" || got[1] != "" {
		t.Fatalf("%q", got)
	}
	c.Must("a-sha", c.Tick())
	c.want("under a consent of before", record.CodeRecipientNotListed, "a-sha", give())
	c.want("under one of the same batch", record.CodeRecipientNotListed, "a-sha", c.Provision(taro.Public(), 1, 1, "d-sha"))
	c.Must("a-sha", c.Revoke(c.hana, c.terms, 1))
	c.Must("a-sha", c.Grant(c.hana, c.terms, 1, year))
	c.want("under one of now", "", "a-sha", give())
}

// TestLastMemberStays: a consortium of one goes on, one of none would not.
func TestLastMemberStays(t *testing.T) {
	l := ledgertest.New(t, ledgertest.Options{Members: []string{"a-sha", "b-sha"}})
	c := &city{Consortium: l, t: t}
	c.want("one of two", "", "a-sha", c.Remove("b-sha", "a-sha", "b-sha"))
	if p := c.Policy(); p.K != 1 || len(p.Members) != 1 {
		t.Fatalf("%d of %d", p.K, len(p.Members))
	}
	c.Must("a-sha", c.Tick())
	c.want("the last", record.CodeMemberLast, "a-sha", c.Remove("a-sha", "a-sha"))
	c.want("it goes on", "", "a-sha", c.Tick())
	c.want("a second again", "", "a-sha", c.Join("c-sha", "a-sha"))
	if p := c.Policy(); p.K != 2 {
		t.Errorf("k %d", p.K)
	}
}
