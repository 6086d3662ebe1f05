package receipt_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// oneHandle is a person with two scopes of one service in different states.
func oneHandle(t testing.TB, o ledgertest.Options) (*person, sign.PublicKey) {
	p := newPerson(ledgertest.New(t, o), "hana")
	terms := p.c.Offer("a-sha", "a-portal")
	key := p.secret.Handle("a-portal", 0)
	p.do("a-sha", p.c.Grant(key, terms, 0))
	p.do("a-sha", p.c.Provision(key.Public(), 1, 0, "b-sha"))
	p.do("a-sha", p.c.Grant(key, terms, 1, uint32(record.DayOf(p.c.NowMs))+30))
	p.do("pf", p.c.Revoke(key, terms, 0))
	return p, key.Public()
}

func (p *person) handle(t testing.TB, key sign.PublicKey, events receipt.Events) []byte {
	t.Helper()
	b, err := receipt.BuildHandle(newest(p.c), key, events)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHandleProof(t *testing.T) {
	p, key := oneHandle(t, ledgertest.Options{})
	v, err := receipt.Verify(p.handle(t, key, p.options().Events), p.c.Policy())
	if err != nil {
		t.Fatal(err)
	}
	h := v.Handles[0]
	if len(v.Handles) != 1 || !h.Present || h.For != "a-portal" || h.State != receipt.StatusActive || h.Events != 4 || h.Consents != 3 ||
		strings.Join(h.Kinds, " ") != "consent provision consent revocation" || v.FinalMs == 0 {
		t.Errorf("%+v", v)
	}
	if len(h.Scopes) != 2 || h.Scopes[0].State != receipt.StatusRevoked || h.Scopes[1].State != receipt.StatusActive || h.Scopes[1].Until != "2027-05-01" {
		t.Errorf("scopes %+v", h.Scopes)
	}
	state, err := receipt.Verify(p.handle(t, key, nil), p.c.Policy())
	if err != nil || state.Handles[0].Events != 4 || state.Handles[0].Kinds != nil {
		t.Errorf("state only: %+v, %v", state, err)
	}
	p.c.Pass(40 * 86400_000)
	p.c.Must("pf", p.c.Tick())
	if v, err = receipt.Verify(p.handle(t, key, nil), p.c.Policy()); err != nil || v.Handles[0].Scopes[1].State != receipt.StatusExpired {
		t.Errorf("after its last day: %+v, %v", v, err)
	}
	absent, err := receipt.Verify(p.handle(t, p.c.Person("nobody").Handle("a-portal", 0).Public(), p.options().Events), p.c.Policy())
	if err != nil || absent.Handles[0].Present || absent.Handles[0].Events != 0 {
		t.Errorf("absent: %+v, %v", absent, err)
	}
}

func TestHandleProofTampered(t *testing.T) {
	p, key := oneHandle(t, ledgertest.Options{})
	b := string(p.handle(t, key, p.options().Events))
	var events []string
	for _, e := range p.events[key] {
		events = append(events, `    "`+base64.StdEncoding.EncodeToString(e)+`"`)
	}
	list := func(e ...string) string { return strings.Join(e, ",\n") }
	all := list(events...)
	other := `"` + base64.StdEncoding.EncodeToString(p.c.Leaves[3]) + `"`
	for _, tt := range []struct{ name, old, new, want string }{
		{"first withheld", all, list(events[1:]...), "handle.events"},
		{"last withheld", all, list(events[:3]...), "handle.events"},
		{"reordered", all, list(events[0], events[2], events[1], events[3]), "handle.events"},
		{"repeated", all, list(events[0], events[0], events[2], events[3]), "handle.events"},
		{"another record", all, list(events[0], events[1], events[2], "    "+other), "handle.events"},
		{"none", ",\n  \"events\": [\n" + all + "\n  ]", "", "handle.human"},
		{"words", "本人が撤回しました", "有効です", "handle.human"},
		{"story time", "  \"handle\": ", "  \"storyTime\": true,\n  \"handle\": ", "handle.story-time"},
		{"another handle", base64.StdEncoding.EncodeToString(key[:]), base64.StdEncoding.EncodeToString(make([]byte, 32)), "handle.handle"},
		{"format", "akashi-handle/v1", "akashi-handle/v2", "handle.format"},
	} {
		m := strings.Replace(b, tt.old, tt.new, 1)
		if m == b {
			t.Fatalf("%s: nothing was replaced", tt.name)
		}
		if _, err := receipt.Verify([]byte(m), p.c.Policy()); code(t, err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	mangleEveryByte(t, "handle", []byte(b), func(m []byte) error { _, err := receipt.Verify(m, p.c.Policy()); return err })
}
