package oauth

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// shownAccess is an app that a person signed in to with this member's pages, and that
// reads for one service until that ends: one line of the person's list.
type shownAccess struct {
	ID      string // names it in the form
	App     record.Text
	Service record.Text
	Since   time.Time

	grant *goidc.Grant
}

// shownAccesses are the accesses that still open something for their app.
func (s *Server) shownAccesses(ctx context.Context, person string) ([]shownAccess, error) {
	list, err := s.accesses(ctx, person)
	living := list[:0]
	for _, a := range list {
		lost, failed := s.lostAccount(ctx, a.grant)
		if err = errors.Join(err, failed); !lost {
			living = append(living, a)
		}
	}
	return living, err
}

// accesses lists what apps hold of a person's, by service, the newest first: also what
// opens nothing since its account was lost, which endBy has to find.
func (s *Server) accesses(ctx context.Context, person string) ([]shownAccess, error) {
	consents, err := s.Desk.Consents(ctx, custody.Ref(person))
	if oneOf(codeOf(err), record.CodeErased, custody.CodePersonUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	words := &names{st: s.State()}
	seen := map[sign.PublicKey]bool{}
	var out []shownAccess
	for _, c := range consents {
		if seen[c.Handle] {
			continue
		}
		seen[c.Handle] = true
		grants, err := s.storage.grants(ctx, under(c.Handle))
		if err != nil {
			return nil, err
		}
		for _, g := range grants {
			app, err := s.storage.client(g.ClientID)
			if errors.Is(err, goidc.ErrNotFound) || err == nil && (g.RevokedAt != 0 || g.Subject != person || s.ended(g)) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, shownAccess{ID: hex.EncodeToString(hashed("g", g.ID)), App: app.Name, Service: words.service(c.Service).Name, Since: time.Unix(int64(g.CreatedAt), 0), grant: g})
		}
	}
	slices.SortFunc(out, func(a, b shownAccess) int { return b.Since.Compare(a.Since) })
	return out, nil
}

// ended reports whether all tokens of a grant are too old.
func (s *Server) ended(g *goidc.Grant) bool {
	now := s.Now()
	return now.After(time.Unix(int64(g.RefreshTokenExpiresAt), 0)) && now.After(time.Unix(int64(g.CreatedAt), 0).Add(codeLife+tokenLife))
}

// endAccess ends one app's access: its tokens, not the person's consents.
func (s *Server) endAccess(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	id, err := hex.DecodeString(r.PostForm.Get("id"))
	var list []shownAccess
	if err == nil {
		list, err = s.accesses(r.Context(), who.Person)
	}
	for _, a := range list {
		if bytes.Equal(id, hashed("g", a.grant.ID)) {
			err = s.endGrant(r.Context(), a.grant)
		}
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}
