package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Upstream is an identity provider of the member's choice (OpenID Connect), such as
// that of the digital agency's authentication app. A person is found by a lookup
// whose value is the provider's name for them (sub).
type Upstream struct {
	Issuer   string
	ClientID string
	Secret   string
	Name     string // on the button
	Lookup   string // kind of the lookup
}

// upstream is a provider whose metadata is read when it is first needed.
type upstream struct {
	Upstream
	callback string

	mu       sync.Mutex
	provider *oidc.Provider
}

const pathUpstream = "/signin/oidc"

// asking is a sign-in at the provider that is under way (O/q/HASH of its state).
type asking struct {
	Browser  []byte `json:"browser"` // key of the browser's secret
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
}

var upstreamClient = &http.Client{Timeout: 10 * time.Second}

// config reads the provider's metadata and returns how to ask it.
func (u *upstream) config(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), upstreamClient), u.Issuer)
		if err != nil {
			return nil, nil, err
		}
		u.provider = p
	}
	return &oauth2.Config{ClientID: u.ClientID, ClientSecret: u.Secret, Endpoint: u.provider.Endpoint(), RedirectURL: u.callback, Scopes: []string{oidc.ScopeOpenID}},
		u.provider.Verifier(&oidc.Config{ClientID: u.ClientID}), nil
}

// origin is where a form may lead that begins a sign-in at the provider.
func (u *upstream) origin(ctx context.Context) string {
	c, _, err := u.config(ctx)
	if err != nil {
		return ""
	}
	to, err := url.Parse(c.Endpoint.AuthURL)
	if err != nil {
		return ""
	}
	return to.Scheme + "://" + to.Host
}

// upstreamBegin sends a browser to the provider.
func (s *Server) upstreamBegin(w http.ResponseWriter, r *http.Request) {
	secret := s.cookies.Read(r, session.CookieSignIn)
	if s.idp == nil || !session.Posted(w, r, secret) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	c, _, err := s.idp.config(r.Context())
	if err != nil {
		s.Log.Warn("the identity provider is not reached", "err", err)
		s.problem(w, r, http.StatusServiceUnavailable, "error.upstream")
		return
	}
	a := asking{Browser: hashed("q", secret), Nonce: newSecret(), Verifier: oauth2.GenerateVerifier(), Next: next(r.PostForm.Get("next"))}
	state := newSecret()
	b, err := s.storage.sealed(&a)
	if err == nil {
		err = s.Blobs.PutMany([]store.KV{{Key: hashed("q", state), Value: b, TTL: ceremonyLife}})
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, c.AuthCodeURL(state, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

var errUpstream = errors.New("the identity provider's answer does not fit")

// upstreamEnd takes the browser back.
func (s *Server) upstreamEnd(w http.ResponseWriter, r *http.Request) {
	if s.idp == nil {
		s.problem(w, r, http.StatusNotFound, "error.notfound")
		return
	}
	a, err := s.takeAsking(r)
	sub := ""
	if err == nil {
		sub, err = s.confirmed(r, a)
	}
	if err != nil {
		s.Log.Info("a sign-in at the identity provider failed", "err", errUpstream)
		s.problem(w, r, http.StatusForbidden, "error.upstream")
		return
	}
	ref, found, err := s.Desk.Find(r.Context(), s.idp.Lookup, sub)
	if err == nil && !found {
		s.problem(w, r, http.StatusForbidden, "error.stranger")
		return
	}
	if err == nil {
		err = s.begin(w, r, string(ref), session.Upstream)
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, a.Next, http.StatusSeeOther)
}

// takeAsking returns the sign-in that a state belongs to, once, in the browser that
// began it.
func (s *Server) takeAsking(r *http.Request) (*asking, error) {
	q := r.URL.Query()
	state := q.Get("state")
	if state == "" || len(state) > maxSecret || repeated(q) || q.Has("iss") && q.Get("iss") != s.idp.Issuer { // RFC 9207: a mix-up
		return nil, errUpstream
	}
	a, key := new(asking), hashed("q", state)
	err := s.Blobs.Update(func(tx *store.BlobTx) error {
		b, ok, err := tx.Get(key)
		if err != nil || !ok {
			return errors.Join(err, errUpstream)
		}
		if err := s.storage.opened(b, a); err != nil {
			return err
		}
		return tx.Delete(key)
	})
	if err == nil && subtle.ConstantTimeCompare(a.Browser, hashed("q", s.cookies.Read(r, session.CookieSignIn))) != 1 {
		err = errUpstream
	}
	return a, err
}

// confirmed redeems the provider's code and returns whom its ID token names.
func (s *Server) confirmed(r *http.Request, a *asking) (string, error) {
	c, v, err := s.idp.config(r.Context())
	if err != nil {
		return "", err
	}
	ctx := oidc.ClientContext(r.Context(), upstreamClient)
	got, err := c.Exchange(ctx, r.URL.Query().Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return "", err
	}
	raw, _ := got.Extra("id_token").(string)
	id, err := v.Verify(ctx, raw)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 || id.Subject == "" {
		return "", errUpstream
	}
	return id.Subject, nil
}
