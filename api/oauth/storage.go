package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Keys of what is stored. HASH is the SHA-256 of a secret or id that the outside
// holds, so that a copy of the storage opens nothing.
//
//	O/c/ID           client
//	O/a/HASH         authorization under way, by its id
//	O/P/HASH         pushed request → HASH of the authorization
//	O/g/HASH         grant
//	O/k/HASH         code → id of the grant
//	O/r/HASH         refresh token → id of the grant, and whether it was used
//	O/t/HASH         access token
//	O/j/HASH         JWT id that was seen
//	O/h/HANDLE/HASH  grants under a handle, for those that follow the log
//	O/w/ID           message to a client that is to be delivered
//	O/u/HANDLE       passkeys of a person
//	O/y/HASH         ceremony of a passkey under way
//	O/q/HASH         sign-in at the identity provider under way, by its state
//	O/x/HASH         bytes of a screen
//	O/i              signing key
//	O/f              up to where the log was followed
//
// Authorizations, grants, tokens and passkeys are sealed under the member's key: they name
// people.
const root = "O/"

func hashed(kind, secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return []byte(root + kind + "/" + hex.EncodeToString(sum[:]))
}

// newSecret draws 32 bytes.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// maxSecret bounds what is hashed of what callers bring.
const maxSecret = 256

// storage implements go-oidc's managers over the member's local storage.
type storage struct {
	blobs session.Blobs
	key   [32]byte
	now   func() time.Time
	// live says what a grant still opens: see Server.live.
	live func(context.Context, *goidc.Grant) ([]goidc.AuthDetail, error)
}

var (
	_ goidc.GrantManager        = (*storage)(nil)
	_ goidc.AuthManager         = (*storage)(nil)
	_ goidc.PARManager          = (*storage)(nil)
	_ goidc.DCRManager          = (*storage)(nil)
	_ goidc.RefreshTokenManager = (*storage)(nil)
	_ goidc.OpaqueTokenManager  = (*storage)(nil)
)

// endpoint says which endpoint a request is for, where storage must know.
type endpoint struct{}

type endpointName string

const (
	atToken         endpointName = "token"
	atIntrospection endpointName = "introspection"
)

func at(ctx context.Context) endpointName {
	name, _ := ctx.Value(endpoint{}).(endpointName)
	return name
}

func (s *storage) sealed(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return session.Seal(s.key, plain), nil
}

func (s *storage) opened(sealed []byte, v any) error {
	plain, err := session.Open(s.key, sealed)
	if err != nil {
		return err
	}
	if json.Unmarshal(plain, v) != nil {
		return errors.New("oauth: a stored value is damaged")
	}
	return nil
}

// load reads a sealed value, or returns goidc.ErrNotFound.
func (s *storage) load(key []byte, v any) error {
	b, ok, err := s.blobs.Get(key)
	if err != nil {
		return fmt.Errorf("oauth: %w", err)
	}
	if !ok {
		return goidc.ErrNotFound
	}
	return s.opened(b, v)
}

func (s *storage) until(unixSeconds int, least time.Duration) time.Duration {
	return max(time.Unix(int64(unixSeconds), 0).Sub(s.now()), least)
}

// errDone says that an authorization has come to its end already.
var errDone = goidc.NewError(goidc.ErrorCodeInvalidRequest, "this authorization request was answered already")

// SaveSession implements goidc.AuthManager. An authorization that came to its end
// never changes again: of two answers one counts.
func (s *storage) SaveSession(_ context.Context, as *goidc.AuthnSession) error {
	b, err := s.sealed(as)
	if err != nil {
		return err
	}
	key, ttl := hashed("a", as.ID), s.until(as.ExpiresAt, time.Minute)
	return s.blobs.Update(func(tx *store.BlobTx) error {
		old, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		if ok {
			var was goidc.AuthnSession
			if err := s.opened(old, &was); err != nil {
				return err
			}
			if was.Status != goidc.StatusPending {
				return errDone
			}
		} else if as.PushedAuthReqID != "" {
			if err := tx.PutTTL(hashed("P", as.PushedAuthReqID), session.Seal(s.key, []byte(as.ID)), ttl); err != nil {
				return err
			}
		}
		return tx.PutTTL(key, b, ttl)
	})
}

// Session implements goidc.AuthManager: one that came to its end is not found.
func (s *storage) Session(_ context.Context, id string) (*goidc.AuthnSession, error) {
	if len(id) > maxSecret {
		return nil, goidc.ErrNotFound
	}
	as := new(goidc.AuthnSession)
	if err := s.load(hashed("a", id), as); err != nil {
		return nil, err
	}
	if as.Status != goidc.StatusPending {
		return nil, goidc.ErrNotFound
	}
	return as, nil
}

// SessionByPushedAuthReqID implements goidc.PARManager.
func (s *storage) SessionByPushedAuthReqID(ctx context.Context, id string) (*goidc.AuthnSession, error) {
	of, err := s.pointer("P", id)
	if err != nil {
		return nil, err
	}
	return s.Session(ctx, of)
}

// pointer reads the id that a secret stands for.
func (s *storage) pointer(kind, secret string) (string, error) {
	if secret == "" || len(secret) > maxSecret {
		return "", goidc.ErrNotFound
	}
	b, ok, err := s.blobs.Get(hashed(kind, secret))
	if err != nil {
		return "", fmt.Errorf("oauth: %w", err)
	}
	if !ok {
		return "", goidc.ErrNotFound
	}
	id, err := session.Open(s.key, b)
	return string(id), err
}

// SaveToken implements goidc.OpaqueTokenManager. The token itself is not stored.
func (s *storage) SaveToken(_ context.Context, t *goidc.Token) error {
	kept := *t
	kept.ID = ""
	b, err := s.sealed(&kept)
	if err != nil {
		return err
	}
	return s.blobs.PutMany([]store.KV{{Key: hashed("t", t.ID), Value: b, TTL: s.until(t.ExpiresAt, time.Second)}})
}

// Token implements goidc.OpaqueTokenManager. Where it is introspected it is what
// its consents open now.
func (s *storage) Token(ctx context.Context, id string) (*goidc.Token, error) {
	if id == "" || len(id) > maxSecret {
		return nil, goidc.ErrNotFound
	}
	t := new(goidc.Token)
	if err := s.load(hashed("t", id), t); err != nil {
		return nil, err
	}
	t.ID = id
	if at(ctx) != atIntrospection || t.RevokedAt != 0 {
		return t, nil
	}
	g, err := s.Grant(ctx, t.GrantID)
	if err != nil {
		return nil, err
	}
	left, err := s.live(ctx, g)
	if err != nil {
		return nil, err
	}
	if t.AuthDetails = within(t.AuthDetails, left); len(t.AuthDetails) == 0 {
		t.RevokedAt = int(s.now().Unix())
	}
	return t, nil
}

// SaveClient implements goidc.DCRManager; clients are registered through the API.
func (s *storage) SaveClient(context.Context, *goidc.Client) error {
	return goidc.NewError(goidc.ErrorCodeAccessDenied, "clients are registered by members")
}

// DeleteClient implements goidc.DCRManager.
func (s *storage) DeleteClient(context.Context, string) error {
	return goidc.NewError(goidc.ErrorCodeAccessDenied, "clients are registered by members")
}

// Client implements goidc.DCRManager.
func (s *storage) Client(_ context.Context, id string) (*goidc.Client, error) {
	k, err := s.client(id)
	if err != nil {
		return nil, err
	}
	return k.protocol(), nil
}

// seeJTI remembers the id of a JWT, and returns an error where it was seen before.
func (s *storage) seeJTI(_ context.Context, id string) error {
	key := hashed("j", id)
	return s.blobs.Update(func(tx *store.BlobTx) error {
		if _, ok, err := tx.Get(key); err != nil || ok {
			if err == nil {
				err = goidc.NewError(goidc.ErrorCodeInvalidRequest, "this proof was used already")
			}
			return err
		}
		return tx.PutTTL(key, nil, 2*proofLife)
	})
}

// keptGrant is a grant as it is stored: without code and refresh token.
type keptGrant struct {
	Rev     uint64       `json:"rev"`
	Grant   *goidc.Grant `json:"grant"`
	Refresh string       `json:"refresh,omitempty"` // key of the present refresh token; "new": none yet, one is to be made
}

const (
	revision    = "rev" // in Grant.Store, only in memory: the revision that was read
	refreshLate = "new"
)

// errDead says that a grant has ended, or that somebody else used the same code or
// refresh token at the same time: then the grant ends.
var errDead = goidc.NewError(goidc.ErrorCodeInvalidGrant, "the grant has ended")

// SaveGrant implements goidc.GrantManager: it writes what was read and changed only
// if nobody else changed it meanwhile.
func (s *storage) SaveGrant(_ context.Context, g *goidc.Grant) error {
	key := hashed("g", g.ID)
	conflict := false
	var next uint64
	err := s.blobs.Update(func(tx *store.BlobTx) error {
		conflict = false
		was, err := s.grantIn(tx, key)
		if err != nil {
			return err
		}
		now := keptGrant{Rev: 1, Grant: strip(g)}
		if was == nil {
			if g.RefreshToken != "" {
				now.Refresh = refreshLate
			}
			if err := s.index(tx, g, key); err != nil {
				return err
			}
		} else {
			now.Rev, now.Refresh = was.Rev+1, was.Refresh
			switch rev, _ := g.Store[revision].(uint64); {
			case g.RevokedAt != 0:
			case was.Grant.RevokedAt != 0:
				return errDead
			case rev != was.Rev: // a second use: nothing of this grant holds any more
				conflict, now.Grant = true, was.Grant
				now.Grant.RevokedAt = int(s.now().Unix())
			}
			if !conflict && g.RevokedAt == 0 {
				if err := s.rotate(tx, g, &now); err != nil {
					return err
				}
			}
		}
		next = now.Rev
		b, err := s.sealed(&now)
		if err != nil {
			return err
		}
		return tx.PutTTL(key, b, s.grantLife(g))
	})
	if err == nil && conflict {
		err = errDead
	}
	if err == nil {
		setRevision(g, next)
	}
	return err
}

func (s *storage) grantLife(g *goidc.Grant) time.Duration {
	return s.until(g.RefreshTokenExpiresAt, codeLife+tokenLife) + 24*time.Hour
}

// index makes a new grant findable by its code and by its handle.
func (s *storage) index(tx *store.BlobTx, g *goidc.Grant, key []byte) error {
	if g.AuthCode != "" {
		if err := tx.PutTTL(hashed("k", g.AuthCode), session.Seal(s.key, []byte(g.ID)), codeLife+time.Hour); err != nil {
			return err
		}
	}
	under := []byte(root + "h/" + text(g, storeHandle) + string(key[len(root)+1:]))
	return tx.PutTTL(under, session.Seal(s.key, []byte(g.ID)), s.grantLife(g))
}

// rotate enters a new refresh token and marks the one before it as used.
func (s *storage) rotate(tx *store.BlobTx, g *goidc.Grant, now *keptGrant) error {
	if g.RefreshToken == "" {
		return nil
	}
	key := hashed("r", g.RefreshToken)
	if string(key) == now.Refresh {
		return nil
	}
	life := s.grantLife(g)
	if old := now.Refresh; old != "" && old != refreshLate {
		b, err := s.sealed(&keptRefresh{Grant: g.ID, Used: true})
		if err == nil {
			err = tx.PutTTL([]byte(old), b, life)
		}
		if err != nil {
			return err
		}
	}
	b, err := s.sealed(&keptRefresh{Grant: g.ID})
	if err != nil {
		return err
	}
	now.Refresh = string(key)
	return tx.PutTTL(key, b, life)
}

type keptRefresh struct {
	Grant string `json:"grant"`
	Used  bool   `json:"used,omitempty"`
}

func (s *storage) grantIn(tx *store.BlobTx, key []byte) (*keptGrant, error) {
	b, ok, err := tx.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	k := new(keptGrant)
	return k, s.opened(b, k)
}

// strip returns a grant without its secrets.
func strip(g *goidc.Grant) *goidc.Grant {
	kept := *g
	kept.AuthCode, kept.RefreshToken = "", ""
	kept.Store = maps.Clone(g.Store)
	delete(kept.Store, revision)
	return &kept
}

func setRevision(g *goidc.Grant, rev uint64) {
	if g.Store == nil {
		g.Store = map[string]any{}
	}
	g.Store[revision] = rev
}

// Grant implements goidc.GrantManager.
func (s *storage) Grant(_ context.Context, id string) (*goidc.Grant, error) {
	k, err := s.keptGrant(id)
	if err != nil {
		return nil, err
	}
	return k.Grant, nil
}

func (s *storage) keptGrant(id string) (*keptGrant, error) {
	if id == "" || len(id) > maxSecret {
		return nil, goidc.ErrNotFound
	}
	k := new(keptGrant)
	if err := s.load(hashed("g", id), k); err != nil {
		return nil, err
	}
	setRevision(k.Grant, k.Rev)
	return k, nil
}

// GrantByAuthCode implements goidc.AuthManager. The refresh token of a grant is
// made when its code is redeemed: before that nobody needs it.
func (s *storage) GrantByAuthCode(_ context.Context, code string) (*goidc.Grant, error) {
	id, err := s.pointer("k", code)
	if err != nil {
		return nil, err
	}
	k, err := s.keptGrant(id)
	if err != nil {
		return nil, err
	}
	if k.Grant.RevokedAt != 0 { // go-oidc has another error for these, which RFC 6749 does not know here
		return nil, goidc.ErrNotFound
	}
	if k.Refresh == refreshLate && k.Grant.AuthCodeConsumedAt == 0 {
		k.Grant.RefreshToken = newSecret()
	}
	return k.Grant, nil
}

// GrantByRefreshToken implements goidc.RefreshTokenManager. A refresh token that was
// used before ends its grant: whoever has it now, somebody has a copy (RFC 9700
// §4.14.2).
func (s *storage) GrantByRefreshToken(ctx context.Context, token string) (*goidc.Grant, error) {
	if token == "" || len(token) > maxSecret {
		return nil, goidc.ErrNotFound
	}
	var r keptRefresh
	if err := s.load(hashed("r", token), &r); err != nil {
		return nil, err
	}
	g, err := s.Grant(ctx, r.Grant)
	if err != nil {
		return nil, err
	}
	switch {
	case !r.Used:
	case at(ctx) == atToken:
		return nil, errors.Join(goidc.ErrNotFound, s.revoke(ctx, g))
	default:
		return nil, goidc.ErrNotFound
	}
	if at(ctx) == atIntrospection && g.RevokedAt == 0 {
		left, err := s.live(ctx, g)
		if err != nil {
			return nil, err
		}
		if g.AuthDetails = left; len(left) == 0 {
			g.RevokedAt = int(s.now().Unix())
		}
	}
	return g, nil
}

// revoke ends a grant with all its tokens.
func (s *storage) revoke(ctx context.Context, g *goidc.Grant) error {
	if g.RevokedAt != 0 {
		return nil
	}
	g.RevokedAt = int(s.now().Unix())
	return s.SaveGrant(ctx, g)
}

// grants returns the grants under a prefix of the indices.
func (s *storage) grants(ctx context.Context, prefix string) ([]*goidc.Grant, error) {
	var ids []string
	err := s.blobs.Scan([]byte(prefix), func(_, value []byte) error {
		id, err := session.Open(s.key, value)
		ids = append(ids, string(id))
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []*goidc.Grant
	for _, id := range ids {
		g, err := s.Grant(ctx, id)
		if errors.Is(err, goidc.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}
