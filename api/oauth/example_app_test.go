package oauth_test

import (
	"bytes"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth/apptest"
)

const exampleApp = "../../docs/examples/company-app"

// TestExampleApp builds the app of docs/examples as a developer would, copied out of
// the repository, and takes it through a consent's life.
func TestExampleApp(t *testing.T) {
	m := newSite(t)
	e := startExample(t, m)
	b := m.browser()

	_, page := b.get(e.url + "/")
	if !strings.Contains(page, `lang="ja"`) || strings.Contains(page, "<script") {
		t.Errorf("the first page\n%s", page)
	}
	e.answer(b, give())
	_, page = b.get(e.url + "/?lang=en")
	for _, want := range []string{"service: granted", "u-p01", "survey: not granted"} {
		if !strings.Contains(page, want) {
			t.Errorf("the app does not show %q\n%s", want, page)
		}
	}
	if strings.Contains(page, "p01@example.jp") || strings.Contains(page, "髙橋") {
		t.Error("the app shows what was not granted")
	}

	begin := time.Now() // the event waits: the read is refused without it
	m.call("app", "POST", "/v1/revocations", object{"person": "p01", "service": "portal"}, nil)
	b.send(e.url+"/read", nil)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	_, page = b.get(e.url + "/?lang=en")
	if !strings.Contains(page, "A read was refused") || !refused.MatchString(page) || strings.Contains(page, "u-p01") {
		t.Errorf("after the withdrawal\n%s", page)
	}
	close(e.gate)
	told := e.heard()
	e.badEvents(told)

	e.answer(b, give()) // and now without a read: the event alone
	m.call("app", "POST", "/v1/revocations", object{"person": "p01", "service": "portal"}, nil)
	e.heard()
	_, page = b.get(e.url + "/?lang=en")
	if !strings.Contains(page, "You changed your consent") || strings.Contains(page, "u-p01") {
		t.Errorf("after the event\n%s", page)
	}

	e.answer(b, give())
	b.send(e.url+"/forget", nil)
	_, page = b.get(e.url + "/?lang=en")
	if !strings.Contains(page, "Everything was deleted here") || strings.Contains(page, "u-p01") {
		t.Errorf("after forgetting\n%s", page)
	}
	now, err := m.n.Desk().ScopesNow(t.Context(), "p01", "portal")
	fatal(t, err)
	if len(now) == 0 || !now[0].On {
		t.Errorf("the app ended the person's consent: %+v", now)
	}
	e.answer(b, url.Values{"act": {"refuse"}})
	_, page = b.get(e.url + "/?lang=en")
	if !strings.Contains(page, "You did not agree") {
		t.Errorf("after a refusal\n%s", page)
	}
	e.strangers(b)
}

// TestExampleAppIsShort holds the example to 300 lines of code (without blank lines,
// comments and imports), and to libraries of others.
func TestExampleAppIsShort(t *testing.T) {
	files, err := filepath.Glob(exampleApp + "/*.go")
	fatal(t, err)
	lines := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		fatal(t, err)
		if strings.Contains(string(b), `"github.com/akashi-ledger/`) {
			t.Errorf("%s imports what a copy does not have", name)
		}
		for line := range strings.Lines(imports.ReplaceAllString(string(b), "")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if lines == 0 || lines > 300 {
		t.Errorf("%d lines of code in %d files", lines, len(files))
	}
}

var imports = regexp.MustCompile(`(?s)import \(.*?\n\)\n`)

// example is the app as it runs.
type example struct {
	m    *site
	url  string
	gate chan struct{} // closed: events pass to the app
	went chan delivery
}

// delivery is an event that reached the app, and what it answered.
type delivery struct {
	token  string
	status int
}

func startExample(t *testing.T, m *site) *example {
	app := apptest.Build(t)
	e := &example{m: m, url: app.URL, gate: make(chan struct{}), went: make(chan delivery, 16)}
	c := m.client(func(f object) {
		f["authentication"], f["jwks"], f["par"], f["dpop"] = "private_key_jwt", app.Keys, true, true
		f["redirectUris"], f["webhook"] = []string{app.Redirect()}, e.hook()
	})
	app.Start(t, "AKASHI_ISSUER="+m.url, "AKASHI_SERVICE=portal", "AKASHI_PURPOSES=service,survey", "AKASHI_CLIENT_ID="+c.ID)
	return e
}

// hook stands before the app's own address for events: it holds them back while the
// gate is shut, and sees them.
func (e *example) hook() string {
	to, err := url.Parse(e.url + "/events")
	fatal(e.m.t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-e.gate:
		default:
			w.WriteHeader(http.StatusServiceUnavailable) // the node tries again
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		resp, err := http.Post(to.String(), r.Header.Get("Content-Type"), bytes.NewReader(b))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		e.went <- delivery{string(b), resp.StatusCode}
	}))
	e.m.t.Cleanup(srv.Close)
	return srv.URL
}

// heard waits until an event has reached the app.
func (e *example) heard() string {
	e.m.t.Helper()
	select {
	case d := <-e.went:
		if d.status != http.StatusAccepted {
			e.m.t.Fatalf("the app answered an event with %d", d.status)
		}
		return d.token
	case <-time.After(patience):
		e.m.t.Fatal("no event")
	}
	return ""
}

// badEvents sends the app what its issuer did not sign for it.
func (e *example) badEvents(good string) {
	part := strings.Split(good, ".")
	other := e.m.granted(e.m.client(nil), "p01", "service").ID
	for name, token := range map[string]string{"nothing": "", "no signature": part[0] + "." + part[1] + ".", "another's ID token": other,
		"another payload": part[0] + "." + strings.Split(other, ".")[1] + "." + part[2], "long": strings.Repeat("x", 1<<20)} {
		resp, err := http.Post(e.url+"/events", "application/secevent+jwt", strings.NewReader(token))
		fatal(e.m.t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			e.m.t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

// strangers come with what is not theirs: an answer that the browser did not ask for,
// and a form of another site.
func (e *example) strangers(b *browser) {
	t := e.m.t
	if resp, _ := b.get(e.url + "/callback?code=x&state=&iss=" + url.QueryEscape(e.m.url)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a callback out of nothing: %s", resp.Status)
	}
	e.begin(b)
	if resp, _ := b.get(e.url + "/callback?code=x&state=x&iss=" + url.QueryEscape(e.m.url)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another state: %s", resp.Status)
	}
	req, err := http.NewRequest("POST", e.url+"/forget", nil)
	fatal(t, err)
	req.Header.Set("Origin", "https://else.example")
	if resp, _ := do(t, b.c, req); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", resp.Status)
	}
}

var (
	// the consent is off; a moment later the grant has ended too
	refused = regexp.MustCompile(`<code>(revoked|token\.invalid)</code>`)
	goOn    = regexp.MustCompile(`<p class="n">([0-9]{4})</p><p><a class="go" href="([^"]+)">`)
	number  = regexp.MustCompile(`<p class="genuine">(?:<span[^>]*>[^<]*</span>)?([0-9]{4})</p>`)
)

// begin presses the app's button, and returns where it leads and the number to expect.
func (e *example) begin(b *browser) (to, want string) {
	e.m.t.Helper()
	b.send(e.url+"/login", nil)
	_, page := b.get(e.url + "/")
	found := goOn.FindStringSubmatch(page)
	if found == nil {
		e.m.t.Fatalf("no way on\n%s", page)
	}
	return html.UnescapeString(found[2]), found[1]
}

// answer takes a person through the pages and back into the app.
func (e *example) answer(b *browser, answer url.Values) {
	t := e.m.t
	t.Helper()
	to, want := e.begin(b)
	resp, page := b.get(to)
	if next := resp.Header.Get("Location"); strings.HasPrefix(next, "/signin?") {
		u, err := url.Parse(next)
		fatal(t, err)
		resp, page = b.get(b.signIn("p01", u.Query().Get("next")))
	}
	if n := number.FindStringSubmatch(page); resp.StatusCode != 200 || n == nil || n[1] != want {
		t.Fatalf("no screen, or not with the number %s: %s\n%s", want, resp.Status, page)
	}
	form := fields(page)
	for k, v := range answer {
		form[k] = v
	}
	resp, page = b.post(action.FindStringSubmatch(page)[1], form)
	back := resp.Header.Get("Location")
	if !strings.HasPrefix(back, e.url+"/callback?") {
		t.Fatalf("%s to %q\n%s", resp.Status, back, page)
	}
	elsewhere := strings.Replace(back, url.QueryEscape(e.m.url), url.QueryEscape("https://else.example"), 1)
	if resp, _ = b.get(elsewhere); elsewhere == back || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an answer of another issuer: %s", resp.Status)
	}
	if resp, page = b.get(back); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the app: %s\n%s", resp.Status, page)
	}
}
