package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/oauth/idptest"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// town is a local consortium in which member 0 has a shop, whose data an app of
// member 1 may read, an identity provider, a custodian of its keys (member 2), and a
// person, yui.
type town struct {
	*local
	idp    *idptest.Provider
	issuer string // origin of member 0
	http   *http.Client
}

const yuiPhone = "09012345678"

// scopes of the shop's terms: purpose, item.
var shopScopes = [][2]string{{"service", "name"}, {"survey", "email"}, {"research", "municipality"}}

func startTown(t *testing.T) *town {
	t.Helper()
	c := &town{idp: idptest.New(t), http: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: toThisMachine},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	c.local = startLocalWith(t, "", func(o devOptions) {
		c.change(o, 0, func(s *node.Settings) {
			s.IdentityProvider = &node.ProviderSetting{Issuer: c.idp.URL, ClientID: c.idp.ClientID, ClientSecret: c.idp.Secret, Name: "認証アプリ"}
		})
		c.change(o, 2, func(s *node.Settings) { s.EscrowFor = []string{"member-0"} })
	})
	c.issuer = strings.TrimSuffix(browserURL(c.base, 0), "/")
	c.shop()
	c.person("yui", yuiPhone)
	return c
}

// toThisMachine dials names below localhost here (RFC 6761 §6.3): not every resolver
// knows them.
func toThisMachine(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, _ := net.SplitHostPort(addr); strings.HasSuffix(host, ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// change edits a member's settings before it starts.
func (c *town) change(o devOptions, member int, edit func(*node.Settings)) {
	s, err := node.LoadSettings(memberDir(o.dir, member))
	if err == nil {
		edit(s)
		err = s.Save(memberDir(o.dir, member))
	}
	if err != nil {
		panic(err) // the directory was founded a moment ago
	}
}

// shop opens the service with its terms, and names the custodian.
func (c *town) shop() {
	c.t.Helper()
	text := func(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }
	admin, err := c.client(0, c.tokens["admin"])
	c.must(err)
	_, err = admin.OpenService(c.t.Context(), rest.ServiceForm{ID: "shop", Name: text("まちのお店", "Town shop"), Contact: text("窓口", "Desk"), Fields: []string{"email", "municipality", "name"}})
	c.must(err)
	c.terms("1", "規約の全文")
	c.post("admin", "/v1/custodians", rest.CustodianForm{Member: "member-2"}, nil)
}

// terms publishes a version of the shop's terms.
func (c *town) terms(version, full string) {
	c.t.Helper()
	text := func(ja, en string) record.Text { return record.Text{Ja: ja, En: en} }
	admin, err := c.client(0, c.tokens["admin"])
	c.must(err)
	terms := rest.ScreenForm{Service: "shop", Version: version, Effective: time.Date(2026, 1, 1, 0, 0, 0, 0, record.JST), Text: text(full, "The full terms"),
		Withdrawal: text("いつでもやめられます", "You may stop at any time"), Retention: "P30D"}
	for _, sc := range shopScopes {
		terms.Scopes = append(terms.Scopes, rest.ScopeForm{Purpose: sc[0], Required: []string{sc[1]}, Recipients: []string{"member-1"}, MaxExpiry: "P1Y"})
	}
	_, err = admin.PublishTerms(c.t.Context(), terms)
	c.must(err)
}

// person registers somebody with the shop, whom the identity provider knows as
// sub-NAME.
func (c *town) person(name, phone string) {
	c.t.Helper()
	_, err := c.app(0).Register(c.t.Context(), custody.Registration{Person: custody.Ref(name), Service: "shop", Source: "self",
		Lookup: map[string]string{"phone": phone, "oidc": "sub-" + name},
		Items:  map[string]string{"name": "髙橋 " + name, "email": name + "@example.jp", "municipality": "会津若松市"}})
	c.must(err)
}

func (c *town) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// post asks the REST API of member 0; anything but 200 ends the test.
func (c *town) post(role, path string, body, into any) {
	c.t.Helper()
	b, err := json.Marshal(body)
	c.must(err)
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.issuer+path, bytes.NewReader(b))
	c.must(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.tokens[role])
	status, b := c.do(req)
	if status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", path, status, b)
	}
	if into != nil {
		c.must(json.Unmarshal(b, into))
	}
}

func (c *town) do(req *http.Request) (int, []byte) {
	c.t.Helper()
	resp, err := c.http.Do(req)
	c.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	c.must(err)
	return resp.StatusCode, b
}

// register registers an app of member 1 for the shop.
func (c *town) register(change func(*rest.ClientForm)) rest.ClientMade {
	c.t.Helper()
	f := rest.ClientForm{Service: "shop", Party: "member-1", Name: record.Text{Ja: "お店のアプリ", En: "Shop app"}, Authentication: "client_secret_basic"}
	change(&f)
	var made rest.ClientMade
	c.post("app", "/v1/clients", f, &made)
	return made
}

// code returns the newest one-time code that member 0 sent, once there are more than
// before.
func (c *town) code(before int) (code string) {
	c.t.Helper()
	c.until("a one-time code", func() bool {
		all := c.codes()
		if len(all) > before {
			code = all[len(all)-1]
		}
		return code != ""
	})
	return code
}

func (c *town) codes() (all []string) {
	b, err := os.ReadFile(filepath.Join(memberDir(c.dir, 0), codesFile))
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(b) {
		var m struct{ Code string }
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &m) == nil {
			all = append(all, m.Code)
		}
	}
	return all
}

// link returns the path of a one-time link for a person.
func (c *town) link(person string) string {
	c.t.Helper()
	v, err := c.app(0).Link(c.t.Context(), custody.Ref(person), time.Minute)
	c.must(err)
	return c.issuer + "/enter?code=" + url.QueryEscape(v.Code)
}

// akashi runs a command of the binary.
func (c *town) akashi(args ...string) string {
	c.t.Helper()
	self, err := os.Executable()
	c.must(err)
	cmd := &exec.Cmd{Path: self, Args: append([]string{"akashi"}, args...)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("akashi %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ownApp is an app of which the test sees the tokens.
type ownApp struct {
	c    *town
	made rest.ClientMade
	came chan url.Values // what browsers bring back
	back string
}

func (c *town) ownApp() *ownApp {
	c.t.Helper()
	a := &ownApp{c: c, came: make(chan url.Values, 4)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			a.came <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><h1 id="back">app</h1>`)
	}))
	c.t.Cleanup(s.Close)
	a.back = s.URL + "/callback"
	a.made = c.register(func(f *rest.ClientForm) { f.RedirectURIs = []string{a.back} })
	return a
}

// verifier of every request of an ownApp: the tests play no thief.
const ownVerifier = "0123456789012345678901234567890123456789abc"

// ask is where a browser begins.
func (a *ownApp) ask(purpose string) string {
	d, err := json.Marshal([]any{map[string]any{"type": "akashi_consent", "service": "shop", "purposes": []string{purpose}, "required": []string{purpose}}})
	a.c.must(err)
	return a.c.issuer + "/oauth/authorize?" + url.Values{"client_id": {a.made.ID}, "response_type": {"code"}, "redirect_uri": {a.back}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {s256(ownVerifier)}, "code_challenge_method": {"S256"}, "authorization_details": {string(d)}}.Encode()
}

// ownTokens is what the token endpoint answered.
type ownTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
	Active  bool   `json:"active"`
	Code    string `json:"code"`
}

// tokens redeems what the browser brought.
func (a *ownApp) tokens() (t ownTokens) {
	a.c.t.Helper()
	select {
	case q := <-a.came:
		if q.Get("code") == "" || q.Get("state") != "s" || q.Get("iss") != a.c.issuer {
			a.c.t.Fatalf("came back with %v", q)
		}
		status, t := a.form("/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {a.back}, "code_verifier": {ownVerifier}})
		if status != http.StatusOK || t.Access == "" || t.Refresh == "" {
			a.c.t.Fatalf("tokens: %d %+v", status, t)
		}
		return t
	case <-time.After(patience):
		a.c.t.Fatal("nobody came back")
	}
	return t
}

// form posts a form as the app.
func (a *ownApp) form(path string, values url.Values) (status int, t ownTokens) {
	a.c.t.Helper()
	req, err := http.NewRequestWithContext(a.c.t.Context(), http.MethodPost, a.c.issuer+path, strings.NewReader(values.Encode()))
	a.c.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.made.ID), url.QueryEscape(a.made.Secret))
	status, b := a.c.do(req)
	if err := json.Unmarshal(b, &t); err != nil {
		a.c.t.Fatalf("%s: %d %s", path, status, b)
	}
	return status, t
}

// read asks the resource endpoint.
func (a *ownApp) read(access, purpose string) (status int, code string) {
	a.c.t.Helper()
	req, err := http.NewRequestWithContext(a.c.t.Context(), http.MethodGet, a.c.issuer+"/oauth/data?purpose="+purpose, nil)
	a.c.must(err)
	req.Header.Set("Authorization", "Bearer "+access)
	status, b := a.c.do(req)
	var t ownTokens
	if err := json.Unmarshal(b, &t); err != nil {
		a.c.t.Fatalf("data: %d %s", status, b)
	}
	return status, t.Code
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
