package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/luikyv/go-oidc/pkg/goidc"
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

// LookupUpstream is the kind of the lookups that hold nothing but a provider's sub:
// these alone people connect themselves (connectable).
const LookupUpstream = "oidc"

// upstream is a provider whose metadata is read when it is first needed.
type upstream struct {
	Upstream
	callback string // no other provider's: a code that comes there is this one's (RFC 9700 §4.4.2.2)
	client   *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	named    bool // its answers name it (RFC 9207)
}

const pathUpstream = "/signin/oidc"

// asking is a sign-in at the provider that is under way (O/q/HASH of its state).
type asking struct {
	Browser  []byte `json:"browser"` // key of the browser's secret
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
	With     string `json:"with,omitempty"`    // member that is asked, "" for the identity provider
	Connect  bool   `json:"connect,omitempty"` // to the person of the session, whose cookie Browser is
}

// cookie names the cookie of the browser that began it.
func (a *asking) cookie() string {
	if a.Connect {
		return session.CookieSession
	}
	return session.CookieSignIn
}

// callbackFor is where a member takes browsers back from an issuer: another member, or
// ("") the identity provider.
func callbackFor(origin, issuer string) string {
	if issuer != "" {
		issuer = "/" + issuer
	}
	return origin + pathUpstream + "/callback" + issuer
}

func (s *Server) newUpstream(u Upstream, member string) *upstream {
	up := &upstream{Upstream: u, callback: callbackFor(s.Issuer, member), client: upstreamClient, named: member != ""}
	if member != "" {
		up.client = memberHTTP(u.Issuer)
	}
	return up
}

// others are the members that were asked, while their pages stay where they are.
type others struct {
	mu sync.Mutex
	by map[string]*upstream
}

// upstream returns whom a form names: another member, or ("") the identity provider.
// nil: there is none.
func (s *Server) upstream(with string) *upstream {
	if with == "" {
		return s.idp
	}
	for _, m := range s.Members() {
		if m.ID != with {
			continue
		}
		s.others.mu.Lock()
		defer s.others.mu.Unlock()
		u := s.others.by[with]
		if u == nil || u.Issuer != m.Origin {
			u = s.newUpstream(Upstream{Issuer: m.Origin, ClientID: memberClient + s.Member, Name: m.Name.Ja, Lookup: lookupMember}, m.ID)
			if s.others.by == nil {
				s.others.by = map[string]*upstream{}
			}
			s.others.by[with] = u
		}
		return u
	}
	return nil
}

// upstreamOrigins are where forms of a page may lead that begin a sign-in elsewhere.
func (s *Server) upstreamOrigins(ctx context.Context) string {
	var list []string
	if s.idp != nil {
		list = append(list, s.idp.origin(ctx))
	}
	for _, m := range s.Members() {
		list = append(list, m.Origin)
	}
	return strings.Join(list, " ")
}

// config reads the provider's metadata and returns how to ask it.
func (u *upstream) config(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), u.client), u.Issuer)
		if err != nil {
			return nil, nil, err
		}
		var more struct {
			Named bool `json:"authorization_response_iss_parameter_supported"`
		}
		if err := p.Claims(&more); err != nil {
			return nil, nil, err
		}
		u.provider, u.named = p, u.named || more.Named
	}
	at := u.provider.Endpoint()
	if u.Secret == "" {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: u.ClientID, ClientSecret: u.Secret, Endpoint: at, RedirectURL: u.callback, Scopes: []string{oidc.ScopeOpenID}},
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
	a := asking{With: r.PostForm.Get("with"), Connect: r.PostForm.Get("connect") == "1", Nonce: newSecret(), Verifier: oauth2.GenerateVerifier()}
	secret := s.cookies.Read(r, a.cookie())
	up := s.upstream(a.With)
	if up == nil || !session.Posted(w, r, secret) {
		s.problem(w, r, http.StatusForbidden, "error.form")
		return
	}
	if a.Connect && !s.connectable(a.With) {
		s.problem(w, r, http.StatusForbidden, "error.connect")
		return
	}
	c, _, err := up.config(r.Context())
	if err != nil {
		s.Log.Warn("the identity provider is not reached", "err", err)
		s.problem(w, r, http.StatusServiceUnavailable, "error.upstream")
		return
	}
	a.Browser, a.Next = hashed("q", secret), next(r.PostForm.Get("next"))
	state := newSecret()
	b, err := s.storage.sealed(&a)
	if err == nil {
		err = s.Blobs.PutMany([]store.KV{{Key: hashed("q", state), Value: b, TTL: ceremonyLife}})
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	ask := append(s.anew(r, &a), oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))
	http.Redirect(w, r, c.AuthCodeURL(state, ask...), http.StatusSeeOther)
}

// anew is how newly somebody must show who they are elsewhere. To connect accounts: now,
// so that nobody else's session there is connected. On the way to an app: what it asks
// for. Where they are signed in here already, it is a newer proof that they are after.
func (s *Server) anew(r *http.Request, a *asking) (ask []oauth2.AuthCodeOption) {
	if a.Connect {
		return append(ask, oauth2.SetAuthURLParam("prompt", string(goidc.PromptTypeLogin)))
	}
	maxAge := func(n int) { ask = append(ask, oauth2.SetAuthURLParam("max_age", strconv.Itoa(n))) }
	if id, is := strings.CutPrefix(a.Next, pathAuthorize+"/"); is {
		as, err := s.storage.Session(r.Context(), id)
		if err != nil {
			return nil // that page says so
		}
		if wants(as, goidc.PromptTypeLogin) || wants(as, goidc.PromptTypeSelectAccount) {
			ask = append(ask, oauth2.SetAuthURLParam("prompt", string(goidc.PromptTypeLogin)))
		}
		if as.MaxAuthnAgeSecs != nil {
			maxAge(*as.MaxAuthnAgeSecs)
		}
	} else if _, err := s.Sessions.Lookup(s.cookies.Read(r, session.CookieSession)); err == nil {
		maxAge(seconds(session.Recent))
	}
	return ask
}

var errUpstream = errors.New("the identity provider's answer does not fit")

// upstreamEnd takes the browser back.
func (s *Server) upstreamEnd(w http.ResponseWriter, r *http.Request) {
	a, err := s.takeAsking(r)
	var up *upstream
	var by *told
	if err == nil {
		if up = s.upstream(a.With); up == nil {
			err = errUpstream
		} else {
			by, err = up.confirmed(r, a, s.Now())
		}
	}
	if err != nil {
		s.Log.Info("a sign-in at the identity provider failed", "err", errUpstream)
		s.problem(w, r, http.StatusForbidden, "error.upstream")
		return
	}
	if a.Connect {
		s.beginConnecting(w, r, a, by)
		return
	}
	ref, found, err := s.Desk.Find(r.Context(), up.Lookup, by.name)
	if err == nil && !found {
		s.problem(w, r, http.StatusForbidden, "error.stranger")
		return
	}
	if err == nil {
		err = s.beginBy(w, r, string(ref), session.Proof{Method: by.strength, At: by.at, By: up.Lookup + "/" + by.name})
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
	if state == "" || len(state) > maxSecret || repeated(q) {
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
	if err == nil && (a.With != r.PathValue("member") || subtle.ConstantTimeCompare(a.Browser, hashed("q", s.cookies.Read(r, a.cookie()))) != 1) {
		err = errUpstream
	}
	return a, err
}

// told is what a provider says of somebody.
type told struct {
	name     string         // as lookups have it
	strength session.Method // what it counts as here
	at       time.Time      // when they have shown there who they are
}

// confirmed redeems the provider's code and returns what its ID token says. A proof
// gets no younger on its way: it is from auth_time, which members must say.
func (u *upstream) confirmed(r *http.Request, a *asking, now time.Time) (*told, error) {
	c, v, err := u.config(r.Context())
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	if (u.named || q.Has("iss")) && q.Get("iss") != u.Issuer { // RFC 9207: a mix-up
		return nil, errUpstream
	}
	ctx := oidc.ClientContext(r.Context(), u.client)
	got, err := c.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return nil, err
	}
	raw, _ := got.Extra("id_token").(string)
	id, err := v.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 || id.Subject == "" {
		return nil, errUpstream
	}
	var more struct {
		AMR  []string `json:"amr"`
		Time float64  `json:"auth_time"`
	}
	if err := id.Claims(&more); err != nil {
		return nil, err
	}
	by := &told{name: id.Subject, strength: session.Upstream, at: now}
	if at := time.Unix(int64(more.Time), 0); more.Time > 0 && at.Before(now) {
		by.at = at
	}
	if a.With != "" {
		by.name, by.strength = a.With+"/"+id.Subject, strengthElsewhere(more.AMR)
		if more.Time <= 0 {
			return nil, errUpstream
		}
	}
	return by, nil
}
