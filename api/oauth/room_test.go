package oauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// TestRoomOfStrangers: who nobody knows may leave so much here, and no more; an app that
// says who it is goes on.
func TestRoomOfStrangers(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	b := m.browser()
	_, page := b.get("/signin")
	form := fields(page)
	form.Set("address", "stranger@example.jp")
	m.s.Narrow(20 << 10)
	entries := func() (n int) {
		fatal(t, m.n.Blobs().Keys([]byte("O/a/"), func([]byte) error { n++; return nil }))
		return n
	}
	before, served := entries(), 0
	f := m.flow(c, "service")
	f.extra.Set("state", strings.Repeat("x", 2<<10))
	for range 10 {
		resp, page := m.browser().get("/oauth/authorize?" + f.query().Encode())
		if resp.StatusCode != 503 {
			served++
			continue
		}
		if resp.Header.Get("Retry-After") == "" || !strings.Contains(page, "混み合っています") {
			t.Errorf("%v\n%s", resp.Header, page)
		}
	}
	if kept := entries() - before; served == 0 || served > 4 || kept != served {
		t.Errorf("%d of 10 were served, %d are kept", served, kept)
	}
	if resp, _ := b.post("/oauth/authorize", f.query()); resp.StatusCode != 503 {
		t.Errorf("by POST: %s", resp.Status)
	}
	f.extra.Set("state", strings.Repeat("x", 16<<10))
	if resp, _ := b.post("/oauth/authorize", f.query()); resp.StatusCode != 400 {
		t.Errorf("a large one that was not pushed: %s", resp.Status)
	}
	// What apps ask for has used up nothing of what signing in may take.
	form.Set("request_uri", "urn:ietf:params:oauth:request_uri:x") // means nothing here
	signedIn := 0
	for range 20 {
		if resp, _ := b.post("/signin", form); resp.StatusCode == 503 {
			break
		}
		signedIn++
	}
	if signedIn != 10 {
		t.Errorf("%d sign-ins were begun in 20 KiB", signedIn)
	}
	for _, path := range []string{"/signin/oidc", "/signin/passkey/begin"} {
		if resp, _ := b.post(path, form); resp.StatusCode != 503 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	_, pushed := m.post("/oauth/par", c, m.flow(c, "service").query())
	var v struct {
		URI string `json:"request_uri"`
	}
	fatal(t, json.Unmarshal(pushed, &v))
	resp, page := b.get("/oauth/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {v.URI}}.Encode())
	if resp.StatusCode == 503 {
		t.Errorf("an app that said who it is: %s\n%s", resp.Status, page)
	}
}
