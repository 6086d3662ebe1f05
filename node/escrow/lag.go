package escrow

import "time"

// LagBound is how long a key may be at no custodian before that is an alarm: who
// loses the disk in the meantime loses the key.
const LagBound = 5 * time.Minute

// Lag is what is lost with this machine's disk: the keys of which no custodian has a
// copy.
type Lag struct {
	Custodians int       // that hold copies
	Keys       int       // of which none of them has one
	Since      time.Time // when the first of these was made; zero where there is none
	Unknown    bool      // there may be more: no custodian's copies have been compared with the vault
}

// Age returns how long the first key has waited by now, 0 where none does.
func (l Lag) Age(now time.Time) time.Duration {
	if l.Since.IsZero() {
		return 0
	}
	return now.Sub(l.Since)
}

// Degraded reports whether a key waits for longer than LagBound. A member that
// named no custodian chose so, and is not.
func (l Lag) Degraded(now time.Time) bool { return l.Custodians > 0 && l.Age(now) > LagBound }

// Lag returns which keys are at no custodian.
func (s *Sender) Lag() (l Lag) {
	custody, err := s.custody()
	if err != nil || custody == nil {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var known []*queue
	var began time.Time // of the comparisons that are still to end
	for i := range custody.Custodians {
		c := &custody.Custodians[i]
		if !c.Holds() {
			continue
		}
		l.Custodians++
		q := s.queues[c.ID]
		if q != nil && q.known() {
			known = append(known, q)
		} else if q != nil {
			began = earlier(began, q.began)
		}
	}
	if l.Custodians > 0 && len(known) == 0 {
		l.Unknown, l.Since = true, began
		return l
	}
	if len(known) == 0 {
		return l
	}
	for id, w := range known[0].waiting {
		since, everywhere := w.since, true
		for _, q := range known[1:] {
			other, waits := q.waiting[id]
			since, everywhere = earlier(since, other.since), everywhere && waits
		}
		if everywhere {
			l.Keys, l.Since = l.Keys+1, earlier(l.Since, since)
		}
	}
	return l
}

// known reports whether what is not in the queue is at the custodian.
func (q *queue) known() bool { return !q.compare && !q.compared.IsZero() }

// earlier returns the earlier of two times, of which the zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
