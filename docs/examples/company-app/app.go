package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

//go:embed page.html
var pageText string
var page = template.Must(template.New("page").Parse(pageText))

type app struct {
	issuer, service string
	purposes        []string
	oauth           oauth2.Config
	provider        *oidc.Provider
	http            *http.Client
	ctx             context.Context // with http, for the libraries
	mu              sync.Mutex
	visits          map[string]*visit // by cookie
}

// visit is one browser's: first a way to consent, then what came of it.
type visit struct {
	mu                          sync.Mutex
	begun                       time.Time
	state, nonce, verifier, sub string
	http                        *http.Client // with the person's tokens
	To, Number                  string       // where the person goes on, and the number that the consent screen shows too
	Scopes                      []scope
	Note                        string // what happened last: page.html has the words
}

// scope is a purpose that was asked for, with its items while the app may hold them.
type scope struct {
	Purpose string
	On      bool
	Items   map[string]string
	Why     string `json:"code"` // of a refused read
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, *visit){
		"GET /{$}": a.show, "POST /login": a.login, "GET /callback": a.callback, "POST /read": a.again, "POST /forget": a.forget, "POST /events": a.event} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v := &visit{}
			a.mu.Lock()
			if c, err := r.Cookie("visit"); err == nil && a.visits[c.Value] != nil {
				v = a.visits[c.Value]
			}
			a.mu.Unlock()
			h(w, r, v)
		})
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// next gives the browser another visit, under another cookie.
func (a *app) next(w http.ResponseWriter, old, v *visit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.visits, func(_ string, o *visit) bool { return o == old || time.Since(o.begun) > 12*time.Hour })
	id := rand.Text()
	v.begun, a.visits[id] = time.Now(), v
	http.SetCookie(w, &http.Cookie{Name: "visit", Value: id, Path: "/", HttpOnly: true, Secure: strings.HasPrefix(a.oauth.RedirectURL, "https:"), SameSite: http.SameSiteLaxMode})
}

func (a *app) show(w http.ResponseWriter, r *http.Request, v *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	w.Header().Set("Cache-Control", "no-store")
	page.Execute(w, map[string]any{"V": v, "Issuer": a.issuer, "En": strings.HasPrefix(cmp.Or(r.FormValue("lang"), r.Header.Get("Accept-Language")), "en")})
}

// login pushes the request (RFC 9126), so that nothing of it stands in a URL.
func (a *app) login(w http.ResponseWriter, r *http.Request, old *visit) {
	v := &visit{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	challenge := oauth2.S256ChallengeFromVerifier(v.verifier)
	sum := sha256.Sum256([]byte(challenge))
	v.Number = fmt.Sprintf("%04d", binary.BigEndian.Uint64(sum[:])%10_000)
	asked, _ := json.Marshal([]any{map[string]any{"type": "akashi_consent", "service": a.service, "purposes": a.purposes, "required": a.purposes[:1]}})
	var err error
	if v.To, err = a.push(url.Values{"client_id": {a.oauth.ClientID}, "response_type": {"code"}, "redirect_uri": {a.oauth.RedirectURL}, "scope": {"openid"}, "state": {v.state},
		"nonce": {v.nonce}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "authorization_details": {string(asked)}}); err != nil {
		log.Print("company-app: the request was not taken: ", err)
		v = &visit{Note: "later"}
	}
	a.next(w, old, v)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// push returns where the person goes on.
func (a *app) push(form url.Values) (string, error) {
	resp, err := a.http.PostForm(a.issuer+"/oauth/par", form)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var got struct {
		URI   string `json:"request_uri"`
		Error string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.URI == "" {
		return "", fmt.Errorf("%s %s", resp.Status, got.Error)
	}
	return a.oauth.Endpoint.AuthURL + "?" + url.Values{"client_id": {a.oauth.ClientID}, "request_uri": {got.URI}}.Encode(), nil
}

// callback takes a person only in the browser in which they left, and only from the
// issuer that they were sent to (RFC 9207).
func (a *app) callback(w http.ResponseWriter, r *http.Request, old *visit) {
	v, q := &visit{Note: "refused"}, r.URL.Query()
	if old.state == "" || q.Get("state") != old.state || q.Get("iss") != a.issuer {
		http.Error(w, "はじめからやり直してください。 Please start again.", http.StatusBadRequest)
		return
	}
	if q.Get("error") == "" {
		if err := a.tokens(v, q.Get("code"), old); err != nil {
			log.Print("company-app: no tokens: ", err)
			v = &visit{Note: "later"}
		}
	}
	a.next(w, old, v) // before the read: an event that comes meanwhile finds the visit
	a.again(w, r, v)
}

func (a *app) tokens(v *visit, code string, old *visit) error {
	t, err := a.oauth.Exchange(a.ctx, code, oauth2.VerifierOption(old.verifier))
	if err != nil {
		return err
	}
	raw, _ := t.Extra("id_token").(string)
	id, err := a.provider.Verifier(&oidc.Config{ClientID: a.oauth.ClientID}).Verify(a.ctx, raw)
	if err != nil || id.Nonce != old.nonce {
		return errors.Join(errors.New("the ID token does not fit"), err)
	}
	v.Note, v.sub, v.http = "", id.Subject, a.oauth.Client(a.ctx, t) // refreshes by itself
	v.http.Timeout = a.http.Timeout
	b, _ := json.Marshal(t.Extra("authorization_details"))
	var granted []detail
	err = json.Unmarshal(b, &granted)
	for _, p := range a.purposes {
		v.Scopes = append(v.Scopes, scope{Purpose: p, On: true})
	}
	v.keep(granted)
	return err
}

type detail struct{ Purposes []string }

// keep forgets what is not granted any more.
func (v *visit) keep(granted []detail) {
	for i, s := range v.Scopes {
		if !slices.ContainsFunc(granted, func(d detail) bool { return slices.Contains(d.Purposes, s.Purpose) }) {
			v.Scopes[i] = scope{Purpose: s.Purpose, Why: s.Why}
		}
	}
}

// again reads what was granted. The person sees every read; what is refused is forgotten.
func (a *app) again(w http.ResponseWriter, r *http.Request, v *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, s := range v.Scopes {
		if !s.On {
			continue
		}
		got, err := v.read(a.issuer + "/oauth/data?purpose=" + url.QueryEscape(s.Purpose))
		switch {
		case err != nil: // the node cannot answer now
			log.Print("company-app: not read: ", err)
			v.Note = "later"
		case got.Why != "":
			v.Scopes[i], v.Note = scope{Purpose: s.Purpose, Why: got.Why}, "ended"
		default:
			v.Scopes[i].Items, v.Note = got.Items, ""
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (v *visit) read(from string) (got scope, err error) {
	resp, err := v.http.Get(from)
	if no := (*oauth2.RetrieveError)(nil); errors.As(err, &no) && no.ErrorCode == "invalid_grant" {
		return scope{Why: no.ErrorCode}, nil
	}
	if err != nil {
		return got, err
	}
	defer resp.Body.Close()
	if err = json.NewDecoder(resp.Body).Decode(&got); err == nil && resp.StatusCode != 200 && resp.StatusCode != 401 && resp.StatusCode != 403 {
		err = fmt.Errorf("%s %s", resp.Status, got.Why)
	}
	return got, err
}

// forget ends the grant and all that is held; the consents are the person's to end.
func (a *app) forget(w http.ResponseWriter, r *http.Request, v *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.http != nil {
		end, _ := http.NewRequest(http.MethodDelete, a.issuer+"/oauth/grant", nil)
		if resp, err := v.http.Do(end); err == nil { // else it ends unused
			resp.Body.Close()
		}
	}
	a.next(w, v, &visit{Note: "forgotten"})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// event hears that consents have ended (RFC 8935). Heard twice, it forgets twice.
func (a *app) event(w http.ResponseWriter, r *http.Request, _ *visit) {
	var e struct {
		Who    struct{ Sub string } `json:"sub_id"`
		Events map[string]struct {
			Details []detail `json:"authorization_details"`
		}
	}
	b, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	j, err := jose.ParseSigned(string(b), []jose.SignatureAlgorithm{jose.ES256})
	if err == nil && j.Signatures[0].Header.ExtraHeaders[jose.HeaderType] == "secevent+jwt" { // no other kind of token
		var t *oidc.IDToken
		if t, err = a.provider.Verifier(&oidc.Config{ClientID: a.oauth.ClientID, SkipExpiryCheck: true}).Verify(a.ctx, string(b)); err == nil {
			err = t.Claims(&e)
		}
	}
	changed, ok := e.Events["https://akashi-ledger.github.io/events/consent-changed"]
	if err != nil || !ok {
		http.Error(w, `{"err":"invalid_request"}`, http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	all := slices.Collect(maps.Values(a.visits))
	a.mu.Unlock()
	for _, v := range all {
		v.mu.Lock()
		if v.sub == e.Who.Sub {
			v.Note = "withdrawn"
			v.keep(changed.Details)
		}
		v.mu.Unlock()
	}
	w.WriteHeader(http.StatusAccepted)
}
