package transport

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Peer is another node and where it listens.
type Peer struct {
	Name      string            // the member's name, for messages; unique
	PublicKey ed25519.PublicKey // the node's transport key; unique
	Addr      string            // host:port or a multiaddr
}

// PeerID is the libp2p identity of a transport key. Its String is the Raft
// ServerID and ServerAddress of the node (libp2p peer-ids specification: an
// Ed25519 key is its own multihash, so the key can be read back).
func PeerID(key ed25519.PublicKey) (peer.ID, error) {
	if len(key) != ed25519.PublicKeySize {
		return "", fmt.Errorf("transport key: %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	public, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return "", fmt.Errorf("transport key: %w", err)
	}
	return peer.IDFromPublicKey(public)
}

// PublicKey is the inverse of PeerID.
func PublicKey(id peer.ID) (ed25519.PublicKey, error) {
	public, err := id.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", id, err)
	}
	raw, err := public.Raw()
	if err != nil || public.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("peer %s: not an Ed25519 key", id)
	}
	return ed25519.PublicKey(raw), nil
}

// CheckAddr refuses what is no address of a peer.
func CheckAddr(addr string) error {
	_, err := parseAddr(addr)
	return err
}

// parseAddr reads host:port (host an IP or a DNS name) or a TCP multiaddr.
func parseAddr(addr string) (ma.Multiaddr, error) {
	if strings.HasPrefix(addr, "/") {
		return parseMultiaddr(addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("address %q: port must be a number up to 65535", addr)
	}
	kind := "dns"
	switch ip := net.ParseIP(host); {
	case ip == nil && host == "":
		return nil, fmt.Errorf("address %q: host is missing", addr)
	case ip == nil:
	case ip.To4() != nil:
		kind = "ip4"
	default:
		kind = "ip6"
	}
	return parseMultiaddr("/" + kind + "/" + host + "/tcp/" + port)
}

func parseMultiaddr(addr string) (ma.Multiaddr, error) {
	parsed, err := ma.NewMultiaddr(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	if len(parsed) != 2 || parsed[1].Protocol().Code != ma.P_TCP {
		return nil, fmt.Errorf("address %q: want a host and a TCP port", addr)
	}
	return parsed, nil
}

// addressBook is a validated list of peers.
func addressBook(self peer.ID, peers []Peer) (map[peer.ID]ma.Multiaddr, error) {
	book := make(map[peer.ID]ma.Multiaddr, len(peers))
	names := make(map[string]bool, len(peers))
	var problems []error
	for _, p := range peers {
		id, err := PeerID(p.PublicKey)
		if err != nil {
			problems = append(problems, fmt.Errorf("peer %q: %w", p.Name, err))
			continue
		}
		addr, err := parseAddr(p.Addr)
		if err != nil {
			problems = append(problems, fmt.Errorf("peer %q: %w", p.Name, err))
			continue
		}
		if names[p.Name] {
			problems = append(problems, fmt.Errorf("peer %q: named twice", p.Name))
		}
		if _, twice := book[id]; twice {
			problems = append(problems, fmt.Errorf("peer %q: its key is listed twice", p.Name))
		}
		names[p.Name] = true
		book[id] = addr
	}
	delete(book, self) // the whole membership may be passed
	return book, errors.Join(problems...)
}
