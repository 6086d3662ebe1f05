package token

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Bounds of what is remembered: a token that expires in storage is honoured this
// much longer at most (tokens must stop within five seconds).
const (
	recentFor = 2 * time.Second
	recentMax = 1024
)

// recent remembers whom tokens of software stand for, so that a busy app is not
// looked up at each request. A token that is revoked through this store is
// forgotten at once; subjects are never remembered.
type recent struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]remembered
}

type remembered struct {
	caller Caller
	until  time.Time
}

func (r *recent) get(text string, now time.Time) (Caller, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.seen[sha256.Sum256([]byte(text))]
	return m.caller, ok && now.Before(m.until)
}

func (r *recent) put(text string, c Caller, now time.Time) {
	if c.Role == Subject {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= recentMax {
		r.seen = map[[sha256.Size]byte]remembered{}
	}
	r.seen[sha256.Sum256([]byte(text))] = remembered{c, now.Add(recentFor)}
}

func (r *recent) forget(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, sha256.Sum256([]byte(text)))
}
