package oauth

import (
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// prompted reads what a request's prompt wants (OpenID Connect Core 1.0 §3.1.2.1): words
// with blanks between them, which go-oidc leaves in one text. "none" stands alone.
func prompted(as *goidc.AuthnSession) ([]string, error) {
	words := strings.Fields(string(as.Prompt))
	for _, p := range words {
		switch goidc.PromptType(p) {
		case goidc.PromptTypeLogin, goidc.PromptTypeConsent, goidc.PromptTypeSelectAccount:
		case goidc.PromptTypeNone:
			if len(words) > 1 {
				return nil, goidc.NewError(goidc.ErrorCodeInvalidRequest, "prompt: none stands alone")
			}
		default:
			return nil, goidc.NewError(goidc.ErrorCodeInvalidRequest, "prompt: a value is not known")
		}
	}
	return words, nil
}

// wants reports whether a request's prompt has a value.
func wants(as *goidc.AuthnSession, p goidc.PromptType) bool {
	words, err := prompted(as)
	return err == nil && slices.Contains(words, string(p))
}

// hinted refuses a request whose id_token_hint names another than the person who is
// signed in: an app never gets somebody else's tokens than it asked for (OpenID Connect
// Core 1.0 §3.1.2.2). go-oidc has checked that the hint is ours and this client's.
func (s *Server) hinted(as *goidc.AuthnSession, k *client, who *session.Session) error {
	if as.IDTokenHint == "" {
		return nil
	}
	sub, err := s.subjectOf(who.Person, k.Party)
	if codeOf(err) == custody.CodePersonLeaving {
		return errLeaving
	}
	if err != nil {
		return err
	}
	if as.IDTokenHintClaims[goidc.ClaimSubject] != sub {
		return goidc.NewError(goidc.ErrorCodeLoginRequired, "another person is signed in")
	}
	return nil
}
