package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/go-jose/go-jose/v4"
)

// prover makes DPoP proofs.
type prover struct {
	t *testing.T
	k *ecdsa.PrivateKey
}

func newProver(t *testing.T) *prover {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	return &prover{t, k}
}

func (p *prover) proof(method, uri, access string, change func(claims, header map[string]any)) string {
	p.t.Helper()
	claims := map[string]any{"jti": session.NewSecret(), "htm": method, "htu": uri, "iat": time.Now().Unix()}
	if access != "" {
		sum := sha256.Sum256([]byte(access))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	header := map[string]any{"typ": "dpop+jwt"}
	if change != nil {
		change(claims, header)
	}
	o := &jose.SignerOptions{EmbedJWK: true}
	for k, v := range header {
		o = o.WithHeader(jose.HeaderKey(k), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.k}, o)
	fatal(p.t, err)
	b, err := json.Marshal(claims)
	fatal(p.t, err)
	j, err := s.Sign(b)
	fatal(p.t, err)
	out, err := j.CompactSerialize()
	fatal(p.t, err)
	return out
}

// TestDPoP: a client without a secret, pushed request, tokens bound to its key.
func TestDPoP(t *testing.T) {
	m := newSite(t)
	c := m.client(func(f object) { f["authentication"] = "none" })
	if !c.DPoP || c.Secret != "" {
		t.Fatalf("%+v", c)
	}
	p, thief := newProver(t), newProver(t)
	send := func(method, path string, form url.Values, header map[string]string) (*http.Response, []byte) {
		var body io.Reader
		if form != nil {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequest(method, m.url+path, body)
		fatal(t, err)
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		return do(t, http.DefaultClient, req)
	}
	f := m.flow(c, "service")
	resp, b := send("POST", "/oauth/par", f.query(), map[string]string{"DPoP": p.proof("POST", m.url+"/oauth/par", "", nil)})
	var pushed struct {
		URI string `json:"request_uri"`
	}
	if fatal(t, json.Unmarshal(b, &pushed)); resp.StatusCode != 201 || pushed.URI == "" {
		t.Fatalf("%s %s", resp.Status, b)
	}
	br := m.browser()
	q := url.Values{"client_id": {c.ID}, "request_uri": {pushed.URI}}
	resp, page := br.get("/oauth/authorize?" + q.Encode())
	to, err := url.Parse(resp.Header.Get("Location"))
	fatal(t, err)
	resp, page = br.get(br.signIn("p01", to.Query().Get("next")))
	if resp.StatusCode != 200 {
		t.Fatalf("%s\n%s", resp.Status, page)
	}
	v := fields(page)
	v.Set("act", "give")
	resp, page = br.post(action.FindStringSubmatch(page)[1], v)
	code := f.code(t, resp, page)
	if resp, _ := br.get("/oauth/authorize?" + q.Encode()); resp.StatusCode == 303 && strings.Contains(resp.Header.Get("Location"), "code=") {
		t.Error("a pushed request counts twice")
	}
	form := f.exchange(code)
	form.Set("client_id", c.ID)
	at := m.url + "/oauth/token"
	resp, b = send("POST", "/oauth/token", form, map[string]string{"DPoP": p.proof("POST", at, "", nil)})
	var got tokens
	if fatal(t, json.Unmarshal(b, &got)); resp.StatusCode != 200 || got.Type != "DPoP" {
		t.Fatalf("%s %s", resp.Status, b)
	}
	data := m.url + "/oauth/data"
	read := func(scheme, access string, proofs ...string) int {
		req, err := http.NewRequest("GET", data+"?purpose=service", nil)
		fatal(t, err)
		req.Header.Set("Authorization", scheme+" "+access)
		for _, x := range proofs {
			req.Header.Add("DPoP", x)
		}
		resp, _ := do(t, http.DefaultClient, req)
		return resp.StatusCode
	}
	good := p.proof("GET", data, got.Access, nil)
	if s := read("DPoP", got.Access, good); s != 200 {
		t.Fatalf("a good proof: %d", s)
	}
	fresh := func(change func(c, h map[string]any)) string { return p.proof("GET", data, got.Access, change) }
	for name, s := range map[string]int{
		"the same proof again": read("DPoP", got.Access, good),
		"no proof":             read("DPoP", got.Access),
		"as bearer":            read("Bearer", got.Access),
		"as bearer with proof": read("Bearer", got.Access, fresh(nil)),
		"two proofs":           read("DPoP", got.Access, fresh(nil), fresh(nil)),
		"another key":          read("DPoP", got.Access, thief.proof("GET", data, got.Access, nil)),
		"another method":       read("DPoP", got.Access, p.proof("POST", data, got.Access, nil)),
		"another address":      read("DPoP", got.Access, p.proof("GET", m.url+"/oauth/grant", got.Access, nil)),
		"another host":         read("DPoP", got.Access, p.proof("GET", "https://evil.example/oauth/data", got.Access, nil)),
		"another token":        read("DPoP", got.Access, p.proof("GET", data, "other", nil)),
		"no token hash":        read("DPoP", got.Access, p.proof("GET", data, "", nil)),
		"old":                  read("DPoP", got.Access, fresh(func(c, _ map[string]any) { c["iat"] = time.Now().Add(-time.Hour).Unix() })),
		"of the future":        read("DPoP", got.Access, fresh(func(c, _ map[string]any) { c["iat"] = time.Now().Add(time.Hour).Unix() })),
		"no time":              read("DPoP", got.Access, fresh(func(c, _ map[string]any) { delete(c, "iat") })),
		"no id":                read("DPoP", got.Access, fresh(func(c, _ map[string]any) { delete(c, "jti") })),
		"another type":         read("DPoP", got.Access, fresh(func(_, h map[string]any) { h["typ"] = "jwt" })),
		"unsigned":             read("DPoP", got.Access, "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ.e30."),
		"nonsense":             read("DPoP", got.Access, "x.y.z"),
	} {
		if s != 401 {
			t.Errorf("%s: %d, want 401", name, s)
		}
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}, "client_id": {c.ID}}
	for name, header := range map[string]map[string]string{"no proof": {}, "another key": {"DPoP": thief.proof("POST", at, "", nil)}} {
		if resp, b := send("POST", "/oauth/token", refresh, header); resp.StatusCode/100 != 4 {
			t.Errorf("refresh, %s: %s %s", name, resp.Status, b)
		}
	}
	if resp, b := send("POST", "/oauth/token", refresh, map[string]string{"DPoP": p.proof("POST", at, "", nil)}); resp.StatusCode != 200 {
		t.Errorf("refresh with the key: %s %s", resp.Status, b)
	}
}
