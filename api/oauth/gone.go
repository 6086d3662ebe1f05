package oauth

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// An erasure names no handle in the log, so following it is not enough: the desk
// says whom it was about. Order of effects, and what a crash after each leaves:
//
//  1. keys destroyed in the vault   no token opens anything; sweep goes on with 2
//  2. grants ended, clients told    sweep: sessions, paper and passkeys that are left
//  3. sessions ended                sweep: paper, passkeys
//  4. paper made worthless          sweep: passkeys
//  5. passkeys and handle deleted   nothing
//
// Sweep needs no plan of what is to be done: a person or a handle that the vault does
// not have any more is one whose erasure is final.

// How long after a sweep the next one begins: where something was left, and else.
const (
	sweepSoon  = time.Minute
	sweepEvery = time.Hour
)

// gone ends what is kept here for somebody whose data an erasure has destroyed: the
// grants under those handles, and with the person's last trace the rest. What fails is
// found by a later sweep.
func (s *Server) gone(g custody.Gone) {
	if err := s.end(context.Background(), g); err != nil {
		s.left.Store(true)
		s.Log.Error("authorization server: after an erasure something is left; it is tried again", "err", err)
	}
}

func (s *Server) end(ctx context.Context, g custody.Gone) error {
	var errs []error
	for _, k := range g.Handles {
		errs = append(errs, s.forget(ctx, under(k), ""))
	}
	if g.All {
		person := string(g.Person)
		_, err := s.Sessions.Revoke(person, "")
		errs = append(errs, s.forget(ctx, underNone, person), err, s.Sessions.EndPaper(person),
			s.forgetPasskeys(person))
	}
	return errors.Join(errs...)
}

// forget ends the grants under a prefix of the index, of one person or ("") of all,
// tells their clients, and drops them.
func (s *Server) forget(ctx context.Context, prefix, person string) error {
	grants, err := s.storage.grants(ctx, prefix)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if person != "" && g.Subject != person {
			continue
		}
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

// underNone is that of the grants that open nothing: those of other members' nodes.
const underNone = root + "h//"

// drop deletes a grant; its codes and tokens lead nowhere from then on.
func (s *storage) drop(g *goidc.Grant) error {
	key := hashed("g", g.ID)
	return s.blobs.Delete(key, s.underKey(g, key))
}

// sweep ends what is kept for people and handles that the vault does not have: an
// erasure was cut short before it came to this. What cannot be read stops nothing else.
func (s *Server) sweep(ctx context.Context) error {
	s.left.Store(false)
	var errs []error
	known := map[string]bool{}
	gone := map[string]bool{}
	note := func(person string) error {
		if _, seen := known[person]; !seen {
			is, err := s.Desk.Known(custody.Ref(person))
			if err != nil {
				errs = append(errs, err)
			}
			known[person], gone[person] = is, !is && err == nil
		}
		return ctx.Err()
	}
	errs = append(errs, s.Sessions.People(note))
	errs = append(errs, s.Blobs.Scan([]byte(root+"u/"), func(_, value []byte) error {
		var p passkeys
		if err := s.storage.opened(value, &p); err != nil {
			errs = append(errs, err)
			return ctx.Err()
		}
		return note(p.Person)
	}))
	errs = append(errs, s.Blobs.Scan([]byte(root+"v/"), func(_, value []byte) error {
		var h userHandle
		if err := s.storage.opened(value, &h); err != nil {
			errs = append(errs, err)
			return ctx.Err()
		}
		return note(h.Person)
	}))
	handles, err := s.sweptGrants(ctx, note)
	errs = append(errs, err, s.end(ctx, custody.Gone{Handles: handles}))
	for person, is := range gone {
		if is {
			errs = append(errs, s.end(ctx, custody.Gone{Person: custody.Ref(person), All: true}))
		}
	}
	return errors.Join(errs...)
}

// sweptGrants calls note with the person of every grant, and returns the handles of
// grants that the vault does not have.
func (s *Server) sweptGrants(ctx context.Context, note func(person string) error) ([]sign.PublicKey, error) {
	var at []string // by handle, ascending
	err := s.Blobs.Scan([]byte(root+"h/"), func(key, _ []byte) error {
		if h, _, ok := strings.Cut(string(key[len(root)+2:]), "/"); ok && (len(at) == 0 || at[len(at)-1] != h) {
			at = append(at, h)
		}
		return ctx.Err()
	})
	errs := []error{err}
	var gone []sign.PublicKey
	for _, h := range at {
		grants, err := s.storage.grants(ctx, root+"h/"+h+"/")
		errs = append(errs, err)
		b, err := hex.DecodeString(h)
		lost := false
		for _, g := range grants {
			if err := note(g.Subject); err != nil {
				return nil, err
			}
			if err != nil || len(b) != sign.PublicKeySize {
				continue // under no handle
			}
			there, err := s.Desk.KnownHandle(sign.PublicKey(b), custody.Ref(g.Subject))
			errs = append(errs, err)
			lost = lost || !there && err == nil
		}
		if lost {
			gone = append(gone, sign.PublicKey(b))
		}
	}
	return gone, errors.Join(errs...)
}
