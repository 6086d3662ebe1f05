package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
)

// A person who lost their telephone comes back by a paper: a secret of 32 bytes that
// is printed as a QR code, once. The node keeps, as with sessions, nothing by which
// the secret or the person could be found:
//
//	S/r/HASH  whose paper it is, sealed under the secret
//	S/q/MAC   by the person: who it is, and hash of the one paper that counts, sealed under the member's key
//
// A paper counts once. The one that was made last replaces the one before.

// PaperLife is how long a paper counts.
const PaperLife = 3 * 365 * 24 * time.Hour

// ErrPaper says that a paper is unknown, used, replaced or too old: which of these is
// not said.
var ErrPaper = errors.New("the paper is unknown, used, replaced or too old")

// ErrReplaced says that another paper counts than the one to be replaced.
var ErrReplaced = errors.New("another paper was made meanwhile")

// ErrWeak says that the session shows too little of who the person is.
var ErrWeak = errors.New("a stronger proof is needed")

const (
	prefixPaper   = "S/r/"
	prefixPaperOf = "S/q/"
)

type paper struct {
	Person string    `json:"person"`
	Made   time.Time `json:"made"`
}

type paperOf struct {
	Person string    `json:"person"`
	Hash   []byte    `json:"hash"`
	Made   time.Time `json:"made"`
}

func (s *Store) paperOfKey(person string) []byte {
	return append([]byte(prefixPaperOf), hex.EncodeToString(s.mac("paper", person))...)
}

// NewPaper makes the paper of the person of a session and returns its secret, which is
// kept nowhere. It returns ErrWeak for a session that shows no more than a code or a
// paper within Recent: whoever read one message, or found a browser open, would else
// have a way in for years. replaces is when the paper was made that this one replaces,
// zero for none: where it is another that counts, such as one of the same form sent
// twice, it returns ErrReplaced.
func (s *Store) NewPaper(v *Session, replaces time.Time) (secret string, err error) {
	if !v.Fresh(s.now()) {
		return "", ErrWeak
	}
	secret = newSecret()
	key := keyOf(prefixPaper, secret)
	sealed, err := sealJSON(keyFrom(secret), &paper{v.Person, s.now()})
	if err != nil {
		return "", err
	}
	index, err := sealJSON(s.key, &paperOf{v.Person, key, s.now()})
	if err != nil {
		return "", err
	}
	return secret, s.blobs.Update(func(tx *store.BlobTx) error {
		made, err := s.madeIn(tx.Get(s.paperOfKey(v.Person)))
		if err != nil {
			return err
		}
		if made.UnixMilli() != replaces.UnixMilli() {
			return ErrReplaced
		}
		if _, err := s.takePaper(tx, v.Person, nil); err != nil {
			return err
		}
		if err := tx.PutTTL(key, sealed, PaperLife); err != nil {
			return err
		}
		return tx.PutTTL(s.paperOfKey(v.Person), index, PaperLife)
	})
}

// takePaper deletes a person's paper, whichever it is or only the one under a key, and
// reports whether there was one.
func (s *Store) takePaper(tx *store.BlobTx, person string, only []byte) (bool, error) {
	b, ok, err := tx.Get(s.paperOfKey(person))
	if err != nil || !ok {
		return false, err
	}
	var of paperOf
	if err := openJSON(s.key, b, &of); err != nil {
		return false, err
	}
	if only != nil && string(only) != string(of.Hash) {
		return false, nil
	}
	return true, errors.Join(tx.Delete(of.Hash), tx.Delete(s.paperOfKey(person)))
}

// PaperMade returns when the paper was made that a person has, zero for none.
func (s *Store) PaperMade(person string) (time.Time, error) {
	return s.madeIn(s.blobs.Get(s.paperOfKey(person)))
}

func (s *Store) madeIn(b []byte, ok bool, err error) (time.Time, error) {
	if err != nil || !ok {
		return time.Time{}, err
	}
	var of paperOf
	if err := openJSON(s.key, b, &of); err != nil || s.now().Sub(of.Made) >= PaperLife {
		return time.Time{}, err
	}
	return of.Made, nil
}

// EndPaper makes a person's paper worthless.
func (s *Store) EndPaper(person string) error {
	return s.blobs.Update(func(tx *store.BlobTx) error {
		_, err := s.takePaper(tx, person, nil)
		return err
	})
}

// UsePaper uses a paper, in one write: the paper is gone, all sessions of its person
// have ended, and one of method Paper has begun. known says whether there is such a
// person still. It returns ErrPaper for a paper that does not count.
//
// A crash before the write leaves the paper, and one after it the session, whose token
// follows from the paper and the browser's own secret: the same browser that asks again
// gets it, and no other can.
func (s *Store) UsePaper(secret, browser, agent string, known func(person string) (bool, error)) (token string, _ *Session, err error) {
	if !wellFormed(secret) || browser == "" {
		return "", nil, ErrPaper
	}
	token = tokenOf(secret, browser)
	v, err := s.usePaper(secret, token, agent, known)
	if errors.Is(err, ErrPaper) { // used, perhaps by this browser, whose form was sent twice
		if v, err = s.read(token); errors.Is(err, ErrUnknown) {
			err = ErrPaper
		}
	}
	if err != nil {
		return "", nil, err
	}
	return token, v, nil
}

// usePaper is UsePaper for a paper that is there, and begins the session of a token.
func (s *Store) usePaper(secret, token, agent string, known func(person string) (bool, error)) (*Session, error) {
	p, err := s.paper(secret)
	if err != nil {
		return nil, err
	}
	if is, err := known(p.Person); err != nil || !is {
		return nil, orElse(err, ErrPaper)
	}
	v := s.begun(p.Person, Proof{Method: Paper, At: s.now()}, agent)
	entries, err := s.entries(token, v)
	if err != nil {
		return nil, err
	}
	return v, s.blobs.Update(func(tx *store.BlobTx) error {
		there, err := s.takePaper(tx, p.Person, keyOf(prefixPaper, secret))
		if err != nil || !there { // used or replaced meanwhile
			return orElse(err, ErrPaper)
		}
		if _, err := s.revoke(tx, p.Person, func(*Session) bool { return true }); err != nil {
			return err
		}
		return put(tx, entries)
	})
}

// paper reads the paper of a secret, or returns ErrPaper.
func (s *Store) paper(secret string) (*paper, error) {
	b, ok, err := s.blobs.Get(keyOf(prefixPaper, secret))
	if err != nil || !ok {
		return nil, orElse(err, ErrPaper)
	}
	p := new(paper)
	if err := openJSON(keyFrom(secret), b, p); err != nil {
		return nil, err
	}
	if s.now().Sub(p.Made) >= PaperLife {
		return nil, ErrPaper
	}
	return p, nil
}

// tokenOf is the token of the session that a paper begins in a browser.
func tokenOf(secret, browser string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("akashi/session/paper/v1\x00" + browser))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func orElse(err, other error) error {
	if err == nil {
		return other
	}
	return err
}
