package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// A person who has a passkey here confirms a consent with it: the challenge is the
// hash of what the handle's key will sign for exactly this choice (record.Challenge),
// and the passkey's answer goes into the sealed part of each consent. The button
// works without it, too: whoever cancels, or has no JavaScript, agrees as before.

// confirming is what is kept while a passkey is asked, sealed, as a ceremony.
type confirming struct {
	Ceremony  webauthn.SessionData `json:"ceremony"`
	Challenge []byte               `json:"challenge"`
	Drawn     *custody.Drawn       `json:"drawn"`
}

// confirmSecret binds a confirmation to a session and an authorization.
func confirmSecret(token, authorization string) string { return token + "/" + authorization }

// usable are the passkeys whose answers a receipt can show, and that are strong: one
// that was added with a code a moment ago shows no more than the code.
func (p *passkeys) usable(now time.Time) (out []webauthn.Credential) {
	for _, k := range p.Keys {
		if _, err := assertionBy(&k.Credential); err == nil && !now.Before(k.Strong) {
			out = append(out, k.Credential)
		}
	}
	return out
}

// canConfirm reports whether a person may be asked for a passkey.
func (s *Server) canConfirm(person string) (bool, error) {
	if s.party == nil {
		return false, nil
	}
	p, err := s.passkeysFor(person)
	if errors.Is(err, goidc.ErrNotFound) {
		return false, nil
	}
	return err == nil && len(p.usable(s.Now())) > 0, err
}

// beginConfirming answers the page's module with what the passkey is to sign.
func (s *Server) beginConfirming(w http.ResponseWriter, r *http.Request, secret string, choice *custody.ConsentRequest) error {
	if s.party == nil {
		return goidc.ErrNotFound
	}
	p, err := s.passkeysFor(string(choice.Person))
	if err != nil {
		return err
	}
	var allowed []protocol.CredentialDescriptor
	for _, k := range p.usable(s.Now()) {
		allowed = append(allowed, k.Descriptor())
	}
	if len(allowed) == 0 {
		return goidc.ErrNotFound
	}
	challenge, drawn, err := s.Desk.Challenge(r.Context(), *choice)
	if err != nil {
		return err
	}
	options, ceremony, err := s.party.BeginLogin(p, webauthn.WithUserVerification(protocol.VerificationRequired), webauthn.WithAllowedCredentials(allowed),
		func(o *protocol.PublicKeyCredentialRequestOptions) error {
			o.Challenge = challenge[:]
			return nil
		})
	if err != nil {
		return err
	}
	if err := s.saveCeremony(secret, &confirming{*ceremony, challenge[:], drawn}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(options)
}

// endConfirming checks a passkey's answer and returns what goes into the consents. A
// refusal has one of the codes passkey.malformed, .challenge, .origin, .signature,
// .person and .counter.
func (s *Server) endConfirming(secret, person string, said []byte) (*custody.Confirmation, error) {
	if s.party == nil {
		return nil, record.Refuse(record.CodePasskeyPerson, "there are no passkeys here")
	}
	begun := new(confirming)
	if err := s.takeCeremony(secret, begun); errors.Is(err, errCeremony) {
		return nil, record.Refuse(record.CodePasskeyChallenge, "nothing was begun, or it was answered before")
	} else if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(said)
	if err != nil {
		return nil, record.Refuse(record.CodePasskeyForm, "")
	}
	p, err := s.passkeysFor(person)
	if err != nil && !errors.Is(err, goidc.ErrNotFound) {
		return nil, err
	}
	i := slices.IndexFunc(p.Keys, func(k passkey) bool { return bytes.Equal(k.ID, parsed.RawID) })
	if i < 0 || len(parsed.Response.UserHandle) > 0 && !bytes.Equal(parsed.Response.UserHandle, p.handle) {
		return nil, record.Refuse(record.CodePasskeyPerson, "")
	}
	if s.Now().Before(p.Keys[i].Strong) {
		return nil, record.Refuse(record.CodePasskeyPerson, "it is too new")
	}
	a, err := assertionBy(&p.Keys[i].Credential)
	if err != nil {
		return nil, err
	}
	a.Authenticator, a.ClientData, a.Signature = parsed.Raw.AssertionResponse.AuthenticatorData, parsed.Raw.AssertionResponse.ClientDataJSON, parsed.Response.Signature
	if err := record.CheckAssertion(a, [32]byte(begun.Challenge), s.Issuer); err != nil {
		return nil, err
	}
	key, err := s.party.ValidateLogin(p, begun.Ceremony, parsed)
	if err != nil {
		return nil, record.Refuse(record.CodePasskeyForm, "")
	}
	if _, err := s.counted(p.Person, key); err != nil {
		return nil, err
	}
	return &custody.Confirmation{Drawn: *begun.Drawn, Assertion: *a}, nil
}

// counted writes down a passkey's counter, and returns from when on it is strong. One
// that did not grow since is a copy's.
func (s *Server) counted(person string, key *webauthn.Credential) (strong time.Time, err error) {
	err = s.changePasskeys(person, func(now *passkeys) error {
		i := slices.IndexFunc(now.Keys, func(k passkey) bool { return bytes.Equal(k.ID, key.ID) })
		if i < 0 {
			return record.Refuse(record.CodePasskeyPerson, "it was taken away meanwhile")
		}
		have := now.Keys[i].Authenticator.SignCount
		if key.Authenticator.CloneWarning || have > 0 && key.Authenticator.SignCount <= have {
			return record.Refuse(record.CodePasskeyCounter, "")
		}
		now.Keys[i].Credential, strong = *key, now.Keys[i].Strong
		return nil
	})
	return strong, err
}

// assertionBy begins an assertion by a credential: id, algorithm and key.
func assertionBy(k *webauthn.Credential) (*sign.Assertion, error) {
	pub, err := webauthncose.ParsePublicKey(k.PublicKey)
	if err != nil {
		return nil, err
	}
	a := &sign.Assertion{Credential: k.ID}
	switch v := pub.(type) {
	case webauthncose.EC2PublicKeyData:
		if v.Algorithm == int64(webauthncose.AlgES256) {
			a.Algorithm, a.Key = sign.AlgorithmES256, slices.Concat([]byte{4}, v.XCoord, v.YCoord)
		}
	case webauthncose.OKPPublicKeyData:
		if v.Algorithm == int64(webauthncose.AlgEdDSA) {
			a.Algorithm, a.Key = sign.AlgorithmEdDSA, v.XCoord
		}
	case webauthncose.RSAPublicKeyData:
		if v.Algorithm == int64(webauthncose.AlgRS256) && new(big.Int).SetBytes(v.Exponent).Int64() == 65537 {
			a.Algorithm, a.Key = sign.AlgorithmRS256, new(big.Int).SetBytes(v.Modulus).Bytes()
		}
	}
	if a.Algorithm == "" {
		return nil, protocol.ErrUnsupportedAlgorithm
	}
	return a, nil
}

// prepared answers act=prepare: 204 where the passkey cannot help, so that the
// page sends its form and shows what is wrong with it.
func (s *Server) prepared(w http.ResponseWriter, r *http.Request, secret string, choice *custody.ConsentRequest, problem string) (goidc.Status, error) {
	if problem == "" {
		err := s.beginConfirming(w, r, secret, choice)
		if err == nil {
			return goidc.StatusPending, nil
		}
		if codeOf(err) == "" && !errors.Is(err, goidc.ErrNotFound) {
			s.Log.Error("a passkey's challenge", "err", err)
			w.WriteHeader(http.StatusInternalServerError) // the person chooses: again, or without
			return goidc.StatusPending, nil
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return goidc.StatusPending, nil
}

// passkeyCode is the code of a refused answer, "" where err is something else.
func passkeyCode(err error) record.Code {
	code := codeOf(err)
	if oneOf(code, record.CodePasskeyForm, record.CodePasskeyChallenge, record.CodePasskeyOrigin, record.CodePasskeySignature, record.CodePasskeyPerson, record.CodePasskeyCounter) {
		return code
	}
	return ""
}
