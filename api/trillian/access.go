package trillian

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/api/token"
	"google.golang.org/grpc/metadata"
)

// reads are the roles that may read leaves: those of entry bundles.
var reads = []token.Role{token.Admin, token.App, token.Auditor}

// allow reports why a call may not do what the roles may do.
func (s *server) allow(ctx context.Context, roles []token.Role) error {
	md, _ := metadata.FromIncomingContext(ctx)
	given := md.Get("authorization")
	if len(given) == 0 {
		if s.open {
			return nil
		}
		return fault(codeNoToken)
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return fault(codeToken)
	}
	c, err := s.tokens.Lookup(strings.TrimSpace(text))
	switch {
	case errors.Is(err, token.ErrUnknown):
		return fault(codeToken)
	case err != nil:
		return err
	case !slices.Contains(roles, c.Role):
		return fault(codeRole)
	}
	return nil
}
