// Package outbox is the one way by which a node's own records enter the ledger.
//
// Callers hand over records; the outbox joins what waits into one signed
// submission (one sequence number, one signature, one durable write), sends it
// to whoever leads, and answers when the outcome is final. An Idempotency-Key
// makes a request happen once, whatever crashes.
//
// # Invariants
//
//   - Nothing is sent before it is durable together with its idempotency entries
//     and the blobs that the caller wants kept.
//   - A number is used for one signed submission and never again. Open numbers of
//     an issuer lie within 1,024, a quarter of what the register remembers.
//   - An answer that says final was read from a batch at or below a final height.
//     A submission has failed only when a final batch is later than its not_after
//     and the register at that height has not seen its number.
//   - The idempotency entry of a request names its current attempt. Requests whose
//     entry names another number have left a submission.
//
// # Order of effects
//
// What a crash before the next step leaves behind stands to the right.
//
//  1. leaves built and queued, in memory       nothing; the caller's retry is the first attempt
//  2. number drawn, submission signed          the same; the number was never seen outside
//  3. one durable write: the entry with its    the entry is read back at start and sent; a retry with
//     leaves, the idempotency entries, the     the same key joins it. Where the write failed without a
//     caller's blobs                           word on its outcome the outbox stops until it is reopened
//  4. sent, again and again                    the same bytes are sent; a second copy is void by its number
//  5. applied                                  at start the number is used: the outcome is read from the seal
//  6. final, the caller has its answer         the same; a retry gets the same answer
//  7. one durable write: the outcome, and the  at start the outcome is there: the entry is removed
//     highest number drawn so far
//  8. the entry is removed                     nothing is left to do
//
// A submission that was refused whole because the seal was full ("batch.full")
// goes through 2 to 4 again under a new number once that refusal is final. Its
// idempotency entries then name the new number; a crash between the write of the
// new entry and the removal of the old one leaves an entry that names nobody.
//
// The outbox does not check who asks, nor any rule of the ledger. It holds no
// personal data in clear in its own keys: client and Idempotency-Key are hashed.
// Leaves and blobs are the caller's.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// Blobs is the durable store (store.Blobs). An error of PutMany or Delete that
// wraps store.ErrStopped leaves the outcome unknown; after any other, nothing
// was written.
type Blobs interface {
	Get(key []byte) (value []byte, found bool, err error)
	PutMany(entries []store.KV) error
	Delete(keys ...[]byte) error
	Scan(prefix []byte, fn func(key, value []byte) error) error
}

// Leader takes submissions to whoever leads. Send returns nil when the leader
// has queued the submission, which promises nothing; it wraps ErrBusy or
// ErrNoLeader where that is why. It ends with ctx and does not change sub, which
// may be sent several times.
type Leader interface {
	Send(ctx context.Context, sub *record.Submitted, urgent bool) error
}

// A View is the ledger at one height (*store.State).
type View interface {
	Get(key []byte) ([]byte, error)
	IndexOf(id record.ID) (index uint64, found bool, err error)
	EndOf(height uint64) (*store.End, error)
	EndWith(index uint64) (*store.End, error)
	Leaf(index uint64) ([]byte, error)
}

// Config is what an Outbox needs. Functions and interfaces are required; zero
// sizes and durations mean the defaults of limits.go.
type Config struct {
	Origin string
	Blobs  Blobs
	Leader Leader
	Key    func(issuer string) (sign.Key, bool) // the issuer's signing key, where this node holds it
	NowMs  func() uint64                        // the consortium's clock
	State  func() View                          // the newest applied state
	Tick   func()                               // the log is idle and must move on: submit a tick record
	Stop   func(error)                          // the store failed: this node must halt
	Log    *slog.Logger

	Window     time.Duration // how long a request waits for company
	Lifetime   time.Duration // of a submission, by the consortium's clock
	Resend     time.Duration // until another try where sending failed; one that a leader queued is left alone for longer
	Retention  time.Duration // of completed requests, by the machine's clock
	MaxRecords int           // of a submission that joins requests
	MaxQueued  int           // records that are not answered yet; an eighth is kept for urgent ones
	Depth      int           // submissions on their way at once, per issuer
}

// Outbox takes requests and sees them into the ledger.
type Outbox struct {
	Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	begin  time.Time

	stripes [64]stripe
	laneMu  sync.RWMutex
	lanes   map[string]*lane
	held    atomic.Int64 // records not answered yet

	leaderMu   sync.Mutex
	leaderNew  chan struct{} // closed at a change of leader
	leaderless atomic.Int64  // nanoseconds after begin until which no leader is expected

	follow follower
	settle settler
	file   filer

	closing atomic.Bool
	failed  atomic.Pointer[error]
}

// Open reads back what was not completed and goes on with it.
func Open(c Config) (*Outbox, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	o := &Outbox{Config: c, begin: time.Now(), lanes: map[string]*lane{}, leaderNew: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.follow.wake = make(chan struct{}, 1)
	o.settle.wake = make(chan struct{}, 1)
	o.file.wake = make(chan struct{}, 1)
	for i := range o.stripes {
		o.stripes[i].active = map[requestKey]*call{}
	}
	if err := o.load(); err != nil {
		o.cancel()
		return nil, fmt.Errorf("read outbox back: %w", err)
	}
	for _, l := range o.lanes {
		o.wg.Go(l.run)
	}
	o.wg.Go(o.followLoop)
	o.wg.Go(o.settleLoop)
	o.wg.Go(o.fileLoop)
	poke(o.settle.wake)
	return o, nil
}

func (c *Config) check() error {
	for what, missing := range map[string]bool{"Origin": c.Origin == "", "Blobs": c.Blobs == nil, "Leader": c.Leader == nil,
		"Key": c.Key == nil, "NowMs": c.NowMs == nil, "State": c.State == nil, "Tick": c.Tick == nil, "Stop": c.Stop == nil, "Log": c.Log == nil} {
		if missing {
			return fmt.Errorf("%s is required", what)
		}
	}
	c.defaults()
	switch {
	case c.Lifetime >= record.MaxNotAfter:
		return fmt.Errorf("lifetime of %v, the rules allow less than %v", c.Lifetime, record.MaxNotAfter)
	case c.MaxRecords < 1 || c.MaxRecords > record.MaxRecords:
		return fmt.Errorf("%d records in a submission, 1 to %d", c.MaxRecords, record.MaxRecords)
	case c.Window < 0 || c.Lifetime <= 0 || c.Resend <= 0 || c.Retention <= 0 || c.MaxQueued < 1 || c.Depth < 1:
		return errors.New("a negative bound")
	}
	return nil
}

// LeaderChanged says that somebody else may lead now: open submissions are sent
// at once.
func (o *Outbox) LeaderChanged() {
	o.leaderMu.Lock()
	close(o.leaderNew)
	o.leaderNew = make(chan struct{})
	o.leaderMu.Unlock()
	o.leaderless.Store(0)
	for _, l := range o.allLanes() {
		poke(l.wake)
	}
}

func (o *Outbox) leaderChange() <-chan struct{} {
	o.leaderMu.Lock()
	defer o.leaderMu.Unlock()
	return o.leaderNew
}

// noLeaderFor returns for how long no leader is to be expected.
func (o *Outbox) noLeaderFor() time.Duration {
	until := o.leaderless.Load()
	if until == 0 {
		return 0
	}
	return max(0, time.Duration(until)-time.Since(o.begin))
}

// Held returns how many records wait or are under way.
func (o *Outbox) Held() int { return int(o.held.Load()) }

// Close stops. What is durable goes on at the next Open; its callers get
// ErrUnknown, those whose records were not durable ErrClosed.
func (o *Outbox) Close() error {
	o.close()
	o.wg.Wait()
	var err error
	if o.failed.Load() == nil {
		err = o.fileAll()
	}
	o.abandon()
	return err
}

// close ends what runs. No lane begins after it.
func (o *Outbox) close() {
	o.laneMu.Lock()
	o.closing.Store(true)
	o.laneMu.Unlock()
	o.cancel()
}

// stop is for a store whose last write has no known outcome: nothing more is
// written, and every caller is told what is known.
func (o *Outbox) stop(err error) {
	if !o.failed.CompareAndSwap(nil, &err) {
		return
	}
	o.Log.Error("the outbox stops: its store failed", "err", err)
	o.close()
	o.abandon()
	go o.Stop(fmt.Errorf("outbox: %w", err))
}

// over returns why no request is taken any more, nil while they are.
func (o *Outbox) over() error {
	if !o.closing.Load() {
		return nil
	}
	if err := o.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, *err)
	}
	return ErrClosed
}

// abandon answers everyone who still waits.
func (o *Outbox) abandon() {
	for i := range o.stripes {
		st := &o.stripes[i]
		st.mu.Lock()
		for _, c := range st.active {
			err := o.over()
			if c.attempted() {
				err = ErrUnknown
			}
			o.finish(c, nil, err)
		}
		st.mu.Unlock()
	}
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
