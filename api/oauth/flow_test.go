package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// TestFlow is the way of one consent: sign in, the screen, two of three purposes,
// the tokens, what the app reads and what not, and the end of it all.
func TestFlow(t *testing.T) {
	m := newSite(t)
	heard := make(chan string, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Get("Content-Type")
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(hook.Close)
	c := m.client(func(f object) { f["webhook"] = hook.URL })
	f := m.flow(c)
	b := m.browser()
	resp, page := f.screen(b, "p01")
	if resp.StatusCode != 200 {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	for _, want := range []string{"同意してはじめる", "同意しない", "あとで決める", "見まもり", "サービス", "アンケート", "30日", "外国にはわたりません", "見本の文"} {
		if !strings.Contains(page, want) {
			t.Errorf("the screen lacks %q", want)
		}
	}
	if strings.Contains(page, "checked") || strings.Contains(page, "‹") {
		t.Error("something is ticked already, or a text is missing")
	}
	if to := resp.Header.Get("Content-Security-Policy"); !strings.Contains(to, "form-action 'self' https://app.example") || !strings.Contains(to, "frame-ancestors 'none'") || strings.Contains(to, "unsafe") {
		t.Errorf("policy %s", to)
	}
	answer := give("service", "survey")
	answer["item"] = []string{"service/name"}
	resp, page = f.decide(b, "p01", answer)
	code := f.code(t, resp, page)
	consents := 0
	for _, e := range m.events("p01") {
		if e.Kind == "consent" {
			if consents++; e.Opening["screen"] == nil || e.Opening["button"] != "同意してはじめる" || e.Opening["language"] != "ja" {
				t.Errorf("%v", e.Opening)
			}
		}
	}
	if consents != 2 {
		t.Fatalf("%d consents were final when the code was issued, want 2", consents)
	}
	got := m.token(c, f.exchange(code))
	if got.status != 200 || got.Type != "Bearer" || got.Refresh == "" || len(strings.Split(got.ID, ".")) != 3 || len(got.Details) != 1 {
		t.Fatalf("%+v", got)
	}
	if p := got.Details[0]["purposes"]; !slices.Equal(p.([]any), []any{"service", "survey"}) {
		t.Errorf("granted %v", p)
	}
	status, d, problem := m.data(got.Access, "purpose=service")
	if status != 200 || len(d.Items) != 2 || d.Items["name"] != "髙橋 結" || d.Items["user-id"] != "u-p01" || d.Subject == "" || strings.Contains(d.Subject, "p01") {
		t.Fatalf("%d %s %+v", status, problem, d)
	}
	wait(t, "the recipient's node receives", func() bool {
		return slices.ContainsFunc(m.events("p01"), func(e custody.Event) bool { return e.ID == d.Provision && e.State == "received" })
	})
	for query, code := range map[string]record.Code{"purpose=service&items=email": record.CodeItemNotConsented, "purpose=care": record.CodePurposeNotConsented} {
		if status, _, problem := m.data(got.Access, query); status != 403 || problem != string(code) {
			t.Errorf("%s: %d %s, want 403 %s", query, status, problem, code)
		}
		if e := m.events("p01"); e[len(e)-1].Kind != "denial" || e[len(e)-1].Code != code {
			t.Errorf("%s: the denial is not recorded: %+v", query, e[len(e)-1])
		}
	}
	if status, _, _ := m.data(got.Access, "purpose=survey"); status != 200 {
		t.Errorf("survey: %d", status)
	}

	m.withdraw("p01", "survey")
	if status, v := m.introspect(c, got.Access); status != 200 || v["active"] != true || len(v["authorization_details"].([]any)[0].(object)["purposes"].([]any)) != 1 {
		t.Errorf("after one withdrawal: %d %v", status, v)
	}
	if status, _, problem := m.data(got.Access, "purpose=survey"); status != 403 || problem != "revoked" {
		t.Errorf("survey: %d %s", status, problem)
	}
	begin := time.Now()
	m.withdraw("p01")
	if _, v := m.introspect(c, got.Access); v["active"] != false {
		t.Errorf("after the last withdrawal: %v", v)
	}
	if status, _, problem := m.data(got.Access, "purpose=service"); status != 403 && status != 401 {
		t.Errorf("%d %s", status, problem)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a revocation took %v", took)
	}
	if v := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); v.status != 400 || v.Error != "invalid_grant" {
		t.Errorf("refresh after revocation: %+v", v)
	}
	for range 2 {
		select {
		case kind := <-heard:
			if kind != "application/secevent+jwt" {
				t.Errorf("webhook: %s", kind)
			}
		case <-time.After(patience):
			t.Fatal("the client did not hear of the withdrawal")
		}
	}
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// Refusing and putting off are recorded, and tell the app no more than that.
func TestRefuse(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	for act, code := range map[string]record.Code{"refuse": record.CodeDeclined, "later": record.CodeDeferred} {
		f := m.flow(c, "service")
		resp, page := f.decide(m.browser(), "p01", url.Values{"act": {act}})
		u, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || u.Query().Get("error") != "access_denied" || u.Query().Has("code") || u.Query().Get("state") != f.state || u.Query().Get("iss") != m.url {
			t.Fatalf("%s: %s to %s\n%s", act, resp.Status, u, page)
		}
		e := m.events("p01")
		if last := e[len(e)-1]; last.Kind != "denial" || last.Code != code {
			t.Errorf("%s: %+v", act, last)
		}
	}
}

// Who agreed already is not asked twice, and is asked again when the terms change:
// then the screen says what is new.
func TestAskedOnce(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	b := m.browser()
	first := m.flow(c, "service")
	resp, page := first.decide(b, "p01", give())
	first.code(t, resp, page)
	second := m.flow(c, "service")
	resp, page = b.get("/oauth/authorize?" + second.query().Encode())
	second.code(t, resp, page)
	silent := m.flow(c, "service")
	silent.extra.Set("prompt", "none")
	resp, page = b.get("/oauth/authorize?" + silent.query().Encode())
	silent.code(t, resp, page)
	m.terms("2", "P6M")
	third := m.flow(c, "service")
	resp, page = third.screen(b, "p01")
	if resp.StatusCode != 200 || !strings.Contains(page, "第1版の規約から変わったこと</h2><ul class=\"dots\"><li>期間</li></ul>") || !strings.Contains(page, "前にえらんだこと") {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	resp, _ = b.get("/oauth/authorize?" + silent.query().Encode())
	if !strings.Contains(resp.Header.Get("Location"), "error=consent_required") {
		t.Errorf("%s", resp.Header.Get("Location"))
	}
	resp, _ = m.browser().get("/oauth/authorize?" + silent.query().Encode())
	if !strings.Contains(resp.Header.Get("Location"), "error=login_required") {
		t.Errorf("%s", resp.Header.Get("Location"))
	}
}

// A code and a refresh token count once, however many try at the same time.
func TestRedeemedOnce(t *testing.T) {
	m := newSite(t)
	const tries = 500 // of each of 20 codes: 10,000
	c := m.client(nil)
	b := m.browser()
	twice, dead := 0, 0
	for range 20 {
		f := m.flow(c, "service")
		resp, page := f.decide(b, "p01", give())
		code := f.code(t, resp, page)
		good := inParallel(tries, func() tokens { return m.token(c, f.exchange(code)) })
		if len(good) > 1 {
			twice++
		}
		if len(good) == 1 {
			if _, v := m.introspect(c, good[0].Access); v["active"] == false {
				dead++
			}
		}
	}
	if twice > 0 {
		t.Errorf("%d codes of 20 were redeemed twice", twice)
	}
	if dead == 0 {
		t.Error("no grant ended although its code was used again")
	}
	got := m.granted(c, "p01", "service")
	good := inParallel(25, func() tokens {
		return m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}})
	})
	if len(good) > 1 {
		t.Errorf("a refresh token was used %d times", len(good))
	}
	if v := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); v.status == 200 {
		t.Error("a used refresh token counts")
	}
	for _, g := range good {
		if v := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.Refresh}}); v.status == 200 {
			t.Error("the successor of a refresh token that was used twice counts")
		}
	}
}

func inParallel(n int, try func() tokens) []tokens {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var good []tokens
	for range n {
		wg.Go(func() {
			if v := try(); v.status == 200 {
				mu.Lock()
				good = append(good, v)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return good
}

// Rotation: each refresh gives another token, an old one ends all of them.
func TestRefresh(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	got := m.granted(c, "p01", "service")
	next := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}})
	if next.status != 200 || next.Refresh == got.Refresh || next.Access == got.Access {
		t.Fatalf("%+v", next)
	}
	if status, _, _ := m.data(next.Access, "purpose=service"); status != 200 {
		t.Fatalf("%d", status)
	}
	if v := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); v.Error != "invalid_grant" {
		t.Errorf("%+v", v)
	}
	if status, _, _ := m.data(next.Access, "purpose=service"); status != 401 {
		t.Errorf("the access token of a grant whose refresh token was used twice: %d", status)
	}
	if v := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.Refresh}}); v.status == 200 {
		t.Error("the grant goes on")
	}
}

// A client ends its grant; the person's consents stay.
func TestRevokeToken(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	for name, revoke := range map[string]func(tokens) int{
		"access token": func(v tokens) int {
			r, _ := m.post("/oauth/revoke", c, url.Values{"token": {v.Access}})
			return r.StatusCode
		},
		"refresh token": func(v tokens) int {
			r, _ := m.post("/oauth/revoke", c, url.Values{"token": {v.Refresh}})
			return r.StatusCode
		},
		"grant": func(v tokens) int {
			req, _ := http.NewRequest("DELETE", m.url+"/oauth/grant", nil)
			req.Header.Set("Authorization", "Bearer "+v.Access)
			r, _ := do(t, http.DefaultClient, req)
			return r.StatusCode
		},
	} {
		v := m.granted(c, "p01", "service")
		if status := revoke(v); status/100 != 2 {
			t.Errorf("%s: %d", name, status)
		}
		if status, _, _ := m.data(v.Access, "purpose=service"); status != 401 {
			t.Errorf("%s: the access token opens something: %d", name, status)
		}
		if n := m.token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {v.Refresh}}); n.status == 200 {
			t.Errorf("%s: the refresh token counts", name)
		}
	}
	now, err := m.n.Desk().ScopesNow(t.Context(), "p01", "portal")
	fatal(t, err)
	if len(now) != 1 || !now[0].On {
		t.Errorf("the person's consent: %+v", now)
	}
}

// Clients are kept: they are there after a restart of the server, and end when they
// are removed.
func TestClients(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	got := m.granted(c, "p01", "service")
	var list rest.ClientList
	m.call("app", "GET", "/v1/clients", nil, &list)
	if len(list.Clients) != 1 || list.Clients[0].ID != c.ID {
		t.Fatalf("%+v", list)
	}
	if resp, b := m.try("auditor", "GET", "/v1/clients", nil); resp.StatusCode != 403 {
		t.Errorf("an auditor: %s %s", resp.Status, b)
	}
	for name, change := range map[string]func(object){
		"http redirect":     func(f object) { f["redirectUris"] = []string{"http://app.example/cb"} },
		"fragment":          func(f object) { f["redirectUris"] = []string{"https://app.example/cb#x"} },
		"wildcard":          func(f object) { f["redirectUris"] = []string{"https://*.app.example/cb"} },
		"user":              func(f object) { f["redirectUris"] = []string{"https://a@app.example/cb"} },
		"script":            func(f object) { f["redirectUris"] = []string{"javascript:alert(1)"} },
		"relative":          func(f object) { f["redirectUris"] = []string{"/cb"} },
		"dots":              func(f object) { f["redirectUris"] = []string{"https://app.example/a/../cb"} },
		"none":              func(f object) { f["redirectUris"] = []string{} },
		"provider itself":   func(f object) { f["party"] = "a-sha" },
		"unknown party":     func(f object) { f["party"] = "nobody" },
		"unknown service":   func(f object) { f["service"] = "nothing" },
		"keys and a secret": func(f object) { f["jwks"] = object{"keys": []any{}} },
		"no keys":           func(f object) { f["authentication"] = "private_key_jwt" },
		"private keys": func(f object) {
			f["authentication"], f["jwks"] = "private_key_jwt", object{"keys": []any{object{"kty": "oct", "k": "AAAA"}}}
		},
		"webhook":        func(f object) { f["webhook"] = "http://intern.example/" },
		"authentication": func(f object) { f["authentication"] = "client_secret_jwt" },
	} {
		f := object{"service": "portal", "party": "shop", "name": object{"ja": "x"}, "redirectUris": []string{redirect}, "authentication": "client_secret_basic"}
		change(f)
		if resp, b := m.try("app", "POST", "/v1/clients", f); resp.StatusCode/100 != 4 {
			t.Errorf("%s: %s %s", name, resp.Status, b)
		}
	}
	m.call("app", "DELETE", "/v1/clients/"+c.ID, nil, nil)
	if resp, _ := m.try("app", "DELETE", "/v1/clients/"+c.ID, nil); resp.StatusCode != 404 {
		t.Errorf("removed twice: %s", resp.Status)
	}
	if status, _, _ := m.data(got.Access, "purpose=service"); status != 401 {
		t.Errorf("a token of a client that is gone: %d", status)
	}
}
