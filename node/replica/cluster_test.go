package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/peer"
)

// cluster is four members in one process: real network, Raft log and disk.
type cluster struct {
	t       *testing.T
	c       *ledgertest.Consortium
	peers   []transport.Peer
	ids     map[string]peer.ID
	servers map[string]raft.ServerID
	dirs    map[string]string
	nodes   map[string]*member
	ahead   map[string]*atomic.Int64 // nanoseconds that a member's clock is ahead
}

type member struct {
	id      string
	db      *badger.DB
	host    *transport.Host
	ledger  *store.Ledger
	cosign  *cosign.Cosigner
	replica atomic.Pointer[replica.Replica]
	stopped atomic.Pointer[error]
	twice   atomic.Int32 // places with two headers
	liar    atomic.Pointer[string]
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := ledgertest.New(t, ledgertest.Options{FoundedMs: uint64(time.Now().UnixMilli())})
	cl := &cluster{t: t, c: c, ids: map[string]peer.ID{}, servers: map[string]raft.ServerID{}, dirs: map[string]string{}, nodes: map[string]*member{}, ahead: map[string]*atomic.Int64{}}
	for _, m := range c.Members {
		pub := m.Peer.Public()
		id, err := transport.PeerID(pub[:])
		if err != nil {
			t.Fatal(err)
		}
		cl.peers = append(cl.peers, transport.Peer{Name: m.ID, PublicKey: pub[:], Addr: machine.FreeAddr(t)})
		cl.ahead[m.ID] = new(atomic.Int64)
		cl.ids[m.ID], cl.servers[m.ID], cl.dirs[m.ID] = id, raft.ServerID(id.String()), t.TempDir()
	}
	for _, m := range c.Members {
		cl.start(m.ID)
	}
	t.Cleanup(func() {
		for id := range cl.nodes {
			cl.stop(id)
		}
	})
	return cl
}

func (cl *cluster) start(id string) *member {
	cl.t.Helper()
	must := func(err error) {
		if err != nil {
			cl.t.Helper()
			cl.t.Fatalf("start %s: %v", id, err)
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(cl.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})).With("member", id)
	}
	m, keys, i := &member{id: id}, cl.c.Member(id), 0
	for cl.c.Members[i].ID != id {
		i++
	}
	var err error
	m.db, err = store.OpenState(filepath.Join(cl.dirs[id], "state"), log)
	must(err)
	m.ledger, err = store.OpenLedger(m.db, cl.c.Leaves[0], register.Options{}, log)
	must(err)
	known := map[peer.ID]bool{}
	for _, p := range cl.ids {
		known[p] = true
	}
	m.host, err = transport.New(transport.Config{Key: keys.Peer.Private(), Listen: cl.peers[i].Addr, Peers: cl.peers,
		Admit: func(p peer.ID) bool { return known[p] }, Log: log})
	must(err)
	now := func() time.Time { return time.Now().Add(time.Duration(cl.ahead[id].Load())) }
	stop := func(err error) { m.stopped.Store(&err) }
	leader := func() string {
		if r := m.replica.Load(); r != nil {
			return r.Leader()
		}
		return ""
	}
	m.cosign, err = cosign.New(cosign.Config{Self: id, Keys: func() []sign.Key { return []sign.Key{keys.Cosign} }, LogKey: cl.c.Log, Origin: cl.c.Origin, Dir: cl.dirs[id],
		State: m.ledger.State, Now: now, Leader: leader, Stop: stop, Log: log, Fresh: true,
		Send: func(ctx context.Context, to string, b []byte) error {
			_, err := m.host.Call(ctx, cl.ids[to], "cosign", b)
			return err
		},
		Differs:  func(_ *sign.Policy, member string, _ receipt.Cosigned) { cl.t.Errorf("%s differs from %s", member, id) },
		Evidence: func(file []byte) { cl.t.Errorf("evidence at %s: %s", id, file) },
		Final:    func(f *cosign.Final) { m.ledger.Final(f.End.Height) }})
	must(err)
	must(m.host.Handle("cosign", transport.Limits{MaxRequest: 1 << 20, MaxResponse: 1 << 10, Concurrency: 8},
		func(_ context.Context, _ peer.ID, b []byte) ([]byte, error) { return nil, m.cosign.Receive(b) }))
	r, err := replica.New(replica.Config{Self: id, Origin: cl.c.Origin, Key: func() (sign.Key, bool) { return keys.Key, true }, Dir: cl.dirs[id], Host: m.host,
		Local: cl.servers[id], Founders: cl.servers, Servers: func() map[string]raft.ServerID { return cl.servers },
		Members: func() int { return len(cl.servers) }, Name: cl.nameOf, Height: func(context.Context, string) (uint64, error) { return 0, nil },
		Ledger: m.ledger, Now: now, Final: m.cosign.Quorum, Shown: m.cosign.Current, Changed: m.cosign.Changed, Beat: m.cosign.Beat,
		Twice: func(a, b *record.Header) { m.twice.Add(1); m.liar.Store(&a.Leader) },
		Batch: func(b *store.Batch) { m.cosign.Derived(b.End, b.Result.Next) }, Committed: func([]byte, *forest.Result) {}, Leads: func(string) {}, Stop: stop, Log: log})
	must(err)
	m.replica.Store(r)
	cl.nodes[id] = m
	return m
}

func (cl *cluster) stop(id string) {
	m := cl.nodes[id]
	delete(cl.nodes, id)
	for what, err := range map[string]error{"replica": m.replica.Load().Close(), "cosign": m.cosign.Close(), "host": m.host.Close(), "db": m.db.Close()} {
		if err != nil {
			cl.t.Errorf("close %s of %s: %v", what, id, err)
		}
	}
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

// eventually waits for a condition.
func (cl *cluster) eventually(what string, ok func() bool) {
	cl.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	for id, m := range cl.nodes {
		st, f := m.ledger.State(), m.cosign.Current()
		cl.t.Logf("%s: height %d, final %v, leader %q, stopped %v", id, st.Height, f != nil, m.replica.Load().Leader(), m.stopped.Load())
	}
	cl.t.Fatalf("%s: not within %v", what, patience)
}

// submit brings records in through whoever leads, and waits until all nodes
// that run see them final.
func (cl *cluster) submit(issuer string, recs ...*record.Record) {
	cl.t.Helper()
	cl.c.NowMs = uint64(time.Now().UnixMilli())
	sub := cl.c.Submit(issuer, recs...)
	cl.eventually("submit", func() bool {
		for _, m := range cl.nodes {
			err := m.replica.Load().Submit(issuer, &sub, false)
			if err == nil {
				return true
			}
			if !errors.Is(err, replica.ErrNotLeader) {
				cl.t.Fatal(err)
			}
		}
		return false
	})
	for id, m := range cl.nodes {
		cl.eventually(fmt.Sprintf("final at %s", id), func() bool {
			f := m.cosign.Current()
			if f == nil {
				return false
			}
			st, ok := m.ledger.At(f.End.Height)
			if !ok {
				return false
			}
			_, found, err := st.IndexOf(recs[len(recs)-1].ID)
			return err == nil && found
		})
	}
}

// same wants all running nodes to have the same log and register.
func (cl *cluster) same() {
	cl.t.Helper()
	cl.eventually("same roots", func() bool {
		var first *store.State
		for _, m := range cl.nodes {
			st := m.ledger.State()
			if first == nil {
				first = st
			}
			if st.End != first.End {
				return false
			}
		}
		return true
	})
	for id, m := range cl.nodes {
		if err := m.stopped.Load(); err != nil {
			cl.t.Errorf("%s stopped: %v", id, *err)
		}
	}
}

func TestClusterFinal(t *testing.T) {
	cl := newCluster(t)
	c := cl.c
	cl.submit("a-sha", c.Service("a-portal"))
	terms, hash := c.Terms(c.Screen("a-portal", "1"))
	cl.submit("a-sha", terms)
	hana := c.Person("hana").Handle("a-portal", 0)
	cl.submit("a-sha", c.GrantAt(0, record.Digest{}, hana, hash, 0))
	for range 20 {
		cl.submit("a-sha", c.Provision(hana.Public(), 1, 0, "b-sha"))
	}
	cl.same()
	for id, m := range cl.nodes {
		f := m.cosign.Current()
		open, err := c.Policy().Open(f.Note())
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if open.Size != f.End.Size {
			t.Errorf("%s: note of size %d, final %d", id, open.Size, f.End.Size)
		}
	}
}

func TestClusterSurvivesLossOfOne(t *testing.T) {
	cl := newCluster(t)
	cl.submit("pf", cl.c.Tick())
	leader := ""
	cl.eventually("leader", func() bool {
		for _, m := range cl.nodes {
			leader = m.replica.Load().Leader()
		}
		return leader != ""
	})
	cl.stop(leader)
	cl.submit("pf", cl.c.Tick())
	cl.start(leader)
	cl.submit("pf", cl.c.Tick())
	cl.same()
}

// nameOf returns the member of a name in Raft.
func (cl *cluster) nameOf(s raft.ServerID) string {
	for id, name := range cl.servers {
		if name == s {
			return id
		}
	}
	return ""
}
