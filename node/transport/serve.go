package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Handler answers one request. ctx ends with the caller's deadline (at the
// latest after two minutes) and with Host.Close. The request is the handler's to keep;
// the answer must not change any more. Errors: see RemoteError.
type Handler func(ctx context.Context, from peer.ID, request []byte) ([]byte, error)

// resetTooLarge is the stream error code for a request above the limit.
const resetTooLarge network.StreamErrorCode = 0x414b01

var protocolName = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,31}$`)

func protocolID(name string) protocol.ID { return protocol.ID("/akashi/" + name + "/1") }

// Handle declares a protocol, with its limits for both directions, and answers
// its requests with handle from now on. A name can be declared once, before the
// first Call of it. Until then other nodes get ErrUnsupported. The Concurrency
// of all protocols together is at most 352, so that a node that calls as much
// as it may never meets the stream limit of a connection.
func (h *Host) Handle(name string, limits Limits, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("handle %s: no handler", name)
	}
	if !protocolName.MatchString(name) || name == "raft" {
		return fmt.Errorf("handle %q: not a usable protocol name", name)
	}
	if err := limits.validate(); err != nil {
		return fmt.Errorf("handle %s: %w", name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if _, twice := h.protocols[name]; twice {
		return fmt.Errorf("handle %s: already handled", name)
	}
	total := limits.Concurrency
	for _, other := range h.protocols {
		total += other.Concurrency
	}
	if total > streamsPerPeer-raftStreams {
		return fmt.Errorf("handle %s: Concurrency of all protocols is %d, limit %d", name, total, streamsPerPeer-raftStreams)
	}
	h.protocols[name] = limits
	s := &server{host: h, name: name, limits: limits, handle: handle, turns: make(map[peer.ID]*turn)}
	h.addStreamHandler(protocolID(name), s.serve)
	return nil
}

// server answers one protocol.
type server struct {
	host   *Host
	name   string
	limits Limits
	handle Handler

	mu    sync.Mutex
	turns map[peer.ID]*turn
}

// turn bounds how many requests of one peer are in memory at once.
type turn struct {
	slots   chan struct{}
	streams int // under server.mu; the turn goes with its last stream
}

func (s *server) enter(id peer.ID) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[id]
	if t == nil {
		t = &turn{slots: make(chan struct{}, s.limits.Concurrency)}
		s.turns[id] = t
	}
	t.streams++
	return t
}

func (s *server) leave(id peer.ID, t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.streams--; t.streams == 0 {
		delete(s.turns, id)
	}
}

// serve answers the requests of one stream in turn.
func (s *server) serve(stream network.Stream) {
	from := stream.Conn().RemotePeer()
	turn := s.enter(from)
	defer s.leave(from, turn)
	reader := bufio.NewReaderSize(stream, 4096)
	for {
		err := s.serveOne(stream, reader, from, turn)
		switch {
		case err == nil:
		case err == io.EOF:
			stream.Close()
			return
		case errors.Is(err, ErrTooLarge):
			s.host.log.Warn("request refused", "protocol", s.name, "peer", from.String(), "error", err.Error())
			stream.ResetWithError(resetTooLarge)
			return
		default:
			s.host.log.Debug("request stream ended", "protocol", s.name, "peer", from.String(), "error", err.Error())
			stream.Reset()
			return
		}
	}
}

func (s *server) serveOne(stream network.Stream, reader *bufio.Reader, from peer.ID, turn *turn) error {
	if _, err := reader.Peek(1); err != nil { // idle streams wait here
		return err
	}
	if err := stream.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return err
	}
	header, err := readHeader(reader)
	if err != nil {
		return err
	}
	if header.kind != frameRequest {
		return fmt.Errorf("%w: kind %d instead of a request", errFrame, header.kind)
	}
	if int64(header.length) > int64(s.limits.MaxRequest) {
		return fmt.Errorf("request of %d bytes, limit %d: %w", header.length, s.limits.MaxRequest, ErrTooLarge)
	}
	select {
	case turn.slots <- struct{}{}:
	case <-s.host.ctx.Done():
		return ErrClosed
	}
	defer func() { <-turn.slots }()
	request, err := readBody(reader, int(header.length))
	if err != nil {
		return err
	}
	if !s.host.admit(from) {
		stream.Conn().Close()
		return ErrNotAdmitted
	}
	kind, answer := s.run(from, time.Duration(header.arg)*time.Millisecond, request)
	deadline := time.Now().Add(bodyTimeout)
	if err := errors.Join(stream.SetReadDeadline(time.Time{}), stream.SetWriteDeadline(deadline)); err != nil {
		return err
	}
	return writeFrame(stream, kind, 0, answer)
}

func (s *server) run(from peer.ID, timeout time.Duration, request []byte) (kind byte, answer []byte) {
	ctx, cancel := context.WithTimeout(s.host.ctx, min(timeout, handlerTimeout))
	defer cancel()
	answer, err := s.handle(ctx, from, request)
	if err == nil && len(answer) > s.limits.MaxResponse {
		err = &RemoteError{Code: CodeResponseTooLarge, Message: "the answer is above the protocol's limit"}
		s.host.log.Error("answer too large", "protocol", s.name, "bytes", len(answer), "limit", s.limits.MaxResponse)
	}
	if err == nil {
		return frameAnswer, answer
	}
	remote, internal := remoteError(err)
	if internal {
		s.host.log.Error("request not handled", "protocol", s.name, "peer", from.String(), "error", err.Error())
	}
	return frameError, remote.encode()
}
