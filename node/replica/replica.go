// Package replica puts batches into the Raft log and takes them out again.
//
// It translates only: what a batch means is ledger/rules, what it leaves behind
// is node/store. A leader groups submissions into entries under a signed header;
// every node hands committed entries to the ledger in order.
//
// # Invariants
//
//   - A leader signs one header for each place (epoch, term, previous header).
//     It starts after a barrier, and after any error of Apply it resigns and
//     signs no more in that term.
//   - No header is signed that the rules would void: it follows the last header
//     signed, its time is within what the cited checkpoint allows, and it cites
//     a final checkpoint at most 32 batches back.
//   - The second of two headers for one place has no effect, and its signer is
//     named.
//   - A header is signed with the key that the register has before its batch, and
//     the first one of a policy epoch cites the end that closed the epoch before:
//     after an entry that may change either, the leader waits until it is applied.
//   - An entry is applied once: the ledger knows the Raft index of the last.
//   - An error of the ledger stops the node.
//
// Commits to commitment trees go through the same log, each an entry by itself:
// they stand in no chain, and whoever leads proposes them as they come.
//
// A Raft commit is not an acknowledgement; package cosign says what is final.
package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// Bounds.
const (
	logCache     = 16                     // entries of up to 512 KiB in memory for followers
	depth        = 2                      // entries proposed and not yet applied
	queueLen     = 4096                   // submissions waiting at the leader, of all members
	queueBytes   = 64 << 20               // that these take
	maxOpen      = record.CitedWindow - 2 // batches that may be not final before proposing stops
	applyTimeout = 10 * time.Second
	stallAfter   = 5 * time.Second  // of finality before leadership is handed on
	resignWithin = 30 * time.Second // or the node stops
)

// Errors that a caller meets; both are worth trying again.
var (
	ErrNotLeader = errors.New("this node does not lead")
	ErrBusy      = errors.New("the leader's queue is full")
)

// Config is what a Replica needs; every field is required.
type Config struct {
	Self     string // member id
	Origin   string
	Key      func() (sign.Key, bool) // signs headers: the key that the register has for this member
	Dir      string                  // of the Raft log
	Host     *transport.Host
	Local    raft.ServerID            // this node
	Founders map[string]raft.ServerID // by member id: voters of a new cluster; empty for a node that joins one
	// Servers says whose nodes belong to the cluster, by member id: the members of
	// the newest policy epoch. Nil while that begins on an end that is not final here.
	Servers func() map[string]raft.ServerID
	Members func() int                 // between whom the leader's room is shared
	Name    func(raft.ServerID) string // the member of a node, "" for none
	// Height asks a member how far it has derived the log.
	Height   func(ctx context.Context, member string) (uint64, error)
	Ledger   *store.Ledger
	Cosigned uint64                 // height that this member has cosigned, 0 for none
	Now      func() time.Time       // the consortium's clock
	Final    func() *cosign.Final   // the highest checkpoint that k members cosigned
	Shown    func() *cosign.Final   // the highest that is final under the policy: the same, or behind it while witnesses are awaited
	Changed  func() <-chan struct{} // closed when either rises
	Beat     func()                 // asks members for fresh cosignatures
	Batch    func(b *store.Batch)   // called for every applied batch; must not block
	// Committed is called for every applied commit to a tree; it must not block.
	Committed func(entry []byte, r *forest.Result)
	Leads     func(leader string) // called when the leader changes; must not block
	// Twice hears of a leader that signed two headers for one place; it must not
	// block.
	Twice func(a, b *record.Header)
	Stop  func(error) // this node must halt
	Log   *slog.Logger
}

// Replica is this node's part of the Raft cluster.
type Replica struct {
	Config
	raft    *raft.Raft
	headers headers
	logs    *wal.WAL
	trans   *transport.RaftTransport
	queue   *queue
	applied chan struct{} // an entry of ours was applied or failed
	done    chan struct{}
	seated  chan struct{} // seatAll has ended
	stopped chan struct{}
	resigns atomic.Bool  // leads by name, and proposes nothing more
	open    atomic.Int64 // proposed and not yet applied
	failed  atomic.Uint64
	commits shares // commits to trees that are under way
}

// New opens the Raft log and joins the cluster; an empty log is bootstrapped
// with all founders as voters, or waits for the cluster's leader where there are
// none.
func New(c Config) (*Replica, error) {
	r := &Replica{Config: c, queue: newQueue(c.Members), applied: make(chan struct{}, 2*depth),
		done: make(chan struct{}), seated: make(chan struct{}), stopped: make(chan struct{}),
		headers: headers{ledger: c.Ledger, origin: c.Origin, twice: c.Twice}}
	dir := filepath.Join(c.Dir, "raft")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if r.logs, err = wal.Open(dir, wal.WithLogger(transport.RaftLogger(calm(c.Log)))); err != nil {
		return nil, fmt.Errorf("open the Raft log: %w", err)
	}
	if err := r.start(); err != nil {
		r.logs.Close()
		return nil, err
	}
	go r.propose()
	go r.seatAll()
	return r, nil
}

func (r *Replica) start() error {
	cfg := raft.DefaultConfig()
	cfg.LocalID = r.Local
	cfg.Logger = transport.RaftLogger(calm(r.Log))
	cfg.CommitTimeout = 2 * time.Millisecond
	cfg.MaxAppendEntries = 16
	cfg.NoSnapshotRestoreOnStart = true
	cfg.SnapshotInterval, cfg.SnapshotThreshold = 24*time.Hour, 1<<62
	cached, err := raft.NewLogCache(logCache, r.logs)
	if err != nil {
		return err
	}
	if r.trans, err = transport.NewRaftTransport(r.Host, calm(r.Log)); err != nil {
		return err
	}
	snaps := raft.NewDiscardSnapshotStore()
	known, err := raft.HasExistingState(r.logs, r.logs, snaps)
	if err != nil {
		return fmt.Errorf("read the Raft log: %w", err)
	}
	if err := r.checkLog(known); err != nil {
		return err
	}
	if !known && len(r.Founders) > 0 {
		if err := raft.BootstrapCluster(cfg, r.logs, r.logs, snaps, r.trans, r.voters()); err != nil {
			return fmt.Errorf("bootstrap Raft: %w", err)
		}
	}
	if r.raft, err = raft.NewRaft(cfg, fsm{r}, cached, r.logs, snaps, r.trans); err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	ch := make(chan raft.Observation, 16)
	r.raft.RegisterObserver(raft.NewObserver(ch, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	}))
	go func() {
		for {
			select {
			case <-ch:
				r.Leads(r.Leader())
			case <-r.stopped:
				return
			}
		}
	}()
	return nil
}

// ErrLogLost says that the Raft log is not the one that this member voted with.
// With a shorter one it could elect a leader that lacks what is final: it must
// not take part.
var ErrLogLost = errors.New("the Raft log was lost or cut: this member must not vote with it")

// checkLog compares the log with what this member did before: the log is synced,
// so it never ends before what was applied from it, and who has cosigned a batch
// has a log.
func (r *Replica) checkLog(known bool) error {
	if !known && r.Cosigned > 0 {
		return fmt.Errorf("%w: it is empty, and height %d was cosigned", ErrLogLost, r.Cosigned)
	}
	last, err := r.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read the Raft log: %w", err)
	}
	if last < r.Ledger.RaftIndex() {
		return fmt.Errorf("%w: it ends at %d, and %d was applied", ErrLogLost, last, r.Ledger.RaftIndex())
	}
	return nil
}

func (r *Replica) voters() raft.Configuration {
	var c raft.Configuration
	for _, id := range r.Founders {
		c.Servers = append(c.Servers, raft.Server{ID: id, Address: raft.ServerAddress(id)})
	}
	return c
}

// Leader returns the member that leads, "" where none is known.
func (r *Replica) Leader() string {
	_, id := r.raft.LeaderWithID()
	if id == "" {
		return ""
	}
	return r.Name(id)
}

// Submit queues a member's submission at this node, which must lead. It does not
// wait for anything. What no entry can hold is a *record.Refusal: it would make
// the whole entry void.
func (r *Replica) Submit(from string, s *record.Submitted, urgent bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	size, _ := sizeOf(s)
	if size > room {
		return record.Refuse(record.CodeRecordOversize, "a submission of %d bytes, at most %d", size, room)
	}
	if r.raft.State() != raft.Leader || r.resigns.Load() {
		return ErrNotLeader
	}
	if !r.queue.add(from, s, urgent) {
		return ErrBusy
	}
	return nil
}

// Close leaves the cluster's work and closes the log.
func (r *Replica) Close() error {
	close(r.stopped)
	err := r.raft.Shutdown().Error()
	<-r.done
	<-r.seated
	return errors.Join(err, r.trans.Close(), r.logs.Close())
}

// calm lowers what the Raft library logs by two levels: it calls a member that is
// down an error, many times a second.
func calm(log *slog.Logger) *slog.Logger { return slog.New(calmer{log.Handler()}) }

type calmer struct{ slog.Handler }

const oneLevel = slog.LevelError - slog.LevelWarn

// Enabled implements slog.Handler.
func (c calmer) Enabled(ctx context.Context, l slog.Level) bool {
	return c.Handler.Enabled(ctx, l-2*oneLevel)
}

// Handle implements slog.Handler.
func (c calmer) Handle(ctx context.Context, r slog.Record) error {
	r.Level -= 2 * oneLevel
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (c calmer) WithAttrs(attrs []slog.Attr) slog.Handler { return calmer{c.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (c calmer) WithGroup(name string) slog.Handler { return calmer{c.Handler.WithGroup(name)} }

// fsm hands committed entries to the ledger.
type fsm struct{ r *Replica }

// Apply is called by Raft for every committed entry, in order.
func (f fsm) Apply(l *raft.Log) any {
	if l.Type != raft.LogCommand || l.Index <= f.r.Ledger.RaftIndex() {
		return nil
	}
	if forest.IsEntry(l.Data) {
		return f.applyCommit(l)
	}
	b, err := f.r.Ledger.Apply(l.Index, l.Data)
	if err != nil {
		f.r.Stop(err)
		return err
	}
	if b.Result.Void != nil {
		f.r.Log.Warn("a batch is void", "index", l.Index, "why", b.Result.Void.Error())
		if err := f.r.headers.void(l.Data); err != nil {
			f.r.Stop(err)
			return err
		}
		return b
	}
	f.r.headers.applied(b.Result.Seal.Header)
	f.r.Batch(b)
	return b
}

// Snapshot is refused: the Raft log is kept whole in this version.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("the Raft log is kept whole")
}

// Restore is refused for the same reason.
func (f fsm) Restore(rc io.ReadCloser) error {
	rc.Close()
	return errors.New("the Raft log is kept whole")
}
