package forest

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

type laneKey struct {
	issuer string
	tree   uint64
}

// A lane joins what one issuer queues for one tree into commits.
type lane struct {
	f *Forest
	laneKey
	slots chan struct{}

	mu      sync.Mutex
	waiting []*item
	running bool
}

// An item is leaves of one caller that go into one commit.
type item struct {
	first  *uint64 // of pre-ordered leaves
	leaves []forest.Leaf
	bytes  int
	done   chan struct{} // closed when out or err is set
	out    []forest.Outcome
	err    error
}

// Queue commits leaves to a tree for an issuer whose key this node holds. Callers
// at one time share a commit. It returns when this node has applied the leaves:
// they are in the Raft log, and the tree's next advance covers them. The errors
// are a *record.Refusal (of the tree or of a leaf's form), ErrBusy, ErrUnknown,
// ErrClosed, ErrNoKey.
func (f *Forest) Queue(ctx context.Context, issuer string, tree uint64, leaves []forest.Leaf) ([]forest.Outcome, error) {
	return f.queue(ctx, issuer, tree, nil, leaves)
}

// AddSequenced is Queue for a pre-ordered tree: leaves[i] has index first+i.
func (f *Forest) AddSequenced(ctx context.Context, issuer string, tree, first uint64, leaves []forest.Leaf) ([]forest.Outcome, error) {
	return f.queue(ctx, issuer, tree, &first, leaves)
}

func (f *Forest) queue(ctx context.Context, issuer string, tree uint64, first *uint64, leaves []forest.Leaf) ([]forest.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := f.lane(laneKey{issuer, tree})
	if err != nil {
		return nil, err
	}
	items, bytes, err := split(first, leaves)
	if err != nil {
		return nil, err
	}
	if f.held.Add(bytes) > maxHeld {
		f.held.Add(-bytes)
		return nil, ErrBusy
	}
	defer f.held.Add(-bytes)
	var out []forest.Outcome
	if first == nil {
		if !l.add(items...) {
			return nil, ErrClosed
		}
	}
	for _, it := range items {
		if first != nil && !l.add(it) { // one after the other: each leans on the last
			return nil, ErrClosed
		}
		select {
		case <-it.done:
		case <-ctx.Done():
			return nil, errors.Join(ErrUnknown, ctx.Err())
		}
		if it.err != nil {
			return nil, it.err
		}
		out = append(out, it.out...)
	}
	return out, nil
}

// split cuts leaves into items that each fit a commit.
func split(first *uint64, leaves []forest.Leaf) (items []*item, bytes int64, err error) {
	var it *item
	for i := range leaves {
		if err := leaves[i].Check(); err != nil {
			return nil, 0, err
		}
		n := sizeOf(&leaves[i])
		if it == nil || len(it.leaves) == forest.MaxCommitLeaves || it.bytes+n > commitRoom {
			it = &item{done: make(chan struct{})}
			if first != nil {
				at := *first + uint64(i)
				it.first = &at
			}
			items = append(items, it)
		}
		it.leaves, it.bytes = append(it.leaves, leaves[i]), it.bytes+n
		bytes += int64(n + leafOverhead)
	}
	return items, bytes, nil
}

// commitRoom is for the leaves of one commit; its other fields need the rest.
const commitRoom = forest.MaxCommitBytes - 256

// sizeOf bounds a leaf's canonical encoding.
func sizeOf(l *forest.Leaf) int { return len(l.Value) + len(l.Extra) + len(l.Identity) + 16 }

// lane returns the lane of an issuer whose key this node holds. The first caller
// of a lane looks for the key, the tree, and whether the issuer writes it.
func (f *Forest) lane(key laneKey) (*lane, error) {
	f.mu.Lock()
	l := f.lanes[key]
	f.mu.Unlock()
	if l != nil {
		return l, nil
	}
	if _, ok := f.Key(key.issuer); !ok {
		return nil, ErrNoKey
	}
	t, err := rules.Load[rules.Tree](f.Newest(), rules.KeyTree(key.tree))
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, record.Refuse(record.CodeTreeUnknown, "tree %d", key.tree)
	case !t.MayWrite(key.issuer): // else anyone could fill the Raft log with what is refused
		return nil, record.Refuse(record.CodeNotAuthorised, "%s does not write tree %d", key.issuer, key.tree)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if l = f.lanes[key]; l == nil {
		l = &lane{f: f, laneKey: key, slots: make(chan struct{}, commitsOpen)}
		f.lanes[key] = l
	}
	return l, nil
}

// add queues items; false where the forest is closed.
func (l *lane) add(items ...*item) bool {
	l.mu.Lock()
	l.waiting = append(l.waiting, items...)
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if !start {
		return true
	}
	if !l.f.run(l.loop) {
		l.drop()
		return false
	}
	return true
}

// loop makes commits until nothing waits.
func (l *lane) loop() {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.f.ctx.Done():
			l.drop()
			return
		}
		select {
		case <-time.After(window):
		case <-l.f.ctx.Done():
			<-l.slots
			l.drop()
			return
		}
		items := l.take()
		if items == nil {
			<-l.slots
			return
		}
		ship := func() {
			defer func() { <-l.slots }()
			l.ship(items)
		}
		if items[0].first != nil { // in their order
			ship()
		} else if !l.f.run(ship) {
			finish(items, ErrUnknown)
			<-l.slots
		}
	}
}

// take takes what fits one commit; nil ends the loop.
func (l *lane) take() []*item {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.running = false
		return nil
	}
	n, leaves, bytes := 0, 0, 0
	for _, it := range l.waiting {
		if n > 0 && (it.first != nil || l.waiting[0].first != nil || leaves+len(it.leaves) > forest.MaxCommitLeaves || bytes+it.bytes > commitRoom) {
			break
		}
		n, leaves, bytes = n+1, leaves+len(it.leaves), bytes+it.bytes
	}
	items := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return items
}

// drop tells everyone who waits that the forest is closed.
func (l *lane) drop() {
	l.mu.Lock()
	items := l.waiting
	l.waiting, l.running = nil, false
	l.mu.Unlock()
	finish(items, ErrClosed)
}

func finish(items []*item, err error) {
	for _, it := range items {
		it.err = err
		close(it.done)
	}
}

// ship signs items as one commit, and sees it through.
func (l *lane) ship(items []*item) {
	c := &forest.Commit{Tree: l.tree, Issuer: l.issuer}
	if items[0].first != nil {
		c.First = *items[0].first
	}
	for _, it := range items {
		c.Leaves = append(c.Leaves, it.leaves...)
	}
	res, err := l.signed(c)
	if err == nil && res.Refused != nil {
		err = res.Refused
	}
	if err != nil {
		finish(items, err)
		return
	}
	at := 0
	for _, it := range items {
		it.out, at = res.Outcomes[at:at+len(it.leaves)], at+len(it.leaves)
		close(it.done)
	}
}

// signed signs a commit and sees it through. What was under way while the issuer's
// key was replaced goes again, under the new key.
func (l *lane) signed(c *forest.Commit) (*forest.Result, error) {
	key, ok := l.f.Key(l.issuer)
	for ok {
		c.Sign(key, l.f.Origin)
		res, err := l.f.see(c.Entry())
		if err != nil || res.Refused == nil || res.Refused.Code != record.CodeSignature {
			return res, err
		}
		was := key
		if key, ok = l.f.Key(l.issuer); ok && key.Public() == was.Public() {
			return res, nil
		}
	}
	return nil, ErrNoKey
}

// see sends a commit, again and again, until this node has applied it. Calls with
// the same leaves at one time have the same commit, and each hears of it.
func (f *Forest) see(entry []byte) (*forest.Result, error) {
	ch, name := make(chan *forest.Result, 1), entryHash(sha256.Sum256(entry))
	f.waitMu.Lock()
	f.waiting[name] = append(f.waiting[name], ch)
	f.waitMu.Unlock()
	defer func() {
		f.waitMu.Lock()
		f.waiting[name] = slices.DeleteFunc(f.waiting[name], func(o chan *forest.Result) bool { return o == ch })
		if len(f.waiting[name]) == 0 {
			delete(f.waiting, name)
		}
		f.waitMu.Unlock()
	}()
	over := time.NewTimer(giveUp)
	defer over.Stop()
	again, wait := time.NewTimer(0), busyWait
	defer again.Stop()
	for {
		f.waitMu.Lock()
		nudge := f.nudge
		f.waitMu.Unlock()
		select {
		case res := <-ch:
			if res.Refused == nil || res.Refused.Code != record.CodeTreeBusy {
				return res, nil
			}
			again.Reset(wait) // the next batch makes room
			wait = min(2*wait, resend)
		case <-nudge:
			again.Reset(0)
		case <-again.C:
			again.Reset(f.send(entry))
		case <-over.C:
			return nil, ErrUnknown
		case <-f.ctx.Done():
			return nil, ErrUnknown
		}
	}
}

// send sends a commit once, and returns when to try again.
func (f *Forest) send(entry []byte) time.Duration {
	ctx, cancel := context.WithTimeout(f.ctx, sendTimeout)
	defer cancel()
	switch err := f.Send(ctx, entry); {
	case err == nil:
		return resend
	case errors.Is(err, ErrLeaderBusy):
		return busyWait
	}
	return resend / 4
}
