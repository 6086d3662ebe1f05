package oauth_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
)

// TestPrompts: what a request wants of the person holds also where it wants several
// things at once.
func TestPrompts(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	m.granted(c, "p01", "service")
	for prompt, want := range map[string]string{
		"": redirect + "?", "none": redirect + "?", "login": "/signin?", "select_account": "/signin?", "consent": "",
		"login consent": "/signin?", "consent login": "/signin?", "consent select_account": "/signin?", " consent ": "",
	} {
		b := m.shown("p01", session.Passkey, time.Minute)
		f := m.flow(c, "service")
		f.extra.Set("prompt", prompt)
		resp, page := b.get("/oauth/authorize?" + f.query().Encode())
		if to := resp.Header.Get("Location"); !strings.HasPrefix(to, want) || (want == "") != action.MatchString(page) {
			t.Errorf("prompt=%q: %s to %q", prompt, resp.Status, to)
		}
	}
	f := m.flow(c, "service")
	f.extra.Set("prompt", "login consent")
	if resp, page := f.screen(m.shown("p01", session.Passkey, time.Minute), "p01"); resp.StatusCode != http.StatusOK || !action.MatchString(page) {
		t.Errorf("signed in again: %s, and no screen\n%s", resp.Status, page)
	}
}

// TestHintOfAPerson: an app that names a person by an earlier ID token gets nobody
// else's tokens, also not where the other has consented to all of it, and however the
// hint came.
func TestHintOfAPerson(t *testing.T) {
	m := newSite(t)
	m.person("p02")
	c := m.client(nil)
	first := m.granted(c, "p01", "service")
	m.granted(c, "p02", "service")
	pushed := func(q url.Values) string {
		t.Helper()
		resp, b := m.post("/oauth/par", c, q)
		var v struct {
			URI string `json:"request_uri"`
		}
		if err := json.Unmarshal(b, &v); err != nil || v.URI == "" {
			t.Fatalf("%s %s", resp.Status, b)
		}
		return url.Values{"client_id": {c.ID}, "request_uri": {v.URI}}.Encode()
	}
	for ref, want := range map[string]string{"p01": "code", "p02": "error"} {
		for _, prompt := range []string{"", "none"} {
			f := m.flow(c, "service")
			f.extra.Set("prompt", prompt)
			f.extra.Set("id_token_hint", first.ID)
			for how, query := range map[string]string{"in the address": f.query().Encode(), "pushed": pushed(f.query())} {
				resp, page := m.shown(ref, session.Passkey, 0).get("/oauth/authorize?" + query)
				to, err := url.Parse(resp.Header.Get("Location"))
				fatal(t, err)
				if !to.Query().Has(want) || want == "error" && to.Query().Get("error") != "login_required" {
					t.Errorf("%s, prompt=%q, %s: %s to %q\n%.300s", ref, prompt, how, resp.Status, to, page)
				}
			}
		}
	}
}
