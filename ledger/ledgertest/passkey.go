package ledgertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/url"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// passkeyRSA is a key of nobody: drawing one takes too long for a test.
//
//go:embed passkey.rsa
var passkeyRSA string

// A Passkey is an authenticator in software. Its signatures are deterministic.
type Passkey struct {
	Algorithm string
	ID        []byte
	Site      string // origin of the page that asks
	Party     string // relying party; "": the site's host
	Flags     byte
	Counter   uint32
	Cross     bool // asked inside another site's page
	key       crypto.Signer
}

// NewPasskey returns an authenticator of a name at a site, such as
// "https://member.example".
func (c *Consortium) NewPasskey(name, algorithm, site string) *Passkey {
	seed := c.Bytes("passkey/" + name)
	p := &Passkey{Algorithm: algorithm, ID: seed[:16], Site: site, Flags: 0b101}
	switch algorithm {
	case sign.AlgorithmES256:
		d := new(big.Int).SetBytes(seed[:])
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.Rsh(d, 8).FillBytes(seed[:])) // below the order
		if err != nil {
			c.t.Fatal(err)
		}
		p.key = k
	case sign.AlgorithmEdDSA:
		p.key = ed25519.NewKeyFromSeed(seed[:])
	case sign.AlgorithmRS256:
		b, err := base64.StdEncoding.DecodeString(passkeyRSA)
		if err != nil {
			c.t.Fatal(err)
		}
		if p.key, err = x509.ParsePKCS1PrivateKey(b); err != nil {
			c.t.Fatal(err)
		}
	}
	return p
}

// Public returns the key that verifies, as an assertion has it.
func (p *Passkey) Public() []byte {
	switch k := p.key.Public().(type) {
	case *ecdsa.PublicKey:
		b, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		return b
	case *rsa.PublicKey:
		return k.N.Bytes()
	case ed25519.PublicKey:
		return k
	}
	panic("ledgertest: passkey")
}

// AuthenticatorData is what the authenticator says before a signature.
func (p *Passkey) AuthenticatorData() []byte {
	party := p.Party
	if u, err := url.Parse(p.Site); party == "" && err == nil {
		party = u.Hostname()
	}
	id := sha256.Sum256([]byte(party))
	return binary.BigEndian.AppendUint32(append(id[:], p.Flags), p.Counter)
}

// ClientData is what the browser says, as it writes it.
func (p *Passkey) ClientData(typ string, challenge []byte) []byte {
	return fmt.Appendf(nil, `{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":%v}`, typ, base64.RawURLEncoding.EncodeToString(challenge), p.Site, p.Cross)
}

// Answer signs a challenge and counts it.
func (p *Passkey) Answer(challenge [32]byte) *sign.Assertion {
	p.Counter++
	a := &sign.Assertion{Algorithm: p.Algorithm, Key: p.Public(), Credential: p.ID, Authenticator: p.AuthenticatorData(), ClientData: p.ClientData("webauthn.get", challenge[:])}
	data := sha256.Sum256(a.ClientData)
	signed := append(append([]byte(nil), a.Authenticator...), data[:]...)
	sum, opts := sha256.Sum256(signed), crypto.SignerOpts(crypto.SHA256)
	if p.Algorithm == sign.AlgorithmEdDSA {
		opts = crypto.Hash(0)
	} else {
		signed = sum[:]
	}
	var err error
	if a.Signature, err = p.key.Sign(nil, signed, opts); err != nil { // without chance: RFC 6979, PKCS #1 v1.5, Ed25519
		panic(err)
	}
	return a
}

// Drafts are consents to several scopes that are given at once, as the handle's key
// will sign them: for record.Confirm, and then GrantAll.
func (c *Consortium) Drafts(h sign.PublicKey, terms record.Digest, scopes ...uint8) []record.Draft {
	var count uint64
	var head record.Digest
	if s := c.State(h); s != nil {
		count, head = s.Consents, s.ConsentHead
	}
	drafts := make([]record.Draft, len(scopes))
	for i, scope := range scopes {
		drafts[i] = record.Draft{Nonce: c.draw(), Consent: record.Consent{Handle: h, Terms: terms, Scope: scope, Count: count + uint64(i), Head: head},
			Part: record.ConsentPart{Items: []string{"name", "user-id"}, Person: person, TimeMs: c.NowMs, Button: "同意する", Language: "ja", Keys: "own"}}
	}
	return drafts
}

// GrantAll signs drafts with the handle's key, each over what the one before leaves.
func (c *Consortium) GrantAll(issuer string, h sign.Key, drafts []record.Draft) []*record.Record {
	c.t.Helper()
	var out []*record.Record
	head := drafts[0].Consent.Head
	for i := range drafts {
		d := &drafts[i]
		d.Consent.Head = head
		open := record.Opening{Nonce: d.Nonce, Part: canon.Must(&d.Part)}
		commitment := record.Digest(seal.Commit(open.Nonce, open.Part))
		d.Consent.Sig = h.Sign(sign.DomainConsent, c.Origin, d.Consent.Statement(commitment))
		r := &record.Record{Kind: record.KindConsent, ID: c.ID(), Issuer: issuer, Body: &d.Consent, Commitment: &commitment}
		c.Openings[r.ID] = open
		head = rules.Chain(head, record.Digest(merkle.LeafHash(c.Leaf(r))))
		out = append(out, r)
	}
	return out
}
