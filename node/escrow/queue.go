package escrow

import "time"

// queue is what one custodian does not have yet.
type queue struct {
	sinceMs    uint64 // of the custodian's naming
	generation uint64 // that it last said or attested
	waiting    map[string]waiting
	changes    uint64    // that it has heard of
	most       int       // of waiting
	compared   time.Time // when its copies were last compared with the vault
	compare    bool      // they must be
	began      time.Time // since when they must be, or it was made
	failed     error     // why the last attempt did
	notBefore  time.Time
	next       *round // for those who wait (Ensure)
	hurries    bool   // rounds are being sent
}

// ended notes how an attempt ended.
func (q *queue) ended(err error) {
	if q.failed, q.notBefore = err, (time.Time{}); err != nil {
		q.notBefore = time.Now().Add(pause)
	}
}

// waiting is what a custodian has not been told of an entry.
type waiting struct {
	since   time.Time // of the first change
	change  uint64    // the last
	refused bool      // the custodian does not take it: not tried again before it changes, or is compared
	drop    bool      // a copy under this number is to go, before the entry, if there is one, is sent
	number  Number
}

// taken is what waited when it was taken to be sent.
type taken struct {
	id string
	waiting
}

func (q *queue) add(id string) {
	if _, ok := q.waiting[id]; !ok && len(q.waiting) >= q.most {
		q.began = time.Now()
		for _, w := range q.waiting {
			q.began = earlier(q.began, w.since)
		}
		q.compare, q.waiting = true, map[string]waiting{}
	}
	if !q.compare {
		q.await(id)
	}
}

// await notes a change. An entry that waits already does so since the first.
func (q *queue) await(id string) {
	w, ok := q.waiting[id]
	if !ok {
		w.since = time.Now()
	}
	q.changes++
	w.change, w.refused = q.changes, false
	q.waiting[id] = w
}

// some returns entries that wait, first those whose copies are to go: where there is
// room for no more copies, that makes some.
func (s *Sender) some(q *queue) (out []taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, drop := range []bool{true, false} {
		for id, w := range q.waiting {
			if len(out) == maxCopies {
				return out
			}
			if w.drop == drop && !w.refused {
				out = append(out, taken{id, w})
			}
		}
	}
	return out
}

// sent takes what was sent out of the queue, unless it changed since.
func (s *Sender) sent(q *queue, some []taken, refused map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range some {
		w, waits := q.waiting[t.id]
		switch {
		case !waits || w.change != t.change:
		case refused[t.id]:
			w.refused, w.drop = true, false
			q.waiting[t.id] = w
		default:
			delete(q.waiting, t.id)
		}
	}
}
