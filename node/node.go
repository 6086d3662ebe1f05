// Package node is one member's machine: it builds the parts, starts them in
// order, and stops them in the reverse order.
//
// # Start
//
// Settings, keys and genesis are read and checked against each other; then the
// ledger state (checked against its last seal), the blobs, the vault, the
// network, the way into the ledger, the cosigner (checked against the mark of what
// it last signed), the desk, and last Raft, which begins to deliver entries.
// The node is ready when it has seen a final checkpoint that is not below its
// own mark.
//
// # Stop
//
// A part that must not go on (damage, a failed sync, a fork) calls stop with
// the reason: the node closes and Wait returns it. Nothing is retried on a file
// after a failed sync.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/akashi-ledger/akashi/node/witness"
	"github.com/dgraph-io/badger/v4"
)

// A Node is a running node.
type Node struct {
	Dir      string
	Settings *Settings
	Founding *record.Founding
	Clock    *Clock
	Log      *slog.Logger

	keys      *Keys
	keysMu    sync.RWMutex
	issuers   issuers
	db        *badger.DB
	ledger    *store.Ledger
	blobs     *store.Blobs
	vault     *vault.Vault
	host      *transport.Host
	peers     atomic.Pointer[peers]
	seating   seating
	cosign    *cosign.Cosigner
	witnesses []*witness.Client
	kept      *evidence.Store
	recent    recentEntries
	outbox    *outbox.Outbox
	forest    *forest.Forest
	desk      *custody.Desk
	escrow    custodian
	near      neighbours
	replica   atomic.Pointer[replica.Replica]
	ticking   atomic.Bool // a tick makes room for commits to trees
	serving   atomic.Bool // other members' requests are answered
	deskOpen  atomic.Bool // those to the desk too

	finalMu  sync.Mutex
	finalCh  chan struct{} // closed when a height becomes final
	closing  chan struct{}
	started  chan struct{} // closed when start has returned: nothing is closed while parts are still opened
	stopOnce sync.Once
	stopped  chan struct{}
	reason   error
	wg       sync.WaitGroup
}

// Start opens a member's data directory and starts its node.
func Start(dir string, log *slog.Logger) (*Node, error) {
	if log == nil {
		return nil, errors.New("node: a logger is required")
	}
	n := &Node{Dir: dir, Log: log, finalCh: make(chan struct{}), closing: make(chan struct{}), started: make(chan struct{}), stopped: make(chan struct{})}
	err := n.start()
	if err == nil {
		n.wg.Go(n.watch)
	}
	close(n.started)
	if err != nil {
		n.stopOnce.Do(func() {
			close(n.closing)
			n.close()
			close(n.stopped)
		})
		<-n.stopped
		return nil, err
	}
	return n, nil
}

// slowPart is how long a part takes to open before the line that says that the node
// has started names it.
const slowPart = 50 * time.Millisecond

func (n *Node) start() error {
	genesis, err := n.read()
	if err != nil {
		return err
	}
	var took []slog.Attr
	for _, step := range []struct {
		what string
		do   func([]byte) error
	}{
		{"stores", n.openStores}, {"network", n.openNetwork}, {"outbox", n.openOutbox},
		{"witnesses", n.openWitnesses}, {"cosigner", n.openCosigner}, {"commitment trees", n.openForest}, {"custody of keys", n.openEscrow}, {"desk", n.openDeskUnlessRestored}, {"raft", n.openRaft}, {"desk after a restore", n.openDeskIfRestored},
	} {
		began := time.Now()
		if err := step.do(genesis); err != nil {
			return fmt.Errorf("start %s: %w", step.what, err)
		}
		if d := time.Since(began).Round(time.Millisecond); d >= slowPart {
			took = append(took, slog.Duration(step.what, d))
		}
	}
	n.Log.LogAttrs(context.Background(), slog.LevelInfo, "started", took...)
	n.background(n.watchAdvances)
	n.background(n.meetNeighbours)
	return nil
}

// read loads what an operator made, and checks that it fits together.
func (n *Node) read() (genesis []byte, err error) {
	if n.Settings, err = LoadSettings(n.Dir); err != nil {
		return nil, err
	}
	if n.keys, err = LoadKeys(n.Dir); err != nil {
		return nil, err
	}
	if genesis, err = os.ReadFile(filepath.Join(n.Dir, GenesisFile)); err != nil {
		return nil, err
	}
	rec, err := record.Parse(genesis)
	if err != nil {
		return nil, fmt.Errorf("genesis file: %w", err)
	}
	g, ok := rec.Body.(*record.Genesis)
	if !ok {
		return nil, errors.New("genesis file: not a genesis record")
	}
	n.Founding = &g.Founding
	n.Clock = NewClock(g.Founding.StoryTime, time.UnixMilli(int64(g.Founding.CreatedMs)))
	if n.keys.Log.Public() != g.Founding.LogKey {
		return nil, errors.New("the key file lacks the log's own key")
	}
	if n.Settings.Joined > 0 {
		return genesis, nil
	}
	for _, m := range g.Founding.Members {
		if m.ID != n.Settings.Member {
			continue
		}
		want := n.keys.MemberOf(m, g.Founding.Origin)
		if want.Key != m.Key || want.CosignKey != m.CosignKey || want.Peer != m.Peer || want.Approver != m.Approver {
			return nil, fmt.Errorf("the keys of %s are not those of the genesis file", m.ID)
		}
		return genesis, nil
	}
	return nil, fmt.Errorf("member %q is not in the genesis file: akashi join is for who joins later", n.Settings.Member)
}

// openStores opens the ledger state and the blobs at the same time: each reads much
// and needs a core.
func (n *Node) openStores(genesis []byte) error {
	blobs := make(chan error, 1)
	go func() { blobs <- n.openBlobs() }()
	err := n.openLedger(genesis)
	return errors.Join(err, <-blobs)
}

func (n *Node) openLedger(genesis []byte) error {
	err := n.repair()
	if err == nil {
		err = n.openState(genesis)
	}
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrLayout) {
		if err = n.setAside(err); err == nil {
			err = n.openState(genesis)
		}
	}
	if err != nil {
		return err
	}
	if n.Clock.Story() { // a story goes on where it was
		n.Clock.Set(time.UnixMilli(int64(n.ledger.State().TimeMs)))
	}
	return nil
}

func (n *Node) openState(genesis []byte) (err error) {
	if n.db, err = store.OpenState(filepath.Join(n.Dir, "state"), n.Log, store.WithoutSync()); err != nil {
		return err
	}
	if n.ledger, err = store.OpenLedger(n.db, genesis, register.Options{}, n.Log); err == nil {
		n.ledger.OnDamage(n.stop)
	}
	return err
}

// setAside moves a ledger state that is of no use out of the way. The Raft log, which is
// synced and kept whole, then delivers every batch again; what comes out is
// compared with the mark of what was last cosigned before anything is signed.
func (n *Node) setAside(why error) error {
	if n.db != nil {
		logClose(n.Log, "ledger state", n.db.Close())
		n.db, n.ledger = nil, nil
	}
	aside := filepath.Join(n.Dir, "state.damaged-"+time.Now().UTC().Format("20060102T150405.000000000"))
	n.Log.Error("the ledger state is derived again from the Raft log", "why", why.Error(), "kept", aside)
	return os.Rename(filepath.Join(n.Dir, "state"), aside)
}

func (n *Node) openBlobs() (err error) {
	if n.blobs, err = store.OpenBlobs(filepath.Join(n.Dir, "blobs"), n.Log); err != nil {
		return err
	}
	n.blobs.OnDamage(n.stop)
	slot, err := vault.OpenFileSlot(filepath.Join(n.Dir, SlotFile))
	if err != nil {
		return err
	}
	n.vault, err = vault.Open(slot, vaultBlobs{n.blobs, vaultPrefix}, vault.Options{OnStop: n.stop})
	return err
}

func (n *Node) openCosigner([]byte) (err error) {
	if n.kept, err = evidence.Open(n.Dir, n.Log); err != nil {
		return err
	}
	_, before := os.Lstat(filepath.Join(n.Dir, "raft")) // made after the mark
	n.cosign, err = cosign.New(cosign.Config{
		Fresh: errors.Is(before, fs.ErrNotExist),
		Self:  n.Settings.Member, Since: n.Settings.Joined, Keys: n.cosignerKeys, LogKey: n.keys.Log, Origin: n.Founding.Origin, Dir: n.Dir,
		State: n.ledger.State, Now: n.Clock.Now, Leader: n.Leader, Send: n.sendCosignatures,
		Witnesses: n.watched(), Offer: n.offer,
		Final: n.onFinal, Evidence: n.keepEvidence, Differs: n.onDiffers, Stop: n.stopCosigning, Log: n.Log,
	})
	return err
}

func (n *Node) openOutbox([]byte) (err error) {
	n.outbox, err = outbox.Open(outbox.Config{
		Origin: n.Founding.Origin, Blobs: n.blobs, Key: n.key, Leader: leaderLink{n},
		NowMs: func() uint64 { return uint64(n.Clock.Now().UnixMilli()) },
		State: func() outbox.View { return n.ledger.State() }, Tick: n.tick, Stop: n.stop, Log: n.Log,
	})
	return err
}

func (n *Node) openDesk([]byte) (err error) {
	n.desk, err = custody.New(custody.Config{
		Self: n.Settings.Member, Origin: n.Founding.Origin, Hosted: n.hosted, Vault: n.vault, Blobs: n.blobs,
		Poster: n.outbox, Network: deskLink{n}, Trees: n.forest, Copies: n.escrow.sender, State: n.FinalState, FreshAt: n.freshAt, Refresh: n.Refresh,
		Now: n.Clock.Now, AutoReceive: n.Settings.AutoReceive, Log: n.Log,
		Approve: n.approve, SignHold: n.signHold,
	})
	return err
}

func (n *Node) openForest([]byte) (err error) {
	n.forest, err = forest.New(forest.Config{
		Self: n.Settings.Member, Origin: n.Founding.Origin, Key: n.key, Poster: n.outbox, Send: n.sendCommit,
		Newest: n.ledger.State, Final: n.FinalState, Changed: n.FinalChanged, Growing: n.ledger.GrowingLeaf, Log: n.Log,
	})
	return err
}

func (n *Node) openRaft([]byte) error {
	founders, err := n.founders()
	if err != nil {
		return err
	}
	r, err := replica.New(replica.Config{
		Self: n.Settings.Member, Origin: n.Founding.Origin, Key: n.recordKey, Dir: n.Dir, Host: n.host,
		Local: raftName(n.host.ID()), Founders: founders, Servers: n.servers, Members: func() int { return len(n.peers.Load().seats) },
		Name: n.nameOf, Height: n.heightOf, Ledger: n.ledger, Cosigned: n.cosign.Marked(), Now: n.Clock.Now, Final: n.cosign.Quorum, Shown: n.cosign.Current, Changed: n.cosign.Changed, Beat: n.cosign.Beat,
		Twice: n.onTwice, Batch: n.onBatch, Committed: n.onCommitted, Leads: n.onLeader, Stop: n.stop, Log: n.Log,
	})
	if err == nil {
		n.replica.Store(r)
		n.serving.Store(true)
	}
	return err
}

// onBatch is called by the applying goroutine for every batch.
func (n *Node) onBatch(b *store.Batch) {
	n.recent.add(b.End.Height, b.Entry)
	if b.Result.Next != nil {
		n.epochBegins(b.End.Height, b.Result.Next)
	}
	n.cosign.Derived(b.End, b.Result.Next)
	n.outbox.Applied(b)
	if n.escrow.keeper != nil {
		n.escrow.keeper.Applied(b.Result.Writes)
	}
}

// onLeader is called when the leader changes.
func (n *Node) onLeader(string) {
	n.outbox.LeaderChanged()
	n.forest.LeaderChanged()
}

// onFinal is called when a checkpoint becomes final, in order.
func (n *Node) onFinal(f *cosign.Final) {
	n.ledger.Final(f.End.Height)
	n.outbox.Final(f.End.Height, f.End.TimeMs)
	n.epochsFinal(f)
	n.finalMu.Lock()
	close(n.finalCh)
	n.finalCh = make(chan struct{})
	n.finalMu.Unlock()
}

// stop halts the node for a reason. It does not wait.
func (n *Node) stop(reason error) {
	n.stopOnce.Do(func() {
		n.reason = reason
		if reason != nil {
			n.Log.Error("the node stops", "why", reason.Error())
			n.markDamaged(reason)
		}
		close(n.closing)
		go func() {
			<-n.started
			n.close()
			close(n.stopped)
		}()
	})
}

// Close stops the node and waits.
func (n *Node) Close() error {
	n.stop(nil)
	return n.Wait()
}

// Wait returns when the node has stopped, with the reason where a part of it
// had to halt.
func (n *Node) Wait() error {
	<-n.stopped
	return n.reason
}

// Done is closed when the node begins to stop.
func (n *Node) Done() <-chan struct{} { return n.closing }

func (n *Node) close() {
	if r := n.replica.Load(); r != nil {
		logClose(n.Log, "raft", r.Close())
	}
	for _, w := range n.witnesses {
		logClose(n.Log, "witness", w.Close())
	}
	if n.desk != nil {
		logClose(n.Log, "desk", n.desk.Close())
	}
	if n.forest != nil {
		logClose(n.Log, "commitment trees", n.forest.Close())
	}
	if n.outbox != nil {
		logClose(n.Log, "outbox", n.outbox.Close())
	}
	if n.cosign != nil {
		logClose(n.Log, "cosigner", n.cosign.Close())
	}
	if n.host != nil {
		logClose(n.Log, "network", n.host.Close())
	}
	n.wg.Wait()
	if n.escrow.copies != nil {
		logClose(n.Log, "vault of copies", n.escrow.copies.Close())
	}
	if n.vault != nil {
		logClose(n.Log, "vault", n.vault.Close())
	}
	if n.blobs != nil {
		logClose(n.Log, "blobs", n.blobs.Close())
	}
	if n.db != nil {
		logClose(n.Log, "ledger state", n.db.Close())
	}
}

func logClose(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Warn("not closed cleanly", "part", what, "err", err)
	}
}

// watchdog bounds.
const (
	probeEvery = 5 * time.Second
	probeLimit = 20 * time.Second
)

// watch runs what happens by the clock: the desk's duties, and a watchdog that
// stops a node whose disk hangs (Raft's heartbeats go on then, and a hung leader
// would keep its followers).
func (n *Node) watch() {
	second, probe := time.NewTicker(time.Second), time.NewTicker(probeEvery)
	defer second.Stop()
	defer probe.Stop()
	for {
		select {
		case <-n.closing:
			return
		case <-second.C:
			n.desk.Tick(context.Background())
			n.escrowDuties()
		case <-probe.C:
			done := make(chan error, 1)
			go func() {
				done <- writeFile(filepath.Join(n.Dir, "probe"), []byte(time.Now().Format(time.RFC3339)), 0o600)
			}()
			select {
			case err := <-done:
				if err != nil {
					n.stop(fmt.Errorf("watchdog: %w", err))
				}
			case <-time.After(probeLimit):
				n.Log.Error("watchdog: the disk has not answered", "seconds", probeLimit.Seconds())
				os.Exit(3) // closing would wait for the same disk
			case <-n.closing:
				return
			}
		}
	}
}
