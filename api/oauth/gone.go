package oauth

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// An erasure names no handle in the log, so following it is not enough: the desk
// says whom it was about. Order of effects, and what a crash after each leaves:
//
//  1. keys destroyed in the vault   no token opens anything; sweep goes on with 2
//  2. grants ended, clients told    sweep: sessions and passkeys that are left
//  3. sessions ended                sweep: passkeys
//  4. passkeys deleted              nothing

// gone ends what is kept here for somebody whose data an erasure has destroyed: the
// grants under those handles, and with the person's last trace the sessions and
// passkeys. What fails is found by the sweep of the next start.
func (s *Server) gone(g custody.Gone) {
	ctx := context.Background()
	var errs []error
	for _, k := range g.Handles {
		errs = append(errs, s.forget(ctx, k))
	}
	if g.All {
		_, err := s.Sessions.Revoke(string(g.Person), "")
		errs = append(errs, err, s.Blobs.Delete(passkeysKey(s.userHandle(string(g.Person)))))
	}
	if err := errors.Join(errs...); err != nil {
		s.Log.Error("authorization server: after an erasure something is left; the next start goes on", "err", err)
	}
}

// forget ends the grants under a handle, tells their clients, and drops them.
func (s *Server) forget(ctx context.Context, k sign.PublicKey) error {
	grants, err := s.storage.grants(ctx, under(k))
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.RevokedAt == 0 {
			if err := s.storage.revoke(ctx, g); err != nil && !errors.Is(err, errDead) {
				return err
			}
			if err := s.tell(g, nil); err != nil {
				return err
			}
		}
		if err := s.storage.drop(g); err != nil {
			return err
		}
	}
	return nil
}

// under is the prefix of the index of a handle's grants.
func under(k sign.PublicKey) string { return root + "h/" + hex.EncodeToString(k[:]) + "/" }

// drop deletes a grant; its codes and tokens lead nowhere from then on.
func (s *storage) drop(g *goidc.Grant) error {
	key := hashed("g", g.ID)
	return s.blobs.Delete(key, s.underKey(g, key))
}

// sweep ends what is kept for people whom the desk does not know: an erasure was cut
// short before it came to this.
func (s *Server) sweep(ctx context.Context) error {
	gone := map[string][]sign.PublicKey{} // by person, with the handles that are named here
	seen := map[string]bool{}
	note := func(person string, handles ...sign.PublicKey) error {
		known, ok := seen[person]
		if !ok {
			var err error
			if known, err = s.Desk.Known(custody.Ref(person)); err != nil {
				return err
			}
			seen[person] = known
		}
		if !known {
			gone[person] = append(gone[person], handles...)
		}
		return ctx.Err()
	}
	err := s.Sessions.People(func(person string) error { return note(person) })
	if err == nil {
		err = s.Blobs.Scan([]byte(root+"u/"), func(_, value []byte) error {
			var p passkeys
			if err := s.storage.opened(value, &p); err != nil {
				return err
			}
			return note(p.Person)
		})
	}
	if err == nil {
		err = s.eachHandle(ctx, func(g *goidc.Grant, k sign.PublicKey) error { return note(g.Subject, k) })
	}
	for person, handles := range gone {
		s.gone(custody.Gone{Person: custody.Ref(person), Handles: handles, All: true})
	}
	return err
}

// eachHandle calls fn with every grant and the handle that it is under.
func (s *Server) eachHandle(ctx context.Context, fn func(g *goidc.Grant, k sign.PublicKey) error) error {
	var handles []string
	err := s.Blobs.Scan([]byte(root+"h/"), func(key, _ []byte) error {
		if h, _, ok := strings.Cut(string(key[len(root)+2:]), "/"); ok && (len(handles) == 0 || handles[len(handles)-1] != h) {
			handles = append(handles, h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, h := range handles {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != len(sign.PublicKey{}) {
			continue // not of ours
		}
		k := sign.PublicKey(b)
		grants, err := s.storage.grants(ctx, under(k))
		if err != nil {
			return err
		}
		for _, g := range grants {
			if err := fn(g, k); err != nil {
				return err
			}
		}
	}
	return nil
}
