package session

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener that accepts one connection.
type one struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return &net.TCPAddr{} }

// TestReadForm: what does not come in time, or is too long, is refused; a handler may
// then take longer than a form.
func TestReadForm(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
	for name, x := range map[string]struct {
		sent   string
		status int
		after  time.Duration // the earliest
	}{
		"whole":     {head + "6\r\n\r\nform=x", http.StatusOK, 3 * FormTime},
		"held back": {head + "6\r\n\r\nform=", http.StatusBadRequest, FormTime},
		"no body":   {head + "0\r\n\r\n", http.StatusOK, 3 * FormTime},
		"no form":   {strings.Replace(head, "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", 1) + "6\r\n\r\nform=", http.StatusBadRequest, FormTime},
		"too long":  {head + "17\r\n\r\nform=xxxxxxxxxxxx", http.StatusBadRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, end := &one{make(chan net.Conn, 1), make(chan struct{})}, make(chan struct{})
				var ended error
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if err := ReadForm(w, r, 16); err != nil {
						w.WriteHeader(http.StatusBadRequest)
						return
					}
					time.Sleep(3 * FormTime) // time is the test's
					ended = r.Context().Err()
				})}
				go func() { srv.Serve(l); close(end) }()
				browser, conn := net.Pipe()
				l.conn <- conn
				began := time.Now()
				go io.WriteString(browser, x.sent)
				resp, err := http.ReadResponse(bufio.NewReader(browser), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); resp.StatusCode != x.status || took < x.after || took > x.after+time.Second {
					t.Errorf("%s after %v", resp.Status, took)
				}
				if ended != nil {
					t.Errorf("the request ended while its handler worked: %v", ended)
				}
				if refused := resp.StatusCode != http.StatusOK; refused && !resp.Close {
					t.Error("the connection is kept")
				}
				browser.Close()
				close(l.done)
				<-end
				if err := srv.Shutdown(t.Context()); err != nil && !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}
