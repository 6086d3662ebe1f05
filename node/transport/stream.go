package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mss "github.com/multiformats/go-multistream"
)

// openStream opens a negotiated stream. An impatient caller is told at once
// about a peer that could not be dialled a moment ago.
func (h *Host) openStream(ctx context.Context, to peer.ID, proto protocol.ID, patient bool) (network.Stream, error) {
	if !h.admit(to) {
		return nil, ErrNotAdmitted
	}
	if err := h.connect(ctx, to, patient); err != nil {
		return nil, err
	}
	stream, err := h.swarm.NewStream(network.WithNoDial(ctx, "connected above"), to)
	if err != nil {
		return nil, fmt.Errorf("%w: open stream: %w", ErrUnreachable, err)
	}
	if err := negotiate(ctx, stream, proto); err != nil {
		stream.Reset()
		if errors.Is(err, mss.ErrNotSupported[protocol.ID]{}) {
			return nil, ErrUnsupported
		}
		if timedOut(err) && ctx.Err() == nil {
			h.dropSilent(stream.Conn())
		}
		return nil, fmt.Errorf("%w: negotiate %s: %w", ErrUnreachable, proto, err)
	}
	return stream, nil
}

// connect makes sure that there is a connection. The swarm joins simultaneous
// dials to one peer. Its own backoff is cleared every time: it would keep a
// peer that came back unreachable for seconds.
func (h *Host) connect(ctx context.Context, to peer.ID, patient bool) error {
	if h.Connected(to) {
		return nil
	}
	h.mu.Lock()
	mark, down := h.down[to]
	closed := h.closed
	h.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case down && !patient && time.Now().Before(mark.until):
		return mark.err
	}
	h.swarm.Backoff().Clear(to)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, err := h.swarm.DialPeer(ctx, to)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	if !errors.Is(err, context.Canceled) {
		h.mu.Lock()
		h.down[to] = downMark{until: time.Now().Add(downMemory), err: err}
		h.mu.Unlock()
	}
	return err
}

func (h *Host) markUp(id peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.down, id)
}

func negotiate(ctx context.Context, stream network.Stream, proto protocol.ID) error {
	stop := context.AfterFunc(ctx, func() { stream.Reset() })
	defer stop()
	if err := stream.SetDeadline(time.Now().Add(negotiateTimeout)); err != nil {
		return err
	}
	if err := mss.SelectProtoOrFail(proto, stream); err != nil {
		return err
	}
	if err := stream.SetProtocol(proto); err != nil {
		return err
	}
	return stream.SetDeadline(time.Time{})
}

// probe is asked for when a call ran into its deadline. The handler may be slow,
// or the other machine vanished and the connection leads nowhere: then it is
// closed, so that the next call dials instead of waiting for TCP to give up.
func (h *Host) probe(conn network.Conn, proto protocol.ID) {
	if !h.begin() {
		return
	}
	h.mu.Lock()
	busy := h.probing[conn]
	h.probing[conn] = true
	h.mu.Unlock()
	if busy {
		h.handlers.Done()
		return
	}
	go func() {
		defer h.handlers.Done()
		stream, err := conn.NewStream(h.ctx)
		if err == nil {
			err = negotiate(h.ctx, stream, proto)
			stream.Reset()
		}
		h.mu.Lock()
		delete(h.probing, conn)
		h.mu.Unlock()
		if timedOut(err) && h.ctx.Err() == nil {
			h.dropSilent(conn)
		}
	}()
}

func (h *Host) dropSilent(conn network.Conn) {
	h.log.Warn("closed a connection that does not answer", "peer", conn.RemotePeer().String())
	conn.Close()
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// begin registers work that Close waits for, unless the host is closed.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.handlers.Add(1)
	return true
}

// addStreamHandler registers what happens with inbound streams of a protocol;
// the handler owns the stream.
func (h *Host) addStreamHandler(proto protocol.ID, handle func(network.Stream)) {
	h.mux.AddHandler(proto, func(_ protocol.ID, rwc io.ReadWriteCloser) error {
		handle(rwc.(network.Stream))
		return nil
	})
}

// serveStream runs in a goroutine of the swarm for each inbound stream.
func (h *Host) serveStream(stream network.Stream) {
	if !h.begin() {
		stream.Reset()
		return
	}
	defer h.handlers.Done()
	if !h.admit(stream.Conn().RemotePeer()) {
		stream.Conn().Close()
		return
	}
	if err := stream.SetDeadline(time.Now().Add(negotiateTimeout)); err != nil {
		stream.Reset()
		return
	}
	proto, handle, err := h.mux.Negotiate(stream)
	if err == nil {
		err = errors.Join(stream.SetProtocol(proto), stream.SetDeadline(time.Time{}))
	}
	if err != nil {
		h.log.Debug("inbound stream refused", "peer", stream.Conn().RemotePeer().String(), "error", err.Error())
		stream.Reset()
		return
	}
	handle(proto, stream)
}
