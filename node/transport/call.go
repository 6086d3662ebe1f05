package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Call sends a request to a peer and returns its answer. It waits until ctx
// ends, 30 s where ctx has no deadline. Errors: *RemoteError from the handler;
// ErrUnreachable, ErrUnsupported, ErrNotAdmitted, ErrClosed and ErrTooLarge
// (request) when nothing was sent; ErrInterrupted, with ctx's error where that
// was the reason, when the outcome is unknown. A peer that is down is reported
// as fast as its machine refuses the connection, and at once for 200 ms after
// a failed attempt.
func (h *Host) Call(ctx context.Context, to peer.ID, name string, request []byte) ([]byte, error) {
	answer, err := h.call(ctx, to, name, request)
	if err != nil {
		return nil, fmt.Errorf("call %s at %s: %w", name, to, err)
	}
	return answer, nil
}

func (h *Host) call(ctx context.Context, to peer.ID, name string, request []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	pool, err := h.poolFor(to, name)
	if err != nil {
		return nil, err
	}
	if len(request) > pool.limits.MaxRequest {
		return nil, fmt.Errorf("request of %d bytes, limit %d: %w", len(request), pool.limits.MaxRequest, ErrTooLarge)
	}
	if !h.admit(to) {
		return nil, ErrNotAdmitted
	}
	select {
	case pool.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: all %d streams busy: %w", ErrUnreachable, pool.limits.Concurrency, ctx.Err())
	}
	defer func() { <-pool.slots }()
	exchange := pool.take()
	if exchange == nil {
		stream, err := h.openStream(ctx, to, protocolID(name), false)
		if err != nil {
			return nil, err
		}
		exchange = &exchangeStream{stream: stream, reader: bufio.NewReaderSize(stream, 4096)}
	}
	answer, err := exchange.do(ctx, request, pool.limits.MaxResponse)
	var remote *RemoteError
	if err == nil || (errors.As(err, &remote) && !exchange.broken) {
		pool.put(exchange)
		return answer, err
	}
	exchange.stream.Reset()
	if errors.Is(err, context.DeadlineExceeded) {
		h.probe(exchange.stream.Conn(), protocolID(name))
	}
	return nil, err
}

// exchangeStream carries one exchange at a time.
type exchangeStream struct {
	stream network.Stream
	reader *bufio.Reader
	broken bool
}

func (e *exchangeStream) do(ctx context.Context, request []byte, maxBytes int) ([]byte, error) {
	deadline, _ := ctx.Deadline()
	stop := context.AfterFunc(ctx, func() { e.stream.Reset() })
	err := writeFrame(e.stream, frameRequest, requestMs(time.Until(deadline)), request)
	var answer []byte
	if err == nil {
		answer, err = readAnswer(e.reader, maxBytes)
	}
	if !stop() {
		e.broken = true // the reset has happened or is under way
	}
	var remote *RemoteError
	var reset *network.StreamError
	switch {
	case err == nil, errors.As(err, &remote):
		return answer, err
	case errors.As(err, &reset) && reset.Remote && reset.ErrorCode == resetTooLarge:
		e.broken = true
		return nil, &RemoteError{Code: CodeRequestTooLarge, Message: "the request is above the peer's limit"}
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrInterrupted, ctx.Err())
	default:
		return nil, fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
}

type poolKey struct {
	to   peer.ID
	name string
}

// pool holds the idle streams to one peer for one protocol.
type pool struct {
	limits Limits
	slots  chan struct{} // one per call that has or opens a stream

	mu   sync.Mutex
	idle []*exchangeStream
}

func (h *Host) poolFor(to peer.ID, name string) (*pool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	key := poolKey{to: to, name: name}
	p := h.pools[key]
	if p != nil {
		return p, nil
	}
	if _, known := h.known[to]; !known && !h.Connected(to) {
		return nil, fmt.Errorf("%w: no address", ErrUnreachable)
	}
	limits, declared := h.protocols[name]
	if !declared {
		limits = defaultLimits
	}
	p = &pool{limits: limits, slots: make(chan struct{}, limits.Concurrency)}
	h.pools[key] = p
	return p, nil
}

// take returns the idle stream that was used last, or nil.
func (p *pool) take() *exchangeStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		e := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		if !e.stream.Conn().IsClosed() {
			return e
		}
		e.stream.Reset()
	}
	return nil
}

// put returns a stream after a complete exchange.
func (p *pool) put(e *exchangeStream) {
	if e.broken {
		e.stream.Reset()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, e)
}

// dropIdle forgets the streams of closed connections with a peer, and
// everything about a peer that is not known any more.
func (h *Host) dropIdle(id peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.known[id]
	for key, p := range h.pools {
		if key.to != id {
			continue
		}
		p.mu.Lock()
		kept := p.idle[:0]
		for _, e := range p.idle {
			if !e.stream.Conn().IsClosed() {
				kept = append(kept, e)
			}
		}
		clear(p.idle[len(kept):])
		p.idle = kept
		p.mu.Unlock()
		if !known && len(kept) == 0 {
			delete(h.pools, key)
		}
	}
}
