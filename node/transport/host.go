package transport

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mss "github.com/multiformats/go-multistream"
)

// Config is what a Host needs. All fields but Peers are required.
type Config struct {
	Key    ed25519.PrivateKey // this node's identity
	Listen string             // host:port or a TCP multiaddr; port 0 chooses one
	Peers  []Peer             // where the others are; this node itself is ignored
	// Admit says whether a peer belongs to the consortium now. It is called for
	// every connection, stream and request, from many goroutines, so it must be
	// fast and must not call the Host.
	Admit func(peer.ID) bool
	Log   *slog.Logger
}

// Host is this node's end of all connections.
type Host struct {
	self   peer.ID
	admit  func(peer.ID) bool
	log    *slog.Logger
	swarm  *swarm.Swarm
	mux    *mss.MultistreamMuxer[protocol.ID]
	closer []io.Closer

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu        sync.Mutex
	closed    bool
	known     map[peer.ID]ma.Multiaddr
	protocols map[string]Limits
	pools     map[poolKey]*pool
	down      map[peer.ID]downMark
	probing   map[network.Conn]bool
	handlers  sync.WaitGroup // inbound streams and probes; Add only by begin
}

type downMark struct {
	until time.Time
	err   error
}

// New starts a host and listens. Connections are made when they are needed.
func New(config Config) (*Host, error) {
	if config.Admit == nil || config.Log == nil {
		return nil, errors.New("transport: Admit and Log are required")
	}
	if len(config.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("transport: Key must be an Ed25519 private key")
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(config.Key)
	if err != nil {
		return nil, fmt.Errorf("transport: key: %w", err)
	}
	self, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("transport: key: %w", err)
	}
	listen, err := parseAddr(config.Listen)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %w", err)
	}
	h := &Host{
		self:      self,
		admit:     config.Admit,
		log:       config.Log,
		mux:       mss.NewMultistreamMuxer[protocol.ID](),
		protocols: make(map[string]Limits),
		pools:     make(map[poolKey]*pool),
		down:      make(map[peer.ID]downMark),
		probing:   make(map[network.Conn]bool),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	err = h.buildSwarm(key)
	if err == nil {
		err = h.SetPeers(config.Peers)
	}
	if err == nil {
		err = h.swarm.AddListenAddr(listen)
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("transport: start at %s: %w", config.Listen, err)
	}
	return h, nil
}

// buildSwarm puts together what libp2p.New would, without the services that a
// closed consortium has no use for: identify, ping, relay, AutoNAT and the
// other transports. Port reuse is off: it would let two nodes listen on one
// port without an error.
func (h *Host) buildSwarm(key crypto.PrivKey) error {
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return err
	}
	h.closer = append(h.closer, store)
	if err := errors.Join(store.AddPrivKey(h.self, key), store.AddPubKey(h.self, key.GetPublic())); err != nil {
		return err
	}
	resources, err := newResourceManager()
	if err != nil {
		return err
	}
	h.closer = append(h.closer, resources)
	gate := &gater{admit: h.admit, inbound: newInboundLimiter(), log: h.log}
	h.swarm, err = swarm.NewSwarm(h.self, store, eventbus.NewBus(),
		swarm.WithConnectionGater(gate), swarm.WithResourceManager(resources),
		swarm.WithDialTimeout(dialTimeout), swarm.WithDialTimeoutLocal(dialTimeout))
	if err != nil {
		return err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: newMuxer()}}
	secure, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	upgrade, err := upgrader.New([]sec.SecureTransport{secure}, muxers, nil, resources, gate,
		upgrader.WithAcceptTimeout(acceptTimeout))
	if err != nil {
		return err
	}
	wire, err := tcp.NewTCPTransport(upgrade, resources, nil,
		tcp.DisableReuseport(), tcp.WithConnectionTimeout(dialTimeout))
	if err != nil {
		return err
	}
	h.swarm.SetStreamHandler(h.serveStream)
	h.swarm.Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, conn network.Conn) {
			h.log.Debug("connected", "peer", conn.RemotePeer().String(), "direction", conn.Stat().Direction.String())
			h.markUp(conn.RemotePeer())
		},
		DisconnectedF: func(_ network.Network, conn network.Conn) {
			h.log.Debug("disconnected", "peer", conn.RemotePeer().String())
			h.dropIdle(conn.RemotePeer())
		},
	})
	return h.swarm.AddTransport(wire)
}

// ID is this node's identity.
func (h *Host) ID() peer.ID { return h.self }

// Addr is the host:port at which this host listens.
func (h *Host) Addr() string {
	for _, addr := range h.swarm.ListenAddresses() {
		if _, hostPort, err := manet.DialArgs(addr); err == nil {
			return hostPort
		}
	}
	return ""
}

// Connected says whether there is a connection with the peer now.
func (h *Host) Connected(id peer.ID) bool {
	return h.swarm.Connectedness(id) == network.Connected
}

// SetPeers replaces the addresses of the other nodes and closes every
// connection with a peer that Admit no longer accepts. Call it whenever what
// Admit answers has changed. On an error nothing has changed.
func (h *Host) SetPeers(peers []Peer) error {
	book, err := addressBook(h.self, peers)
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	store := h.swarm.Peerstore()
	for id := range h.known {
		if _, stays := book[id]; !stays {
			store.ClearAddrs(id)
		}
	}
	for id, addr := range book {
		if old, same := h.known[id]; !same || !old.Equal(addr) {
			store.ClearAddrs(id)
		}
		store.SetAddr(id, addr, peerstore.PermanentAddrTTL)
	}
	h.known = book
	clear(h.down)
	h.mu.Unlock()
	for _, conn := range h.swarm.Conns() {
		if !h.admit(conn.RemotePeer()) {
			h.log.Warn("closed the connection with a peer that is no longer admitted", "peer", conn.RemotePeer().String())
			conn.Close()
		}
	}
	return nil
}

// Close ends all connections and waits until every handler has returned.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	var problems []error
	if h.swarm != nil {
		problems = append(problems, h.swarm.Close())
	}
	h.handlers.Wait()
	for _, part := range h.closer {
		problems = append(problems, part.Close())
	}
	return errors.Join(problems...)
}
