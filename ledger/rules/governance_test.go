package rules_test

import (
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

func TestParties(t *testing.T) {
	c := newCity(t)
	c.want("", "", "pf", c.Party("shop", "retail"))
	c.want("there already", record.CodePartyExists, "pf", c.Party("shop"))
	c.want("hosted by another", record.CodeNotAuthorised, "a-sha", c.Party("shop"))
	c.want("a party hosts none", record.CodeNotAuthorised, "shop", c.Party("stall"))
	c.want("a member's id", record.CodeNotAuthorised, "pf", c.Party("b-sha"))
	c.want("a service's id", record.CodeDuplicate, "pf", c.Party("portal"))
	c.want("ending an unknown one", record.CodePartyUnknown, "pf", c.Leave("stall"))
	c.want("ending a member", record.CodePartyUnknown, "pf", c.Leave("b-sha"))
	c.want("ended by another", record.CodeNotAuthorised, "a-sha", c.Leave("shop"))
	c.want("the party posts", "", "shop", c.Service("shop-card"))
	c.want("", "", "pf", c.Leave("shop"))
	c.want("again", record.CodePartyUnknown, "pf", c.Leave("shop"))
	c.want("gone", record.CodeSubmissionIssuer, "shop", c.Tick())
	c.want("back, at another host", record.CodeNotAuthorised, "a-sha", c.Party("shop"))
	c.want("back", "", "pf", c.Party("shop"))
	c.want("posts again", "", "shop", c.Tick())
	d := ledgertest.Value[rules.Directory](c.Consortium, rules.KeyDirectory)
	if len(d.Parties) != 5 || len(d.Services) != 2 {
		t.Errorf("directory: %+v", d)
	}
}

// TestNewPartyPostsFromTheNextBatch: keys are those at the beginning.
func TestNewPartyPostsFromTheNextBatch(t *testing.T) {
	c := newCity(t)
	join := c.Submit("pf", c.Party("shop"))
	c.Keys["shop"] = c.Key("sign/shop")
	r := c.Batch(join, c.Submit("shop", c.Tick()))
	if got := all(r); got[0] != "" || got[1] != record.CodeSubmissionIssuer {
		t.Errorf("%q", got)
	}
}

func TestKeyChangeCountsFromTheNextBatch(t *testing.T) {
	c := newCity(t)
	c.Must("pf", c.Party("shop"))
	old := c.Keys["shop"]
	change, after := c.Submit("shop", c.KeyChange("shop")), c.Submit("shop", c.Tick())
	c.Keys["shop"] = c.Key("next/shop")
	early := c.Submit("shop", c.Tick())
	c.Keys["shop"] = old
	if got := all(c.Batch(change, after, early)); got[0] != "" || got[1] != "" || got[2] != record.CodeSignature {
		t.Errorf("in its batch: %q", got)
	}
	if c.Keys["shop"].Public() == old.Public() {
		t.Fatal("the key did not change")
	}
	c.want("the new key", "", "shop", c.Tick())
	next := c.Keys["shop"]
	c.Keys["shop"] = old
	c.want("the old key", record.CodeSignature, "shop", c.Tick())
	c.Keys["shop"] = next
	bad := c.KeyChange("shop")
	bad.Body.(*record.KeyChange).Proof[0] ^= 1
	c.want("without the new key's word", record.CodeSignature, "shop", bad)
	taken := c.KeyChange("shop")
	approver := c.Member("b-sha").Approver
	taken.Body = &record.KeyChange{Key: approver.Public(), Proof: approver.Sign(sign.DomainGovernance, c.Origin, taken.ID[:])}
	c.want("to a member's", record.CodeKeyTaken, "shop", taken)
}

// TestMembersKeysTakeVotes: a member does not replace the key that signs its
// headers by itself. A leader could otherwise put the change into one of two
// batches for one place, and the header of the other would be under a key that
// nobody asks about any more.
func TestMembersKeysTakeVotes(t *testing.T) {
	c := newCity(t)
	old := c.Keys["a-sha"]
	c.want("alone", record.CodeKeyMember, "a-sha", c.KeyChange("a-sha"))
	c.want("the old key", "", "a-sha", c.Tick())
	c.want("with votes", "", "a-sha", c.Rotate("a-sha", []string{record.RoleRecord}, three...))
	if c.Keys["a-sha"].Public() == old.Public() {
		t.Fatal("the key did not change")
	}
	c.want("the new key", "", "a-sha", c.Tick()) // signs the header too
}

func TestServicesAndTerms(t *testing.T) {
	c := newCity(t)
	c.want("the id again", record.CodeDuplicate, "b-sha", c.Service("portal"))
	c.want("a member's id", record.CodeDuplicate, "b-sha", c.Service("b-sha"))
	s := c.Service("x")
	s.Body.(*record.Service).Fields = []string{"shoe-size"}
	c.want("unknown field", record.CodeItemUnknown, "b-sha", s)
	terms := func(change func(*record.Screen)) *record.Record {
		screen := c.Screen("portal", "2")
		change(screen)
		r, _ := c.Terms(screen)
		return r
	}
	same := terms(func(s *record.Screen) { s.Version = "1" })
	c.want("the same terms", record.CodeDuplicate, "a-sha", same)
	c.want("the same version", record.CodeDuplicate, "a-sha", terms(func(s *record.Screen) { s.Version, s.Text.Ja = "1", "別" }))
	c.want("unknown service", record.CodeServiceUnknown, "a-sha", terms(func(s *record.Screen) { s.Service = "nowhere" }))
	c.want("another's service", record.CodeServiceOwner, "b-sha", terms(func(*record.Screen) {}))
	c.want("unknown purpose", record.CodePurposeNotOnScreen, "a-sha", terms(func(s *record.Screen) { s.Scopes[1].Purpose = "fun" }))
	c.want("unknown required item", record.CodeItemUnknown, "a-sha", terms(func(s *record.Screen) { s.Scopes[1].Required = []string{"shoe-size"} }))
	c.want("unknown optional item", record.CodeItemUnknown, "a-sha", terms(func(s *record.Screen) { s.Scopes[1].Optional = []string{"shoe-size"} }))
	c.want("", "", "a-sha", terms(func(*record.Screen) {}))
}

func Test002_10_ClausesAreNeeded(t *testing.T) {
	c := newCity(t)
	c.Must("b-sha", c.Service("id", "collect", "share"))
	for _, v := range []struct {
		clauses []string
		want    record.Code
	}{{nil, record.CodeClauseMissing}, {[]string{"share"}, record.CodeClauseMissing}, {[]string{"collect", "more", "share"}, ""}} {
		s := c.Screen("id", "1")
		s.Clauses = v.clauses
		r, _ := c.Terms(s)
		c.want("clauses", v.want, "b-sha", r)
	}
}

func Test002_02_PhaseChangesByVote(t *testing.T) {
	c := newCity(t)
	phase := func(v string) []record.Parameter { return []record.Parameter{{Name: "phase", Value: v}} }
	now := func() string { return ledgertest.Value[rules.Value](c.Consortium, rules.KeyParameter("phase")).V }
	c.want("half of the members", record.CodeVotesMissing, "pf", c.Vote("go", phase("self"), "a-sha", "b-sha"))
	c.want("unknown parameter", record.CodeParameterUnknown, "pf",
		c.Vote("go", []record.Parameter{{Name: "phase", Value: "x"}, {Name: "zzz"}}, "a-sha", "b-sha", "c-sha"))
	bad := c.Vote("go", phase("self"), "a-sha", "b-sha", "c-sha")
	bad.Body.(*record.Vote).Sets[0].Value = "other"
	c.want("signed for another value", record.CodeSignature, "pf", bad)
	other := c.Vote("go", phase("self"), "a-sha", "b-sha", "c-sha")
	other.ID = c.ID()
	c.want("signed for another record", record.CodeSignature, "pf", other)
	c.Must("pf", c.Party("shop"))
	c.want("a party votes", record.CodeMemberNotActive, "pf", c.Vote("go", phase("self"), "a-sha", "b-sha", "shop"))
	if now() != "" {
		t.Errorf("phase %q", now())
	}
	first := c.Vote("go", phase("self"), "a-sha", "b-sha", "c-sha")
	c.want("three of four", "", "pf", first)
	if now() != "self" {
		t.Errorf("phase %q", now())
	}
	c.want("all", "", "a-sha", c.Vote("back", phase("public"), "a-sha", "b-sha", "c-sha", "pf"))
	c.want("the first vote again", record.CodeRecordDuplicate, "pf", first)
	replay := *first
	replay.Issuer = "shop"
	c.want("by another", record.CodeRecordDuplicate, "shop", &replay)
	if now() != "public" {
		t.Errorf("phase %q", now())
	}
}

func Test002_01_SensorsNeedApproval(t *testing.T) {
	c := newCity(t)
	c.want("not a public body", record.CodeNotAuthorised, "a-sha", c.SensorApprove("s-1", "a-sha"))
	c.want("unknown operator", record.CodePartyUnknown, "pf", c.SensorApprove("s-1", "nobody"))
	c.want("retiring an unknown one", record.CodeSensorUnknown, "a-sha", c.SensorRetire("s-1"))
	c.want("", "", "pf", c.SensorApprove("s-1", "a-sha"))
	c.want("again", record.CodeDuplicate, "pf", c.SensorApprove("s-1", "a-sha"))
	c.want("retired by another", record.CodeNotAuthorised, "b-sha", c.SensorRetire("s-1"))
	c.want("", "", "a-sha", c.SensorRetire("s-1"))
	c.want("again", record.CodeSensorRetired, "pf", c.SensorRetire("s-1"))
	c.want("approved after its end", record.CodeSensorRetired, "pf", c.SensorApprove("s-1", "a-sha"))
	at := c.SensorApprove("s-9", "a-sha")
	at.Body.(*record.SensorApprove).Site = "north"
	c.want("", "", "pf", at)
	if s := ledgertest.Value[rules.Sensor](c.Consortium, rules.KeySensor("s-9")); s.Site != "north" {
		t.Errorf("site %q", s.Site)
	}
	c.Must("pf", c.Vote("t", []record.Parameter{{Name: "sensor-approver", Value: "consortium"}}, "a-sha", "b-sha", "c-sha"))
	c.want("by vote, every member", "", "a-sha", c.SensorApprove("s-2", "b-sha"))
	c.want("by its approver", "", "a-sha", c.SensorRetire("s-2"))
}

func TestTrees(t *testing.T) {
	c := newCity(t)
	made := c.Tree("crossing")
	c.Must("a-sha", made)
	id := rules.TreeID(leafHash(c.Leaf(made)))
	root := record.Digest{1}
	c.want("the same tree", record.CodeDuplicate, "a-sha", made)
	c.want("unknown tree", record.CodeTreeUnknown, "a-sha", c.TreeAdvance(id^1, 1, root))
	c.want("another's tree", record.CodeNotAuthorised, "b-sha", c.TreeAdvance(id, 1, root))
	c.want("", "", "a-sha", c.TreeAdvance(id, 10, root))
	c.want("the same size", record.CodeTreeAdvance, "a-sha", c.TreeAdvance(id, 10, record.Digest{2}))
	c.want("back", record.CodeTreeAdvance, "a-sha", c.TreeAdvance(id, 9, record.Digest{2}))
	c.want("", "", "a-sha", c.TreeAdvance(id, 11, record.Digest{2}))
	tree := ledgertest.Value[rules.Tree](c.Consortium, rules.KeyTree(id))
	if tree.Size != 11 || tree.Root != (record.Digest{2}) || tree.Owner != "a-sha" || id>>63 != 0 {
		t.Errorf("%+v", tree)
	}
}

func TestErasure(t *testing.T) {
	c := newCity(t)
	one, two, three := c.Number(), c.Number(), c.Number()
	c.want("by who holds nothing", record.CodeNotAuthorised, "c-sha", c.Erasure([]record.KeyNumber{one}, "a-sha", "b-sha"))
	c.want("unknown holder", record.CodePartyUnknown, "a-sha", c.Erasure([]record.KeyNumber{one}, "a-sha", "nobody"))
	c.want("a number twice", record.CodeErased, "a-sha", c.Erasure([]record.KeyNumber{one, one}, "a-sha"))
	e := c.Erasure([]record.KeyNumber{one, two}, "a-sha", "b-sha")
	c.want("", "", "a-sha", e)
	c.want("the id again", record.CodeRecordDuplicate, "a-sha", e)
	c.want("one number erased before", record.CodeErased, "a-sha", c.Erasure([]record.KeyNumber{c.Number(), two}, "a-sha"))
	c.want("no such erasure", record.CodeErasureUnknown, "a-sha", c.Attestation(c.ID()))
	c.want("not a holder", record.CodeNotAuthorised, "c-sha", c.Attestation(e.ID))
	c.want("further number erased before", record.CodeErased, "b-sha", c.Attestation(e.ID, three, one))
	c.want("with a further number", "", "b-sha", c.Attestation(e.ID, three))
	c.want("again", record.CodeDuplicate, "b-sha", c.Attestation(e.ID))
	state := func() *rules.Erasure { return ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(e.ID)) }
	if s := state(); len(s.Pending) != 1 || s.Pending[0] != "a-sha" || len(s.Done) != 1 || s.Done[0].Generation != 7 {
		t.Errorf("%+v", s)
	}
	c.want("", "", "a-sha", c.Attestation(e.ID))
	if s := state(); len(s.Pending) != 0 || len(s.Done) != 2 {
		t.Errorf("%+v", s)
	}
	for _, n := range []record.KeyNumber{one, two, three} {
		if s := ledgertest.Value[rules.Tombstone](c.Consortium, rules.KeyTombstone(n)); s == nil || s.Erasure != e.ID {
			t.Errorf("tombstone of %x: %+v", n, s)
		}
	}
}

// A holder who passed the data on meanwhile names further holders; who attested
// before does so again.
func TestErasurePassedOn(t *testing.T) {
	c := newCity(t)
	e := c.Erasure([]record.KeyNumber{c.Number()}, "a-sha", "b-sha")
	c.Must("a-sha", e)
	c.Must("a-sha", c.Attestation(e.ID))
	onward := func(to ...string) *record.Record {
		r := c.Attestation(e.ID)
		r.Body.(*record.Attestation).Onward = to
		return r
	}
	c.want("to nobody", record.CodePartyUnknown, "b-sha", onward("nobody"))
	c.want("to itself", record.CodeNotAuthorised, "b-sha", onward("b-sha"))
	c.Must("b-sha", onward("a-sha", "c-sha"))
	state := func() *rules.Erasure { return ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(e.ID)) }
	if s := state(); len(s.Done) != 2 || !slices.Equal(s.Pending, []string{"a-sha", "c-sha"}) {
		t.Errorf("%+v", s)
	}
	c.Must("c-sha", c.Attestation(e.ID))
	c.Must("a-sha", c.Attestation(e.ID))
	c.want("once more", record.CodeDuplicate, "a-sha", c.Attestation(e.ID))
	if s := state(); len(s.Done) != 4 || len(s.Pending) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFound: what a genesis must be.
func TestFound(t *testing.T) {
	c := newCity(t)
	good := c.Leaves[0]
	if _, err := rules.Found(good); err != nil {
		t.Fatal(err)
	}
	rec, err := record.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	g := rec.Body.(*record.Genesis)
	g.Signatures[2][0] ^= 1
	if _, err := rules.Found(c.Leaf(rec)); err == nil {
		t.Error("a founder did not sign")
	}
	g.Signatures[2][0] ^= 1
	g.Founding.CreatedMs++
	if _, err := rules.Found(c.Leaf(rec)); err == nil {
		t.Error("founders signed something else")
	}
	if _, err := rules.Found(c.Leaves[2]); err == nil {
		t.Error("a log begins with a service")
	}
	if _, err := rules.Found(nil); err == nil {
		t.Error("a log begins with nothing")
	}
}

// TestEveryParameterHasAValue that members may vote on.
func TestEveryParameterHasAValue(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{Change: func(f *record.Founding) {
		f.Parameters = []record.Parameter{{Name: "house-rule", Value: "1"}, {Name: "receive-hours", Value: "72"}}
	}})
	for name, want := range map[string]string{"receive-hours": "72", "sensor-approver": "public-body", "phase": "", "house-rule": "1"} {
		if v := ledgertest.Value[rules.Value](c, rules.KeyParameter(name)); v == nil || v.V != want {
			t.Errorf("%s: %+v, want %q", name, v, want)
		}
	}
}
