package rest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestRightRoutes: what people ask for and stop reaches the desk as it was asked,
// with who asked, and refusals come back as problems.
func TestRightRoutes(t *testing.T) {
	m := newMember(t)
	form := RightForm{Kind: "correction", Service: "a-portal", Items: []string{"name"}, Note: "髙橋"}
	v := must[custody.RightView](m, token.Subject, "POST", "/v1/people/p01/requests", form, "Idempotency-Key", "k1")
	if got, ok := m.desk.asked.(custody.RightRequest); !ok || got.Person != "p01" || got.Note != "髙橋" || m.desk.call.Key != "k1" || v.State != "open" {
		t.Errorf("%+v of %+v: %+v", m.desk.asked, m.desk.call, v)
	}
	if l := must[RightList](m, token.Subject, "GET", "/v1/people/p01/requests", nil); len(l.Requests) != 1 || m.desk.asked != custody.Ref("p01") {
		t.Errorf("%+v of %v", l, m.desk.asked)
	}
	if l := must[RightList](m, token.Manager, "GET", "/v1/requests?open=true", nil); l.Requests == nil || m.desk.asked != true {
		t.Errorf("%+v of %v", l, m.desk.asked)
	}
	id := strings.Repeat("ab", 16)
	must[custody.RightView](m, token.Manager, "POST", "/v1/requests/"+id+"/answer", AnswerForm{State: "partly", Text: "x", Identity: "counter"})
	if m.desk.asked != (custody.RightAnswer{State: "partly", Text: "x", Identity: "counter"}) {
		t.Errorf("%+v", m.desk.asked)
	}
	must[StopList](m, token.Subject, "GET", "/v1/people/p01/stops", nil)
	for role, by := range map[token.Role]string{token.Subject: custody.StopByPerson, token.App: custody.StopByDesk} {
		must[StopList](m, role, "PUT", "/v1/people/p01/stops/mail", StopForm{State: "stopped"})
		if got, want := fmt.Sprint(m.desk.asked), fmt.Sprint([]any{"p01", "mail", true, by}); got != want {
			t.Errorf("%s: %s, want %s", role, got, want)
		}
	}
	for name, c := range map[string]struct {
		role         token.Role
		method, path string
		body         any
		err          error
		code         string
		status       int
	}{
		"unknown kind":   {token.Subject, "POST", "/v1/people/p01/requests", map[string]any{"kind": "other", "service": "s"}, nil, codeInvalid, 400},
		"a bad id":       {token.Admin, "POST", "/v1/requests/x/answer", AnswerForm{State: "done"}, nil, codeParameter, 400},
		"an app answers": {token.App, "POST", "/v1/requests/" + id + "/answer", AnswerForm{State: "done"}, nil, codeRole, 403},
		"no reason":      {token.Admin, "POST", "/v1/requests/" + id + "/answer", AnswerForm{State: "refused"}, record.Refuse(custody.CodeRightReason, ""), "request.reason", 422},
		"no identity":    {token.Admin, "POST", "/v1/requests/" + id + "/answer", AnswerForm{State: "done"}, record.Refuse(record.CodeIdentityNotVerified, ""), "identity-not-verified", 422},
		"unknown":        {token.Admin, "POST", "/v1/requests/" + id + "/answer", AnswerForm{State: "done"}, record.Refuse(custody.CodeRightUnknown, ""), "request.unknown", 404},
		"answered":       {token.Admin, "POST", "/v1/requests/" + id + "/answer", AnswerForm{State: "done"}, record.Refuse(custody.CodeRightAnswered, ""), "request.answered", 409},
	} {
		m.desk.err = c.err
		if a := m.ask(c.role, c.method, c.path, c.body); a.code() != c.code || a.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d %s", name, a.StatusCode, a.body, c.status, c.code)
		}
		m.desk.err = nil
	}
}
