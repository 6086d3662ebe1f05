// Package session is who looks at a member's pages: sessions of people, the
// cookie and the form token that belong to them, and the one-time codes by which
// a person signs in.
//
// # What is stored
//
// Sessions are local to the member (store.Blobs) and never enter the ledger. A
// token is 32 random bytes and lives in the browser's cookie only. The node keeps
// under its SHA-256 hash what is sealed under a key that follows from the token
// itself, and, so that a person can list and end their sessions, an index under an
// authentication code of the person, sealed under a key of the vault:
//
//	S/s/HASH        session, sealed under its token
//	S/p/MAC/ID      index entry, sealed under the member's key
//	S/c/HASH        one-time code that was sent, sealed under the browser's secret
//	S/n/MAC         how many codes an address got, and how many of them nobody used
//	S/r/, S/q/      papers by which people come back, see paper.go
//
// So a copy of the storage holds neither tokens nor references of people.
//
// # Invariants
//
//   - Signing in always makes a new token: one that a browser brought is never
//     raised to a person (session fixation).
//   - A session that was ended is unknown with the next request.
//   - A one-time code counts once, in the browser that asked for it, for ten
//     minutes and five tries.
//   - A paper counts once, and ends all sessions that there were.
//
// # What it does not do
//
// It does not know how a person shows who they are: it is told, see Start.
package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
)

// A Method is how a person showed who they are.
type Method string

// The methods. A link, code or paper alone never suffices for erasure or export.
const (
	Link     Method = "link"    // one-time link that the member handed over
	Code     Method = "code"    // one-time code sent to a known address
	Paper    Method = "paper"   // printed QR code that the person kept
	Passkey  Method = "passkey" // with user verification
	Upstream Method = "oidc"    // identity provider of the member's choice
)

// Strong reports whether a method suffices for what cannot be undone.
func (m Method) Strong() bool { return m == Passkey || m == Upstream }

func (m Method) beyondCode() bool { return m == Link || m.Strong() }

func (m Method) valid() bool { return m == Link || m == Code || m == Paper || m.Strong() }

// A Session is one browser of one person.
type Session struct {
	ID      string    `json:"id"` // names it in a list; opens nothing
	Person  string    `json:"person"`
	Began   time.Time `json:"began"`
	Methods []Proof   `json:"methods"` // in the order in which they were shown
	Agent   string    `json:"agent,omitempty"`
	Seen    time.Time `json:"seen"` // within renewEvery
}

// A Proof is one time at which a person showed who they are.
type Proof struct {
	Method Method    `json:"method"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"` // the account elsewhere that gave it, as KIND/VALUE of its lookup
}

// Strong reports whether a strong method was shown within a time.
func (s *Session) Strong(now time.Time, within time.Duration) bool {
	return slices.ContainsFunc(s.Methods, func(p Proof) bool { return p.Method.Strong() && now.Sub(p.At) <= within })
}

// BeyondCode reports whether the session has more than what whoever reads a person's
// messages, or finds their paper, has too: what is added in one that has not stays
// weak for a while.
func (s *Session) BeyondCode() bool {
	return slices.ContainsFunc(s.Methods, func(p Proof) bool { return p.Method.beyondCode() })
}

// Recent is how long ago somebody may have shown who they are where something is to
// last, or cannot be undone.
const Recent = 10 * time.Minute

// Fresh reports whether more than a code or a paper was shown within Recent.
func (s *Session) Fresh(now time.Time) bool {
	return slices.ContainsFunc(s.Methods, func(p Proof) bool { return p.Method.beyondCode() && now.Sub(p.At) <= Recent })
}

// Last returns when the person last showed who they are. A proof that another member
// vouches for may be older than the one before it.
func (s *Session) Last() time.Time {
	if len(s.Methods) == 0 {
		return s.Began
	}
	return slices.MaxFunc(s.Methods, func(a, b Proof) int { return a.At.Compare(b.At) }).At
}

// Errors of this package. Everything else is the storage's.
var (
	ErrUnknown = errors.New("no such session")
	ErrCode    = errors.New("the code is wrong, used or too old")
	ErrTooMany = errors.New("too many codes for one address")
)

// Bounds.
const (
	MaxLife     = 12 * time.Hour  // of a session, whatever happens in it
	renewEvery  = 5 * time.Minute // how often use of a session is written down
	maxPerson   = 64              // bytes of a reference
	maxAgent    = 256             // bytes of a browser's description
	maxSessions = 50              // of one person: the oldest ends
	secretBytes = 32
)

// Blobs is the member's local storage (store.Blobs).
type Blobs interface {
	Get(key []byte) (value []byte, found bool, err error)
	PutMany(entries []store.KV) error
	Delete(keys ...[]byte) error
	Scan(prefix []byte, fn func(key, value []byte) error) error
	Update(fn func(tx *store.BlobTx) error) error
}

// Store keeps sessions. Its methods may be called from several goroutines.
type Store struct {
	blobs Blobs
	key   [32]byte
	idle  time.Duration
	now   func() time.Time
}

// New returns the sessions that are kept in b. key is the member's own, from its
// vault; idle is how long a session lives unused.
func New(b Blobs, key [32]byte, idle time.Duration, now func() time.Time) (*Store, error) {
	if b == nil || now == nil {
		return nil, errors.New("session: storage and clock are required")
	}
	if idle < time.Minute || idle > MaxLife {
		return nil, fmt.Errorf("session: unused for %v, want 1 minute to %v", idle, MaxLife)
	}
	return &Store{blobs: b, key: key, idle: idle, now: now}, nil
}

// By returns the accounts elsewhere by which the session's proofs came.
func (s *Session) By() (out []string) {
	for _, p := range s.Methods {
		if p.By != "" && !slices.Contains(out, p.By) {
			out = append(out, p.By)
		}
	}
	return out
}

// Start begins a session of a person who has shown who they are, and returns the
// token for the browser's cookie. agent describes the browser for the person's
// own list.
func (s *Store) Start(person string, m Method, agent string) (token string, _ *Session, err error) {
	return s.StartBy(person, Proof{Method: m, At: s.now()}, agent)
}

// StartBy is Start by a proof that was given elsewhere, when it says.
func (s *Store) StartBy(person string, p Proof, agent string) (token string, _ *Session, err error) {
	if person == "" || len(person) > maxPerson || !p.Method.valid() {
		return "", nil, fmt.Errorf("session: person of %d bytes, method %q", len(person), p.Method)
	}
	v := s.begun(person, p, agent)
	token = newSecret()
	if err := s.makeRoom(person); err != nil {
		return "", nil, err
	}
	return token, v, s.save(token, v)
}

func (s *Store) begun(person string, p Proof, agent string) *Session {
	now := s.now()
	return &Session{ID: hex.EncodeToString(random(8)), Person: person, Began: now, Seen: now, Agent: clip(agent), Methods: []Proof{p}}
}

// Add says that the person of a session has shown who they are once more. The
// session gets a new token; the old one ends. ErrUnknown says that it ended meanwhile.
func (s *Store) Add(token string, m Method) (string, *Session, error) {
	return s.AddBy(token, Proof{Method: m, At: s.now()})
}

// AddBy is Add by a proof that was given elsewhere, when it says.
func (s *Store) AddBy(token string, p Proof) (string, *Session, error) {
	v, err := s.read(token)
	if err != nil {
		return "", nil, err
	}
	if !p.Method.valid() {
		return "", nil, fmt.Errorf("session: method %q", p.Method)
	}
	next := newSecret()
	v.Methods, v.Seen = append(v.Methods, p), s.now()
	entries, err := s.entries(next, v)
	if err != nil {
		return "", nil, err
	}
	old := keyOf(prefixSession, token)
	err = s.blobs.Update(func(tx *store.BlobTx) error {
		if _, ok, err := tx.Get(old); err != nil || !ok {
			return orElse(err, ErrUnknown)
		}
		return errors.Join(put(tx, entries), tx.Delete(old))
	})
	return next, v, err
}

func put(tx *store.BlobTx, entries []store.KV) error {
	for _, e := range entries {
		if err := tx.PutTTL(e.Key, e.Value, e.TTL); err != nil {
			return err
		}
	}
	return nil
}

// Lookup returns the session of a token, or ErrUnknown.
func (s *Store) Lookup(token string) (*Session, error) {
	v, err := s.read(token)
	if err != nil {
		return nil, err
	}
	if s.now().Sub(v.Seen) < renewEvery {
		return v, nil
	}
	v.Seen = s.now()
	return v, s.renew(token, v)
}

func (s *Store) read(token string) (*Session, error) {
	if !wellFormed(token) {
		return nil, ErrUnknown
	}
	sealed, ok, err := s.blobs.Get(keyOf(prefixSession, token))
	if err != nil {
		return nil, fmt.Errorf("look a session up: %w", err)
	}
	if !ok {
		return nil, ErrUnknown
	}
	v := new(Session)
	if err := openJSON(keyFrom(token), sealed, v); err != nil {
		return nil, err
	}
	if now := s.now(); now.Sub(v.Began) >= MaxLife || now.Sub(v.Seen) >= s.idle+renewEvery {
		return nil, ErrUnknown
	}
	return v, nil
}

// indexed is an index entry: enough to list a session and to end it.
type indexed struct {
	Hash    []byte  `json:"hash"` // of its token
	Session Session `json:"session"`
}

func (s *Store) save(token string, v *Session) error {
	entries, err := s.entries(token, v)
	if err != nil {
		return err
	}
	if err := s.blobs.PutMany(entries); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	return nil
}

// renew writes that a session was used, unless it was ended meanwhile.
func (s *Store) renew(token string, v *Session) error {
	entries, err := s.entries(token, v)
	if err != nil {
		return err
	}
	return s.blobs.Update(func(tx *store.BlobTx) error {
		if _, ok, err := tx.Get(entries[0].Key); err != nil || !ok {
			return orElse(err, ErrUnknown)
		}
		return put(tx, entries)
	})
}

func (s *Store) entries(token string, v *Session) ([]store.KV, error) {
	left := MaxLife - s.now().Sub(v.Began)
	ttl := max(min(s.idle+renewEvery, left), time.Second)
	sealed, err := sealJSON(keyFrom(token), v)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(token))
	index, err := sealJSON(s.key, &indexed{hash[:], *v})
	if err != nil {
		return nil, err
	}
	return []store.KV{{Key: keyOf(prefixSession, token), Value: sealed, TTL: ttl},
		{Key: s.indexKey(v.Person, v.ID), Value: index, TTL: ttl}}, nil
}

// List returns a person's sessions, the newest first.
func (s *Store) List(person string) ([]Session, error) {
	var out []Session
	err := s.each(person, func(_ []byte, e *indexed) error {
		out = append(out, e.Session)
		return nil
	})
	slices.SortFunc(out, func(a, b Session) int { return b.Began.Compare(a.Began) })
	return out, err
}

func (s *Store) each(person string, fn func(key []byte, e *indexed) error) error {
	return s.blobs.Scan(s.indexKey(person, ""), func(key, value []byte) error {
		var e indexed
		if err := openJSON(s.key, value, &e); err != nil {
			return err
		}
		return fn(key, &e)
	})
}

// People calls fn with the person of every session and every paper, once each. What
// cannot be read is in the error, and stops nothing else.
func (s *Store) People(fn func(person string) error) error {
	var errs []error
	for _, prefix := range []string{prefixPerson, prefixPaperOf} {
		errs = append(errs, s.blobs.Scan([]byte(prefix), func(_, value []byte) error {
			var e struct { // of either kind of entry
				Person  string  `json:"person"`
				Session Session `json:"session"`
			}
			if err := openJSON(s.key, value, &e); err != nil {
				errs = append(errs, err)
				return nil
			}
			return fn(e.Person + e.Session.Person)
		}))
	}
	return errors.Join(errs...)
}

// End ends the session of a token; one that is not known is no error.
func (s *Store) End(token string) error {
	v, err := s.read(token)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.blobs.Delete(keyOf(prefixSession, token), s.indexKey(v.Person, v.ID))
}

// Revoke ends a person's session by its id, all of them where id is "". It
// returns how many ended.
func (s *Store) Revoke(person, id string) (int, error) {
	return s.revokeIf(person, func(v *Session) bool { return id == "" || v.ID == id })
}

// RevokeBy ends those of a person's sessions in which an account elsewhere said who
// they are (Proof.By). It returns how many ended.
func (s *Store) RevokeBy(person, by string) (int, error) {
	return s.revokeIf(person, func(v *Session) bool { return slices.Contains(v.By(), by) })
}

func (s *Store) revokeIf(person string, is func(*Session) bool) (n int, err error) {
	err = s.blobs.Update(func(tx *store.BlobTx) (err error) {
		n, err = s.revoke(tx, person, is)
		return err
	})
	return n, err
}

func (s *Store) revoke(tx *store.BlobTx, person string, is func(*Session) bool) (n int, err error) {
	var keys [][]byte
	err = tx.Scan(s.indexKey(person, ""), func(key, value []byte) error {
		var e indexed
		err := openJSON(s.key, value, &e)
		if err == nil && is(&e.Session) {
			keys = append(keys, slices.Clone(key), append([]byte(prefixSession), e.Hash...))
		}
		return err
	})
	for _, key := range keys {
		err = errors.Join(err, tx.Delete(key))
	}
	return len(keys) / 2, err
}

// makeRoom ends the oldest session of a person who has too many.
func (s *Store) makeRoom(person string) error {
	all, err := s.List(person)
	if err != nil || len(all) < maxSessions {
		return err
	}
	_, err = s.Revoke(person, all[len(all)-1].ID)
	return err
}

// Prefixes of keys in the member's storage.
const (
	prefixSession = "S/s/"
	prefixPerson  = "S/p/"
	prefixCode    = "S/c/"
	prefixCount   = "S/n/"
)

func (s *Store) indexKey(person, id string) []byte {
	return append([]byte(prefixPerson), hex.EncodeToString(s.mac("person", person))+"/"+id...)
}

// mac is an authentication code under the member's key: without the vault nobody
// can try names or numbers.
func (s *Store) mac(what string, parts ...string) []byte {
	m := hmac.New(sha256.New, s.key[:])
	for _, p := range append([]string{what}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		m.Write(n[:])
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

func newSecret() string { return base64.RawURLEncoding.EncodeToString(random(secretBytes)) }

// wellFormed bounds what is hashed.
func wellFormed(token string) bool { return len(token) == (secretBytes*8+5)/6 }

func keyOf(prefix, token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return append([]byte(prefix), sum[:]...)
}

func clip(agent string) string {
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	b, err := json.Marshal(agent) // makes it valid UTF-8
	if err != nil {
		return ""
	}
	var out string
	json.Unmarshal(b, &out)
	return out
}
