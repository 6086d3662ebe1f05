package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
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

// Bounds of one-time codes.
const (
	codeDigits  = 6
	codeTries   = 5
	CodeLife    = 10 * time.Minute
	codesAnHour = 5 // to one address
)

// sent is a code that was sent. Person is "" where nobody has the address: then
// every code is wrong, and whoever asked cannot tell.
type sent struct {
	Person string `json:"person"`
	Mac    []byte `json:"mac"`
	Tries  int    `json:"tries"`
	Sent   int64  `json:"sent"` // Unix milliseconds
}

// NewCode makes a one-time code for the person with an address, "" where there is
// none. secret belongs into a cookie of the browser that asks; code goes to the
// address. It returns ErrTooMany for an address that got enough.
func (s *Store) NewCode(person, kind, address string) (secret, code string, err error) {
	if err := s.count(kind, address); err != nil {
		return "", "", err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("session: no randomness: " + err.Error())
	}
	secret, code = newSecret(), fmt.Sprintf("%0*d", codeDigits, n)
	sealed, err := sealJSON(keyFrom(secret), &sent{Person: person, Mac: s.mac("code", secret, code), Sent: s.now().UnixMilli()})
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
			return tx.Delete(key)
		}
		wrong = true
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

// count allows an address codesAnHour codes within an hour from the first.
func (s *Store) count(kind, address string) error {
	key := append([]byte(prefixCount), s.mac("address", kind, address)...)
	return s.blobs.Update(func(tx *store.BlobTx) error {
		b, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		var c struct {
			N     uint8
			Since int64
		}
		if ok && json.Unmarshal(b, &c) != nil {
			return errDamaged
		}
		if age := s.now().Sub(time.UnixMilli(c.Since)); !ok || age >= time.Hour {
			c.N, c.Since = 0, s.now().UnixMilli()
		}
		if c.N++; c.N > codesAnHour {
			return ErrTooMany
		}
		if b, err = json.Marshal(c); err != nil {
			return err
		}
		return tx.PutTTL(key, b, time.Hour)
	})
}

// MatchNumber is a number of four digits that follows from what two sides know:
// the page and the app show it, so that a person can see that both belong
// together.
func MatchNumber(secret []byte) string {
	return fmt.Sprintf("%04d", binary.BigEndian.Uint64(secret[:8])%10_000)
}
