package oauth_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
)

// What RFC 9700 (OAuth security best practice), RFC 9126, 9207, 9396 and 9449 want
// refused. Every case begins from a flow that would succeed.

// TestAuthorizationRequests: wrong before anybody sees a screen. Where client or
// redirect URI is not known nothing is sent anywhere; else the app is told.
func TestAuthorizationRequests(t *testing.T) {
	m := newSite(t)
	c := m.client(func(f object) { f["redirectUris"] = []string{redirect, "https://app.example/second?x=1"} })
	pushedOnly := m.client(func(f object) { f["par"] = true })
	other := m.client(func(f object) { f["party"] = "other" })
	for _, x := range []struct {
		name   string
		change func(f *flow)
		want   string // error at the app; "": a page, and no redirect
	}{
		{"unknown client", func(f *flow) { f.extra.Set("client_id", "nobody") }, ""},
		{"no client", func(f *flow) { f.extra.Set("client_id", "") }, ""},
		{"redirect elsewhere", func(f *flow) { f.extra.Set("redirect_uri", "https://evil.example/callback") }, ""},
		{"redirect without", func(f *flow) { f.extra.Set("redirect_uri", "") }, ""},
		{"redirect with a slash", func(f *flow) { f.extra.Set("redirect_uri", redirect+"/") }, ""},
		{"redirect below", func(f *flow) { f.extra.Set("redirect_uri", redirect+"/x") }, ""},
		{"redirect above", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example/") }, ""},
		{"redirect with a query", func(f *flow) { f.extra.Set("redirect_uri", redirect+"?x=1") }, ""},
		{"redirect with a fragment", func(f *flow) { f.extra.Set("redirect_uri", redirect+"#x") }, ""},
		{"redirect in capitals", func(f *flow) { f.extra.Set("redirect_uri", "https://APP.example/callback") }, ""},
		{"redirect with a port", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example:443/callback") }, ""},
		{"redirect over http", func(f *flow) { f.extra.Set("redirect_uri", "http://app.example/callback") }, ""},
		{"redirect with a user", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example@evil.example/callback") }, ""},
		{"redirect with dots", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example/x/../callback") }, ""},
		{"redirect encoded", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example/c%61llback") }, ""},
		{"redirect of a subdomain", func(f *flow) { f.extra.Set("redirect_uri", "https://app.example.evil.example/callback") }, ""},
		{"redirect script", func(f *flow) { f.extra.Set("redirect_uri", "javascript:alert(1)") }, ""},
		{"redirect twice", func(f *flow) { f.extra["redirect_uri"] = []string{redirect, "https://evil.example/"} }, ""},
		{"client twice", func(f *flow) { f.extra["client_id"] = []string{c.ID, other.ID} }, ""},
		{"state twice", func(f *flow) { f.extra["state"] = []string{"a", "b"} }, ""},
		{"no challenge", func(f *flow) { f.extra.Set("code_challenge", ""); f.extra.Set("code_challenge_method", "") }, "invalid_request"},
		{"plain challenge", func(f *flow) { f.extra.Set("code_challenge_method", "plain") }, "invalid_request"},
		{"unknown challenge", func(f *flow) { f.extra.Set("code_challenge_method", "S512") }, "invalid_request"},
		{"token response", func(f *flow) { f.extra.Set("response_type", "token") }, ""},
		{"hybrid response", func(f *flow) { f.extra.Set("response_type", "code id_token") }, ""},
		{"id token response", func(f *flow) { f.extra.Set("response_type", "id_token") }, ""},
		{"no response type", func(f *flow) { f.extra.Set("response_type", "") }, "invalid_request"},
		{"form post", func(f *flow) { f.extra.Set("response_mode", "form_post") }, ""},
		{"web message", func(f *flow) { f.extra.Set("response_mode", "web_message") }, ""},
		{"unknown scope", func(f *flow) { f.extra.Set("scope", "openid admin") }, "invalid_scope"},
		{"no detail", func(f *flow) { f.extra.Set("authorization_details", "") }, "invalid_authorization_details"},
		{"two details", func(f *flow) {
			f.extra.Set("authorization_details", `[{"type":"akashi_consent","service":"portal"},{"type":"akashi_consent","service":"portal"}]`)
		}, "invalid_authorization_details"},
		{"another type", func(f *flow) { f.detail["type"] = "payment" }, "invalid_authorization_details"},
		{"no type", func(f *flow) { delete(f.detail, "type") }, "invalid_authorization_details"},
		{"unknown field", func(f *flow) { f.detail["items"] = []string{"health"} }, "invalid_authorization_details"},
		{"another service", func(f *flow) { f.detail["service"] = "bank" }, "invalid_authorization_details"},
		{"service of another form", func(f *flow) { f.detail["service"] = 7 }, "invalid_authorization_details"},
		{"unknown version", func(f *flow) { f.detail["version"] = "99" }, "invalid_authorization_details"},
		{"purpose beyond the terms", func(f *flow) { f.detail["purposes"] = []string{"service", "world"} }, "invalid_authorization_details"},
		{"purpose twice", func(f *flow) { f.detail["purposes"] = []string{"service", "service"} }, "invalid_authorization_details"},
		{"purposes of another form", func(f *flow) { f.detail["purposes"] = "service" }, "invalid_authorization_details"},
		{"no purposes", func(f *flow) { f.detail["purposes"] = []string{} }, "invalid_authorization_details"},
		{"required beyond purposes", func(f *flow) { f.detail["required"] = []string{"survey"} }, "invalid_authorization_details"},
		{"a recipient that is not listed", func(f *flow) { f.client = other }, "invalid_authorization_details"},
		{"not pushed", func(f *flow) { f.client = pushedOnly }, ""},
		{"a made-up pushed request", func(f *flow) { f.extra.Set("request_uri", "urn:ietf:params:oauth:request_uri:"+session.NewSecret()) }, ""},
		{"request by reference", func(f *flow) { f.extra.Set("request_uri", "https://evil.example/request.jwt") }, ""},
		{"no prompt and a sign-in", func(f *flow) { f.extra.Set("prompt", "none login") }, "invalid_request"},
		{"a prompt that is not known", func(f *flow) { f.extra.Set("prompt", "login create") }, "invalid_request"},
		{"request as an object", func(f *flow) { f.extra.Set("request", "eyJhbGciOiJub25lIn0.e30.") }, ""},
		{"client as an object", func(f *flow) { f.extra.Set("registration", "{}") }, ""},
		{"an age that is no number", func(f *flow) { f.extra.Set("max_age", "5m") }, ""},
		{"an age below nothing", func(f *flow) { f.extra.Set("max_age", "-1") }, ""},
		{"hint of another issuer", func(f *flow) { f.extra.Set("id_token_hint", "eyJhbGciOiJub25lIn0.e30.") }, ""},
	} {
		f := m.flow(c, "service")
		x.change(f)
		resp, body := m.browser().get("/oauth/authorize?" + f.query().Encode())
		to, err := url.Parse(resp.Header.Get("Location"))
		fatal(t, err)
		switch {
		case x.want == "" && (resp.StatusCode/100 != 4 || to.String() != ""):
			t.Errorf("%s: %s to %q, want a page", x.name, resp.Status, to)
		case x.want != "" && (!strings.HasPrefix(to.String(), redirect) || to.Query().Get("error") != x.want || to.Query().Get("iss") != m.url || to.Query().Get("state") != f.state):
			t.Errorf("%s: %s to %q, want %s\n%.200s", x.name, resp.Status, to, x.want, body)
		}
		if strings.Contains(body, "evil") || to.Query().Has("code") {
			t.Errorf("%s: the page repeats the request, or there is a code", x.name)
		}
	}
}

// TestTokenRequests: a code that is not this client's, not proven, or not for this
// redirect counts nowhere.
func TestTokenRequests(t *testing.T) {
	m := newSite(t)
	c, another := m.client(nil), m.client(nil)
	b := m.browser()
	for _, x := range []struct {
		name   string
		client rest.ClientMade
		change func(v url.Values)
	}{
		{"no verifier", c, func(v url.Values) { v.Del("code_verifier") }},
		{"another verifier", c, func(v url.Values) { v.Set("code_verifier", session.NewSecret()) }},
		{"the challenge as verifier", c, func(v url.Values) { v.Set("code_verifier", challenge(v.Get("code_verifier"))) }},
		{"short verifier", c, func(v url.Values) { v.Set("code_verifier", "short") }},
		{"long verifier", c, func(v url.Values) { v.Set("code_verifier", strings.Repeat("a", 129)) }},
		{"another redirect", c, func(v url.Values) { v.Set("redirect_uri", redirect+"/") }},
		{"no redirect", c, func(v url.Values) { v.Del("redirect_uri") }},
		{"another client", another, func(url.Values) {}},
		{"no secret", rest.ClientMade{}, func(v url.Values) { v.Set("client_id", c.ID) }},
		{"wrong secret", rest.ClientMade{ClientView: c.ClientView, Secret: another.Secret}, func(url.Values) {}},
		{"secret in another way", rest.ClientMade{}, func(v url.Values) { v.Set("client_id", c.ID); v.Set("client_secret", "x") }},
		{"made-up code", c, func(v url.Values) { v.Set("code", session.NewSecret()) }},
		{"no code", c, func(v url.Values) { v.Del("code") }},
		{"huge code", c, func(v url.Values) { v.Set("code", strings.Repeat("a", 4096)) }},
		{"code twice", c, func(v url.Values) { v["code"] = []string{v.Get("code"), "x"} }},
		{"password grant", c, func(v url.Values) { v.Set("grant_type", "password") }},
		{"client credentials", c, func(v url.Values) { v.Set("grant_type", "client_credentials") }},
		{"device grant", c, func(v url.Values) { v.Set("grant_type", "urn:ietf:params:oauth:grant-type:device_code") }},
		{"code as refresh token", c, func(v url.Values) { v.Set("grant_type", "refresh_token"); v.Set("refresh_token", v.Get("code")) }},
		{"more scope", c, func(v url.Values) { v.Set("scope", "openid admin") }},
		{"more detail", c, func(v url.Values) {
			v.Set("authorization_details", `[{"type":"akashi_consent","service":"portal","purposes":["care","service"]}]`)
		}},
	} {
		f := m.flow(c, "service")
		resp, page := f.decide(b, "p01", give())
		v := f.exchange(f.code(t, resp, page))
		x.change(v)
		if got := m.token(x.client, v); got.status/100 != 4 || got.Access != "" || got.Error == "" {
			t.Errorf("%s: %+v", x.name, got)
		}
	}
	f := m.flow(c, "service")
	resp, page := f.decide(b, "p01", give())
	code := f.code(t, resp, page)
	if resp, _ := m.post("/oauth/token?"+f.exchange(code).Encode(), c, nil); resp.StatusCode != 400 {
		t.Errorf("parameters in the URL: %s", resp.Status)
	}
	first := m.token(c, f.exchange(code))
	if first.status != 200 {
		t.Fatalf("%+v", first)
	}
	if v := m.token(c, f.exchange(code)); v.status != 400 {
		t.Errorf("a code twice: %+v", v)
	}
	if status, _, _ := m.data(first.Access, "purpose=service"); status != 401 {
		t.Errorf("the token of a code that was used twice: %d", status)
	}
}

// TestForeignTokens: a token is its client's, and nobody learns of another's.
func TestForeignTokens(t *testing.T) {
	m := newSite(t)
	c, another := m.client(nil), m.client(nil)
	got := m.granted(c, "p01", "service")
	if status, v := m.introspect(another, got.Access); status == 200 && v["active"] == true {
		t.Errorf("introspected by another client: %v", v)
	}
	if v := m.token(another, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}); v.status == 200 {
		t.Error("refreshed by another client")
	}
	m.post("/oauth/revoke", another, url.Values{"token": {got.Refresh}})
	if status, _, _ := m.data(got.Access, "purpose=service"); status != 200 {
		t.Errorf("another client revoked it: %d", status)
	}
	for name, text := range map[string]string{"refresh token": got.Refresh, "ID token": got.ID, "made up": session.NewSecret(), "empty": "", "huge": strings.Repeat("x", 5000)} {
		if status, _, code := m.data(text, "purpose=service"); status != 401 || code != "token.invalid" {
			t.Errorf("%s as access token: %d %s", name, status, code)
		}
	}
	for query, want := range map[string]int{"": 400, "purpose=": 400, "purpose=service&x=1": 400, "purpose=service&purpose=care": 400, "purpose=service&items=..": 400,
		"purpose=service&items=": 400, "purpose=survey": 403, "purpose=service&items=user-id,health": 403, "purpose=nothing": 403, "access_token=" + got.Access: 401} {
		if status, d, code := m.data(got.Access, query); status != want || len(d.Items) > 0 {
			t.Errorf("%q: %d %s, want %d", query, status, code, want)
		}
	}
	req, err := http.NewRequest("GET", m.url+"/oauth/data?purpose=service", nil)
	fatal(t, err)
	if resp, _ := do(t, http.DefaultClient, req); resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("no token: %s %q", resp.Status, resp.Header.Get("WWW-Authenticate"))
	}
}

// TestScreenForms: what a page of another origin, another session or another
// screen sends changes nothing.
func TestScreenForms(t *testing.T) {
	m := newSite(t)
	m.person("p02")
	c := m.client(nil)
	b, stranger := m.browser(), m.browser()
	m.flow(c, "service").screen(stranger, "p02")
	for _, x := range []struct {
		name   string
		change func(v url.Values)
		header [2]string
		by     *browser
		want   int
	}{
		{"no form token", func(v url.Values) { v.Del("form") }, [2]string{}, b, 403},
		{"another form token", func(v url.Values) { v.Set("form", session.FormToken("x")) }, [2]string{}, b, 403},
		{"another origin", func(url.Values) {}, [2]string{"Origin", "https://evil.example"}, b, 403},
		{"cross-site", func(url.Values) {}, [2]string{"Sec-Fetch-Site", "cross-site"}, b, 403},
		{"same site, another host", func(url.Values) {}, [2]string{"Sec-Fetch-Site", "same-site"}, b, 403},
		{"another person's session", func(url.Values) {}, [2]string{}, stranger, 403},
		{"nobody's session", func(url.Values) {}, [2]string{}, m.browser(), 303},
		{"another screen", func(v url.Values) { v.Set("screen", strings.Repeat("0", 64)) }, [2]string{}, b, 409},
		{"no screen", func(v url.Values) { v.Del("screen") }, [2]string{}, b, 409},
		{"no act", func(v url.Values) { v.Del("act") }, [2]string{}, b, 400},
		{"unknown act", func(v url.Values) { v.Set("act", "yes") }, [2]string{}, b, 400},
		{"purpose that was not shown", func(v url.Values) { v.Set("purpose", "care") }, [2]string{}, b, 422},
		{"item that was not shown", func(v url.Values) { v.Set("item", "service/health") }, [2]string{}, b, 422},
		{"item of another purpose", func(v url.Values) { v.Set("item", "survey/email") }, [2]string{}, b, 422},
		{"huge form", func(v url.Values) { v.Set("x", strings.Repeat("x", 1<<20)) }, [2]string{}, b, 400},
	} {
		f := m.flow(c, "service")
		_, page := f.screen(b, "p01")
		if !action.MatchString(page) {
			t.Fatalf("%s: no screen\n%.300s", x.name, page)
		}
		v := fields(page)
		v.Set("act", "give")
		x.change(v)
		req, err := http.NewRequest("POST", m.url+action.FindStringSubmatch(page)[1], strings.NewReader(v.Encode()))
		fatal(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if x.header[0] != "" {
			req.Header.Set(x.header[0], x.header[1])
		}
		resp, body := do(t, x.by.c, req)
		if resp.StatusCode != x.want || strings.Contains(resp.Header.Get("Location"), "code=") {
			t.Errorf("%s: %s to %q, want %d\n%.200s", x.name, resp.Status, resp.Header.Get("Location"), x.want, body)
		}
	}
	if e := m.events("p01"); len(e) != 0 {
		t.Fatalf("something was recorded: %+v", e)
	}
	// sensitive items want a tick of their own, and several purposes at least one
	f := m.flow(c, "care")
	if resp, _ := f.decide(b, "p01", give()); resp.StatusCode != 422 {
		t.Errorf("sensitive without a tick: %s", resp.Status)
	}
	if resp, _ := m.flow(c).decide(b, "p01", give()); resp.StatusCode != 422 {
		t.Errorf("no purpose: %s", resp.Status)
	}
	answer := give()
	answer.Set("sensitive", "yes")
	resp, page := f.decide(b, "p01", answer)
	f.code(t, resp, page)
	// an authorization is answered once
	g := m.flow(c, "service")
	_, page = g.screen(b, "p01")
	v := fields(page)
	v.Set("act", "give")
	at := action.FindStringSubmatch(page)[1]
	resp, page = b.post(at, v)
	g.code(t, resp, page)
	if resp, _ := b.post(at, v); resp.StatusCode == http.StatusSeeOther {
		t.Errorf("answered twice: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
}

// TestSigningIn: nobody is signed in by what somebody else knows or sends.
func TestSigningIn(t *testing.T) {
	m := newSite(t)
	n := 10
	for to, want := range map[string]string{"/oauth/x?a=1": "/oauth/x?a=1", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/",
		"/a\r\nSet-Cookie: x=1": "/", "javascript:alert(1)": "/", "": "/", "evil": "/"} {
		b, ref := m.browser(), "p"+strconv.Itoa(n)
		n++
		m.person(ref)
		if got := b.signIn(ref, to); got != want {
			t.Errorf("next=%q leads to %q, want %q", to, got, want)
		}
	}
	// a token that the browser brought is not raised to the person
	b := m.browser()
	u, err := url.Parse(m.url)
	fatal(t, err)
	planted := session.NewSecret()
	b.c.Jar.SetCookies(u, []*http.Cookie{{Name: session.CookieSession, Value: planted, Path: "/"}})
	b.signIn("p01", "/")
	if _, err := m.sessions.Lookup(planted); err == nil {
		t.Error("a planted token became a session")
	}
	var mine string
	for _, c := range b.c.Jar.Cookies(u) {
		if c.Name == session.CookieSession {
			mine = c.Value
		}
	}
	if v, err := m.sessions.Lookup(mine); err != nil || v.Person != "p01" || v.Methods[0].Method != session.Code {
		t.Fatalf("%+v %v", v, err)
	}
	// an unknown address gets the same answer, and no code
	x := m.browser()
	_, page := x.get("/signin")
	f := fields(page)
	for range 7 { // more than codes that one address gets
		for _, address := range []string{"?", "nobody@", "090", strings.Repeat("x", 300)} {
			f.Set("address", address)
			if resp, page := x.post("/signin", f); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, "何も送っていません") {
				t.Fatalf("no address at all, %s: %s", address, resp.Status)
			}
		}
	}
	for _, address := range []string{"nobody@example.jp", "0999999999"} {
		f.Set("address", address)
		resp, _ := x.post("/signin", f)
		if resp.StatusCode != 303 || !strings.HasPrefix(resp.Header.Get("Location"), "/signin/code") {
			t.Errorf("%s: %s", address, resp.Status)
		}
		_, page = x.get("/signin")
		f = fields(page)
	}
	select {
	case c := <-m.codes:
		t.Errorf("a code was sent to %s", c.To)
	default:
	}
	f.Set("form", "0")
	if resp, _ := x.post("/signin", f); resp.StatusCode != 403 {
		t.Errorf("without the form's token: %s", resp.Status)
	}
	_, page = x.get("/signin/code")
	f = fields(page)
	f.Set("code", "000000")
	if resp, _ := x.post("/signin/code", f); resp.StatusCode != 422 {
		t.Errorf("a guessed code: %s", resp.Status)
	}
	// the list of sessions ends them
	resp, page := b.get("/signin/sessions")
	if resp.StatusCode != 200 || !strings.Contains(page, "この端末") {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	f = fields(page)
	if resp, _ := b.post("/signin/sessions", url.Values{"id": {"all"}}); resp.StatusCode != 403 {
		t.Errorf("ended by a form without token: %s", resp.Status)
	}
	f.Set("id", "all")
	b.post("/signin/sessions", f)
	if _, err := m.sessions.Lookup(mine); err == nil {
		t.Error("the session goes on")
	}
	if resp, _ := b.get("/signin/sessions"); resp.StatusCode != 303 {
		t.Errorf("%s", resp.Status)
	}
}

// TestPageHeaders: no page can be framed, loads anything of others, or is kept.
func TestPageHeaders(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	b := m.browser()
	_, page := m.flow(c, "service").screen(b, "p01")
	for _, path := range []string{"/signin", "/signin/code", "/signin/sessions", "/oauth/nothing", action.FindStringSubmatch(page)[1], "/oauth/authorize"} {
		for lang, tag := range map[string]string{"ja": "ja", "en": "en", "ja-easy": "ja"} {
			resp, body := b.get(path + "?lang=" + lang)
			h := resp.Header
			policy := h.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") ||
				h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", path, h)
			}
			if strings.Contains(body, "‹") || strings.Contains(body, "style=") || strings.Contains(body, "<script>") || strings.Contains(body, "verified") || len(body) > 60_000 {
				t.Errorf("%s in %s: a text is missing, something is inline, or it is too large (%d)", path, lang, len(body))
			}
			if !strings.Contains(body, `<html lang="`+tag+`"`) || h.Get("Content-Language") != tag || strings.Contains(body, "<ruby>") != (lang == "ja-easy") || strings.Count(body, "<h1") != 1 {
				t.Errorf("%s in %s: language or headings", path, lang)
			}
		}
	}
}

// TestNewRefuses: an issuer is an origin, over TLS beyond this machine.
func TestNewRefuses(t *testing.T) {
	for _, issuer := range []string{"", "id.example.jp", "https://id.example.jp/", "https://id.example.jp/x", "http://id.example.jp", "ftp://localhost", "https://id.example.jp?x"} {
		if _, err := oauth.New(oauth.Options{Issuer: issuer}); err == nil {
			t.Errorf("issuer %q", issuer)
		}
	}
	if _, err := oauth.New(oauth.Options{Issuer: "https://id.example.jp"}); err == nil {
		t.Error("nothing else")
	}
}
