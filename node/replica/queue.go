package replica

import (
	"sync"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// queue is the submissions that wait at a leader. Each member has a line of its own
// with a fair share of the room, and the lines are served in turn: a member that
// floods the leader waits behind itself only. In a line, urgent goes first.
type queue struct {
	members func() int    // between whom the room is shared
	ready   chan struct{} // something waits, or did a moment ago

	mu    sync.Mutex
	lines map[string]*line
	turn  []string // members of whom something waits, the next one first
	total int      // bytes of all lines
	list  int      // those that they take in a seal's list
}

// line is what waits of one member.
type line struct {
	urgent, bulk []*record.Submitted
	bytes        int
}

func newQueue(members func() int) *queue {
	return &queue{members: members, ready: make(chan struct{}, 1), lines: map[string]*line{}}
}

// add queues a submission of a member. It reports false where the member's share is
// used up; an eighth of it is left to what is urgent.
func (q *queue) add(from string, s *record.Submitted, urgent bool) bool {
	size, list := sizeOf(s)
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[from]
	if l == nil {
		l = &line{}
		q.lines[from] = l
	}
	n := max(q.members(), 1)
	most, bytes, waiting := queueLen/n, queueBytes/n, len(l.urgent)+len(l.bulk)
	if !urgent {
		most, bytes = most-most/8, bytes-bytes/8
	}
	if waiting >= most || l.bytes+size > bytes {
		return false
	}
	if waiting == 0 {
		q.turn = append(q.turn, from)
	}
	l.bytes, q.total, q.list = l.bytes+size, q.total+size, q.list+list
	if urgent {
		l.urgent = append(l.urgent, s)
	} else {
		l.bulk = append(l.bulk, s)
	}
	q.poke()
	return true
}

// next takes out what is next, nil where nothing waits.
func (q *queue) next() *record.Submitted {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turn) == 0 {
		return nil
	}
	from := q.turn[0]
	q.turn = q.turn[1:]
	l := q.lines[from]
	list := &l.urgent
	if len(*list) == 0 {
		list = &l.bulk
	}
	s := (*list)[0]
	(*list)[0] = nil
	*list = (*list)[1:]
	size, listed := sizeOf(s)
	l.bytes, q.total, q.list = l.bytes-size, q.total-size, q.list-listed
	if len(l.urgent)+len(l.bulk) > 0 {
		q.turn = append(q.turn, from)
	} else {
		delete(q.lines, from)
	}
	if len(q.turn) > 0 {
		q.poke()
	}
	return s
}

// clear forgets everything: who sent it sends it to the next leader.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines, q.turn, q.total, q.list = map[string]*line{}, nil, 0, 0
}

// fills reports whether what waits fills half an entry, or half of its seal's list.
func (q *queue) fills() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total >= room/2 || q.list >= record.MaxListBytes/2
}

// poke wakes the leader. q.mu is held.
func (q *queue) poke() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
