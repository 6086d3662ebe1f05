package rest

import (
	"io"
	"net/http"
	"time"
)

// How long a peer may hold a request: all of its body must have come within BodyTime,
// and each piece of pieceBytes of the answer must have been taken within TakeTime. That
// is longer, since before the first piece the server waits for what is left of the body.
const (
	BodyTime = 30 * time.Second
	TakeTime = 2 * BodyTime

	pieceBytes = 64 << 10
)

// Timely is h for peers that are slow, or pretend to be: without bounds a few thousand
// connections with a byte a minute each hold all that a node takes at once. A handler
// that sets deadlines for its answer, such as a stream, is left to them.
func Timely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// Where nobody reads the body the deadline stays, and bounds how long the
			// server waits for what is left of it.
			conn.SetReadDeadline(time.Now().Add(BodyTime))
			r.Body = &timelyBody{r.Body, conn}
		}
		answer := &timelyAnswer{ResponseWriter: w, conn: conn}
		h.ServeHTTP(answer, r)
		answer.begin() // what is still buffered is sent after this
	})
}

// timelyBody lifts the deadline at the end of the body: from there on the server
// listens for the peer's going, and would take the deadline for that.
type timelyBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *timelyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// timelyAnswer has a deadline while something is written and none while the handler
// works: over HTTP/2 a deadline that passes ends a stream that nobody writes to.
type timelyAnswer struct {
	http.ResponseWriter
	conn *http.ResponseController
	own  bool // the handler sets deadlines by itself
}

func (a *timelyAnswer) begin() { a.until(time.Now().Add(TakeTime)) }
func (a *timelyAnswer) end()   { a.until(time.Time{}) }

func (a *timelyAnswer) until(t time.Time) {
	if !a.own {
		a.conn.SetWriteDeadline(t)
	}
}

func (a *timelyAnswer) Write(b []byte) (written int, err error) {
	for {
		a.begin()
		n, err := a.ResponseWriter.Write(b[written:min(written+pieceBytes, len(b))])
		if written += n; err != nil {
			return written, err
		}
		a.end()
		if written == len(b) {
			return written, nil
		}
	}
}

// FlushError is what http.ResponseController looks for.
func (a *timelyAnswer) FlushError() error {
	a.begin()
	err := a.conn.Flush()
	if err == nil {
		a.end()
	}
	return err
}

// SetWriteDeadline is what http.ResponseController looks for.
func (a *timelyAnswer) SetWriteDeadline(t time.Time) error {
	a.own = true
	return a.conn.SetWriteDeadline(t)
}

// Unwrap is what http.ResponseController looks for.
func (a *timelyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
