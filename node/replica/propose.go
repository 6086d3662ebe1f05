package replica

import (
	"errors"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/hashicorp/raft"
)

// A chain is where a leader's next header goes.
type chain struct {
	term   uint64
	epoch  uint64
	prev   record.Digest
	height uint64
	timeMs uint64
	first  uint64 // height of the policy epoch's first batch
	fence  bool   // the last entry may change keys: what follows waits for it
}

// propose is the leader's goroutine: while this node leads, it turns the queue
// into entries.
func (r *Replica) propose() {
	defer close(r.done)
	for {
		select {
		case <-r.stopped:
			return
		case leads := <-r.raft.LeaderCh():
			for leads {
				leads = r.lead()
			}
			r.queue.clear() // who sent it sends it to the next leader
		}
	}
}

// lead proposes until leadership ends or an entry fails. It reports whether this
// node leads again, in another term.
func (r *Replica) lead() (again bool) {
	term := r.raft.CurrentTerm()
	r.resigns.Store(false)
	if err := r.raft.Barrier(applyTimeout).Error(); err != nil {
		r.Log.Warn("no barrier after election", "err", err)
		return r.resign()
	}
	c, err := r.tip(term)
	if err != nil {
		r.Stop(err)
		return false
	}
	r.open.Store(0)
	r.Log.Info("leading", "term", term, "height", c.height)
	r.Beat()
	var held *record.Submitted
	advanced, final := time.Now(), uint64(0)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if r.failed.Load() == term {
			r.Log.Warn("an entry failed: no more headers in this term", "term", term)
			return r.resign()
		}
		changed := r.Changed()
		ready, may := r.queue.ready, r.mayPropose(c)
		if held != nil || !may || !r.worthwhile(c) {
			ready = nil
		}
		if held != nil && may {
			if held = r.entry(c, held); held == nil {
				continue
			}
		}
		select {
		case <-r.stopped:
			return false
		case leads := <-r.raft.LeaderCh():
			if !leads || r.raft.CurrentTerm() != term { // lost, and perhaps won again
				return leads
			}
		case <-ready:
			held = r.queue.next()
		case <-r.applied:
		case <-changed:
		case <-tick.C:
			f := r.Final()
			if f != nil && (f.End.Height > final || held == nil && f.End.Height == r.Ledger.State().Height || r.awaitsWitnesses(c)) {
				advanced, final = time.Now(), f.End.Height
			} else if time.Since(advanced) > stallAfter {
				r.Log.Warn("finality stalls, or nothing can be proposed: handing leadership on")
				if err := r.transfer(); err != nil {
					r.Log.Warn("leadership is not handed on", "err", err)
				}
				advanced = time.Now()
			}
		}
	}
}

// transfer hands leadership to another member and waits, though not for ever: a
// transfer that is interrupted may never answer.
func (r *Replica) transfer() error {
	done := make(chan error, 1)
	go func() { done <- r.raft.LeadershipTransfer().Error() }()
	select {
	case err := <-done:
		return err
	case <-r.stopped:
		return nil
	case <-time.After(stallAfter):
		return errors.New("no answer")
	}
}

// resign hands leadership on until it is gone: a leader that proposes nothing
// would keep the others from it. It reports whether this node leads again, in
// another term. Where nobody takes over, the node stops. What waits is forgotten,
// and what comes is turned away at once.
func (r *Replica) resign() (again bool) {
	r.resigns.Store(true)
	r.queue.clear()
	for begun := time.Now(); time.Since(begun) < resignWithin; {
		if err := r.transfer(); err != nil {
			r.Log.Warn("leadership is not handed on", "err", err)
		}
		select {
		case <-r.stopped:
			return false
		case leads := <-r.raft.LeaderCh():
			return leads
		case <-time.After(time.Second):
			if r.raft.State() != raft.Leader {
				return false // LeaderCh has it, or will
			}
		}
	}
	r.Stop(errors.New("this node must not lead, and nobody takes over"))
	return false
}

// room is for the submissions of one entry: header and encoding need the rest.
const room = record.MaxEntry - 16<<10

func (r *Replica) tip(term uint64) (*chain, error) {
	head, err := rules.Load[rules.Head](r.Ledger.State(), rules.KeyHead)
	if err != nil {
		return nil, err
	}
	return &chain{term: term, epoch: head.Epoch, prev: head.Header, height: head.Height, timeMs: head.TimeMs, fence: true}, nil
}

// mayPropose reports whether depth and backpressure leave room, and whether what
// is final may be cited in the policy epoch that runs.
func (r *Replica) mayPropose(c *chain) bool {
	if c.fence && !r.passed(c) {
		return false
	}
	f := r.Final()
	return f != nil && r.open.Load() < depth && c.height < f.End.Height+maxOpen && f.End.Height+1 >= c.first && !r.awaitsWitnesses(c)
}

// worthwhile reports whether an entry is due: with a batch on its way to finality it
// waits until it is half full. Each batch costs every node signatures, syncs and a
// round, so fewer and larger ones are more records a second, and sooner final; a
// record that comes alone waits for nothing.
func (r *Replica) worthwhile(c *chain) bool {
	return c.height <= r.Final().End.Height || r.queue.fills()
}

// passed reports whether everything proposed is applied, and reads what epoch
// the log is in then.
func (r *Replica) passed(c *chain) bool {
	if r.open.Load() > 0 {
		return false
	}
	p, err := rules.Load[rules.Policy](r.Ledger.State(), rules.KeyPolicy)
	if err != nil {
		r.Stop(err)
		return false
	}
	if !slices.ContainsFunc(p.Members, func(m rules.Cosigner) bool { return m.ID == r.Self }) {
		return false // who has left signs no header: it would be void
	}
	c.first, c.fence = p.First, false
	return true
}

// awaitsWitnesses reports whether so much waits for the witnesses that the policy
// requires that nothing more is proposed. Another leader would wait as well.
func (r *Replica) awaitsWitnesses(c *chain) bool {
	shown := uint64(0)
	if f := r.Shown(); f != nil {
		shown = f.End.Height
	}
	return c.height >= shown+maxOpen
}

// entry builds and proposes one entry from first and what waits behind it. It
// returns what is left over: a submission that did not fit, or first itself
// where the clock is ahead of what members vouch for.
func (r *Replica) entry(c *chain, first *record.Submitted) *record.Submitted {
	f := r.Final()
	timeMs := max(uint64(r.Now().UnixMilli()), c.timeMs+1)
	if timeMs > latest(f) {
		if r.Beat(); !r.wait(func() bool { f = r.Final(); return timeMs <= latest(f) }) {
			return first
		}
	}
	key, ok := r.Key()
	if !ok {
		r.Stop(errors.New("the key file lacks the signing key that the register has for this member"))
		return first
	}
	e, rest := r.gather(first)
	c.fence = changesKeys(e)
	e.Header = record.Header{Leader: r.Self, Epoch: c.epoch, Term: c.term, Prev: c.prev, TimeMs: timeMs, Cited: f.Cited()}
	subs := make([]record.Submission, len(e.Submissions))
	for i := range subs {
		subs[i] = e.Submissions[i].Submission
	}
	e.Header.Submissions = record.SubmissionsRoot(subs)
	e.Header.Sig = key.Sign(sign.DomainHeader, r.Origin, e.Header.Signed())
	c.prev, c.timeMs, c.height = e.Header.Hash(), timeMs, c.height+1
	r.open.Add(1)
	future := r.raft.Apply(canon.Must(e), applyTimeout)
	go func() {
		err := future.Error()
		if b, ok := future.Response().(*store.Batch); err != nil || !ok || b.Result.Void != nil {
			r.Log.Warn("an entry was not applied", "term", c.term, "err", err)
			r.failed.Store(c.term)
		}
		r.open.Add(-1)
		select {
		case r.applied <- struct{}{}:
		default:
		}
	}()
	return rest
}

// changesKeys reports whether an entry may change who signs headers or cosigns.
func changesKeys(e *record.Entry) bool {
	for i := range e.Submissions {
		for _, leaf := range e.Submissions[i].Leaves {
			if k := record.PeekKind(leaf); k == record.KindMember || k == record.KindKey {
				return true
			}
		}
	}
	return false
}

func latest(f *cosign.Final) uint64 {
	times := []uint64{}
	for _, s := range f.Cited().Sigs {
		times = append(times, s.Time)
	}
	return rules.LatestTimeMs(times)
}

// wait polls a condition for two seconds.
func (r *Replica) wait(ok func() bool) bool {
	for range 400 {
		if ok() {
			return true
		}
		select {
		case <-r.stopped:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

// gather takes what waits, as far as one entry holds.
func (r *Replica) gather(first *record.Submitted) (e *record.Entry, rest *record.Submitted) {
	e = &record.Entry{}
	list, size := 4<<10, 0
	next := first
	for next != nil {
		n, l := sizeOf(next)
		if len(e.Submissions) > 0 && (size+n > room || list+l > record.MaxListBytes || len(e.Submissions) == record.MaxBatchSubs) {
			return e, next
		}
		e.Submissions = append(e.Submissions, *next)
		size, list = size+n, list+l
		next = r.queue.next()
	}
	return e, nil
}

// sizeOf bounds the bytes of a submission in an entry, and in the list of the
// seal.
func sizeOf(s *record.Submitted) (entry, list int) {
	list = 130 + len(s.Submission.Issuer)
	entry = list
	for _, l := range s.Leaves {
		entry += len(l) + 4
	}
	return entry, list
}
