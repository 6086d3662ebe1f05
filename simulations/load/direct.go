package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// direct is an [http.RoundTripper] on which the goroutine that asks writes and reads
// by itself: the generator shares the machine with the nodes, and two goroutines a
// connection that hand each request on (net/http's own) cost it a third of its work.
// It speaks HTTP/1.1 without TLS and keeps connections for the next request.
type direct struct {
	mu   sync.Mutex
	idle map[string][]*conn // by address
}

type conn struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func newDirect() *direct { return &direct{idle: map[string][]*conn{}} }

// RoundTrip sends a request and returns its answer, whose body must be closed. Where
// the request's context ends first, the connection ends with it.
func (d *direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return nil, errors.New("load: " + req.URL.Scheme + " is not spoken, only http")
	}
	c, err := d.take(req.Context(), req.URL.Host)
	if err != nil {
		return nil, err
	}
	kept := context.AfterFunc(req.Context(), func() { c.SetDeadline(time.Unix(1, 0)) })
	var res *http.Response
	if err = req.Write(c.w); err == nil {
		if err = c.w.Flush(); err == nil {
			res, err = http.ReadResponse(c.r, req)
		}
	}
	if err != nil {
		kept()
		c.Close()
		return nil, errors.Join(err, req.Context().Err())
	}
	res.Body = &body{res.Body, func(whole bool) {
		if kept() && whole && !res.Close {
			d.put(req.URL.Host, c)
		} else {
			c.Close()
		}
	}}
	return res, nil
}

func (d *direct) take(ctx context.Context, addr string) (*conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if list := d.idle[addr]; len(list) > 0 {
		d.idle[addr] = list[:len(list)-1]
		return list[len(list)-1], nil
	}
	d.mu.Unlock()
	defer d.mu.Lock()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c), bufio.NewWriter(c)}, nil
}

func (d *direct) put(addr string, c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle[addr] = append(d.idle[addr], c)
}

// body gives its connection back when it is closed.
type body struct {
	io.ReadCloser
	done func(whole bool)
}

func (b *body) Close() error {
	_, err := io.Copy(io.Discard, b.ReadCloser)
	b.done(err == nil)
	return b.ReadCloser.Close()
}
