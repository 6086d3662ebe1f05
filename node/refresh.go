package node

import (
	"context"
	"errors"
	"time"
)

// ErrNotFresh says that no fresh cosignatures came in time.
var ErrNotFresh = errors.New("no k members cosigned within the last seconds")

const (
	refreshWithin = 2 * time.Second
	beatAgain     = 300 * time.Millisecond

	// clockSlack is how many seconds other members' clocks may be behind ours. A
	// cosignature has whole seconds, so that one second is lost already where the
	// clocks agree.
	clockSlack = 2
)

// Refresh asks members to cosign now, and waits until the final checkpoint is as
// fresh as our clock. It asks again: who is behind by less than a second or two
// will be there then. What is fresh but for clockSlack is enough in the end. A
// story's clock is the same everywhere and needs no slack.
func (n *Node) Refresh(ctx context.Context) error {
	r := refresh{beat: n.cosign.Beat, freshAt: n.freshAt, changed: n.FinalChanged, closing: n.closing, slack: clockSlack}
	if n.Clock.Story() {
		r.slack = 0
	}
	return r.wait(ctx, uint64(n.Clock.Now().Unix()))
}

// refresh is what Refresh needs of a node.
type refresh struct {
	beat    func()
	freshAt func() uint64 // Unix seconds
	changed func() <-chan struct{}
	closing <-chan struct{}
	slack   uint64
}

func (r refresh) wait(ctx context.Context, since uint64) error {
	late, again := time.NewTimer(refreshWithin), time.NewTicker(beatAgain)
	defer late.Stop()
	defer again.Stop()
	r.beat()
	for {
		changed := r.changed()
		at := r.freshAt()
		if at >= since {
			return nil
		}
		select {
		case <-ctx.Done():
			return ErrNotFresh
		case <-r.closing:
			return ErrNotFresh
		case <-late.C:
			if at+r.slack >= since {
				return nil
			}
			return ErrNotFresh
		case <-again.C:
			r.beat()
		case <-changed:
		}
	}
}
