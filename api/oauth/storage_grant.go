package oauth

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

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
	return tx.PutTTL(s.underKey(g, key), session.Seal(s.key, []byte(g.ID)), s.grantLife(g))
}

// underKey is where a grant is found by its handle.
func (s *storage) underKey(g *goidc.Grant, key []byte) []byte {
	return []byte(root + "h/" + text(g, storeHandle) + string(key[len(root)+1:]))
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
