package transport

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// tally counts the different entries that a node has applied: one whose leader lost its
// office before it could answer is sent again.
type tally struct {
	mu      sync.Mutex
	entries map[string]bool
}

func (c *tally) Apply(entry *raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[string(entry.Data)] = true
	return len(c.entries)
}
func (c *tally) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
func (c *tally) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("not in this test") }
func (c *tally) Restore(io.ReadCloser) error         { return fmt.Errorf("not in this test") }

type raftNode struct {
	node  testNode
	nodes []testNode
	store *raft.InmemStore // the node's disk
	snaps raft.SnapshotStore

	host  *Host
	trans *RaftTransport
	raft  *raft.Raft
	state *tally
}

func (n *raftNode) start(t *testing.T) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n.host = startHost(t, n.node, n.nodes, membersOf(n.nodes...).admit)
	trans, err := NewRaftTransport(n.host, log)
	if err != nil {
		t.Fatal(err)
	}
	n.trans, n.state = trans, &tally{entries: map[string]bool{}}
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(n.node.id.String())
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
	config.CommitTimeout = 2 * time.Millisecond
	config.Logger = RaftLogger(log)
	n.raft, err = raft.NewRaft(config, n.state, n.store, n.store, n.snaps, trans)
	if err != nil {
		t.Fatal(err)
	}
}

func (n *raftNode) stop(t *testing.T) {
	t.Helper()
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
	n.trans.Close()
	if err := n.host.Close(); err != nil {
		t.Error(err)
	}
}

func leaderOf(nodes []*raftNode) *raftNode {
	for _, n := range nodes {
		if n.raft.State() == raft.Leader {
			return n
		}
	}
	return nil
}

// leading waits for a leader: on a machine that is busy, one may step down at any time.
func leading(t *testing.T, nodes []*raftNode) (leader *raftNode) {
	t.Helper()
	eventually(t, "a leader", func() bool { leader = leaderOf(nodes); return leader != nil })
	return leader
}

func TestRaftCluster(t *testing.T) {
	before := len(networkGoroutines())
	nodes := newTestNodes(t, 3)
	var cluster []*raftNode
	var servers []raft.Server
	for _, n := range nodes {
		id := n.id.String()
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		cluster = append(cluster, &raftNode{node: n, nodes: nodes, store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()})
	}
	for _, n := range cluster {
		n.start(t)
	}
	if got := cluster[0].trans.LocalAddr(); string(got) != nodes[0].id.String() {
		t.Errorf("local address %s", got)
	}
	if err := cluster[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a leader", func() bool { return leaderOf(cluster) != nil })

	applied := 0
	apply := func(count int) {
		t.Helper()
		for range count {
			eventually(t, "an entry is applied", func() bool {
				return leading(t, cluster).raft.Apply([]byte(fmt.Sprintf("entry %d", applied)), 5*time.Second).Error() == nil
			})
			applied++
		}
	}
	apply(100)
	for _, n := range cluster {
		eventually(t, "all entries everywhere", func() bool { return n.state.len() == applied })
	}

	// A follower restarts on the same address and catches up at once.
	var follower *raftNode
	for _, n := range cluster {
		if n.raft.State() != raft.Leader {
			follower = n
		}
	}
	follower.stop(t)
	apply(50)
	time.Sleep(500 * time.Millisecond) // the leader's dials fail meanwhile
	follower.start(t)
	start := time.Now()
	eventually(t, "the follower has caught up", func() bool { return follower.state.len() == applied })
	t.Logf("caught up in %v", time.Since(start))

	// The leader goes: another one is elected and the old one follows.
	old := leading(t, cluster)
	old.stop(t)
	var rest []*raftNode
	for _, n := range cluster {
		if n != old {
			rest = append(rest, n)
		}
	}
	eventually(t, "a new leader", func() bool { return leaderOf(rest) != nil })
	old.start(t)
	eventually(t, "one leader", func() bool { return leaderOf(cluster) != nil })
	apply(10)
	eventually(t, "the old leader has caught up", func() bool { return old.state.len() == applied })

	for _, n := range cluster {
		n.stop(t)
	}
	checkNoLeak(t, before)
}

func TestStreamLayer(t *testing.T) {
	hosts := startHosts(t, 2)
	a, err := NewStreamLayer(hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewStreamLayer(hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewStreamLayer(hosts[0]); err == nil {
		t.Error("two stream layers on one host")
	}
	if _, err := a.Dial("nobody", time.Second); err == nil {
		t.Error("dialled an address that is no peer id")
	}
	out, err := a.Dial(raft.ServerAddress(b.Addr().String()), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if in.RemoteAddr().String() != hosts[0].ID().String() || in.LocalAddr().String() != hosts[1].ID().String() {
		t.Errorf("addresses %s and %s", in.RemoteAddr(), in.LocalAddr())
	}
	in.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	var timeout net.Error
	if _, err := in.Read(make([]byte, 1)); !asTimeout(err, &timeout) {
		t.Errorf("read after its deadline: %v", err)
	}
	in.SetReadDeadline(time.Time{})
	out.Write([]byte("x"))
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		t.Error(err)
	}

	accepted := make(chan error)
	go func() { _, err := b.Accept(); accepted <- err }()
	read := make(chan error)
	go func() { _, err := in.Read(make([]byte, 1)); read <- err }()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; err != net.ErrClosed {
		t.Errorf("Accept after Close: %v", err)
	}
	if err := <-read; err == nil {
		t.Error("an accepted stream outlives its layer")
	}
	if _, err := a.Dial(raft.ServerAddress(b.Addr().String()), time.Second); err == nil {
		t.Error("dialled a closed layer")
	}
	if again, err := NewStreamLayer(hosts[1]); err != nil {
		t.Errorf("a new layer after Close: %v", err)
	} else {
		again.Close()
	}
}

func TestAcceptQueueIsBounded(t *testing.T) {
	hosts := startHosts(t, 2)
	a, err := NewStreamLayer(hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewStreamLayer(hosts[1])
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	to := raft.ServerAddress(hosts[1].ID().String())
	for range acceptQueueLen + 20 {
		conn, err := a.Dial(to, 5*time.Second)
		if err == nil {
			defer conn.Close()
		}
	}
	eventually(t, "a full queue", func() bool { return len(b.accept) == acceptQueueLen })
	eventually(t, "the others refused", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.open) == acceptQueueLen
	})
}

func asTimeout(err error, target *net.Error) bool {
	timeout, ok := err.(net.Error)
	if ok {
		*target = timeout
	}
	return ok && timeout.Timeout()
}
