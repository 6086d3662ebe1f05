// Package forest is a node's part in commitment trees: it makes them, takes
// leaves for them, sees the leaves into the Raft log, anchors the trees of its own
// parties in the main log, and reads what is final.
//
// # Invariants
//
//   - Nothing is answered before this node has applied it: Raft has the leaves, and
//     every later tree.advance covers them. They are final when an advance is.
//   - What is read is final: up to the size of the last tree.advance in a final
//     batch that agrees with the leaves. A false advance is never read from.
//   - The same leaves may be sent again at any time: a tree holds one of each
//     identity hash. So a commit whose fate is unknown is sent again as it is.
//
// What commits do is ledger/forest, where they are kept node/store. The package
// stores nothing by itself: after a crash the trees of this node's parties are
// anchored as they are, and whoever waited for an answer asks again.
package forest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// What callers meet, beside a *record.Refusal.
var (
	ErrBusy        = errors.New("too many leaves wait: try again")
	ErrUnknown     = errors.New("what became of the leaves is not known: send them again, nothing is doubled")
	ErrClosed      = errors.New("this node is stopping")
	ErrNotReady    = errors.New("nothing is final at this node yet")
	ErrBeyond      = errors.New("beyond the last final advance of the tree")
	ErrInitialised = errors.New("the tree has an advance already")
	ErrNoKey       = errors.New("this node does not sign for that party")
)

// Errors of Config.Send, worth another try.
var (
	ErrNoLeader   = errors.New("no leader takes commits at the moment")
	ErrLeaderBusy = errors.New("the leader has too much under way")
)

// Defaults and bounds.
const (
	window        = 3 * time.Millisecond // a commit waits for company
	resend        = time.Second          // until a commit is sent again
	sendTimeout   = 5 * time.Second
	giveUp        = 30 * time.Second // on a commit: its callers get ErrUnknown
	busyWait      = 20 * time.Millisecond
	commitsOpen   = 4        // of one issuer for one tree
	maxHeld       = 32 << 20 // bytes of leaves that wait for an answer
	leafOverhead  = 128      // of these, beside its bytes
	advanceRetry  = time.Second
	advanceWithin = time.Minute

	intervalLog    = 50 * time.Millisecond
	intervalSensor = 10 * time.Second
)

// Poster enters records into the ledger (*outbox.Outbox).
type Poster interface {
	Submit(ctx context.Context, req outbox.Request) (*outbox.Result, error)
}

// Config is what a Forest needs; every field is required.
type Config struct {
	Self    string // this member
	Origin  string // the log's name
	Key     func(issuer string) (sign.Key, bool)
	Poster  Poster
	Send    func(ctx context.Context, entry []byte) error // to whoever leads, who may lose it
	Newest  func() *store.State                           // what is applied
	Final   func() *store.State                           // what is final; nil before the first checkpoint
	Changed func() <-chan struct{}                        // closed when the next checkpoint becomes final
	// Growing returns a leaf that is applied and not written yet.
	Growing func(tree, index uint64) (*store.TreeLeaf, bool)
	Log     *slog.Logger
}

// Forest is a node's part in commitment trees. Its methods may be called from
// several goroutines.
type Forest struct {
	Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	lanes  map[laneKey]*lane
	closed bool
	held   atomic.Int64

	waitMu  sync.Mutex
	waiting map[entryHash][]chan *forest.Result // calls with a commit under way
	nudge   chan struct{}                       // closed when the leader changes

	advance advancer
	known   knownTrees
}

// New returns a forest that anchors what its parties' trees have and their last
// advance does not.
func New(c Config) (*Forest, error) {
	for what, missing := range map[string]bool{"Self": c.Self == "", "Origin": c.Origin == "", "Key": c.Key == nil, "Poster": c.Poster == nil,
		"Send": c.Send == nil, "Newest": c.Newest == nil, "Final": c.Final == nil, "Changed": c.Changed == nil, "Growing": c.Growing == nil, "Log": c.Log == nil} {
		if missing {
			return nil, fmt.Errorf("forest: %s is required", what)
		}
	}
	f := &Forest{Config: c}
	f.init()
	if err := f.loadBehind(); err != nil {
		f.cancel()
		return nil, fmt.Errorf("forest: %w", err)
	}
	f.wg.Go(f.advanceLoop)
	return f, nil
}

func (f *Forest) init() {
	f.lanes, f.waiting, f.nudge = map[laneKey]*lane{}, map[entryHash][]chan *forest.Result{}, make(chan struct{})
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.advance.init()
	f.known.trees = map[uint64]Tree{}
}

// Close stops. Who waits gets ErrUnknown.
func (f *Forest) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.wg.Wait()
	return nil
}

// run starts what Close waits for; false where the forest is closed.
func (f *Forest) run(fn func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.wg.Go(fn)
	return true
}

// LeaderChanged says that somebody else may lead now: commits under way are sent
// again at once.
func (f *Forest) LeaderChanged() {
	f.waitMu.Lock()
	close(f.nudge)
	f.nudge = make(chan struct{})
	f.waitMu.Unlock()
}

// An entryHash names a commit by all of it: what merely ends with the signature
// of another says nothing of that one.
type entryHash [sha256.Size]byte

// Applied is called by the goroutine that applies, for every commit.
func (f *Forest) Applied(entry []byte, res *forest.Result) {
	f.waitMu.Lock()
	if len(f.waiting) > 0 {
		for _, ch := range f.waiting[sha256.Sum256(entry)] {
			select {
			case ch <- res:
			default: // the first word stands
			}
		}
	}
	f.waitMu.Unlock()
	if res.Refused == nil && len(res.New) > 0 {
		f.grew(res.Tree, res.Next)
	}
}

// Anchor is a tree's last final tree.advance that agrees with its leaves.
type Anchor struct {
	Size     uint64
	Root     merkle.Hash
	Extra    merkle.Hash // RFC 6962 root over the leaves' extra data, in order
	TimeMs   uint64      // batch time: increases from one advance of a tree to the next
	Height   uint64      // of the batch
	LogIndex uint64      // of the tree.advance leaf in the main log
	Record   record.ID   // of the tree.advance record
}

func anchorOf(a *store.Anchor) *Anchor {
	if a == nil {
		return nil
	}
	return &Anchor{a.Size, merkle.Hash(a.Root), merkle.Hash(a.Extra), a.TimeMs, a.Height, a.LogIndex, a.Record}
}
