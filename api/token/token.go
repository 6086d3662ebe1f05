// Package token is who may call a member's node: tokens for programs and
// auditors, and one-time codes by which a person opens the pages.
//
// # What is stored
//
// A token is 32 random bytes, written in base64url behind the name of its role.
// The node keeps, under the SHA-256 of the token, its role in clear and whom it
// stands for sealed under a key that follows from the token itself
// (HKDF-SHA-256, XChaCha20-Poly1305). So a copy of the storage holds neither
// tokens nor references of people, and looking one up compares hashes of
// secrets only: its timing says nothing.
//
// Tokens are local to the member that issued them and never enter the ledger.
package token

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
	"golang.org/x/crypto/chacha20poly1305"
)

// A Role says what a token may do.
type Role string

// The roles.
const (
	Admin   Role = "admin"   // operates the node
	App     Role = "app"     // the member's own programs
	Manager Role = "manager" // the person in charge at a site
	Auditor Role = "auditor" // reads everything that is evidence
	Subject Role = "subject" // one person, about their own data
)

// Roles lists every role.
var Roles = []Role{Admin, App, Manager, Auditor, Subject}

func (r Role) valid() bool {
	for _, known := range Roles {
		if r == known {
			return true
		}
	}
	return false
}

// A Caller is whom a token stands for.
type Caller struct {
	Role   Role
	Name   string // of the token: separates the Idempotency-Keys of callers
	Person string // a subject's reference; "" for every other role
	Party  string // for which alone the token acts; "": for the member and all that it hosts
}

// Errors of looking up and issuing.
var (
	ErrUnknown = errors.New("the token is not known here")
	ErrForm    = errors.New("a token needs a role and a name of at most 64 bytes, and a person exactly where the role is subject; only app and manager can be bound to a party")
)

// Bounds.
const (
	secretBytes  = 32
	maxNameBytes = 64
	MaxLink      = 24 * time.Hour // longest life of a one-time code
)

// Blobs is the member's local storage (store.Blobs).
type Blobs interface {
	Get(key []byte) (value []byte, found bool, err error)
	PutTTL(key, value []byte, ttl time.Duration) error
	Delete(keys ...[]byte) error
	Update(fn func(tx *store.BlobTx) error) error
}

// Prefixes of keys in the member's storage.
const (
	prefixToken = "T/t/"
	prefixCode  = "T/c/"
)

// Store issues and looks up tokens.
type Store struct {
	blobs  Blobs
	recent recent
}

// New returns the tokens that are kept in b.
func New(b Blobs) *Store {
	if b == nil {
		panic("token: storage is required")
	}
	return &Store{blobs: b}
}

type stored struct {
	Role   Role   `json:"role"`
	Sealed []byte `json:"sealed"`
}

type sealed struct {
	Name   string `json:"name"`
	Person string `json:"person,omitempty"`
	Party  string `json:"party,omitempty"`
}

// Issue makes a token that does not expire. It is durable when Issue returns,
// and shown this once.
func (s *Store) Issue(role Role, name, person string) (string, error) {
	return s.issue(prefixToken, Caller{Role: role, Name: name, Person: person}, 0)
}

// IssueTo is Issue for a token that acts for one hosted party only.
func (s *Store) IssueTo(party string, role Role, name string) (string, error) {
	if party == "" || len(party) > maxNameBytes || role != App && role != Manager {
		return "", ErrForm
	}
	return s.issue(prefixToken, Caller{Role: role, Name: name, Party: party}, 0)
}

// Link makes a one-time code for a person: see Redeem.
func (s *Store) Link(person string, life time.Duration) (string, error) {
	if life <= 0 || life > MaxLink {
		return "", fmt.Errorf("life of %v, at most %v", life, MaxLink)
	}
	return s.issue(prefixCode, Caller{Role: Subject, Name: "link", Person: person}, life)
}

func (s *Store) issue(prefix string, c Caller, life time.Duration) (string, error) {
	if !c.Role.valid() || c.Name == "" || len(c.Name) > maxNameBytes || len(c.Person) > maxNameBytes || (c.Role == Subject) != (c.Person != "") {
		return "", ErrForm
	}
	var secret [secretBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		panic("token: no randomness: " + err.Error())
	}
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	if prefix == prefixToken {
		text = string(c.Role) + "_" + text
	}
	plain, err := json.Marshal(sealed{c.Name, c.Person, c.Party})
	if err != nil {
		return "", err
	}
	value, err := json.Marshal(stored{c.Role, seal(text, plain)})
	if err != nil {
		return "", err
	}
	if err := s.blobs.PutTTL(keyOf(prefix, text), value, life); err != nil {
		return "", fmt.Errorf("keep a token: %w", err)
	}
	return text, nil
}

// Lookup returns whom a token stands for, or ErrUnknown.
func (s *Store) Lookup(text string) (Caller, error) {
	if !wellFormed(text) {
		return Caller{}, ErrUnknown
	}
	now := time.Now()
	if c, ok := s.recent.get(text, now); ok {
		return c, nil
	}
	value, ok, err := s.blobs.Get(keyOf(prefixToken, text))
	if err != nil {
		return Caller{}, fmt.Errorf("look a token up: %w", err)
	}
	if !ok {
		return Caller{}, ErrUnknown
	}
	c, err := open(text, value)
	if err == nil {
		s.recent.put(text, c, now)
	}
	return c, err
}

// Revoke ends a token; one that is not known is no error.
func (s *Store) Revoke(text string) error {
	err := s.blobs.Delete(keyOf(prefixToken, text))
	s.recent.forget(text)
	return err
}

// Peek returns whom a one-time code is for and leaves it unused, or ErrUnknown.
func (s *Store) Peek(code string) (Caller, error) {
	if !wellFormed(code) {
		return Caller{}, ErrUnknown
	}
	value, ok, err := s.blobs.Get(keyOf(prefixCode, code))
	if err != nil {
		return Caller{}, fmt.Errorf("look a code up: %w", err)
	}
	if !ok {
		return Caller{}, ErrUnknown
	}
	return open(code, value)
}

// Redeem uses a one-time code: of any number of calls one gets the person, the
// others ErrUnknown.
func (s *Store) Redeem(code string) (Caller, error) {
	if !wellFormed(code) {
		return Caller{}, ErrUnknown
	}
	key := keyOf(prefixCode, code)
	var value []byte
	err := s.blobs.Update(func(tx *store.BlobTx) error {
		v, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		if !ok {
			return ErrUnknown
		}
		value = v
		return tx.Delete(key)
	})
	if errors.Is(err, ErrUnknown) {
		return Caller{}, ErrUnknown
	}
	if err != nil {
		return Caller{}, fmt.Errorf("redeem a code: %w", err)
	}
	return open(code, value)
}

// wellFormed bounds what is hashed: a role, an underscore and 43 characters, or
// the 43 characters of a code.
func wellFormed(text string) bool {
	const body = (secretBytes*8 + 5) / 6
	if len(text) < body || len(text) > body+16 {
		return false
	}
	return len(text) == body || text[len(text)-body-1] == '_'
}

func keyOf(prefix, text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return append([]byte(prefix), sum[:]...)
}

func aead(text string) cipherAEAD {
	key, err := hkdf.Key(sha256.New, []byte(text), nil, "akashi/token/v1", chacha20poly1305.KeySize)
	if err != nil {
		panic("token: " + err.Error()) // the size is fixed
	}
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("token: " + err.Error())
	}
	return a
}

type cipherAEAD interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// seal encrypts under a key that no second message uses, so the nonce is zero.
func seal(text string, plain []byte) []byte {
	return aead(text).Seal(nil, make([]byte, chacha20poly1305.NonceSizeX), plain, nil)
}

func open(text string, value []byte) (Caller, error) {
	var st stored
	if err := json.Unmarshal(value, &st); err != nil {
		return Caller{}, errors.New("a stored token is damaged")
	}
	plain, err := aead(text).Open(nil, make([]byte, chacha20poly1305.NonceSizeX), st.Sealed, nil)
	if err != nil {
		return Caller{}, errors.New("a stored token is damaged")
	}
	var who sealed
	if err := json.Unmarshal(plain, &who); err != nil || !st.Role.valid() {
		return Caller{}, errors.New("a stored token is damaged")
	}
	if prefix, _, ok := strings.Cut(text, "_"); len(text) > 43 && (!ok || prefix != string(st.Role)) {
		return Caller{}, ErrUnknown
	}
	return Caller{st.Role, who.Name, who.Person, who.Party}, nil
}
