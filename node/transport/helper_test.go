package transport

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/libp2p/go-libp2p/core/peer"
)

// testNode is a key with an address that stays the same across restarts.
type testNode struct {
	key  ed25519.PrivateKey
	id   peer.ID
	addr string
}

func (n testNode) peer() Peer {
	return Peer{Name: n.addr, PublicKey: n.key.Public().(ed25519.PublicKey), Addr: n.addr}
}

func newTestNodes(t testing.TB, count int) []testNode {
	t.Helper()
	nodes := make([]testNode, count)
	for i := range nodes {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := PeerID(key.Public().(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = testNode{key: key, id: id, addr: machine.FreeAddr(t)}
	}
	return nodes
}

// members is an admission list that tests can change.
type members struct {
	mu  sync.Mutex
	ids []peer.ID
}

func membersOf(nodes ...testNode) *members {
	m := &members{}
	for _, n := range nodes {
		m.ids = append(m.ids, n.id)
	}
	return m
}

func (m *members) admit(id peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.ids, id)
}

func (m *members) remove(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids = slices.DeleteFunc(m.ids, func(other peer.ID) bool { return other == id })
}

func peersOf(nodes []testNode) []Peer {
	peers := make([]Peer, len(nodes))
	for i, n := range nodes {
		peers[i] = n.peer()
	}
	return peers
}

func startHost(t testing.TB, node testNode, nodes []testNode, admit func(peer.ID) bool) *Host {
	t.Helper()
	h, err := New(Config{Key: node.key, Listen: node.addr, Peers: peersOf(nodes), Admit: admit, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// startHosts starts count hosts that admit each other.
func startHosts(t testing.TB, count int) []*Host {
	t.Helper()
	nodes := newTestNodes(t, count)
	hosts := make([]*Host, count)
	for i, n := range nodes {
		hosts[i] = startHost(t, n, nodes, membersOf(nodes...).admit)
	}
	return hosts
}

var echoLimits = Limits{MaxRequest: 1 << 20, MaxResponse: 1 << 20, Concurrency: 64}

func echo(_ context.Context, _ peer.ID, request []byte) ([]byte, error) { return request, nil }

func handle(t testing.TB, h *Host, name string, limits Limits, fn Handler) {
	t.Helper()
	if err := h.Handle(name, limits, fn); err != nil {
		t.Fatal(err)
	}
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

// beforeKeepalive is less than the muxer's keepalive takes to end what nothing else ended.
const beforeKeepalive = 15 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// networkGoroutines returns the stacks that belong to this package or to the
// libraries under it.
func networkGoroutines() []string {
	buffer := make([]byte, 4<<20)
	buffer = buffer[:runtime.Stack(buffer, true)]
	var found []string
	for _, stack := range strings.Split(string(buffer), "\n\n")[1:] { // without this one
		for _, part := range []string{"libp2p", "multiformats", "hashicorp/raft", "akashi/node/transport.(*"} {
			if strings.Contains(stack, part) {
				found = append(found, stack)
				break
			}
		}
	}
	return found
}

func checkNoLeak(t testing.TB, before int) {
	t.Helper()
	deadline := time.Now().Add(beforeKeepalive)
	for {
		left := networkGoroutines()
		if len(left) <= before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines left, %d before:\n%s", len(left), before, strings.Join(left, "\n\n"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func fill(sizeBytes int) []byte {
	b := make([]byte, sizeBytes)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}
