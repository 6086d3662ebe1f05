package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestCall(t *testing.T) {
	hosts := startHosts(t, 2)
	a, b := hosts[0], hosts[1]
	for _, h := range hosts {
		handle(t, h, "echo", echoLimits, func(_ context.Context, from peer.ID, request []byte) ([]byte, error) {
			if from != a.ID() {
				return nil, fmt.Errorf("from %s", from)
			}
			return request, nil
		})
	}
	for _, size := range []int{0, 1, 4096, eagerBodyBytes - 1, eagerBodyBytes, eagerBodyBytes + 1, 3*eagerBodyBytes + 5, echoLimits.MaxRequest} {
		request := fill(size)
		answer, err := a.Call(t.Context(), b.ID(), "echo", request)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(answer, request) {
			t.Fatalf("%d bytes: another answer of %d bytes", size, len(answer))
		}
	}
	if !a.Connected(b.ID()) || !b.Connected(a.ID()) {
		t.Error("not connected after a call")
	}
}

func TestCallErrors(t *testing.T) {
	hosts := startHosts(t, 2)
	a, b := hosts[0], hosts[1]
	limits := Limits{MaxRequest: 100, MaxResponse: 100, Concurrency: 4}
	handlers := map[string]Handler{
		"coded": func(context.Context, peer.ID, []byte) ([]byte, error) {
			return nil, fmt.Errorf("while testing: %w", &RemoteError{Code: "batch.full", Message: "try later"})
		},
		"plain": func(context.Context, peer.ID, []byte) ([]byte, error) {
			return nil, errors.New("the private text")
		},
		"badcode": func(context.Context, peer.ID, []byte) ([]byte, error) {
			return nil, &RemoteError{Code: "with blank"}
		},
		"long": func(context.Context, peer.ID, []byte) ([]byte, error) {
			return nil, &RemoteError{Code: "x", Message: strings.Repeat("界", 1000)}
		},
		"large": func(context.Context, peer.ID, []byte) ([]byte, error) { return make([]byte, 101), nil },
		"slow": func(ctx context.Context, _ peer.ID, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for name, fn := range handlers {
		for _, h := range hosts {
			handle(t, h, name, limits, fn)
		}
	}
	wantCode := func(name, code string) {
		t.Helper()
		for range 3 { // the stream is of further use after an error
			_, err := a.Call(t.Context(), b.ID(), name, nil)
			var remote *RemoteError
			if !errors.As(err, &remote) || remote.Code != code {
				t.Fatalf("%s: got %v, want code %s", name, err, code)
			}
			if strings.Contains(err.Error(), "private") {
				t.Errorf("%s: the text of a plain error travelled: %v", name, err)
			}
		}
	}
	wantCode("coded", "batch.full")
	wantCode("plain", CodeInternal)
	wantCode("badcode", CodeInternal)
	wantCode("long", "x")
	wantCode("large", CodeResponseTooLarge)

	if _, err := a.Call(t.Context(), b.ID(), "coded", make([]byte, 101)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large request: got %v", err)
	}
	if _, err := a.Call(t.Context(), b.ID(), "nobody", nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("undeclared protocol: got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := a.Call(ctx, b.ID(), "slow", nil)
	var remote *RemoteError
	timeout := errors.As(err, &remote) && remote.Code == CodeTimeout
	if !timeout && !(errors.Is(err, ErrInterrupted) && errors.Is(err, context.DeadlineExceeded)) {
		t.Errorf("deadline: got %v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("deadline of 50 ms took %v", took)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := a.Call(ctx, b.ID(), "slow", nil); !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	wantCode("coded", "batch.full")
}

func TestConcurrentCalls(t *testing.T) {
	hosts := startHosts(t, 3)
	var running, most atomic.Int32
	limits := Limits{MaxRequest: 1 << 17, MaxResponse: 1 << 17, Concurrency: 8}
	for _, h := range hosts {
		handle(t, h, "echo", limits, func(_ context.Context, _ peer.ID, request []byte) ([]byte, error) {
			now := running.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(100 * time.Microsecond)
			running.Add(-1)
			return request, nil
		})
	}
	var group sync.WaitGroup
	for caller := range 90 {
		group.Go(func() {
			from, to := hosts[caller%3], hosts[(caller+1+caller/3%2)%3]
			for i := range 20 {
				request := fill(1 + (caller*37+i*4099)%(1<<17))
				request[0] = byte(caller)
				answer, err := from.Call(t.Context(), to.ID(), "echo", request)
				if err != nil || !bytes.Equal(answer, request) {
					t.Errorf("caller %d: %d bytes, %v", caller, len(answer), err)
					return
				}
			}
		})
	}
	group.Wait()
	if got := most.Load(); got > 3*2*int32(limits.Concurrency) {
		t.Errorf("%d handlers at once", got)
	}
}

// A peer that opens streams without an end gets no more handlers than agreed.
func TestServerBoundsConcurrency(t *testing.T) {
	hosts := startHosts(t, 2)
	a, b := hosts[0], hosts[1]
	var running, most atomic.Int32
	release := make(chan struct{})
	handle(t, b, "hold", Limits{MaxRequest: 10, MaxResponse: 10, Concurrency: 3}, func(context.Context, peer.ID, []byte) ([]byte, error) {
		most.Store(max(most.Load(), running.Add(1)))
		<-release
		running.Add(-1)
		return nil, nil
	})
	var streams []network.Stream
	for range 12 {
		s, err := a.openStream(t.Context(), b.ID(), protocolID("hold"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFrame(s, frameRequest, 60_000, []byte("x")); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	eventually(t, "three handlers", func() bool { return running.Load() == 3 })
	close(release)
	for _, s := range streams {
		if _, err := readAnswer(s, 10); err != nil {
			t.Error(err)
		}
		s.Reset()
	}
	if most.Load() != 3 {
		t.Errorf("%d handlers at once, want 3", most.Load())
	}
}

// What breaks the format or a limit is refused and the host stays of use.
func TestMalformedRequests(t *testing.T) {
	hosts := startHosts(t, 2)
	a, b := hosts[0], hosts[1]
	handle(t, b, "small", Limits{MaxRequest: 100, MaxResponse: 100, Concurrency: 2}, echo)
	header := func(kind byte, arg, length uint32) []byte {
		out := make([]byte, frameHeaderBytes)
		frameHeader{kind: kind, arg: arg, length: length}.put(out)
		return out
	}
	for name, raw := range map[string][]byte{
		"oversize":     header(frameRequest, 1000, 101),
		"huge":         header(frameRequest, 1000, 0xffffffff),
		"no time":      header(frameRequest, 0, 1),
		"answer":       header(frameAnswer, 0, 1),
		"unknown kind": header(9, 0, 1),
		"cut":          append(header(frameRequest, 1000, 50), "short"...),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := a.openStream(t.Context(), b.ID(), protocolID("small"), false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			s.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := s.Write(raw); err != nil {
				t.Fatal(err)
			}
			s.CloseWrite()
			_, err = s.Read(make([]byte, 1))
			if !errors.Is(err, network.ErrReset) {
				t.Errorf("got %v, want a reset", err)
			}
			var reset *network.StreamError
			if tooLarge := errors.As(err, &reset) && reset.ErrorCode == resetTooLarge; tooLarge != (name == "oversize" || name == "huge") {
				t.Errorf("reset code: %v", err)
			}
		})
	}
	// The caller's own limits are larger here: the refusal is still typed.
	handle(t, a, "small", echoLimits, echo)
	var remote *RemoteError
	if _, err := a.Call(t.Context(), b.ID(), "small", make([]byte, 1<<20)); !errors.As(err, &remote) || remote.Code != CodeRequestTooLarge {
		t.Errorf("oversize call: got %v", err)
	}
	if _, err := a.Call(t.Context(), b.ID(), "small", []byte("fine")); err != nil {
		t.Error(err)
	}
}

func TestOversizeAnswerRefused(t *testing.T) {
	hosts := startHosts(t, 2)
	a, b := hosts[0], hosts[1]
	handle(t, a, "liar", Limits{MaxRequest: 10, MaxResponse: 10, Concurrency: 2}, echo)
	b.addStreamHandler(protocolID("liar"), func(s network.Stream) {
		defer s.Close()
		readHeader(s)
		b := make([]byte, frameHeaderBytes)
		frameHeader{kind: frameAnswer, length: 11}.put(b)
		s.Write(b)
		io.Copy(io.Discard, s)
	})
	if _, err := a.Call(t.Context(), b.ID(), "liar", nil); !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestDownPeerFailsFast(t *testing.T) {
	nodes := newTestNodes(t, 2)
	a := startHost(t, nodes[0], nodes, membersOf(nodes...).admit)
	start := time.Now()
	for range 50 {
		if _, err := a.Call(t.Context(), nodes[1].id, "echo", nil); !errors.Is(err, ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("50 calls to a down peer took %v", took)
	}
	if _, err := a.Call(t.Context(), nodes[0].id, "echo", nil); err == nil {
		t.Error("a call to oneself must fail")
	}
}

func TestReconnectAfterRestart(t *testing.T) {
	nodes := newTestNodes(t, 2)
	admit := membersOf(nodes...).admit
	a := startHost(t, nodes[0], nodes, admit)
	b := startHost(t, nodes[1], nodes, admit)
	handle(t, b, "echo", echoLimits, echo)
	call := func() error {
		_, err := a.Call(t.Context(), nodes[1].id, "echo", []byte("x"))
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.Close()
		within(t, beforeKeepalive, "the end of the connection is seen", func() bool { return !a.Connected(nodes[1].id) })
		for range 10 { // libp2p's own backoff would grow with these
			call()
			time.Sleep(10 * time.Millisecond)
		}
		b = startHost(t, nodes[1], nodes, admit)
		handle(t, b, "echo", echoLimits, echo)
		start := time.Now()
		eventually(t, "reconnect", func() bool { return call() == nil })
		if took := time.Since(start); took > 4*time.Second { // libp2p's first backoff is five
			t.Errorf("reconnected after %v only", took)
		}
	}
}

// A connection whose other end vanished without a word is given up when a call
// runs into its deadline.
func TestSilentConnectionIsDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the negotiation timeout")
	}
	nodes := newTestNodes(t, 2)
	admit := membersOf(nodes...).admit
	b := startHost(t, nodes[1], nodes, admit)
	handle(t, b, "echo", echoLimits, echo)
	relay := newRelay(t, nodes[1].addr)
	seen := []testNode{nodes[0], {key: nodes[1].key, id: nodes[1].id, addr: relay.addr()}}
	a := startHost(t, nodes[0], seen, admit)
	if _, err := a.Call(t.Context(), b.ID(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	relay.silence()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Call(ctx, b.ID(), "echo", nil); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	within(t, beforeKeepalive, "the dead connection is closed", func() bool { return !a.Connected(b.ID()) })
	if _, err := a.Call(t.Context(), b.ID(), "echo", nil); err != nil {
		t.Fatal(err)
	}
}

// relay forwards TCP until it is silenced: connections made before then stay
// open and lose everything.
type relay struct {
	listener net.Listener
	target   string
	silent   atomic.Int64 // connections below this number are silent
	number   atomic.Int64
}

func newRelay(t *testing.T, target string) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			n := r.number.Add(1)
			go r.forward(n, in, out)
			go r.forward(n, out, in)
		}
	}()
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }
func (r *relay) silence()     { r.silent.Store(r.number.Load() + 1) }

func (r *relay) forward(n int64, from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		got, err := from.Read(buffer)
		if err != nil {
			return
		}
		if n < r.silent.Load() {
			continue
		}
		if _, err := to.Write(buffer[:got]); err != nil {
			return
		}
	}
}
