package record_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A limit is one change of a well-formed record and the code that refuses it,
// "" where it stands at the limit.
type limit struct {
	name   string
	kind   record.Kind
	change func(record.Body)
	want   record.Code
}

// on makes a limit of a change of one body.
func on[B record.Body](name string, kind record.Kind, want record.Code, change func(B)) limit {
	return limit{name, kind, func(b record.Body) { change(b.(B)) }, want}
}

func ids(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("i%05d", i)
	}
	return out
}

// weak is a key under which anyone can sign.
var weak = sign.PublicKey{1}

const malformed = record.CodeRecordMalformed

var limits = []limit{
	on("scope 15", record.KindConsent, "", func(b *record.Consent) { b.Scope = 15 }),
	on("scope 16", record.KindConsent, record.CodeScopeRange, func(b *record.Consent) { b.Scope = 16 }),
	on("weak handle", record.KindConsent, malformed, func(b *record.Consent) { b.Handle = weak }),
	on("scope 16", record.KindRevocation, record.CodeScopeRange, func(b *record.Revocation) { b.Scope = 16 }),
	on("scope 16", record.KindStop, record.CodeScopeRange, func(b *record.Stop) { b.Scope = 16 }),
	on("scope 254", record.KindStop, record.CodeScopeRange, func(b *record.Stop) { b.Scope, b.Terms = 254, nil }),
	on("all, with terms", record.KindStop, record.CodeScopeRange, func(b *record.Stop) { b.Scope = record.ScopeAll }),
	on("all", record.KindStop, "", func(b *record.Stop) { b.Scope, b.Terms = record.ScopeAll, nil }),
	on("no terms", record.KindStop, record.CodeScopeRange, func(b *record.Stop) { b.Terms = nil }),
	on("short terms", record.KindStop, record.CodeScopeRange, func(b *record.Stop) { b.Terms = b.Terms[:31] }),
	on("service id", record.KindHandleOpen, malformed, func(b *record.HandleOpen) { b.For = "x/y" }),
	on("weak handle", record.KindHandleOpen, malformed, func(b *record.HandleOpen) { b.Handle = weak }),
	on("to itself", record.KindHandleMove, malformed, func(b *record.HandleMove) { b.New = b.Old }),
	on("ending two", record.KindHandleClose, "", func(b *record.HandleClose) { b.Intents = []record.ID{{1}, {2}} }),
	on("ending one twice", record.KindHandleClose, malformed, func(b *record.HandleClose) { b.Intents = []record.ID{{1}, {1}} }),
	on("ending 513", record.KindHandleClose, malformed, func(b *record.HandleClose) { b.Intents = make([]record.ID, record.MaxCloses+1) }),
	on("to a weak key", record.KindHandleMove, malformed, func(b *record.HandleMove) { b.New = weak }),

	on("scope 16", record.KindProvision, record.CodeScopeRange, func(b *record.Provision) { b.Scope = 16 }),
	on("terms 0", record.KindProvision, record.CodeTermsUnknown, func(b *record.Provision) { b.Terms = 0 }),
	on("no deadline", record.KindProvision, record.CodeIntentDeadline, func(b *record.Provision) { b.DeadlineMs = 0 }),
	on("deadline off the hour", record.KindProvision, record.CodeIntentDeadline, func(b *record.Provision) { b.DeadlineMs++ }),
	on("deadline beyond time", record.KindProvision, record.CodeIntentDeadline, func(b *record.Provision) { b.DeadlineMs = (record.MaxTimeMs/record.HourMs + 1) * record.HourMs }),
	on("recipient", record.KindProvision, malformed, func(b *record.Provision) { b.To = "" }),
	on("reason", record.KindUndelivered, malformed, func(b *record.Undelivered) { b.Reason = "山田" }),
	on("reason", record.KindDenial, malformed, func(b *record.Denial) { b.Reason = "" }),
	on("filing", record.KindOptOut, malformed, func(b *record.OptOut) { b.Filing = "第1号" }),
	on("deadline", record.KindOptOut, record.CodeIntentDeadline, func(b *record.OptOut) { b.DeadlineMs++ }),
	on("number", record.KindFiling, malformed, func(b *record.Filing) { b.Number = "" }),
	on("no items", record.KindFiling, malformed, func(b *record.Filing) { b.Items = nil }),
	on("end with items", record.KindFiling, malformed, func(b *record.Filing) { b.End, b.FromMs = true, 0 }),
	on("end with a day", record.KindFiling, malformed, func(b *record.Filing) { b.End, b.Items = true, nil }),
	on("end", record.KindFiling, "", func(b *record.Filing) { b.End, b.Items, b.FromMs = true, nil, 0 }),
	on("items out of order", record.KindFiling, malformed, func(b *record.Filing) { b.Items = []string{"user-id", "name"} }),
	on("item twice", record.KindFiling, malformed, func(b *record.Filing) { b.Items = []string{"name", "name"} }),
	on("128 items", record.KindFiling, "", func(b *record.Filing) { b.Items = ids(record.MaxItems) }),
	on("129 items", record.KindFiling, malformed, func(b *record.Filing) { b.Items = ids(record.MaxItems + 1) }),
	on("beyond time", record.KindFiling, malformed, func(b *record.Filing) { b.FromMs = record.MaxTimeMs + 1 }),

	on("no numbers", record.KindErasure, malformed, func(b *record.Erasure) { b.Numbers = nil }),
	on("512 numbers", record.KindErasure, "", func(b *record.Erasure) { b.Numbers = make([]record.KeyNumber, 512) }),
	on("513 numbers", record.KindErasure, malformed, func(b *record.Erasure) { b.Numbers = make([]record.KeyNumber, 513) }),
	on("no holders", record.KindErasure, malformed, func(b *record.Erasure) { b.Holders = nil }),
	on("256 holders", record.KindErasure, "", func(b *record.Erasure) { b.Holders = ids(record.MaxParties) }),
	on("257 holders", record.KindErasure, malformed, func(b *record.Erasure) { b.Holders = ids(record.MaxParties + 1) }),
	on("cause", record.KindErasure, malformed, func(b *record.Erasure) { b.Cause = "whim" }),
	on("class", record.KindAttestation, malformed, func(b *record.Attestation) { b.Class = "" }),
	on("class of 65", record.KindAttestation, malformed, func(b *record.Attestation) { b.Class = strings.Repeat("x", 65) }),
	on("class with a space", record.KindAttestation, malformed, func(b *record.Attestation) { b.Class = "a b" }),
	on("kept: nothing", record.KindAttestation, "", func(b *record.Attestation) { b.Kept = &record.Kept{} }),
	on("kept beyond time", record.KindAttestation, malformed, func(b *record.Attestation) { b.Kept = &record.Kept{Records: 1 << 31} }),
	on("onward", record.KindAttestation, "", func(b *record.Attestation) { b.Onward = ids(record.MaxParties) }),
	on("onward to nobody", record.KindAttestation, malformed, func(b *record.Attestation) { b.Onward = []string{""} }),
	on("onward twice", record.KindAttestation, malformed, func(b *record.Attestation) { b.Onward = []string{"x", "x"} }),
	on("513 numbers", record.KindAttestation, malformed, func(b *record.Attestation) { b.Numbers = make([]record.KeyNumber, 513) }),

	on("numbers of copies", record.KindAttestation, malformed, func(b *record.Attestation) { b.For = "b-sha" }),
	on("attestation of copies", record.KindAttestation, "", func(b *record.Attestation) { b.For, b.Numbers = "b-sha", nil }),
	on("class of 65", record.KindCustodian, malformed, func(b *record.Custodian) { b.Class = strings.Repeat("x", 65) }),
	on("class without generation", record.KindCustodian, malformed, func(b *record.Custodian) { b.Generation = 0 }),
	on("its own custodian", record.KindCustodian, malformed, func(b *record.Custodian) { b.Custodian = b.Owner }),
	on("end", record.KindCustodian, "", func(b *record.Custodian) { b.End = true }),
	on("reason of a loss", record.KindCustodianLost, malformed, func(b *record.CustodianLost) { b.Reason = "mislaid" }),

	on("sensor", record.KindSensorApprove, malformed, func(b *record.SensorApprove) { b.Sensor = "" }),
	on("operator", record.KindSensorApprove, malformed, func(b *record.SensorApprove) { b.Operator = "" }),
	on("type", record.KindSensorApprove, malformed, func(b *record.SensorApprove) { b.Type = "" }),
	on("site", record.KindSensorApprove, malformed, func(b *record.SensorApprove) { b.Site = "North gate" }),
	on("65 readings", record.KindSensorApprove, malformed, func(b *record.SensorApprove) { b.Readings = ids(65) }),
	on("sensor", record.KindSensorRetire, malformed, func(b *record.SensorRetire) { b.Sensor = "" }),
	on("tree type", record.KindTree, malformed, func(b *record.Tree) { b.Type = "x" }),
	on("tree name", record.KindTree, malformed, func(b *record.Tree) { b.Name = "" }),
	on("tree 0", record.KindTreeAdvance, malformed, func(b *record.TreeAdvance) { b.Tree = 0 }),
	on("size 0", record.KindTreeAdvance, malformed, func(b *record.TreeAdvance) { b.Size = 0 }),
	on("extra root", record.KindTreeAdvance, malformed, func(b *record.TreeAdvance) { b.Extra = make([]byte, 31) }),

	on("id", record.KindService, malformed, func(b *record.Service) { b.ID = "A" }),
	on("no Japanese name", record.KindService, malformed, func(b *record.Service) { b.Name.Ja = "" }),
	on("name of 257", record.KindService, malformed, func(b *record.Service) { b.Name.En = strings.Repeat("x", 257) }),
	on("name not UTF-8", record.KindService, malformed, func(b *record.Service) { b.Name.En = "\xff" }),
	on("no contact", record.KindService, malformed, func(b *record.Service) { b.Contact.Ja = "" }),
	on("65 clauses", record.KindService, malformed, func(b *record.Service) { b.Clauses = ids(65) }),
	on("129 fields", record.KindService, malformed, func(b *record.Service) { b.Fields = ids(129) }),

	on("party id", record.KindParty, malformed, func(b *record.Party) { b.ID = "" }),
	on("regime", record.KindParty, malformed, func(b *record.Party) { b.Regime = "ch6" }),
	on("country", record.KindParty, malformed, func(b *record.Party) { b.Country = "JPN" }),
	on("name", record.KindParty, malformed, func(b *record.Party) { b.Name.Ja = "" }),
	on("17 categories", record.KindParty, malformed, func(b *record.Party) { b.Categories = ids(17) }),
	on("weak key", record.KindParty, malformed, func(b *record.Party) { b.Key = weak }),
	on("weak key", record.KindKey, malformed, func(b *record.KeyChange) { b.Key = weak }),
	on("topic", record.KindVote, malformed, func(b *record.Vote) { b.Topic = "" }),
	on("votes out of order", record.KindVote, malformed, func(b *record.Vote) { b.Votes[0], b.Votes[1] = b.Votes[1], b.Votes[0] }),
	on("one votes twice", record.KindVote, malformed, func(b *record.Vote) { b.Votes[0] = b.Votes[1] }),
	on("33 votes", record.KindVote, malformed, func(b *record.Vote) { b.Votes = make([]record.MemberVote, 33) }),
	on("parameter twice", record.KindVote, malformed, func(b *record.Vote) { b.Sets = append(b.Sets, b.Sets[0]) }),
	on("257 parameters", record.KindVote, malformed, func(b *record.Vote) { b.Sets = make([]record.Parameter, 257) }),
	on("value of 257", record.KindVote, malformed, func(b *record.Vote) { b.Sets[0].Value = strings.Repeat("x", 257) }),
	on("action", record.KindMember, malformed, func(b *record.MemberChange) { b.Action = "like" }),
	on("member", record.KindMember, malformed, func(b *record.MemberChange) { b.Member = "A" }),
	on("no keys", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys = nil }),
	on("role", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys[0].Role = "peer" }),
	on("a role twice", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys[1].Role = b.Keys[0].Role }),
	on("roles out of order", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys[0], b.Keys[1] = b.Keys[1], b.Keys[0] }),
	on("one key in two roles", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys[1].Key = b.Keys[0].Key }),
	on("weak key", record.KindMember, malformed, func(b *record.MemberChange) { b.Keys[1].Key = weak }),
	on("remove with keys", record.KindMember, malformed, func(b *record.MemberChange) { b.Action = record.ActionRemove }),
	on("add without proofs", record.KindMember, malformed, func(b *record.MemberChange) { b.Action = record.ActionAdd }),
	on("votes", record.KindMember, malformed, func(b *record.MemberChange) { b.Votes[0] = b.Votes[1] }),

	on("no time", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.CreatedMs = 0 }),
	on("origin", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Origin = "a b" }),
	on("no members", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members, b.Signatures = nil, nil }),
	on("a signature missing", record.KindGenesis, malformed, func(b *record.Genesis) { b.Signatures = b.Signatures[1:] }),
	on("members out of order", record.KindGenesis, malformed, func(b *record.Genesis) {
		m := b.Founding.Members
		m[0], m[1] = m[1], m[0]
	}),
	on("member named members", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members[2].ID = "members" }),
	on("member named all", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members[0].ID = "all" }),
	on("cosigner's name twice", record.KindGenesis, malformed, func(b *record.Genesis) {
		b.Founding.Members[1].Cosigner = b.Founding.Members[0].Cosigner
	}),
	on("cosigner named as the log", record.KindGenesis, malformed, func(b *record.Genesis) {
		b.Founding.Members[1].Cosigner = b.Founding.Origin
	}),
	on("cosigner key twice", record.KindGenesis, malformed, func(b *record.Genesis) {
		b.Founding.Members[1].CosignKey = b.Founding.Members[0].CosignKey
	}),
	on("the log's key", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members[1].Key = b.Founding.LogKey }),
	on("one key in two roles", record.KindGenesis, malformed, func(b *record.Genesis) {
		b.Founding.Members[1].Approver = b.Founding.Members[1].Key
	}),
	on("weak cosigner", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members[1].CosignKey = weak }),
	on("cosigner's name", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Members[1].Cosigner = "a+b" }),
	on("a witness", record.KindGenesis, "", func(b *record.Genesis) { witness(b) }),
	on("witness without a name", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Name = "" }),
	on("witness's URL", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).URL = "ftp://w.example" }),
	on("witness's long URL", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).URL += strings.Repeat("x", 256) }),
	on("witness's weak key", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Key = weak }),
	on("witness with a member's key", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Key = b.Founding.Members[2].CosignKey }),
	on("witness with the log's key", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Key = b.Founding.LogKey }),
	on("witness with a member's name", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Name = b.Founding.Members[0].Cosigner }),
	on("witness twice", record.KindGenesis, malformed, func(b *record.Genesis) {
		witness(b)
		b.Founding.Witnesses = append(b.Founding.Witnesses, b.Founding.Witnesses[0])
	}),
	on("17 witnesses", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Witnesses = make([]record.Witness, 17) }),
	on("two of one witness", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Required, b.Founding.WitnessK = true, 2 }),
	on("none of one witness", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Required, b.Founding.WitnessK = true, 0 }),
	on("one of no required witness", record.KindGenesis, malformed, func(b *record.Genesis) { witness(b).Required, b.Founding.WitnessK = false, 1 }),
	on("attribute twice", record.KindGenesis, malformed, func(b *record.Genesis) {
		b.Founding.Attributes = append(b.Founding.Attributes, b.Founding.Attributes[0])
	}),
	on("1025 attributes", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Attributes = make([]record.Attribute, 1025) }),
	on("purposes out of order", record.KindGenesis, malformed, func(b *record.Genesis) {
		p := b.Founding.Purposes
		p[0], p[1] = p[1], p[0]
	}),
	on("parameter", record.KindGenesis, malformed, func(b *record.Genesis) { b.Founding.Parameters = []record.Parameter{{Name: ""}} }),
}

func TestLimits(t *testing.T) {
	for _, l := range limits {
		r := samples(t)[l.kind]
		l.change(r.Body)
		_, err := r.Leaf()
		if got := code(t, err); got != l.want {
			t.Errorf("%v, %s: Leaf: %v, want %q", l.kind, l.name, err, l.want)
		}
		if strings.Contains(l.name, "UTF-8") {
			continue // cannot be encoded to be read
		}
		_, err = record.Parse(raw(r))
		if got := code(t, err); got != l.want {
			t.Errorf("%v, %s: Parse: %v, want %q", l.kind, l.name, err, l.want)
		}
	}
}

// TestScreenLimits changes what a consent screen says.
func TestScreenLimits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*record.Screen)
		want   record.Code
	}{
		"as it is":                 {func(*record.Screen) {}, ""},
		"service":                  {func(s *record.Screen) { s.Service = "" }, malformed},
		"no version":               {func(s *record.Screen) { s.Version = "" }, malformed},
		"version of 33":            {func(s *record.Screen) { s.Version = strings.Repeat("1", 33) }, malformed},
		"beyond time":              {func(s *record.Screen) { s.EffectiveMs = record.MaxTimeMs + 1 }, malformed},
		"no text":                  {func(s *record.Screen) { s.Text.Ja = "" }, malformed},
		"text of 16 KiB":           {func(s *record.Screen) { s.Text.Ja = strings.Repeat("x", record.MaxTextBytes) }, ""},
		"text beyond":              {func(s *record.Screen) { s.Text.Ja = strings.Repeat("x", record.MaxTextBytes+1) }, malformed},
		"no withdrawal":            {func(s *record.Screen) { s.Withdrawal.Ja = "" }, malformed},
		"clauses out of order":     {func(s *record.Screen) { s.Clauses = []string{"b", "a"} }, malformed},
		"no scopes":                {func(s *record.Screen) { s.Scopes = nil }, malformed},
		"16 scopes":                {func(s *record.Screen) { s.Scopes = scopes(16) }, ""},
		"17 scopes":                {func(s *record.Screen) { s.Scopes = scopes(17) }, malformed},
		"purpose":                  {func(s *record.Screen) { s.Scopes[0].Purpose = "" }, malformed},
		"128 items":                {func(s *record.Screen) { s.Scopes[0].Required = ids(128) }, ""},
		"129 required items":       {func(s *record.Screen) { s.Scopes[0].Required = ids(129) }, malformed},
		"129 optional items":       {func(s *record.Screen) { s.Scopes[0].Optional = ids(129) }, malformed},
		"257 recipients":           {func(s *record.Screen) { s.Scopes[0].Recipients = ids(257) }, malformed},
		"17 recipient categories":  {func(s *record.Screen) { s.Scopes[0].Categories = ids(17) }, malformed},
		"expiry that is no period": {func(s *record.Screen) { s.Scopes[0].MaxExpiry = "1Y" }, malformed},
		"retention of 33":          {func(s *record.Screen) { s.Retention = strings.Repeat("P", 33) }, malformed},
		"foreign of 33":            {func(s *record.Screen) { s.Foreign = strings.Repeat("P", 33) }, malformed},
	} {
		r, body := sample[*record.Terms](t, record.KindTerms)
		s, err := body.Decode()
		if err != nil {
			t.Fatal(err)
		}
		c.change(s)
		body.Screen = canon.Must(s)
		if _, err := record.Parse(raw(r)); code(t, err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	r, body := sample[*record.Terms](t, record.KindTerms)
	body.Screen = append(body.Screen, 0)
	if _, err := record.Parse(raw(r)); code(t, err) != canon.CodeMalformed {
		t.Errorf("a screen with a byte behind it: %v", err)
	}
}

func scopes(n int) []record.Scope {
	out := make([]record.Scope, n)
	for i := range out {
		out[i].Purpose = fmt.Sprintf("p%d", i)
	}
	return out
}

// TestLargestLeaf: what does not fit an entry bundle is refused when written.
func TestLargestLeaf(t *testing.T) {
	r, body := sample[*record.Terms](t, record.KindTerms)
	s, err := body.Decode()
	if err != nil {
		t.Fatal(err)
	}
	s.Text = record.Text{Ja: strings.Repeat("x", record.MaxTextBytes), En: strings.Repeat("x", record.MaxTextBytes)}
	s.Withdrawal = s.Text
	body.Screen = canon.Must(s)
	var refusal *record.Refusal
	if _, err := r.Leaf(); !errors.As(err, &refusal) || refusal.Code != canon.CodeOversize && refusal.Code != record.CodeRecordOversize {
		t.Errorf("a leaf of 64 KiB: %v", err)
	}
}

// witness puts a good witness into a founding.
func witness(b *record.Genesis) *record.Witness {
	b.Founding.Witnesses, b.Founding.WitnessK = []record.Witness{{Name: "w.example/1", Key: sign.PublicKey{3}, URL: "https://w.example/1", Required: true}}, 1
	return &b.Founding.Witnesses[0]
}
