package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestPartyToken: a token that is bound to a party writes in its name only, and
// reads nothing of the member's.
func TestPartyToken(t *testing.T) {
	m := newMember(t)
	m.post("a-sha", m.c.Party("shop"), m.c.Service("a-portal"))
	m.post("shop", m.c.Service("points"))
	const bound = token.Role("bound")
	var err error
	if m.text[bound], err = m.tokens.IssueTo("shop", token.App, "till"); err != nil {
		t.Fatal(err)
	}
	r := custody.WithdrawRequest{Person: "p01", Service: "points"}
	for _, as := range [][]string{nil, {"Akashi-As", "shop"}} {
		must[custody.Done](m, bound, "POST", "/v1/revocations", r, as...)
		if m.desk.call.As != "shop" {
			t.Errorf("%v: as %q", as, m.desk.call.As)
		}
	}
	r.Service = "a-portal"
	tick := m.c.Tick()
	tick.Issuer = "a-sha"
	for name, c := range map[string]struct {
		method, path string
		body         any
		header       []string
	}{
		"as the member":     {"POST", "/v1/revocations", r, []string{"Akashi-As", "a-sha"}},
		"another's service": {"POST", "/v1/revocations", r, nil},
		"a stop there":      {"POST", "/v1/stops", r, nil},
		"a person's data":   {"GET", "/v1/people/p01", nil, nil},
		"consents":          {"GET", "/v1/people/p01/consents", nil, nil},
		"secret":            {"GET", "/v1/people/p01/secret", nil, nil},
		"erasure":           {"POST", "/v1/people/p01/erasure", ErasureForm{Cause: "request"}, nil},
		"link":              {"POST", "/v1/people/p01/link", LinkForm{}, nil},
		"stream":            {"GET", "/v1/stream", nil, nil},
		"another's record":  {"POST", "/v1/records", RecordsForm{[][]byte{m.c.Leaf(tick)}}, nil},
	} {
		a := m.ask(bound, c.method, c.path, c.body, c.header...)
		refused := a.code() == codeRole && a.StatusCode == http.StatusForbidden
		if name == "another's record" {
			refused = a.StatusCode == http.StatusOK && strings.Contains(string(a.body), `"code":"not-authorised"`)
		}
		if !refused {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if a := m.ask(bound, "GET", "/v1/services", nil); a.StatusCode != http.StatusOK {
		t.Errorf("what everybody reads: %d", a.StatusCode)
	}
	if a := m.ask(bound, "POST", "/v1/votes", VoteForm{Topic: "t"}); a.code() != codeRole {
		t.Errorf("a vote: %d %s", a.StatusCode, a.body)
	}
}
