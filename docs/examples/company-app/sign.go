package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// clientKey reads the app's key, and makes one where there is none.
func clientKey(file string) (k jose.JSONWebKey, err error) {
	b, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, errors.Join(err, json.Unmarshal(b, &k))
	}
	k = newKey()
	b, _ = json.Marshal(k)
	return k, os.WriteFile(file, b, 0o600)
}

func newKey() jose.JSONWebKey {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // cannot fail
	return jose.JSONWebKey{Key: k, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
}

// signer signs what the app sends: forms as its own (RFC 7523), and everything with a
// key of this process, to which tokens are bound: stolen, they open nothing (RFC 9449).
type signer struct {
	issuer, id string
	key, proof jose.Signer
}

func newSigner(issuer, id string, key jose.JSONWebKey) (*signer, error) {
	k, err1 := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	p, err2 := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: newKey().Key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	return &signer{issuer, id, k, p}, errors.Join(err1, err2)
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r, now := r.Clone(r.Context()), time.Now().Unix()
	proof := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": r.URL.Scheme + "://" + r.URL.Host + r.URL.Path, "iat": now}
	if access, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP "); ok {
		sum := sha256.Sum256([]byte(access))
		proof["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	p, err := jwt.Signed(s.proof).Claims(proof).Serialize()
	if err != nil {
		return nil, err
	}
	r.Header.Set("DPoP", p)
	if r.Method == http.MethodPost {
		who, err1 := jwt.Signed(s.key).Claims(map[string]any{"iss": s.id, "sub": s.id, "aud": s.issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}).Serialize()
		b, err2 := io.ReadAll(r.Body)
		if err := errors.Join(err1, err2, r.Body.Close()); err != nil {
			return nil, err
		}
		form := string(b) + "&" + url.Values{"client_assertion": {who}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}.Encode()
		r.Body, r.GetBody, r.ContentLength = io.NopCloser(strings.NewReader(form)), nil, int64(len(form))
	}
	return http.DefaultTransport.RoundTrip(r)
}
