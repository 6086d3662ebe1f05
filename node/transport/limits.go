package transport

import (
	"errors"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/x/rate"
)

// All bounds of the package, in one place.
const (
	// dialTimeout bounds TCP, Noise and muxer together.
	dialTimeout = 5 * time.Second
	// negotiateTimeout bounds the choice of a protocol on a new stream. An
	// established connection that does not answer for so long is dead (the
	// other machine vanished without a FIN) and is closed, so that the next
	// attempt dials afresh instead of waiting for TCP to give up.
	negotiateTimeout = 5 * time.Second
	// acceptTimeout bounds an inbound handshake.
	acceptTimeout = 5 * time.Second
	// downMemory is how long calls to a peer that could not be dialled fail at
	// once. It spares callers the dial timeout of a host that drops packets.
	downMemory = 200 * time.Millisecond
	// bodyTimeout bounds the rest of a frame after its first byte, and the
	// writing of an answer.
	bodyTimeout = 30 * time.Second
	// callTimeout is used for callers without a deadline.
	callTimeout = 30 * time.Second
	// handlerTimeout bounds a handler, whatever the caller's deadline.
	handlerTimeout = 2 * time.Minute

	keepAliveInterval = 10 * time.Second
	writeTimeout      = 10 * time.Second

	acceptQueueLen = 64 // Raft streams negotiated and not yet accepted

	// Requests and answers can be no larger, whatever a handler asks for.
	maxFrameBytes      = 64 << 20
	maxErrorBytes      = 1024
	maxConcurrency     = 64
	maxStreamWindow    = 4 << 20
	streamsPerPeer     = 384 // each direction
	raftStreams        = 32  // of them kept for Raft
	streamsPerProtocol = maxConcurrency + 32
)

// Limits bound one request protocol. They are the same on all nodes of a
// consortium, since one binary declares them for both sides.
type Limits struct {
	MaxRequest  int // largest request body in bytes
	MaxResponse int // largest answer body in bytes
	// Concurrency is how many requests of one peer are read and handled at
	// once, and so how many streams Call opens to a peer for this protocol;
	// further calls wait for their turn. A peer can make this node hold at most
	// Concurrency × (MaxRequest + MaxResponse) bytes. At most 64.
	Concurrency int
}

// defaultLimits are those of Call for a protocol that was not declared here.
var defaultLimits = Limits{MaxRequest: 1 << 20, MaxResponse: 1 << 20, Concurrency: 16}

func (l Limits) validate() error {
	switch {
	case l.MaxRequest < 0 || l.MaxRequest > maxFrameBytes:
		return errors.New("MaxRequest must be between 0 and 64 MiB")
	case l.MaxResponse < 0 || l.MaxResponse > maxFrameBytes:
		return errors.New("MaxResponse must be between 0 and 64 MiB")
	case l.Concurrency < 1 || l.Concurrency > maxConcurrency:
		return errors.New("Concurrency must be between 1 and 64")
	}
	return nil
}

// newResourceManager sets explicit limits; what is not named is unlimited.
//
// Memory is libp2p's accounting of receive windows (256 KiB per stream before
// a byte was received), not bytes in use. yamux closes the whole connection
// when a window cannot be reserved, so these bounds lie well above what
// streamsPerPeer can reserve and only stop what grows beyond them.
//
// The connection rate limiter of libp2p is switched off: it counts outbound
// dials too, and its default of one in five seconds for an address beyond
// loopback would make a member that was down for a minute unreachable for
// seconds after its return. The gater limits inbound connections instead.
func newResourceManager() (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: 512, ConnsInbound: 384, ConnsOutbound: 256, FD: 768,
			Streams: 16384, StreamsInbound: 8192, StreamsOutbound: 8192,
			Memory: 4 << 30,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: 128, ConnsInbound: 64, ConnsOutbound: 64, FD: 128,
			Streams: 1024, StreamsInbound: 512, StreamsOutbound: 512,
			Memory: 512 << 20,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 12, ConnsInbound: 8, ConnsOutbound: 8, FD: 12,
			Streams: 2 * streamsPerPeer, StreamsInbound: streamsPerPeer, StreamsOutbound: streamsPerPeer,
			Memory: 256 << 20,
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams: 2 * streamsPerProtocol, StreamsInbound: streamsPerProtocol, StreamsOutbound: streamsPerProtocol,
			Memory: 128 << 20,
		},
	}
	perHost := func(prefixLen int) []rcmgr.ConnLimitPerSubnet {
		return []rcmgr.ConnLimitPerSubnet{{PrefixLength: prefixLen, ConnCount: 64}}
	}
	return rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithLimitPerSubnet(perHost(32), perHost(64)),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}),
		rcmgr.WithMetricsDisabled(),
	)
}

// newInboundLimiter slows down whoever opens connections in a loop, before a
// handshake is spent on them. Loopback is exempt: it is the local consortium.
func newInboundLimiter() *rate.Limiter {
	perHost := rate.Limit{RPS: 5, Burst: 64}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perHost}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 64, Limit: perHost}},
			GracePeriod:      time.Minute,
		},
	}
}

// newMuxer is yamux with a keepalive that notices a vanished peer within
// 20 s and with a receive window that bounds what one stream can buffer.
func newMuxer() *yamux.Transport {
	config := *yamux.DefaultTransport.Config()
	config.KeepAliveInterval = keepAliveInterval
	config.ConnectionWriteTimeout = writeTimeout
	config.MaxStreamWindowSize = maxStreamWindow
	return (*yamux.Transport)(&config)
}
