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
//	O/v/MAC          user handle of a person's passkeys
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
	live    func(context.Context, *goidc.Grant) ([]goidc.AuthDetail, error)
	self    string
	members func() []Member
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
