package oauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// client is an app as it was registered (O/c/ID). It names no person.
type client struct {
	rest.ClientView
	SecretHash string          `json:"secretHash,omitempty"`
	Keys       json.RawMessage `json:"keys,omitempty"` // JWK set
	Hook       string          `json:"hook,omitempty"`
}

// protocol is the client as go-oidc knows it.
func (c *client) protocol() *goidc.Client {
	p := &goidc.Client{ID: c.ID, Secret: c.SecretHash, CreatedAt: int(c.CreatedMs / 1000), ClientMeta: goidc.ClientMeta{
		Name: c.Name.Ja, ApplicationType: goidc.ApplicationTypeWeb, RedirectURIs: c.RedirectURIs,
		GrantTypes: []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken}, ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
		ScopeIDs: goidc.ScopeOpenID.ID, TokenAuthnMethod: goidc.AuthnMethod(c.Authentication), DPoPTokenBindingIsRequired: c.DPoP,
		PARIsRequired: c.PAR, AuthDetailTypes: []goidc.AuthDetailType{DetailType},
	}}
	if ofMember(c.ID) { // it learns who somebody is, once
		p.GrantTypes, p.AuthDetailTypes = []goidc.GrantType{goidc.GrantAuthorizationCode}, nil
	}
	if len(c.Keys) > 0 {
		p.JWKS = new(goidc.JSONWebKeySet)
		if err := json.Unmarshal(c.Keys, p.JWKS); err != nil {
			p.JWKS = nil // it was read once when it was registered
		}
	}
	return p
}

func clientKey(id string) []byte { return []byte(root + "c/" + id) }

func (s *storage) client(id string) (*client, error) {
	if m, ok := strings.CutPrefix(id, memberClient); ok {
		return s.memberClient(m)
	}
	if id == "" || len(id) > record.MaxIDBytes {
		return nil, goidc.ErrNotFound
	}
	b, ok, err := s.blobs.Get(clientKey(id))
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	if !ok {
		return nil, goidc.ErrNotFound
	}
	c := new(client)
	if json.Unmarshal(b, c) != nil {
		return nil, errors.New("oauth: a stored client is damaged")
	}
	return c, nil
}

// verifySecret compares a client's secret with the hash that is kept. Secrets have
// 32 random bytes, so that a plain hash cannot be guessed.
func verifySecret(_ context.Context, stored, presented string) error {
	sum := sha256.Sum256([]byte(presented))
	if stored == "" || subtle.ConstantTimeCompare([]byte(stored), []byte(hex.EncodeToString(sum[:]))) != 1 {
		return errors.New("another secret")
	}
	return nil
}

// authentications are the ways in which a client shows who it is.
var authentications = []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}

const maxClients = 10_000

// Register implements rest.Clients.
func (s *Server) Register(_ context.Context, f rest.ClientForm) (*rest.ClientMade, error) {
	if err := s.checkClient(&f); err != nil {
		return nil, err
	}
	c := &client{ClientView: rest.ClientView{ID: newSecret()[:22], Party: f.Party, Service: f.Service, Name: f.Name, RedirectURIs: f.RedirectURIs,
		Authentication: f.Authentication, DPoP: f.DPoP || f.Authentication == "none", PAR: f.PAR, Webhook: f.Webhook != "",
		CreatedMs: uint64(s.Now().UnixMilli())}, Hook: f.Webhook}
	made := &rest.ClientMade{}
	if strings.HasPrefix(f.Authentication, "client_secret") {
		made.Secret = newSecret()
		sum := sha256.Sum256([]byte(made.Secret))
		c.SecretHash = hex.EncodeToString(sum[:])
	}
	if f.Authentication == "private_key_jwt" {
		c.Keys, _ = json.Marshal(f.JWKS)
	}
	made.ClientView = c.ClientView
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return made, s.Blobs.PutMany([]store.KV{{Key: clientKey(c.ID), Value: b}})
}

func (s *Server) checkClient(f *rest.ClientForm) error {
	bad := func(what string) error { return record.Refuse(CodeClient, "%s", what) }
	st := s.State()
	if st == nil {
		return record.Refuse(CodeNotFinal, "")
	}
	service, err := load[rules.Service](st, rules.KeyService(f.Service), f.Service)
	if err != nil {
		return err
	}
	if service == nil {
		return record.Refuse(record.CodeServiceUnknown, "")
	}
	party, err := load[rules.Party](st, rules.KeyParty(f.Party), f.Party)
	if err != nil {
		return err
	}
	switch {
	case party == nil || !party.Active():
		return record.Refuse(record.CodePartyUnknown, "")
	case party.ID == service.Owner:
		return bad("the recipient is the service's own provider: nothing is handed over")
	case f.Name.Ja == "" || len(f.Name.Ja) > record.MaxNameBytes || len(f.Name.En) > record.MaxNameBytes:
		return bad("name")
	case !slices.Contains(authentications, f.Authentication):
		return bad("authentication")
	case len(f.RedirectURIs) == 0 || len(f.RedirectURIs) > 16:
		return bad("redirect URIs: 1 to 16")
	case (f.Authentication == "private_key_jwt") != (f.JWKS != nil):
		return bad("keys belong to private_key_jwt")
	}
	for _, u := range f.RedirectURIs {
		if !validRedirect(u) {
			return bad("a redirect URI must be https, or http on this machine, absolute, without fragment, user or wildcard")
		}
	}
	if f.JWKS != nil && !validKeys(f.JWKS) {
		return bad("keys: a JWK set of public keys")
	}
	if f.Webhook != "" {
		if _, err := session.NewWebhook(f.Webhook, ""); err != nil {
			return bad("webhook")
		}
	}
	return s.roomForClient()
}

func (s *Server) roomForClient() error {
	n := 0
	if err := s.Blobs.Scan([]byte(root+"c/"), func(_, _ []byte) error { n++; return nil }); err != nil {
		return err
	}
	if n >= maxClients {
		return record.Refuse(CodeClient, "%d clients are registered", n)
	}
	return nil
}

// validRedirect reports whether a URI may be registered: its one spelling is then
// what requests are compared with.
func validRedirect(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.String() != text ||
		strings.ContainsAny(text, "*#\\ ") || len(text) > 1024 || strings.Contains(u.Path, "..") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && session.Loopback(u.Hostname())
}

func validKeys(v map[string]any) bool {
	b, err := json.Marshal(v)
	if err != nil || len(b) > 16<<10 {
		return false
	}
	var set goidc.JSONWebKeySet
	if json.NewDecoder(bytes.NewReader(b)).Decode(&set) != nil || len(set.Keys) == 0 || len(set.Keys) > 16 {
		return false
	}
	return !slices.ContainsFunc(set.Keys, func(k goidc.JSONWebKey) bool { return !k.IsPublic() || !k.Valid() })
}

// List implements rest.Clients.
func (s *Server) List(context.Context) ([]rest.ClientView, error) {
	out := []rest.ClientView{}
	err := s.Blobs.Scan([]byte(root+"c/"), func(_, value []byte) error {
		var c client
		if json.Unmarshal(value, &c) != nil {
			return errors.New("oauth: a stored client is damaged")
		}
		out = append(out, c.ClientView)
		return nil
	})
	return out, err
}

// Remove implements rest.Clients: what was granted to the client ends with it.
func (s *Server) Remove(_ context.Context, id string) error {
	if _, err := s.storage.client(id); err != nil {
		if errors.Is(err, goidc.ErrNotFound) {
			return record.Refuse(CodeClientUnknown, "")
		}
		return err
	}
	return s.Blobs.Delete(clientKey(id))
}

// load reads a value of the register whose id came from outside.
func load[T any](st *store.State, key, id string) (*T, error) {
	if !record.ValidID(id) {
		return nil, nil
	}
	return rules.Load[T](st, key)
}

// lifetimes of what is issued.
const (
	codeLife    = time.Minute
	tokenLife   = 10 * time.Minute
	refreshLife = 90 * 24 * time.Hour // from the last use
	pushedLife  = 5 * time.Minute
	decideLife  = time.Hour       // to sign in and to decide
	proofLife   = 2 * time.Minute // of a DPoP proof or client assertion
)
