package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
)

// Paths of the protocol's endpoints.
const (
	pathAuthorize  = "/oauth/authorize"
	pathPushed     = "/oauth/par"
	pathToken      = "/oauth/token"
	pathIntrospect = "/oauth/introspect"
	pathRevoke     = "/oauth/revoke"
	pathKeys       = "/oauth/jwks"
	pathUserInfo   = "/oauth/userinfo"
	pathData       = "/oauth/data"
	pathGrant      = "/oauth/grant"
	pathDiscovery  = "/.well-known/openid-configuration"
	pathMetadata   = "/.well-known/oauth-authorization-server" // RFC 8414
)

// algorithms of proofs and assertions that clients sign.
var algorithms = []goidc.SignatureAlgorithm{goidc.ES256, goidc.PS256, goidc.RS256, jose.EdDSA}

// newProvider configures go-oidc. Its profile is FAPI 2.0's, so that of a pushed
// request only what was pushed counts; every manager is given, since a missing one
// silently means memory.
func (s *Server) newProvider() (*provider.Provider, error) {
	st := s.storage
	return provider.New(s.Issuer, st, func(context.Context) (goidc.JSONWebKeySet, error) {
		return goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{s.signer}}, nil
	},
		provider.WithProfile(goidc.ProfileFAPI2),
		provider.WithAuthorizeEndpoint(pathAuthorize), provider.WithPAREndpoint(pathPushed), provider.WithTokenEndpoint(pathToken),
		provider.WithTokenIntrospectionEndpoint(pathIntrospect), provider.WithTokenRevocationEndpoint(pathRevoke),
		provider.WithJWKSEndpoint(pathKeys), provider.WithUserInfoEndpoint(pathUserInfo), provider.WithDCREndpoint("/oauth/register"),
		provider.WithAuthCodeGrant(st, goidc.ResponseTypeCode), provider.WithAuthCodeLifetime(seconds(codeLife)),
		provider.WithAuthCodeFunc(fresh), provider.WithPARIDFunc(fresh), provider.WithAuthnSessionIDFunc(fresh), provider.WithGrantIDFunc(fresh),
		provider.WithRefreshTokenFunc(fresh), provider.WithOpaqueTokenFunc(func(context.Context, *goidc.Grant) string { return newSecret() }),
		provider.WithRefreshTokenGrant(st), provider.WithRefreshTokenRotation(), provider.WithRefreshTokenLifetime(seconds(refreshLife)),
		provider.WithRefreshTokenShouldIssue(func(_ context.Context, c *goidc.Client, _ *goidc.Grant) bool { return !ofMember(c.ID) }),
		provider.WithOpaqueTokens(st),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewOpaqueTokenOptions(seconds(tokenLife))
		}),
		provider.WithPAR(st), provider.WithPARLifetime(seconds(pushedLife)), provider.WithPARSessionHandler(s.pushed),
		provider.WithAuthSessionLifetime(seconds(decideLife)),
		provider.WithPKCERequired(goidc.CodeChallengeMethodSHA256), provider.WithIssuerResponseParameter(),
		provider.WithRAR(DetailType), provider.WithRARDetailValidator(validateDetail), provider.WithRARDetailsComparator(compareDetails),
		provider.WithDPoP(algorithms[0], algorithms[1:]...),
		provider.WithSecretBasicAuthn(), provider.WithSecretPostAuthn(), provider.WithNoneAuthn(),
		provider.WithPrivateKeyJWTAuthn(algorithms[0], algorithms[1:]...),
		provider.WithClientSecretVerifier(verifySecret), provider.WithJTIConsumer(st.seeJTI),
		provider.WithJWTLifetime(seconds(proofLife)), provider.WithJWTLeewayTime(10),
		provider.WithTokenIntrospection(func(_ context.Context, c *goidc.Client, info goidc.TokenInfo) bool {
			return c.ID == info.ClientID || !info.IsActive
		}),
		provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		provider.WithTokenRevocationRevokeGrantOnAccessToken(),
		provider.WithDCR(st), // how it finds clients; its endpoints are not served
		provider.WithIDTokenSignatureAlgs(goidc.ES256), provider.WithScopes(goidc.ScopeOpenID),
		provider.WithSubIdentifierTypes(goidc.SubIdentifierPairwise), provider.WithPairwiseSubject(s.subject),
		provider.WithIDTokenClaims(func(_ context.Context, g *goidc.Grant) map[string]any {
			since, _ := g.Store[storeSince].(float64) // a number that was JSON
			return map[string]any{goidc.ClaimAuthTime: int64(since), goidc.ClaimAMR: g.Store[storeMethods]}
		}),
		provider.WithGrantHandler(s.onGrant), provider.WithTokenHandler(s.onToken),
		provider.WithPolicies(goidc.NewPolicy("consent", func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, s.decide)),
		provider.WithErrorRenderer(s.showError), provider.WithErrorHandler(s.noteError),
		provider.WithHTTPClientFunc(func(context.Context) *http.Client { return fetchesNothing }),
	)
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func fresh(context.Context) string { return newSecret() }

// fetchesNothing is for a provider that must not fetch what a request names.
var fetchesNothing = &http.Client{Transport: refuseAll{}}

type refuseAll struct{}

func (refuseAll) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("oauth: nothing is fetched")
}

// subjectOf is the name by which a recipient knows a person: another for each
// recipient, the same for all of its apps. It dies with the person: whoever is
// registered under the reference after an erasure has another.
func (s *Server) subjectOf(person, party string) (string, error) {
	name, err := s.Desk.Name(custody.Ref(person))
	if err != nil {
		return "", err
	}
	sum := hmacOf(s.Key, "subject", string(name[:]), party)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// subject is subjectOf for go-oidc, which knows no error here: of whoever went away
// since onToken it gets a name that is nobody's.
func (s *Server) subject(_ context.Context, person string, c *goidc.Client) string {
	k, err := s.storage.client(c.ID)
	if err != nil {
		return newSecret()
	}
	sub, err := s.subjectOf(person, k.Party)
	if err != nil {
		return newSecret()
	}
	return sub
}

// errStale says that nothing may be handed out now.
var errStale = goidc.NewError("temporarily_unavailable", "no final checkpoint is fresh enough: try again").WithStatusCode(http.StatusServiceUnavailable)

// errLeaving says that an erasure of the person's data is under way, perhaps for another service.
var errLeaving = goidc.NewError("temporarily_unavailable", "an erasure is under way: try again").WithStatusCode(http.StatusServiceUnavailable)

// onGrant is asked before a grant is made or refreshed.
func (s *Server) onGrant(ctx context.Context, typ goidc.GrantType, g *goidc.Grant) error {
	if typ != goidc.GrantRefreshToken {
		return nil
	}
	left, err := s.live(ctx, g)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return errors.Join(errDead, s.storage.revoke(ctx, g))
	}
	g.AuthDetails = left
	return nil
}

// onToken is asked before a token is issued.
func (s *Server) onToken(ctx context.Context, t *goidc.Token, g *goidc.Grant) error {
	if ofMember(g.ClientID) { // its token opens nothing
		_, err := s.Desk.Name(custody.Ref(g.Subject))
		switch codeOf(err) {
		case record.CodeErased, custody.CodePersonUnknown:
			return errDead
		case custody.CodePersonLeaving:
			return errLeaving
		}
		return err
	}
	left, err := s.live(ctx, g)
	if err != nil {
		return err
	}
	if t.AuthDetails = within(t.AuthDetails, left); len(t.AuthDetails) == 0 {
		return errDead
	}
	return nil
}

// noteError logs what is the node's own fault; requests that are wrong are not.
func (s *Server) noteError(_ context.Context, err error) {
	var known goidc.Error
	if !errors.As(err, &known) || known.StatusCode() == http.StatusInternalServerError {
		s.Log.Error("authorization server", "err", err.Error())
	}
}

// loadSigner reads the key that signs ID tokens and messages, or makes it.
func (s *Server) loadSigner() error {
	key := []byte(root + "i")
	var der []byte
	err := s.Blobs.Update(func(tx *store.BlobTx) error {
		b, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		if ok {
			der, err = session.Open(s.Key, b)
			return err
		}
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if der, err = x509.MarshalECPrivateKey(k); err != nil {
			return err
		}
		return tx.Put(key, session.Seal(s.Key, der))
	})
	if err != nil {
		return fmt.Errorf("oauth: signing key: %w", err)
	}
	k, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return errors.New("oauth: the signing key is damaged")
	}
	id := sha256.Sum256(elliptic.MarshalCompressed(elliptic.P256(), k.X, k.Y))
	s.signer = goidc.JSONWebKey{Key: k, KeyID: base64.RawURLEncoding.EncodeToString(id[:12]), Algorithm: string(goidc.ES256), Use: string(goidc.KeyUsageSignature)}
	return nil
}
