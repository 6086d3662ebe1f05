package custody

import (
	"context"
	"errors"
	"sync"
	"time"
)

// silence is the members that did not answer when they were told of an erasure or offered
// a parcel. Erasures go on one after the other: without it, each would wait for the same
// silent member, and all that is to be destroyed, told and closed with them.
type silence struct {
	mu    sync.Mutex
	hosts map[string]silentHost
}

type silentHost struct {
	times int       // in a row
	until time.Time // it is left alone
}

const (
	tellWait  = 5 * time.Second // at first; twice as long after each silence, at most callWait
	tellPause = 5 * time.Second // at first; twice as long after each silence
	mostPause = time.Minute
	// silentAfter is from when on no answer is called silence: a request that has less
	// time for it does not judge.
	silentAfter = tellWait / 2
)

// errSilent says that a member was not asked, since it has just been silent.
var errSilent = errors.New("it did not answer a moment ago")

// patience returns how long an answer of a member is worth waiting for, false while it is
// left alone.
func (s *silence) patience(host string, now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[host]
	return doubled(tellWait, h.times, callWait), !now.Before(h.until)
}

// ended notes how a call of a member ended: it answered or failed, it was silent, or
// neither is known, since the caller had no more time or no more need.
func (s *silence) ended(ctx context.Context, host string, err error, waited time.Duration, now time.Time) {
	switch {
	case ctx.Err() == nil || codeOf(err) != "":
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.hosts, host)
	case waited >= silentAfter:
		s.note(host, now)
	}
}

// note notes that a member was silent.
func (s *silence) note(host string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[string]silentHost{}
	}
	h := s.hosts[host]
	if now.Before(h.until) { // several asked at once
		return
	}
	s.hosts[host] = silentHost{times: h.times + 1, until: now.Add(doubled(tellPause, h.times, mostPause))}
}

// doubled doubles a time, up to a bound.
func doubled(t time.Duration, times int, most time.Duration) time.Duration {
	for ; times > 0 && t < most; times-- {
		t *= 2
	}
	return min(t, most)
}
