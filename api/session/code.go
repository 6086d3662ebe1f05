package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
)

// A Message is a one-time code on its way to a person.
type Message struct {
	Kind     string `json:"kind"` // of the address, such as phone or email
	To       string `json:"to"`
	Code     string `json:"code"`
	Language string `json:"language"` // ja, en or ja-easy
	Member   string `json:"member"`
	Minutes  int    `json:"minutes"` // how long it counts
}

// A Sender brings a code to a person.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Bounds of one-time codes. Whoever asks for codes to somebody's address and guesses has
// 100 guesses, as many as NIST SP 800-63B-4 §3.2.2 allows in a row, and then codeTries a
// day, until a code was used or nobody has guessed for wrongFor. Codes that only lie
// unused hold nobody up for longer than an hour.
const (
	codeDigits  = 6
	codeTries   = 5
	CodeLife    = 10 * time.Minute
	codesAnHour = 5                  // to one address
	wrongFor    = 7 * 24 * time.Hour // how long wrong guesses count, from the last on
	// From so many wrong guesses at one address on it gets one code a day: the codes of
	// an hour that are under way then bring it to 100.
	wrongGuesses = 100 - codesAnHour*codeTries
)

// sent is a code that was sent. Person is "" where nobody has the address: then
// every code is wrong, and whoever asked cannot tell.
type sent struct {
	Person string `json:"person"`
	Mac    []byte `json:"mac"`
	Tries  int    `json:"tries"`
	Sent   int64  `json:"sent"` // Unix milliseconds
	Count  []byte `json:"count,omitempty"`
}

// NewCode makes a one-time code for the person with an address, "" where there is
// none. secret belongs into a cookie of the browser that asks; code goes to the
// address. It returns ErrTooMany for an address that got enough.
func (s *Store) NewCode(person, kind, address string) (secret, code string, err error) {
	count := append([]byte(prefixCount), s.mac("address", kind, address)...)
	if err := s.count(count); err != nil {
		return "", "", err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("session: no randomness: " + err.Error())
	}
	secret, code = newSecret(), fmt.Sprintf("%0*d", codeDigits, n)
	sealed, err := sealJSON(keyFrom(secret), &sent{Person: person, Mac: s.mac("code", secret, code), Sent: s.now().UnixMilli(), Count: count})
	if err != nil {
		return "", "", err
	}
	return secret, code, s.blobs.PutMany([]store.KV{{Key: keyOf(prefixCode, secret), Value: sealed, TTL: CodeLife}})
}

// Redeem uses a code in the browser that asked for it and returns the person. It
// returns ErrCode for one that is wrong, used up or too old.
func (s *Store) Redeem(secret, code string) (person string, err error) {
	if !wellFormed(secret) || len(code) != codeDigits {
		return "", ErrCode
	}
	key := keyOf(prefixCode, secret)
	wrong := false
	err = s.blobs.Update(func(tx *store.BlobTx) error {
		sealed, ok, err := tx.Get(key)
		if err != nil || !ok {
			wrong = true
			return err
		}
		var c sent
		if err := openJSON(keyFrom(secret), sealed, &c); err != nil {
			return err
		}
		age := s.now().Sub(time.UnixMilli(c.Sent))
		right := hmac.Equal(c.Mac, s.mac("code", secret, code)) && c.Person != ""
		if c.Tries++; right || c.Tries >= codeTries || age >= CodeLife {
			wrong, person = !right || age >= CodeLife, c.Person
			return errors.Join(s.guessed(tx, c.Count, !wrong), tx.Delete(key))
		}
		wrong = true
		if err := s.guessed(tx, c.Count, false); err != nil {
			return err
		}
		again, err := sealJSON(keyFrom(secret), &c)
		if err != nil {
			return err
		}
		return tx.PutTTL(key, again, CodeLife-age)
	})
	if err == nil && wrong {
		return "", ErrCode
	}
	return person, err
}

// counted is how many codes an address got.
type counted struct {
	N     uint8
	Since int64 // Unix milliseconds: of the first of the N
	Wrong int   `json:",omitempty"` // guesses since a code was used
	Last  int64 `json:",omitempty"` // Unix milliseconds: of the last of the wrong ones
}

// count allows an address codesAnHour codes within an hour from the first, and one a day
// after wrongGuesses.
func (s *Store) count(key []byte) error {
	return s.blobs.Update(func(tx *store.BlobTx) error {
		c, ok, err := countedIn(tx, key)
		if err != nil {
			return err
		}
		most, within := uint8(codesAnHour), time.Hour
		if c.Wrong >= wrongGuesses && s.now().Sub(time.UnixMilli(c.Last)) < wrongFor {
			most, within = 1, 24*time.Hour
		}
		if age := s.now().Sub(time.UnixMilli(c.Since)); !ok || age >= within {
			c.N, c.Since = 0, s.now().UnixMilli()
		}
		if c.N++; c.N > most {
			return ErrTooMany
		}
		return c.put(tx, key)
	})
}

// guessed notes that a code of an address was used, or that a guess was wrong.
func (s *Store) guessed(tx *store.BlobTx, key []byte, right bool) error {
	c, ok, err := countedIn(tx, key)
	if err != nil || !ok {
		return err
	}
	now := s.now()
	if right || now.Sub(time.UnixMilli(c.Last)) >= wrongFor {
		c.Wrong = 0
	}
	if !right {
		c.Wrong, c.Last = c.Wrong+1, now.UnixMilli()
	}
	return c.put(tx, key)
}

func countedIn(tx *store.BlobTx, key []byte) (c counted, ok bool, err error) {
	b, ok, err := tx.Get(key)
	if err == nil && ok && json.Unmarshal(b, &c) != nil {
		err = errDamaged
	}
	return c, ok, err
}

func (c *counted) put(tx *store.BlobTx, key []byte) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.PutTTL(key, b, wrongFor)
}

// MatchNumber is a number of four digits that follows from what two sides know:
// the page and the app show it, so that a person can see that both belong
// together.
func MatchNumber(secret []byte) string {
	return fmt.Sprintf("%04d", binary.BigEndian.Uint64(secret[:8])%10_000)
}
