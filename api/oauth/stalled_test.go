package oauth_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
)

// stalled sends the head of a form, waits until the node begins to read the rest, and
// returns how to send that.
func (b *browser) stalled(path string, form url.Values) (finish func() *http.Response) {
	t := b.m.t
	t.Helper()
	at, err := url.Parse(b.m.url)
	fatal(t, err)
	c, err := net.Dial("tcp", at.Host)
	fatal(t, err)
	t.Cleanup(func() { c.Close() })
	fatal(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	body := form.Encode()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", path, at.Host, len(body))
	for _, k := range b.c.Jar.Cookies(at) {
		fmt.Fprintf(c, "Cookie: %s=%s\r\n", k.Name, k.Value)
	}
	fmt.Fprint(c, "\r\n")
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	fatal(t, err)
	if !strings.Contains(line, "100 Continue") {
		t.Fatalf("answered without reading the form: %s", line)
	}
	_, err = r.ReadString('\n')
	fatal(t, err)
	return func() *http.Response {
		fmt.Fprint(c, body)
		resp, err := http.ReadResponse(r, nil)
		fatal(t, err)
		return resp
	}
}

// TestStalledForm: a form whose end comes after its session was ended counts for
// nothing, whatever it is for.
func TestStalledForm(t *testing.T) {
	m := newSite(t)
	fatal(t, m.n.Desk().AddLookup(t.Context(), "p01", "member", "b-sha/sub-1"))
	b := m.shown("p01", session.Passkey, 0)
	_, page := b.get("/signin/sessions")
	form := url.Values{"form": fields(page)["form"], "replaces": {strconv.FormatInt(time.Time{}.UnixMilli(), 10)},
		"id": {connectionID.FindStringSubmatch(page)[1]}, "act": {"connect"}}
	sent := map[string]func() *http.Response{}
	for _, path := range []string{"/signin/paper", "/signin/paper/end", "/signin/connect", "/signin/disconnect", "/signin/apps", "/signin/sessions", "/signin/passkey/remove"} {
		sent[path] = b.stalled(path, form)
	}
	_, err := m.sessions.Revoke("p01", "")
	fatal(t, err)
	for path, finish := range sent {
		if resp := finish(); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if made, err := m.sessions.PaperMade("p01"); err != nil || !made.IsZero() {
		t.Errorf("an ended session printed a paper: %v, %v", made, err)
	}
	if _, is, err := m.n.Desk().Find(t.Context(), "member", "b-sha/sub-1"); err != nil || !is {
		t.Errorf("an ended session ended a connection: %v", err)
	}
}

// TestStalledConsent: nor does an ended session give consent.
func TestStalledConsent(t *testing.T) {
	m := newSite(t)
	b := m.shown("p01", session.Passkey, 0)
	resp, page := b.get("/oauth/authorize?" + m.flow(m.client(nil)).query().Encode())
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	form := fields(page)
	form.Set("act", "give")
	form["purpose"] = []string{"service"}
	finish := b.stalled(action.FindStringSubmatch(page)[1], form)
	_, err := m.sessions.Revoke("p01", "")
	fatal(t, err)
	resp = finish()
	if to := resp.Header.Get("Location"); len(m.events("p01")) != 0 || !strings.HasPrefix(to, "/signin?") {
		t.Errorf("an ended session consented: %s to %q, %d events", resp.Status, to, len(m.events("p01")))
	}
}
