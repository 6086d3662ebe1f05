package transport

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestMain(m *testing.M) {
	TakeLibraryLogs(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

func TestNewRefuses(t *testing.T) {
	node := newTestNodes(t, 1)[0]
	good := func() Config {
		return Config{Key: node.key, Listen: "127.0.0.1:0", Admit: membersOf().admit, Log: slog.New(slog.DiscardHandler)}
	}
	for name, change := range map[string]func(*Config){
		"no key":       func(c *Config) { c.Key = nil },
		"no admit":     func(c *Config) { c.Admit = nil },
		"no log":       func(c *Config) { c.Log = nil },
		"no listen":    func(c *Config) { c.Listen = "" },
		"udp listen":   func(c *Config) { c.Listen = "/ip4/127.0.0.1/udp/0/quic-v1" },
		"peer no key":  func(c *Config) { c.Peers = []Peer{{Name: "x", Addr: "127.0.0.1:1"}} },
		"peer no addr": func(c *Config) { p := node.peer(); p.Addr = "nowhere"; c.Peers = []Peer{p} },
		"peer twice": func(c *Config) {
			other := newTestNodes(t, 1)[0].peer()
			again := other
			again.Name = "again"
			c.Peers = []Peer{other, again}
		},
	} {
		config := good()
		change(&config)
		if h, err := New(config); err == nil {
			h.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	h, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	taken := good()
	taken.Listen = h.Addr()
	if second, err := New(taken); err == nil {
		second.Close()
		t.Error("two hosts on one port")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Errorf("port in use: %v", err)
	}
}

func TestPeerIDRoundTrip(t *testing.T) {
	node := newTestNodes(t, 1)[0]
	decoded, err := peer.Decode(node.id.String())
	if err != nil {
		t.Fatal(err)
	}
	key, err := PublicKey(decoded)
	if err != nil || !bytes.Equal(key, node.peer().PublicKey) {
		t.Errorf("got %x, %v", key, err)
	}
	if !strings.HasPrefix(node.id.String(), "12D3KooW") { // libp2p's form of an Ed25519 key
		t.Errorf("peer id %s", node.id)
	}
	if _, err := PublicKey("nonsense"); err == nil {
		t.Error("a key out of nonsense")
	}
	if _, err := PeerID(make([]byte, 31)); err == nil {
		t.Error("a peer id of a short key")
	}
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:8082":           "/ip4/127.0.0.1/tcp/8082",
		"[::1]:8082":               "/ip6/::1/tcp/8082",
		"node.example.jp:8082":     "/dns/node.example.jp/tcp/8082",
		"/ip4/10.0.0.1/tcp/1":      "/ip4/10.0.0.1/tcp/1",
		"/dns4/a.example.jp/tcp/1": "/dns4/a.example.jp/tcp/1",
		"127.0.0.1":                "", ":8082": "", "127.0.0.1:http": "", "127.0.0.1:70000": "",
		"/ip4/127.0.0.1": "", "/ip4/127.0.0.1/tcp/1/ws": "", "a/b:1": "",
	} {
		got, err := parseAddr(in)
		if want == "" {
			if err == nil {
				t.Errorf("%s: accepted as %s", in, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
}

// The stranger knows everybody's address and key and would talk to anybody.
func TestStrangerRefused(t *testing.T) {
	nodes := newTestNodes(t, 3)
	inside, stranger := nodes[:2], nodes[2]
	var logged lockedBuffer
	a, err := New(Config{Key: nodes[0].key, Listen: nodes[0].addr, Peers: peersOf(nodes), Admit: membersOf(inside...).admit,
		Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	x := startHost(t, stranger, nodes, func(peer.ID) bool { return true })
	for _, h := range []*Host{a, x} {
		handle(t, h, "echo", echoLimits, echo)
	}
	start := time.Now()
	for range 20 {
		if _, err := x.Call(t.Context(), a.ID(), "echo", nil); err == nil {
			t.Fatal("a stranger's call was answered")
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("20 refusals took %v", took)
	}
	if _, err := a.Call(t.Context(), x.ID(), "echo", nil); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("a call to a stranger: %v", err)
	}
	if err := a.connect(t.Context(), x.ID(), true); err == nil { // the gater itself
		t.Error("the gater let a stranger be dialled")
	}
	within(t, beforeKeepalive, "no connection", func() bool { return !a.Connected(x.ID()) && !x.Connected(a.ID()) })
	if !strings.Contains(logged.String(), "not admitted") {
		t.Error("the refusal was not logged")
	}
}

// Somebody else listens at a member's address.
func TestWrongKeyAtAddress(t *testing.T) {
	nodes := newTestNodes(t, 3)
	impostor := testNode{key: nodes[2].key, id: nodes[2].id, addr: nodes[1].addr}
	a := startHost(t, nodes[0], nodes[:2], membersOf(nodes...).admit)
	x := startHost(t, impostor, nil, func(peer.ID) bool { return true })
	handle(t, x, "echo", echoLimits, echo)
	if _, err := a.Call(t.Context(), nodes[1].id, "echo", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestMembershipChanges(t *testing.T) {
	nodes := newTestNodes(t, 2)
	admitted := membersOf(nodes...)
	a := startHost(t, nodes[0], nodes, admitted.admit)
	b := startHost(t, nodes[1], nodes, membersOf(nodes...).admit)
	handle(t, a, "echo", echoLimits, echo)
	handle(t, b, "echo", echoLimits, echo)
	if _, err := b.Call(t.Context(), a.ID(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	admitted.remove(b.ID())
	// Even before SetPeers, an open stream is of no more use.
	if _, err := b.Call(t.Context(), a.ID(), "echo", nil); err == nil {
		t.Error("a former member's request on an open stream was answered")
	}
	if _, err := a.Call(t.Context(), b.ID(), "echo", nil); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("got %v", err)
	}
	if err := a.SetPeers(peersOf(nodes[:1])); err != nil {
		t.Fatal(err)
	}
	within(t, beforeKeepalive, "connection closed", func() bool { return !a.Connected(b.ID()) })
	if _, err := b.Call(t.Context(), a.ID(), "echo", nil); err == nil {
		t.Error("a former member came back")
	}
}

func TestSetPeersMovesAPeer(t *testing.T) {
	nodes := newTestNodes(t, 3)
	admit := membersOf(nodes...).admit
	moved := testNode{key: nodes[1].key, id: nodes[1].id, addr: nodes[2].addr}
	a := startHost(t, nodes[0], nodes[:2], admit)
	b := startHost(t, moved, nil, admit)
	handle(t, b, "echo", echoLimits, echo)
	if _, err := a.Call(t.Context(), b.ID(), "echo", nil); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v", err)
	}
	if err := a.SetPeers([]Peer{{Name: "broken"}}); err == nil {
		t.Error("a peer without a key was accepted")
	}
	if err := a.SetPeers([]Peer{moved.peer()}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(t.Context(), b.ID(), "echo", nil); err != nil {
		t.Fatal(err)
	}
}

func TestHandleRefuses(t *testing.T) {
	h := startHosts(t, 1)[0]
	for name, try := range map[string]func() error{
		"no handler":     func() error { return h.Handle("a", echoLimits, nil) },
		"bad name":       func() error { return h.Handle("a/b", echoLimits, echo) },
		"raft":           func() error { return h.Handle("raft", echoLimits, echo) },
		"no limits":      func() error { return h.Handle("a", Limits{}, echo) },
		"above the most": func() error { return h.Handle("a", Limits{Concurrency: 65}, echo) },
		"twice": func() error {
			return errors.Join(h.Handle("b", echoLimits, echo), h.Handle("b", echoLimits, echo))
		},
		"sum": func() error {
			var err error
			for _, name := range []string{"c", "d", "e", "f", "g", "h"} {
				err = errors.Join(err, h.Handle(name, echoLimits, echo))
			}
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := len(networkGoroutines())
	nodes := newTestNodes(t, 3)
	admit := membersOf(nodes...).admit
	var hosts []*Host
	var held atomic.Int32
	for _, n := range nodes {
		h := startHost(t, n, nodes, admit)
		handle(t, h, "echo", echoLimits, echo)
		handle(t, h, "hold", echoLimits, func(ctx context.Context, _ peer.ID, _ []byte) ([]byte, error) {
			held.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		hosts = append(hosts, h)
	}
	var calls sync.WaitGroup
	for i := range 30 {
		calls.Go(func() {
			to := hosts[(i+1)%3].ID()
			if _, err := hosts[i%3].Call(context.Background(), to, "echo", fill(1000)); err != nil {
				t.Error(err)
			}
			hosts[i%3].Call(context.Background(), to, "hold", nil)
		})
	}
	eventually(t, "a held call of each caller", func() bool { return held.Load() == 30 })
	for _, h := range hosts {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	calls.Wait()
	if _, err := hosts[0].Call(context.Background(), hosts[1].ID(), "echo", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
	checkNoLeak(t, before)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTakeLibraryLogs(t *testing.T) {
	var out lockedBuffer
	log := slog.New(libraryHandler{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})}).With("part", "p").WithGroup("g")
	log.Warn("unseen")
	log.Error("seen", "k", "v")
	if got := out.String(); strings.Contains(got, "unseen") || !strings.Contains(got, "level=DEBUG msg=seen part=p g.k=v") {
		t.Error(got)
	}
}
