package transport

import (
	"log/slog"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// gater lets only admitted peers through, in both directions.
type gater struct {
	admit   func(peer.ID) bool
	inbound *rate.Limiter
	log     *slog.Logger
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.admit(p) }

func (g *gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

func (g *gater) InterceptAccept(conn network.ConnMultiaddrs) bool {
	ip, err := manet.ToIP(conn.RemoteMultiaddr())
	if err != nil {
		return false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return ok && g.inbound.Allow(addr.Unmap())
}

// InterceptSecured is the first moment at which the other side's key is proven.
func (g *gater) InterceptSecured(dir network.Direction, p peer.ID, conn network.ConnMultiaddrs) bool {
	if g.admit(p) {
		return true
	}
	g.log.Warn("refused a connection with a peer that is not admitted",
		"peer", p.String(), "direction", dir.String(), "remote", conn.RemoteMultiaddr().String())
	return false
}

// InterceptUpgraded asks again: membership may have changed during the handshake.
func (g *gater) InterceptUpgraded(conn network.Conn) (bool, control.DisconnectReason) {
	return g.admit(conn.RemotePeer()), 0
}
