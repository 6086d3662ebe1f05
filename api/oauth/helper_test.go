package oauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth"
	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/api/web"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// site is one whole node with its authorization server, a service "portal" of its
// own, a party "shop" that it hosts and that receives, and people.
type site struct {
	t        *testing.T
	n        *node.Node
	s        *oauth.Server
	sessions *session.Store
	codes    chan session.Message
	url      string
	tokens   map[string]string
	others   []oauth.Member // whose pages it knows
}

type object = map[string]any

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSite(t *testing.T) *site { return newSiteOn(t, "127.0.0.1") }

// newSiteOn is newSite under another name of this machine.
func newSiteOn(t *testing.T, host string) *site { return newSiteWith(t, host, nil) }

// newSiteWith is newSiteOn with an identity provider.
func newSiteWith(t *testing.T, host string, idp *idptest.Provider) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole node")
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	logKey, dir := sign.NewKey(), filepath.Join(t.TempDir(), "a")
	text := func(s string) record.Text { return record.Text{Ja: s, En: s} }
	f := record.Founding{Origin: "test.example/log", CreatedMs: uint64(time.Now().UnixMilli()), LogKey: logKey.Public(),
		Attributes: []record.Attribute{{Code: "allergy", Class: "sensitive", Label: record.Text{Ja: "アレルギー", En: "Allergies"}}, {Code: "city", Class: "normal", Label: record.Text{Ja: "住所（市区町村まで）", En: "Home town"}},
			{Code: "email", Class: "normal", Label: text("メール")}, {Code: "health", Class: "sensitive", Label: text("健康")},
			{Code: "member-no", Class: "normal", Label: record.Text{Ja: "利用者番号", En: "Member number"}}, {Code: "name", Class: "normal", Label: text("氏名")}, {Code: "user-id", Class: "normal", Label: text("番号")}},
		Purposes: []record.Purpose{{Code: "care", Label: text("見まもり")}, {Code: "coupon", Label: record.Text{Ja: "クーポンの配信と、利用の管理", En: "Sending and managing coupons"}},
			{Code: "lunch", Label: record.Text{Ja: "お店のおすすめ", En: "Suggestions of restaurants"}}, {Code: "news", Label: record.Text{Ja: "期限のお知らせメール", En: "Reminders by e-mail"}},
			{Code: "service", Label: text("サービス")}, {Code: "survey", Label: text("アンケート")}},
		Parameters: []record.Parameter{{Name: "sensor-approver", Value: "public-body"}}}
	k := node.NewKeys(logKey)
	set := node.Settings{Member: "a-sha", HTTP: machine.FreeAddr(t), GRPC: machine.FreeAddr(t), P2P: machine.FreeAddr(t)}
	fatal(t, os.Mkdir(dir, 0o700))
	fatal(t, set.Save(dir))
	fatal(t, k.Save(dir))
	f.Members = append(f.Members, k.MemberOf(record.MemberInfo{ID: "a-sha", Name: text("あ社"), Regime: "ch4", Country: "JP", Categories: []string{"public-body"}, Addr: set.P2P}, f.Origin))
	leaf, err := node.GenesisLeaf(&f, []sign.Signature{k.SignFounding(&f)})
	fatal(t, err)
	fatal(t, node.SaveGenesis(dir, leaf))
	n, err := node.Start(dir, log)
	fatal(t, err)
	t.Cleanup(func() { n.Close() })
	m := &site{t: t, n: n, codes: make(chan session.Message, 16), tokens: map[string]string{}}
	var up *oauth.Upstream
	if idp != nil {
		up = &oauth.Upstream{Issuer: idp.URL, ClientID: idp.ClientID, Secret: idp.Secret, Name: "認証アプリ", Lookup: "oidc"}
	}
	m.serve(host, up, log)
	for begin := time.Now(); n.Ready() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("not ready")
		}
	}
	m.fill()
	return m
}

// Send implements session.Sender.
func (m *site) Send(_ context.Context, c session.Message) error { m.codes <- c; return nil }

func (m *site) serve(host string, up *oauth.Upstream, log *slog.Logger) {
	t, n := m.t, m.n
	srv := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	fatal(t, err)
	m.url = "http://" + net.JoinHostPort(host, port)
	m.sessions, err = session.New(n.Blobs(), n.Desk().KeyFor("sessions"), time.Hour, time.Now)
	fatal(t, err)
	m.s, err = oauth.New(oauth.Options{Issuer: m.url, Member: n.Self(), Key: n.Desk().KeyFor("authorization server"), Blobs: n.Blobs(), Sessions: m.sessions,
		Desk: n.Desk(), State: n.FinalState, Changed: n.FinalChanged, Now: time.Now, Log: log, Sender: m, Upstream: up,
		Members: func() []oauth.Member { return m.others }})
	fatal(t, err)
	tokens := token.New(n.Blobs())
	api, err := rest.New(n, rest.Options{Tokens: tokens, Log: log, Clients: m.s})
	fatal(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", api)
	style, err := web.New(struct{ web.Backend }{}, web.Options{Log: log}) // for its assets alone
	fatal(t, err)
	mux.Handle("/assets/", style)
	for _, p := range oauth.Patterns() {
		mux.Handle(p, m.s)
	}
	srv.Config.Handler = mux
	srv.Start()
	t.Cleanup(srv.Close)
	t.Cleanup(m.s.Close)
	for _, r := range []token.Role{token.Admin, token.App, token.Auditor} {
		m.tokens[string(r)], err = tokens.Issue(r, "test", "")
		fatal(t, err)
	}
}

// fill makes the parties, the service with its terms, and p01.
func (m *site) fill() {
	text := object{"ja": "見本", "en": "sample"}
	for _, id := range []string{"shop", "other"} {
		m.call("admin", "POST", "/v1/parties", object{"id": id, "name": text, "regime": "ch4", "country": "JP"}, nil)
	}
	m.call("admin", "POST", "/v1/services", object{"id": "portal", "name": text, "contact": text, "fields": []string{"email", "health", "name", "user-id"}}, nil)
	m.terms("1", "P1Y")
	m.person("p01")
}

func (m *site) terms(version, expiry string) {
	text := object{"ja": "見本の文", "en": "sample text"}
	m.call("admin", "POST", "/v1/terms", object{"service": "portal", "version": version, "effective": "2020-01-01T00:00:00+09:00", "text": text, "withdrawal": text, "retention": "P30D",
		"scopes": []any{
			object{"purpose": "service", "required": []string{"user-id"}, "optional": []string{"email", "name"}, "recipients": []string{"shop"}, "maxExpiry": expiry},
			object{"purpose": "survey", "required": []string{"email"}, "recipients": []string{"shop"}, "maxExpiry": expiry},
			object{"purpose": "care", "required": []string{"health"}, "recipients": []string{"other", "shop"}, "maxExpiry": expiry},
		}}, nil)
}

func (m *site) person(ref string) {
	m.call("app", "POST", "/v1/people", object{"person": ref, "service": "portal", "source": "self", "lookup": object{"phone": "0900000" + strings.TrimPrefix(ref, "p")},
		"items": object{"name": "髙橋 結", "email": ref + "@example.jp", "user-id": "u-" + ref, "health": "良好"}}, nil)
}

// call asks the REST API; anything but 200 ends the test.
func (m *site) call(who, method, path string, body any, into any) {
	m.t.Helper()
	resp, b := m.try(who, method, path, body)
	if resp.StatusCode != 200 {
		m.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	if into != nil {
		fatal(m.t, json.Unmarshal(b, into))
	}
}

func (m *site) try(who, method, path string, body any) (*http.Response, []byte) {
	m.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		fatal(m.t, err)
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, m.url+path, r)
	fatal(m.t, err)
	req.Header.Set("Content-Type", "application/json")
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+m.tokens[who])
	}
	return do(m.t, http.DefaultClient, req)
}

func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Do(req)
	fatal(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fatal(t, err)
	return resp, b
}

const redirect = "https://app.example/callback"

// client registers an app and returns it with its secret.
func (m *site) client(change func(object)) rest.ClientMade {
	m.t.Helper()
	f := object{"service": "portal", "party": "shop", "name": object{"ja": "お店のアプリ", "en": "Shop app"}, "redirectUris": []string{redirect},
		"authentication": "client_secret_basic"}
	if change != nil {
		change(f)
	}
	var made rest.ClientMade
	m.call("app", "POST", "/v1/clients", f, &made)
	return made
}

// browser is a person's browser: cookies, and no redirect followed unseen.
type browser struct {
	m *site
	c *http.Client
}

func (m *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	fatal(m.t, err)
	return &browser{m, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) get(path string) (*http.Response, string) {
	b.m.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.m.url + path
	}
	req, err := http.NewRequest("GET", path, nil)
	fatal(b.m.t, err)
	resp, body := do(b.m.t, b.c, req)
	return resp, string(body)
}

func (b *browser) post(path string, form url.Values) (*http.Response, string) {
	b.m.t.Helper()
	return b.send(b.m.url+path, form)
}

// send is post to any address.
func (b *browser) send(to string, form url.Values) (*http.Response, string) {
	b.m.t.Helper()
	req, err := http.NewRequest("POST", to, strings.NewReader(form.Encode()))
	fatal(b.m.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, body := do(b.m.t, b.c, req)
	return resp, string(body)
}

var (
	hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)
	action = regexp.MustCompile(`<form id="decide" method="post" action="([^"]+)">`)
)

// fields reads the hidden fields of a page.
func fields(body string) url.Values {
	out := url.Values{}
	for _, f := range hidden.FindAllStringSubmatch(body, -1) {
		if !out.Has(f[1]) {
			out.Set(f[1], f[2])
		}
	}
	return out
}

// signIn signs a person in by a one-time code, and returns where it leads.
func (b *browser) signIn(ref, next string) string {
	b.m.t.Helper()
	_, body := b.get("/signin?next=" + url.QueryEscape(next))
	f := fields(body)
	f.Set("address", "0900000"+strings.TrimPrefix(ref, "p"))
	resp, body := b.post("/signin", f)
	if resp.StatusCode != http.StatusSeeOther {
		b.m.t.Fatalf("send a code: %s\n%s", resp.Status, body)
	}
	code := <-b.m.codes
	_, body = b.get(resp.Header.Get("Location"))
	f = fields(body)
	f.Set("code", code.Code)
	resp, body = b.post("/signin/code", f)
	if resp.StatusCode != http.StatusSeeOther {
		b.m.t.Fatalf("sign in: %s\n%s", resp.Status, body)
	}
	return resp.Header.Get("Location")
}

// flow is one authorization.
type flow struct {
	client   rest.ClientMade
	verifier string
	state    string
	detail   object
	extra    url.Values
}

func (m *site) flow(c rest.ClientMade, purposes ...string) *flow {
	d := object{"type": "akashi_consent", "service": "portal"}
	if len(purposes) > 0 {
		d["purposes"] = purposes
	}
	return &flow{client: c, verifier: session.NewSecret(), state: session.NewSecret(), detail: d, extra: url.Values{}}
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// query is the request that a browser brings.
func (f *flow) query() url.Values {
	d, _ := json.Marshal([]object{f.detail})
	q := url.Values{"client_id": {f.client.ID}, "response_type": {"code"}, "redirect_uri": {redirect}, "state": {f.state}, "scope": {"openid"},
		"code_challenge": {challenge(f.verifier)}, "code_challenge_method": {"S256"}, "authorization_details": {string(d)}}
	for k, v := range f.extra {
		if q[k] = v; len(v) == 1 && v[0] == "" {
			delete(q, k)
		}
	}
	return q
}

// decide brings a person to the screen, signs them in on the way, and answers it.
func (f *flow) decide(b *browser, ref string, answer url.Values) (*http.Response, string) {
	b.m.t.Helper()
	resp, body := f.screen(b, ref)
	if resp.StatusCode != 200 || !action.MatchString(body) {
		return resp, body
	}
	form := fields(body)
	for k, v := range answer {
		form[k] = v
	}
	return b.post(action.FindStringSubmatch(body)[1], form)
}

// screen brings a person to the screen.
func (f *flow) screen(b *browser, ref string) (*http.Response, string) {
	b.m.t.Helper()
	resp, body := b.get("/oauth/authorize?" + f.query().Encode())
	if to := resp.Header.Get("Location"); resp.StatusCode == http.StatusSeeOther && strings.HasPrefix(to, "/signin?") {
		u, err := url.Parse(to)
		fatal(b.m.t, err)
		resp, body = b.get(b.signIn(ref, u.Query().Get("next")))
	}
	return resp, body
}

// give is the answer of a person who agrees.
func give(purposes ...string) url.Values {
	return url.Values{"act": {"give"}, "purpose": purposes}
}

// code returns the code of a redirect to the app.
func (f *flow) code(t testing.TB, resp *http.Response, body string) string {
	t.Helper()
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(u.String(), redirect) || u.Query().Get("code") == "" {
		t.Fatalf("no code: %s to %q\n%s", resp.Status, resp.Header.Get("Location"), body)
	}
	if u.Query().Get("state") != f.state || u.Query().Get("iss") == "" {
		t.Fatalf("state or issuer: %s", u)
	}
	return u.Query().Get("code")
}

// tokens is an answer of the token endpoint.
type tokens struct {
	Access  string   `json:"access_token"`
	Refresh string   `json:"refresh_token"`
	ID      string   `json:"id_token"`
	Type    string   `json:"token_type"`
	Details []object `json:"authorization_details"`
	Error   string   `json:"error"`
	status  int
}

func (m *site) post(path string, c rest.ClientMade, form url.Values) (*http.Response, []byte) {
	m.t.Helper()
	req, err := http.NewRequest("POST", m.url+path, strings.NewReader(form.Encode()))
	fatal(m.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return do(m.t, http.DefaultClient, req)
}

func (m *site) token(c rest.ClientMade, form url.Values) tokens {
	m.t.Helper()
	resp, b := m.post("/oauth/token", c, form)
	var v tokens
	if err := json.Unmarshal(b, &v); err != nil {
		m.t.Fatalf("token endpoint: %s %s", resp.Status, b)
	}
	v.status = resp.StatusCode
	return v
}

func (f *flow) exchange(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {f.verifier}}
}

// granted runs a whole flow for a person and returns the tokens.
func (m *site) granted(c rest.ClientMade, ref string, purposes ...string) tokens {
	m.t.Helper()
	f := m.flow(c, purposes...)
	f.detail["required"] = purposes
	resp, body := f.decide(m.browser(), ref, give())
	got := m.token(c, f.exchange(f.code(m.t, resp, body)))
	if got.status != 200 || got.Access == "" {
		m.t.Fatalf("no token: %d %+v", got.status, got)
	}
	return got
}

// data asks the resource endpoint.
func (m *site) data(access, query string) (int, oauth.Data, string) {
	m.t.Helper()
	req, err := http.NewRequest("GET", m.url+"/oauth/data?"+query, nil)
	fatal(m.t, err)
	req.Header.Set("Authorization", "Bearer "+access)
	resp, b := do(m.t, http.DefaultClient, req)
	var d oauth.Data
	var p struct {
		Code string `json:"code"`
	}
	if resp.StatusCode == 200 {
		fatal(m.t, json.Unmarshal(b, &d))
	} else if err := json.Unmarshal(b, &p); err != nil {
		m.t.Fatalf("%s: %s", resp.Status, b)
	}
	return resp.StatusCode, d, p.Code
}

func (m *site) introspect(c rest.ClientMade, text string) (int, object) {
	m.t.Helper()
	resp, b := m.post("/oauth/introspect", c, url.Values{"token": {text}})
	var v object
	fatal(m.t, json.Unmarshal(b, &v))
	return resp.StatusCode, v
}

func (m *site) events(ref string) []custody.Event {
	m.t.Helper()
	e, err := m.n.Desk().Events(m.t.Context(), custody.Ref(ref))
	fatal(m.t, err)
	return e
}

func (m *site) withdraw(ref string, purposes ...string) {
	m.t.Helper()
	_, err := m.n.Desk().Withdraw(m.t.Context(), custody.Call{}, custody.WithdrawRequest{Person: custody.Ref(ref), Service: "portal", Purposes: purposes})
	fatal(m.t, err)
}
