package rest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/akashi-ledger/akashi/api/token"
)

// roles is a set of roles; the empty set is everyone, without a token.
type roles uint8

const (
	admin roles = 1 << iota
	app
	manager
	auditor
	subject

	public roles = 0
	staff        = admin | app | manager
	known        = staff | auditor | subject
)

var roleBits = map[token.Role]roles{token.Admin: admin, token.App: app, token.Manager: manager, token.Auditor: auditor, token.Subject: subject}

func (s roles) has(r token.Role) bool { return s == public || s&roleBits[r] != 0 }

// names lists the set in the order of token.Roles.
func (s roles) names() []string {
	out := []string{}
	for _, r := range token.Roles {
		if s&roleBits[r] != 0 {
			out = append(out, string(r))
		}
	}
	return out
}

// authenticate returns who asks. Without a token it is nobody.
func (s *server) authenticate(r *http.Request) (token.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return token.Caller{}, fault(codeAuth)
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return token.Caller{}, fault(codeAuth)
	}
	caller, err := s.tokens.Lookup(text)
	if errors.Is(err, token.ErrUnknown) {
		return token.Caller{}, fault(codeToken)
	}
	return caller, err
}

// Caller returns whom a request's token stands for, for the other parts of the
// HTTP interface.
func Caller(tokens *token.Store, r *http.Request) (token.Caller, bool) {
	s := server{tokens: tokens}
	c, err := s.authenticate(r)
	return c, err == nil
}
