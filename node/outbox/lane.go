package outbox

import (
	"fmt"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// The two queues of a lane.
const (
	bulk   = 0
	urgent = 1
)

// A lane is one issuer's way into the ledger: what waits, and the submissions
// that are under way.
type lane struct {
	o      *Outbox
	issuer string
	wake   chan struct{}

	mu      sync.Mutex
	queues  [2]queue
	slots   [2]int                 // submissions that count against Depth
	next    uint64                 // number of the next submission
	open    map[uint64]*submission // not applied
	applied map[uint64]*submission // not final
	last    int                    // records of the last bulk submission
	lastAt  time.Time
}

type queue struct {
	calls   []*call
	records int
	bytes   int
}

// A submission is one signed number and its records.
type submission struct {
	lane   *lane
	seq    uint64
	urgent bool
	tries  int // how often its requests met batch.full
	calls  []*call
	signed record.Submitted // set before durable, and never changed
	hashes []merkle.Hash

	// Guarded by lane.mu.
	durable bool
	slot    bool          // counts against Depth
	started bool          // being sent
	at      time.Time     // when it was made
	verdict *verdict      // once applied
	gone    bool          // its number is used, and it was not in the batch
	whole   record.Code   // refused whole without use of its number
	settled chan struct{} // closed when there is no more reason to send
	left    int           // requests that have not yet moved to the next attempt
}

// laneOf returns the issuer's lane and makes it where there is none.
func (o *Outbox) laneOf(issuer string) (*lane, error) {
	if l := o.laneNamed(issuer); l != nil {
		return l, nil
	}
	o.laneMu.Lock()
	defer o.laneMu.Unlock()
	if l := o.lanes[issuer]; l != nil {
		return l, nil
	}
	if err := o.over(); err != nil {
		return nil, err
	}
	l, err := o.newLane(issuer)
	if err != nil {
		return nil, err
	}
	o.lanes[issuer] = l
	o.wg.Go(l.run)
	return l, nil
}

func (o *Outbox) laneNamed(issuer string) *lane {
	o.laneMu.RLock()
	defer o.laneMu.RUnlock()
	return o.lanes[issuer]
}

func (o *Outbox) allLanes() []*lane {
	o.laneMu.RLock()
	defer o.laneMu.RUnlock()
	ls := make([]*lane, 0, len(o.lanes))
	for _, l := range o.lanes {
		ls = append(ls, l)
	}
	return ls
}

// newLane finds the highest number that the issuer may have used: by the
// register, and by the mark that is written before an entry is removed.
func (o *Outbox) newLane(issuer string) (*lane, error) {
	window, err := rules.Load[rules.Seq](o.State(), rules.KeySeq(issuer))
	if err != nil {
		return nil, fmt.Errorf("sequence numbers of %s: %w", issuer, err)
	}
	high, err := o.loadHigh(issuer)
	if err != nil {
		return nil, err
	}
	if window != nil {
		high = max(high, window.High)
	}
	return &lane{o: o, issuer: issuer, wake: make(chan struct{}, 1), next: high + 1,
		open: map[uint64]*submission{}, applied: map[uint64]*submission{}}, nil
}

func classOf(isUrgent bool) int {
	if isUrgent {
		return urgent
	}
	return bulk
}

// enqueue wakes the lane only where that changes what it does: most callers
// find others waiting already.
func (l *lane) enqueue(c *call) {
	c.at = time.Now()
	l.mu.Lock()
	q := &l.queues[classOf(c.urgent)]
	wasFull := l.full(q)
	first := len(q.calls) == 0
	q.push(c)
	wake := first || c.urgent || !wasFull && l.full(q)
	l.mu.Unlock()
	if wake {
		poke(l.wake)
	}
}

func (q *queue) push(c *call) {
	q.calls = append(q.calls, c)
	q.records += len(c.leaves)
	q.bytes += c.bytes
}

func (l *lane) full(q *queue) bool {
	return q.records >= l.o.MaxRecords || q.bytes >= MaxRequestLeafBytes
}

// run makes submissions of what waits.
func (l *lane) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for l.o.ctx.Err() == nil {
		s, wait := l.pick(time.Now())
		if s != nil {
			l.o.wg.Go(func() { l.o.ship(s) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-l.o.ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// pick returns the next submission, or how long to wait for company.
//
// Urgent requests go as soon as there is a slot of theirs. Others go when they
// fill a submission, when the oldest has waited for Window, or at once where
// nothing is under way and no company is to be expected.
func (l *lane) pick(now time.Time) (*submission, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready(urgent, maxOpen) {
		return l.take(urgent, now), 0
	}
	if !l.ready(bulk, maxOpen-urgentOpen) {
		return nil, time.Hour
	}
	if wait := l.o.noLeaderFor(); wait > 0 {
		return nil, wait
	}
	q := &l.queues[bulk]
	alone := l.slots[bulk] == 0 && (l.last <= smallNumber || now.Sub(l.lastAt) > l.o.Window)
	age := now.Sub(q.calls[0].at)
	if alone || l.full(q) || age >= l.o.Window {
		return l.take(bulk, now), 0
	}
	return nil, l.o.Window - age
}

// ready reports whether something waits and may go.
func (l *lane) ready(class, opens int) bool {
	if len(l.queues[class].calls) == 0 || l.slots[class] >= l.o.Depth || len(l.open) >= opens {
		return false
	}
	for seq := range l.open {
		if l.next-seq >= maxSpread {
			return false
		}
	}
	return true
}

// take draws a number for as much of a queue as one submission holds. What met
// batch.full goes in smaller ones, so that its refusals fit the seal.
func (l *lane) take(class int, now time.Time) *submission {
	q := &l.queues[class]
	s := &submission{lane: l, seq: l.next, urgent: class == urgent, slot: true, at: now, settled: make(chan struct{})}
	records, bytes, kept, entries, limit := 0, 0, 0, 0, l.o.MaxRecords
	for _, c := range q.calls {
		limit = min(limit, l.o.MaxRecords>>c.tries)
		if len(s.calls) > 0 && (records+len(c.leaves) > limit || bytes+c.bytes > MaxRequestLeafBytes ||
			kept+c.kept > MaxRequestKeepBytes || entries+len(c.keep) > maxKeepEntries) {
			break
		}
		c.sub, c.from = s, records
		s.calls = append(s.calls, c)
		s.tries = max(s.tries, c.tries)
		records, bytes, kept, entries = records+len(c.leaves), bytes+c.bytes, kept+c.kept, entries+len(c.keep)
	}
	clear(q.calls[:len(s.calls)])
	q.calls = q.calls[len(s.calls):]
	q.records -= records
	q.bytes -= bytes
	l.next++
	l.open[s.seq] = s
	l.slots[class]++
	if class == bulk {
		l.last, l.lastAt = records, now
	}
	return s
}

// release gives a submission's slot back. The lane's lock is held.
func (l *lane) release(s *submission) {
	if s.slot {
		s.slot = false
		l.slots[classOf(s.urgent)]--
	}
	poke(l.wake)
}

func (l *lane) giveSlot(s *submission) {
	l.mu.Lock()
	l.release(s)
	l.mu.Unlock()
}

// closeOpen ends the sending of a submission. The lane's lock is held.
func (l *lane) closeOpen(s *submission) {
	delete(l.open, s.seq)
	close(s.settled)
	l.release(s)
}

// pending reports whether sending a submission can still help.
func (l *lane) pending(s *submission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[s.seq] == s && s.whole == "" && !s.gone
}

// drop takes a submission back of which nothing was written.
func (l *lane) drop(s *submission) {
	l.mu.Lock()
	l.closeOpen(s)
	for _, c := range s.calls {
		c.sub = nil
	}
	l.mu.Unlock()
}

// whenCommitted returns a channel that is closed when the call is applied.
func (l *lane) whenCommitted(c *call) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.committed == nil {
		c.committed = make(chan struct{})
		if c.sub != nil && c.sub.verdict != nil && !c.sub.verdict.full {
			close(c.committed)
		}
	}
	return c.committed
}

// committed returns the result of a call that is applied, nil where it is not.
func (l *lane) committed(c *call) *Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.sub == nil || c.sub.verdict == nil || c.sub.verdict.full {
		return nil
	}
	return &Result{Outcomes: c.sub.verdict.outcomes(c)}
}
