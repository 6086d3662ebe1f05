package oauth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Clients that others wrote, with nothing of ours between them and the node.

// TestGoClient: golang.org/x/oauth2 and coreos/go-oidc.
func TestGoClient(t *testing.T) {
	m := newSite(t)
	c := m.client(nil)
	p, err := oidc.NewProvider(t.Context(), m.url)
	fatal(t, err)
	conf := oauth2.Config{ClientID: c.ID, ClientSecret: c.Secret, Endpoint: p.Endpoint(), RedirectURL: redirect, Scopes: []string{oidc.ScopeOpenID}}
	state, nonce, verifier := session.NewSecret(), session.NewSecret(), oauth2.GenerateVerifier()
	to := conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("authorization_details", `[{"type":"akashi_consent","service":"portal","purposes":["service"]}]`))
	back := m.through(to)
	if back.Query().Get("state") != state {
		t.Fatal("another state")
	}
	got, err := conf.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	fatal(t, err)
	raw, _ := got.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: c.ID}).Verify(t.Context(), raw)
	fatal(t, err)
	if id.Nonce != nonce || id.Issuer != m.url {
		t.Errorf("%+v", id)
	}
	var claims struct {
		AuthTime int64    `json:"auth_time"`
		AMR      []string `json:"amr"`
	}
	fatal(t, id.Claims(&claims))
	if time.Since(time.Unix(claims.AuthTime, 0)) > time.Minute || len(claims.AMR) != 1 || claims.AMR[0] != "otp" {
		t.Errorf("%+v", claims)
	}
	resp, err := conf.Client(t.Context(), got).Get(m.url + "/oauth/data?purpose=service")
	fatal(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fatal(t, err)
	if resp.StatusCode != 200 || !strings.Contains(string(b), `"user-id":"u-p01"`) || !strings.Contains(string(b), id.Subject) {
		t.Errorf("%s %s", resp.Status, b)
	}
	got.Expiry = time.Now().Add(-time.Hour)
	next, err := conf.TokenSource(t.Context(), got).Token()
	fatal(t, err)
	if next.AccessToken == got.AccessToken || next.RefreshToken == got.RefreshToken {
		t.Error("the refresh gave nothing new")
	}
}

// through sends p01 through the pages to the app, as a browser would go.
func (m *site) through(to string) *url.URL {
	m.t.Helper()
	b := m.browser()
	resp, page := b.get(to)
	if next := resp.Header.Get("Location"); strings.HasPrefix(next, "/signin?") {
		u, err := url.Parse(next)
		fatal(m.t, err)
		resp, page = b.get(b.signIn("p01", u.Query().Get("next")))
	}
	if !action.MatchString(page) {
		m.t.Fatalf("no screen: %s\n%s", resp.Status, page)
	}
	v := fields(page)
	v.Set("act", "give")
	resp, page = b.post(action.FindStringSubmatch(page)[1], v)
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		m.t.Fatalf("%s to %q\n%s", resp.Status, resp.Header.Get("Location"), page)
	}
	return back
}

// TestNodeClient: openid-client on Node, with PAR and DPoP and no secret.
func TestNodeClient(t *testing.T) {
	m := newSite(t)
	dir := openidClient(t)
	c := m.client(func(f object) { f["authentication"], f["par"] = "none", true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join(dir, "client.mjs"), m.url, c.ID, redirect)
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	fatal(t, err)
	out, err := cmd.StdoutPipe()
	fatal(t, err)
	fatal(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("%v\n%s", cmd.Wait(), &said)
	}
	back := m.through(lines.Text())
	_, err = io.WriteString(in, back.String()+"\n")
	fatal(t, err)
	if !lines.Scan() {
		t.Fatalf("%v\n%s", cmd.Wait(), &said)
	}
	var got struct {
		Iss, Sub, Type, DataSub, Replay string
		Status                          int
		Items                           map[string]string
		Active, After                   bool
		Purposes                        []string
	}
	fatal(t, json.Unmarshal(lines.Bytes(), &got))
	fatal(t, cmd.Wait())
	if got.Iss != m.url || got.Sub == "" || got.Sub != got.DataSub || !strings.EqualFold(got.Type, "dpop") || got.Status != 200 || got.Items["user-id"] != "u-p01" ||
		!got.Active || got.After || len(got.Purposes) != 1 || got.Replay != "invalid_grant" {
		t.Errorf("%+v", got)
	}
}

// openidClient installs openid-client into a folder of its own; npm checks the hashes
// of package-lock.json.
func openidClient(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := machine.Find([]string{tool}, "nodejs", "npm"); err != nil {
			t.Fatalf("a client that others wrote is run: %v", err)
		}
	}
	dir := t.TempDir()
	fatal(t, os.CopyFS(dir, os.DirFS("testdata/openid-client")))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}
