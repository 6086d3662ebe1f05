package forest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// An advancer knows which trees of this node's parties have leaves that no
// advance covers, and when the next is due.
type advancer struct {
	mu    sync.Mutex
	trees map[uint64]*behind
	wake  chan struct{}
}

// behind is one tree that needs an advance.
type behind struct {
	owner  string
	every  time.Duration
	tree   *forest.Tree // nil before the first commit since the start
	size   uint64       // as far as known
	roots  forest.Roots // at size, where tree is nil
	said   uint64       // size of the last advance that is final
	due    time.Time
	posts  bool // an advance is under way
	hurry  bool
	lastAt time.Time
}

func (a *advancer) init() {
	a.trees, a.wake = map[uint64]*behind{}, make(chan struct{}, 1)
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// interval returns the time between advances of a tree.
func interval(t *rules.Tree) time.Duration {
	switch {
	case t.IntervalMs > 0:
		return time.Duration(t.IntervalMs) * time.Millisecond
	case t.Type == record.TreeSensor:
		return intervalSensor
	}
	return intervalLog
}

// loadBehind looks for trees of ours whose last advance does not cover them.
func (f *Forest) loadBehind() error {
	st := f.Newest()
	return st.Listed("tree/", func(key string, value []byte) error {
		t, err := rules.Load[rules.Tree](st, key)
		if err != nil || t == nil {
			return err
		}
		if _, ours := f.Key(t.Owner); !ours {
			return nil
		}
		r, err := st.CommitmentTree(t.ID)
		if err != nil {
			return err
		}
		b := &behind{owner: t.Owner, every: interval(t), size: r.Size, roots: r.Roots, due: time.Now()}
		if r.Anchor != nil {
			b.said = r.Anchor.Size
		}
		f.advance.trees[t.ID] = b
		return nil
	})
}

// grew says that a tree has new leaves. The goroutine that applies calls it.
func (f *Forest) grew(id uint64, tree *forest.Tree) {
	a := &f.advance
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.trees[id]
	if b == nil {
		t, err := rules.Load[rules.Tree](f.Newest(), rules.KeyTree(id))
		if err != nil || t == nil {
			return // it was there when the commit was judged: damage that the ledger will meet
		}
		if _, ours := f.Key(t.Owner); !ours {
			return
		}
		b = &behind{owner: t.Owner, every: interval(t)}
		a.trees[id] = b
	}
	if b.tree == nil || b.size <= b.said { // the first since the last advance
		b.due = b.lastAt.Add(b.every)
	}
	b.tree, b.size = tree, tree.Size()
	if !b.posts {
		poke(a.wake)
	}
}

// advanceLoop posts advances when they are due.
func (f *Forest) advanceLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.advance.wake:
		case <-timer.C:
		}
		timer.Reset(f.advanceDue())
	}
}

// advanceDue begins every advance that is due, and returns when the next will be.
func (f *Forest) advanceDue() time.Duration {
	a := &f.advance
	a.mu.Lock()
	defer a.mu.Unlock()
	next, now := time.Hour, time.Now()
	for id, b := range a.trees {
		if b.posts || b.size <= b.said {
			continue
		}
		if wait := b.due.Sub(now); wait > 0 && !b.hurry {
			next = min(next, wait)
			continue
		}
		b.posts, b.hurry, b.lastAt = true, false, now
		b.due = now.Add(b.every)
		size, roots := b.size, b.roots
		if b.tree != nil { // trees are never changed, only followed by larger ones
			roots = forest.Roots{Leaves: b.tree.Leaves.Root(), Extra: b.tree.Extra.Root()}
		}
		owner := b.owner
		f.wg.Go(func() { f.advanceTo(id, b, owner, size, roots) })
	}
	return next
}

// passing are refusals that say nothing of the tree or its owner: it came too late,
// under a replaced key, or met a full batch.
var passing = []record.Code{record.CodeBatchFull, record.CodeSignature, record.CodeSubmissionExpired, record.CodeSubmissionReplayed, record.CodeSubmissionWindow}

// advanceTo posts one advance and waits until it is final.
func (f *Forest) advanceTo(id uint64, b *behind, owner string, size uint64, roots forest.Roots) {
	ctx, cancel := context.WithTimeout(f.ctx, advanceWithin)
	defer cancel()
	_, refused, err := f.post(ctx, outbox.Request{Issuer: owner, Brief: true}, &record.Record{Kind: record.KindTreeAdvance, Issuer: owner,
		Body: forest.Advance(id, size, roots.Leaves, roots.Extra)})
	a := &f.advance
	a.mu.Lock()
	defer a.mu.Unlock()
	b.posts = false
	if err == nil && refused != nil && slices.Contains(passing, refused.Code) {
		err = refused // nothing covers the leaves yet
	}
	if err != nil {
		if f.ctx.Err() == nil {
			f.Log.Warn("a commitment tree is not anchored yet", "tree", id, "size", size, "err", err)
		}
		b.due = time.Now().Add(advanceRetry)
		poke(a.wake)
		return
	}
	if refused != nil { // one that was under way before a restart came first
		f.Log.Info("an advance of a commitment tree is refused", "tree", id, "size", size, "why", refused.Code)
	}
	if b.said = max(b.said, size); b.size <= b.said {
		b.tree, b.roots = nil, roots
	}
	poke(a.wake)
}

// post enters one record, and returns what became of it when that is final.
func (f *Forest) post(ctx context.Context, req outbox.Request, rec *record.Record) (*outbox.Outcome, *record.Refusal, error) {
	if _, err := rand.Read(rec.ID[:]); err != nil {
		return nil, nil, err
	}
	req.Records = []*record.Record{rec}
	res, err := f.Poster.Submit(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	return &res.Outcomes[0], res.Outcomes[0].Refused, nil
}

// Settle has a tree anchored at once, and returns when a final advance covers
// size leaves. Where the tree is another node's, it waits for that node.
func (f *Forest) Settle(ctx context.Context, tree, size uint64) (*Anchor, error) {
	a := &f.advance
	a.mu.Lock()
	if b := a.trees[tree]; b != nil && b.said < size {
		b.hurry = true
		poke(a.wake)
	}
	a.mu.Unlock()
	for {
		changed := f.Changed()
		anchor, err := f.Anchor(tree)
		if err != nil && !errors.Is(err, ErrNotReady) {
			return nil, err
		}
		if anchor != nil && anchor.Size >= size {
			return anchor, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.Join(ErrUnknown, ctx.Err())
		case <-f.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// Init anchors a tree before its first leaf, for who wants a root at once.
func (f *Forest) Init(ctx context.Context, tree uint64) (*Anchor, error) {
	t, err := f.Tree(tree)
	if err != nil {
		return nil, err
	}
	if t.Anchor != nil {
		return nil, ErrInitialised
	}
	if _, ok := f.Key(t.Owner); !ok {
		return nil, record.Refuse(record.CodeNotAuthorised, "the tree belongs to %s", t.Owner)
	}
	_, refused, err := f.post(ctx, outbox.Request{Issuer: t.Owner, Brief: true}, &record.Record{Kind: record.KindTreeAdvance, Issuer: t.Owner,
		Body: forest.Advance(tree, 0, merkle.EmptyRoot(), merkle.EmptyRoot())})
	switch {
	case err != nil:
		return nil, err
	case refused != nil && refused.Code == record.CodeTreeAdvance:
		return nil, ErrInitialised
	case refused != nil:
		return nil, refused
	}
	return f.Settle(ctx, tree, 0)
}
