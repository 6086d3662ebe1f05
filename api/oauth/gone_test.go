package oauth_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
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
	if n := m.kept("O/g/") + m.kept("O/h/"); n != 0 {
		t.Errorf("%d traces of the grant are left", n)
	}

	left, _, err := m.sessions.Start("p01", session.Code, "Chromium") // as if the end had come before step 3
	fatal(t, err)
	m.s.Close()
	m.serve("127.0.0.1", nil, slog.New(slog.NewTextHandler(t.Output(), nil)))
	wait(t, "the next start ends what was left", func() bool { _, err := m.sessions.Lookup(left); return err != nil })
	if _, err := m.sessions.Lookup(other); err != nil {
		t.Errorf("somebody else's session ended with them: %v", err)
	}
}

// kept counts what the member's storage has under a prefix.
func (m *site) kept(prefix string) (n int) {
	m.t.Helper()
	fatal(m.t, m.n.Blobs().Scan([]byte(prefix), func(_, _ []byte) error { n++; return nil }))
	return n
}
