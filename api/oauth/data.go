package oauth

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Data is the answer of the resource endpoint.
type Data struct {
	Subject   string            `json:"sub"`
	Service   string            `json:"service"`
	Purpose   string            `json:"purpose"`
	Items     map[string]string `json:"items"`     // item code → value: exactly those that were asked for and granted
	Provision string            `json:"provision"` // id of the hand-over's record, final
	Index     uint64            `json:"index"`     // of the record in the log
}

// errToken is what a token that opens nothing is answered with: why is not said to
// whoever holds it.
var errToken = errors.New("the token is not valid")

// data hands out the items of one purpose: GET /oauth/data?purpose=P[&items=a,b]. A
// read is a hand-over, with an intent that is final before anything leaves.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	bare(w)
	g, t, err := s.bearer(r)
	if err != nil {
		s.refuseToken(w, r, err)
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || repeated(q) || slices.ContainsFunc(keys(q), func(k string) bool { return k != "purpose" && k != "items" }) {
		rest.WriteProblem(w, r, http.StatusForbidden, record.Refuse(CodeRead, "purpose, and items where fewer"))
		return
	}
	now, err := s.Desk.ScopesNow(r.Context(), custody.Ref(g.Subject), text(g, storeService))
	if oneOf(codeOf(err), record.CodeErased, custody.CodePersonUnknown) { // the token ends with the person's data
		s.refuseToken(w, r, errToken)
		return
	}
	var d *detail
	if err == nil {
		d, err = wanted(t, text(g, storeService), q, now)
	}
	if err != nil {
		rest.WriteProblem(w, r, http.StatusForbidden, err)
		return
	}
	k, err := s.storage.client(g.ClientID)
	if err != nil {
		s.refuseToken(w, r, errToken)
		return
	}
	got, err := s.Desk.Read(r.Context(), custody.ProvideRequest{Person: custody.Ref(g.Subject), Service: d.Service, To: k.Party,
		Purpose: d.Purposes[0], Items: d.Items})
	if err != nil {
		rest.WriteProblem(w, r, http.StatusForbidden, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(Data{Subject: text(g, storeSubject), Service: d.Service, Purpose: d.Purposes[0],
		Items: got.Items, Provision: got.Provision.ID, Index: got.Provision.Index})
}

func keys(q url.Values) []string {
	out := make([]string, 0, len(q))
	for k := range q {
		out = append(out, k)
	}
	return out
}

// CodeRead says that a read is not well-formed.
const CodeRead record.Code = "read.malformed"

// wanted returns the service, purpose and items of a read: without items all that
// were granted for the purpose. What the token does not open leaves no item, which
// the desk refuses and records.
func wanted(t *goidc.Token, service string, q url.Values, now []custody.ScopeNow) (*detail, error) {
	purpose := q.Get("purpose")
	if !record.ValidID(purpose) {
		return nil, record.Refuse(CodeRead, "purpose")
	}
	d := &detail{Service: service, Purposes: []string{purpose}}
	i := slices.IndexFunc(now, func(sc custody.ScopeNow) bool { return sc.Purpose == purpose && sc.On })
	if i >= 0 {
		d.Items = now[i].Items
	}
	if q.Has("items") {
		d.Items = strings.Split(q.Get("items"), ",")
		if len(d.Items) > record.MaxItems || slices.ContainsFunc(d.Items, func(i string) bool { return !record.ValidID(i) }) {
			return nil, record.Refuse(CodeRead, "items")
		}
	}
	opens := func(a goidc.AuthDetail) bool {
		has, err := parseDetail(a, true)
		return err == nil && slices.Contains(has.Purposes, purpose) &&
			!slices.ContainsFunc(d.Items, func(i string) bool { return !slices.Contains(has.Items, i) })
	}
	if !slices.ContainsFunc(t.AuthDetails, opens) {
		d.Items = nil
	}
	return d, nil
}

// bearer returns the grant of the access token that a request brings, with the proof
// of possession that the token is bound to (RFC 6750, RFC 9449 §7).
func (s *Server) bearer(r *http.Request) (*goidc.Grant, *goidc.Token, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 || r.URL.Query().Has("access_token") {
		return nil, nil, errToken
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	if !ok {
		return nil, nil, errToken
	}
	t, err := s.storage.Token(r.Context(), text)
	if errors.Is(err, goidc.ErrNotFound) {
		err = errToken
	}
	if err != nil {
		return nil, nil, err
	}
	now := int(s.Now().Unix())
	if t.RevokedAt != 0 || now >= t.ExpiresAt {
		return nil, nil, errToken
	}
	switch {
	case t.JWKThumbprint == "" && strings.EqualFold(scheme, "Bearer"):
	case t.JWKThumbprint != "" && strings.EqualFold(scheme, "DPoP"):
		if err := s.checkProof(r, text, t.JWKThumbprint); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, errToken
	}
	g, err := s.storage.Grant(r.Context(), t.GrantID)
	if errors.Is(err, goidc.ErrNotFound) || err == nil && g.RevokedAt != 0 {
		err = errToken
	}
	if err != nil {
		return nil, nil, err
	}
	lost, err := s.lostAccount(r.Context(), g)
	if lost {
		err = errToken
	}
	return g, t, err
}

// errProof says that the proof of possession is missing or wrong.
var errProof = errors.New("the DPoP proof does not fit")

// checkProof holds a DPoP proof against the request, the token and its key
// (RFC 9449 §4.3).
func (s *Server) checkProof(r *http.Request, token, thumbprint string) error {
	values := r.Header.Values("Dpop")
	if len(values) != 1 || len(values[0]) > 8<<10 {
		return errProof
	}
	proof, err := jwt.ParseSigned(values[0], algorithms)
	if err != nil || len(proof.Headers) != 1 || proof.Headers[0].ExtraHeaders["typ"] != "dpop+jwt" {
		return errProof
	}
	key := proof.Headers[0].JSONWebKey
	if key == nil || !key.Valid() || !key.IsPublic() {
		return errProof
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil || subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum)), []byte(thumbprint)) != 1 {
		return errProof
	}
	var c struct {
		jwt.Claims
		Method string `json:"htm"`
		URI    string `json:"htu"`
		Hash   string `json:"ath"`
	}
	if proof.Claims(key.Key, &c) != nil || c.ID == "" || c.IssuedAt == nil {
		return errProof
	}
	ath := sha256.Sum256([]byte(token))
	age := s.Now().Sub(c.IssuedAt.Time())
	if c.Method != r.Method || c.URI != s.Issuer+r.URL.Path || c.Hash != base64.RawURLEncoding.EncodeToString(ath[:]) ||
		age > proofLife || age < -10*time.Second {
		return errProof
	}
	if s.storage.seeJTI(r.Context(), thumbprint+"/"+c.ID) != nil {
		return errProof
	}
	return nil
}

// refuseToken answers a request whose token opens nothing.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errProof):
		w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof", algs="ES256 PS256 RS256 EdDSA"`)
		rest.WriteProblem(w, r, http.StatusForbidden, record.Refuse(CodeProof, ""))
	case errors.Is(err, errToken):
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "DPoP") {
			scheme = "Bearer"
		}
		h := scheme
		if r.Header.Get("Authorization") != "" {
			h += ` error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", h)
		rest.WriteProblem(w, r, http.StatusForbidden, record.Refuse(CodeToken, ""))
	default:
		rest.WriteProblem(w, r, http.StatusForbidden, err)
	}
}

// Codes of tokens that open nothing.
const (
	CodeToken record.Code = "token.invalid"
	CodeProof record.Code = "proof.invalid"
)

// grant answers a client about the grant of an access token, or ends it with all its
// tokens. The person's consents are the person's to end.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) {
	bare(w)
	g, _, err := s.bearer(r)
	if err != nil {
		s.refuseToken(w, r, err)
		return
	}
	if r.Method == http.MethodDelete {
		if err := s.storage.revoke(r.Context(), g); err != nil {
			rest.WriteProblem(w, r, http.StatusForbidden, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	left, err := s.live(r.Context(), g)
	if errors.Is(err, errStale) {
		err = record.Refuse(custody.CodeNotFinal, "")
	}
	if err != nil {
		rest.WriteProblem(w, r, http.StatusForbidden, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"authorization_details": left, "scope": g.Scopes})
}
