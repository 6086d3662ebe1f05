package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestErasureEndsEverything: with a person's data go the tokens of apps, which are
// told, and the sessions. Whom an erasure that was cut short left over, the next start
// finds.
func TestErasureEndsEverything(t *testing.T) {
	m := newSite(t)
	told := make(chan string, 4)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Content-Type")
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(hook.Close)
	c := m.client(func(f object) { f["webhook"] = hook.URL })
	got := m.granted(c, "p01", "service")
	token, _, err := m.sessions.Start("p01", session.Passkey, "Chromium")
	fatal(t, err)
	m.person("p02")
	theirs := m.granted(c, "p02", "service")
	other, _, err := m.sessions.Start("p02", session.Passkey, "Chromium")
	fatal(t, err)

	m.call("app", "POST", "/v1/people/p01/erasure", object{"cause": "request"}, nil)
	if _, err := m.sessions.Lookup(token); err == nil {
		t.Error("a session of somebody who was erased is alive")
	}
	if all, err := m.sessions.List("p01"); err != nil || len(all) != 0 {
		t.Errorf("%d sessions are listed, %v", len(all), err)
	}
	if _, err := m.sessions.Lookup(other); err != nil {
		t.Errorf("somebody else's session ended with them: %v", err)
	}
	if status, _, code := m.data(got.Access, "purpose=service"); status != http.StatusUnauthorized && status != http.StatusForbidden || code != "token.invalid" {
		t.Errorf("a read after the erasure: %d %s", status, code)
	}
	if now := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); now.Error != "invalid_grant" {
		t.Errorf("a refresh after the erasure: %+v", now)
	}
	if kind := <-told; kind != "application/secevent+jwt" {
		t.Errorf("the client was told by %q", kind)
	}
	if n := m.kept("O/g/") + m.kept("O/h/"); n != 2 {
		t.Errorf("%d traces of grants are left, want the other person's 2", n)
	}

	left, _, err := m.sessions.Start("p01", session.Code, "Chromium") // as if the end had come before step 3
	fatal(t, err)
	m.s.Close()
	m.serve("127.0.0.1", nil, slog.New(slog.NewTextHandler(t.Output(), nil)))
	wait(t, "the next start ends what was left", func() bool { _, err := m.sessions.Lookup(left); return err != nil })
	if _, err := m.sessions.Lookup(other); err != nil {
		t.Errorf("somebody else's session ended with them: %v", err)
	}
	if status, _, code := m.data(theirs.Access, "purpose=service"); status != http.StatusOK {
		t.Errorf("somebody else's token after the sweep: %d %s", status, code)
	}
}

// TestNextOfTheReference: whoever has the reference next is not opened by the paper
// of the person before them, and is somebody else at other members.
func TestNextOfTheReference(t *testing.T) {
	m := newSite(t)
	m.others = []oauth.Member{{ID: "b-sha", Name: record.Text{Ja: "い社", En: "B"}, Origin: "https://b.example"}}
	paper := m.enter("p01", session.Link).printed(t)
	before, again := m.introduced("p01"), m.introduced("p01")
	if before != again {
		t.Error("the same person has two names at one member")
	}
	m.call("app", "POST", "/v1/people/p01/erasure", object{"cause": "request"}, nil)
	if n := m.kept("S/r/") + m.kept("S/q/") + m.kept("O/g/") + m.kept("O/h/"); n != 0 {
		t.Errorf("%d traces of the paper and the grants are left", n)
	}
	m.person("p01")
	if _, v, err := m.sessions.UsePaper(paper, "browser", "", func(string) (bool, error) { return true, nil }); !errors.Is(err, session.ErrPaper) {
		t.Errorf("the paper of somebody who was erased opens the account: %+v, %v", v, err)
	}
	if after := m.introduced("p01"); after == before {
		t.Error("whoever has the reference next is the erased person at the other member")
	}
}

// introduced returns the name by which b-sha is told of a person.
func (m *site) introduced(ref string) string {
	m.t.Helper()
	const to = "https://b.example/signin/oidc/callback/a-sha"
	f := m.flow(rest.ClientMade{ClientView: rest.ClientView{ID: "member:b-sha"}})
	f.extra = url.Values{"authorization_details": {""}, "redirect_uri": {to}, "nonce": {"n"}}
	b := m.browser()
	_, page := f.screen(b, ref)
	form := fields(page)
	form.Set("act", "tell")
	at := page[strings.Index(page, `action="/oauth/authorize/`)+len(`action="`):]
	resp, _ := b.post(at[:strings.Index(at, `"`)], form)
	back, err := url.Parse(resp.Header.Get("Location"))
	fatal(m.t, err)
	x := f.exchange(back.Query().Get("code"))
	x.Set("redirect_uri", to)
	x.Set("client_id", "member:b-sha")
	parts := strings.Split(m.token(rest.ClientMade{}, x).ID, ".")
	if len(parts) != 3 {
		m.t.Fatal("no ID token")
	}
	said, err := base64.RawURLEncoding.DecodeString(parts[1])
	fatal(m.t, err)
	var v struct{ Sub string }
	fatal(m.t, json.Unmarshal(said, &v))
	return v.Sub
}

// kept counts what the member's storage has under a prefix.
func (m *site) kept(prefix string) (n int) {
	m.t.Helper()
	fatal(m.t, m.n.Blobs().Scan([]byte(prefix), func(_, _ []byte) error { n++; return nil }))
	return n
}
