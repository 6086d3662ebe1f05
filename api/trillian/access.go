package trillian

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/api/token"
	"google.golang.org/grpc/metadata"
)

// Who may do what.
var (
	readers  = []token.Role{token.Admin, token.App, token.Auditor} // of leaves: those of entry bundles
	writers  = []token.Role{token.Admin, token.App}                // of leaves
	founders = []token.Role{token.Admin}                           // of trees
)

// Keys of a call's metadata.
const (
	mdToken = "authorization"   // Bearer TOKEN
	mdParty = "akashi-as"       // a party that this node hosts and for which it acts
	mdKey   = "idempotency-key" // of CreateTree
)

// single returns the one value of a key of the call's metadata; ok where there is
// none, too.
func single(ctx context.Context, key string) (value string, ok bool) {
	switch all := metadata.ValueFromIncomingContext(ctx, key); len(all) {
	case 0:
		return "", true
	case 1:
		return all[0], true
	}
	return "", false
}

// allow returns who calls, or why they may not do what the roles may do. A node
// that is open takes a call without a token for the admin's.
func (s *server) allow(ctx context.Context, roles []token.Role) (token.Caller, error) {
	given, ok := single(ctx, mdToken)
	if given == "" && ok {
		if s.open {
			return token.Caller{Role: token.Admin, Name: "open"}, nil
		}
		return token.Caller{}, fault(codeNoToken)
	}
	scheme, text, _ := strings.Cut(given, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return token.Caller{}, fault(codeToken)
	}
	c, err := s.tokens.Lookup(strings.TrimSpace(text))
	switch {
	case errors.Is(err, token.ErrUnknown):
		return token.Caller{}, fault(codeToken)
	case err == nil && (c.Party != "" || !slices.Contains(roles, c.Role)):
		return token.Caller{}, fault(codeRole)
	}
	return c, err
}

// as returns for whom the node acts: itself, or a party that it hosts.
func (s *server) as(ctx context.Context) (string, error) {
	switch party, ok := single(ctx, mdParty); {
	case !ok:
		return "", malformed("akashi-as stands twice.")
	case party != "":
		return party, nil
	}
	return s.self, nil
}
