package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const raftProtocol protocol.ID = "/akashi/raft/1"

// NewRaftTransport is Raft's transport over a host. It replaces an earlier one
// of the same host only after that one was closed. Few RPCs in flight: more
// hurt the commit latency and help nothing (hashicorp/raft issue 541).
func NewRaftTransport(h *Host, log *slog.Logger) (*RaftTransport, error) {
	layer, err := NewStreamLayer(h)
	if err != nil {
		return nil, err
	}
	if log == nil {
		return nil, errors.New("raft transport: Log is required")
	}
	return &RaftTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          layer,
		Logger:          RaftLogger(log),
		MaxPool:         3,
		Timeout:         10 * time.Second,
		MaxRPCsInFlight: 2,
	})}, nil
}

// StreamLayer carries Raft's byte streams. Addresses are peer ids.
type StreamLayer struct {
	host   *Host
	accept chan net.Conn
	done   chan struct{}

	mu    sync.Mutex
	open  map[*raftConn]struct{}
	ended bool
}

var _ raft.StreamLayer = (*StreamLayer)(nil)

// NewStreamLayer accepts Raft streams from now on. A host has at most one.
func NewStreamLayer(h *Host) (*StreamLayer, error) {
	if h == nil {
		return nil, errors.New("raft stream layer: no host")
	}
	l := &StreamLayer{
		host:   h,
		accept: make(chan net.Conn, acceptQueueLen),
		done:   make(chan struct{}),
		open:   make(map[*raftConn]struct{}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if _, twice := h.protocols[string(raftProtocol)]; twice {
		return nil, errors.New("raft stream layer: the host has one already")
	}
	h.protocols[string(raftProtocol)] = Limits{}
	h.addStreamHandler(raftProtocol, l.enqueue)
	return l, nil
}

func (l *StreamLayer) enqueue(stream network.Stream) {
	conn := l.track(stream)
	if conn == nil {
		return
	}
	select {
	case l.accept <- conn:
	default:
		l.host.log.Warn("raft stream refused: accept queue full", "peer", stream.Conn().RemotePeer().String())
		conn.Close()
	}
}

func (l *StreamLayer) track(stream network.Stream) *raftConn {
	conn := &raftConn{Stream: stream, layer: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		stream.Reset()
		return nil
	}
	l.open[conn] = struct{}{}
	return conn
}

// Accept waits for the next inbound stream; net.ErrClosed after Close.
func (l *StreamLayer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.host.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial opens a stream to a server whose address is its peer id.
func (l *StreamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	to, err := peer.Decode(string(address))
	if err != nil {
		return nil, fmt.Errorf("raft dial %q: not a peer id", address)
	}
	ctx, cancel := context.WithTimeout(l.host.ctx, timeout)
	defer cancel()
	stream, err := l.host.openStream(ctx, to, raftProtocol, true)
	if err != nil {
		return nil, fmt.Errorf("raft dial %s: %w", to, err)
	}
	conn := l.track(stream)
	if conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// Addr is the host's own peer id.
func (l *StreamLayer) Addr() net.Addr { return peerAddr(l.host.self) }

// Close ends the layer with all of its streams, accepted ones too: Raft's own
// transport leaves those to its peers.
func (l *StreamLayer) Close() error {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil
	}
	l.ended = true
	open := l.open
	l.open = nil
	l.mu.Unlock()
	l.host.mux.RemoveHandler(raftProtocol)
	close(l.done)
	for conn := range open {
		conn.Stream.Reset()
	}
	l.host.mu.Lock()
	delete(l.host.protocols, string(raftProtocol))
	l.host.mu.Unlock()
	return nil
}

// raftConn is a stream as net.Conn; deadlines are the stream's own.
type raftConn struct {
	network.Stream
	layer *StreamLayer
}

var _ net.Conn = (*raftConn)(nil)

func (c *raftConn) LocalAddr() net.Addr  { return peerAddr(c.Stream.Conn().LocalPeer()) }
func (c *raftConn) RemoteAddr() net.Addr { return peerAddr(c.Stream.Conn().RemotePeer()) }

// Close resets the stream: what Raft has not read by then it does not want,
// and a half-closed stream would stay until the other side closes it too.
func (c *raftConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.open, c)
	c.layer.mu.Unlock()
	return c.Stream.Reset()
}

type peerAddr peer.ID

func (a peerAddr) Network() string { return "libp2p" }
func (a peerAddr) String() string  { return peer.ID(a).String() }

// RaftLogger gives hashicorp/raft a logger that writes to log, level by level.
func RaftLogger(log *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	logger.RegisterSink(raftSink{log})
	return logger
}

type raftSink struct{ log *slog.Logger }

func (s raftSink) Accept(name string, level hclog.Level, message string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Info:
		to = slog.LevelInfo
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	}
	if name != "" {
		args = append([]any{"part", name}, args...)
	}
	s.log.Log(context.Background(), to, message, args...)
}
