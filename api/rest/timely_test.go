package rest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// dialled is a listener that hands out the connections that are dialled here.
type dialled struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *dialled) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *dialled) Close() error   { return nil }
func (l *dialled) Addr() net.Addr { return &net.TCPAddr{} }

// serveTimely serves h on one connection without buffers, and returns its other end.
func serveTimely(t *testing.T, h http.HandlerFunc) net.Conn {
	l := &dialled{make(chan net.Conn, 1), make(chan struct{})}
	srv, ended := &http.Server{Handler: Timely(h)}, make(chan struct{})
	go func() { srv.Serve(l); close(ended) }()
	peer, conn := net.Pipe()
	l.conns <- conn
	t.Cleanup(func() {
		peer.Close()
		close(l.done)
		<-ended
		srv.Close()
		synctest.Wait()
	})
	return peer
}

func postHead(length string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " + length + "\r\n\r\n"
}

// TestBodyInTime: a body that is held back is refused with its code when the time is
// over, also byte by byte; one that came leaves the handler its own time.
func TestBodyInTime(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) {
		b, _, err := readBody(w, r, maxBody, "application/json")
		if err != nil {
			problemOf(err, true).write(w, true)
			return
		}
		time.Sleep(5 * BodyTime) // a handler that works long, in the bubble's time as all sleeps here
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Write(b)
	}
	for name, x := range map[string]struct {
		sent   string
		drip   time.Duration // between two bytes more
		status int
		after  time.Duration
	}{
		"whole":     {postHead("2") + "{}", 0, 200, 5 * BodyTime},
		"held back": {postHead("2") + "{", 0, 408, BodyTime},
		"dripping":  {postHead("5000") + "{", time.Second, 408, BodyTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer := serveTimely(t, read)
				began := time.Now()
				var peers sync.WaitGroup
				defer peers.Wait()
				defer peer.Close()
				peers.Go(func() {
					_, err := io.WriteString(peer, x.sent)
					for err == nil && x.drip > 0 {
						time.Sleep(x.drip)
						_, err = io.WriteString(peer, " ")
					}
				})
				resp, err := http.ReadResponse(bufio.NewReader(peer), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				took := time.Since(began)
				if resp.StatusCode != x.status || took < x.after || took > x.after+2*time.Second {
					t.Errorf("%s after %v, want %d after %v", resp.Status, took, x.status, x.after)
				}
				if refused := x.status != 200; refused && (err != nil || !strings.Contains(string(body), codeBodySlow)) {
					t.Errorf("%s %v", body, err)
				}
			})
		})
	}
}

// TestUnreadBody: what a handler does not want to read holds the connection no longer
// than what it reads.
func TestUnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := serveTimely(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		go io.WriteString(peer, postHead("2"))
		began := time.Now()
		all, err := io.ReadAll(peer) // until the server hangs up
		if took := time.Since(began); err != nil || !bytes.HasPrefix(all, []byte("HTTP/1.1 401")) || took > BodyTime+2*time.Second {
			t.Errorf("%.60q, %v after %v", all, err, took)
		}
	})
}

// TestAnswerTaken: a reader may be slow, but takes each piece in time, else the handler
// is told; deadlines of one request do not reach the next.
func TestAnswerTaken(t *testing.T) {
	const size = 10 * pieceBytes
	// one for each bubble of time
	big := func(failed chan<- error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/echo" {
				io.Copy(w, r.Body)
				return
			}
			if r.URL.Path == "/own" {
				http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
				io.WriteString(w, "own")
				return
			}
			_, err := w.Write(make([]byte, size))
			failed <- err
		}
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	t.Run("slow and steady", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			failed := make(chan error, 1)
			peer := serveTimely(t, big(failed))
			go io.WriteString(peer, get("/"))
			in := bufio.NewReaderSize(peer, 1<<10)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for n := 0; n < size; n += pieceBytes {
				time.Sleep(TakeTime - time.Second)
				if _, err := io.CopyN(io.Discard, resp.Body, pieceBytes); err != nil {
					t.Fatalf("after %d bytes and %v: %v", n, time.Since(began), err)
				}
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("stalled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			failed := make(chan error, 1)
			peer := serveTimely(t, big(failed))
			go io.WriteString(peer, get("/"))
			if _, err := http.ReadResponse(bufio.NewReader(peer), nil); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			if took := time.Since(began); took > TakeTime+time.Second {
				t.Errorf("the handler was held for %v", took)
			}
		})
	})
	t.Run("the next request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			peer := serveTimely(t, big(nil))
			in := bufio.NewReader(peer)
			answer := func(status int, body string) {
				t.Helper()
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != body || resp.StatusCode != status {
					t.Fatalf("%s %q, %v", resp.Status, b, err)
				}
			}
			go io.WriteString(peer, get("/own"))
			answer(200, "own")
			time.Sleep(time.Minute) // the deadline of /own is over when the server writes 100, before any handler
			go io.WriteString(peer, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
			answer(100, "")
			go io.WriteString(peer, "{}")
			answer(200, "{}")
		})
	})
}
