// Package client speaks to a member's node, and believes nothing that it can
// check: checkpoints must be final under the policies that the caller trusts,
// and every receipt, completeness proof and erasure certificate is verified
// before it is returned.
//
// # Writes
//
// A write carries an Idempotency-Key: the caller's (see Key), or one that the
// client draws. While a node says that it is busy, that it knows no leader or
// that the outcome is not known yet, and where the connection breaks, the client
// asks again with the same key until the context ends, so nothing is done twice.
//
// # Errors
//
// What a node refuses is a *Problem with a stable code; CodeOf finds it.
//
// # What it does not do
//
// It keeps no state between calls but the connection and the highest height that it
// has seen. Answers to reads that
// carry no proof (lists, views, progress) are the word of one node.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// Options of New.
type Options struct {
	Token    string         // bearer token; "" for what is public
	Policies []*sign.Policy // whose signatures count; later policy epochs are followed from these; none: proofs are refused
	HTTP     *http.Client   // nil: one with a limit of 60 s a request
	Seen     *Seen          // shared by clients of several members that go on from each other's writes; nil: its own
}

// Seen is the highest height of the log that any of several clients has met.
// Each hands it to its member, which answers when it has come so far: nobody
// reads behind a write that they made at another member.
type Seen struct{ height atomic.Uint64 }

func (s *Seen) meet(header string) {
	h, err := strconv.ParseUint(header, 10, 63)
	for err == nil {
		old := s.height.Load()
		if old >= h || s.height.CompareAndSwap(old, h) {
			return
		}
	}
}

// A Client speaks to one node, for one party. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	token   string
	trust   *trust
	http    *http.Client
	as, key string
	seen    *Seen
}

// ErrInsecure says that a token would travel in clear.
var ErrInsecure = errors.New("a token goes over plain HTTP to this machine only: use https")

// New returns a client for a node such as https://node.example:8080.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no address of a node, such as https://node.example", base)
	}
	if u.Scheme == "http" && o.Token != "" && !Loopback(u.Hostname()) {
		return nil, ErrInsecure
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	if o.Seen == nil {
		o.Seen = new(Seen)
	}
	if o.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 16
		o.HTTP = &http.Client{Timeout: time.Minute, Transport: transport, CheckRedirect: refuseRedirect}
	}
	return &Client{base: u, token: o.Token, trust: &trust{given: o.Policies, known: o.Policies}, http: o.HTTP, seen: o.Seen}, nil
}

// refuseRedirect keeps tokens at the node that they are for.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// URL returns the address of the node.
func (c *Client) URL() string { return c.base.String() }

// As returns a client through which a party that the node hosts acts.
func (c *Client) As(party string) *Client {
	d := *c
	d.as = party
	return &d
}

// Key returns a client whose next write has an Idempotency-Key: asked again with
// the same content, it gives the same answer.
func (c *Client) Key(key string) *Client {
	d := *c
	d.key = key
	return &d
}

// Largest answers in bytes.
const (
	maxJSON   = 8 << 20
	maxBundle = 64 << 20
)

// Pauses between attempts of a write.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// get reads JSON.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	b, err := c.read(ctx, path, query, maxJSON)
	if err != nil {
		return err
	}
	return decode(path, b, out)
}

// read reads bytes, at most limit of them.
func (c *Client) read(ctx context.Context, path string, query url.Values, limit int64) ([]byte, error) {
	req, err := c.request(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	return c.do(req, limit)
}

// send writes, and asks again where the node says that this is safe and useful.
func (c *Client) send(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	key := c.key
	if key == "" {
		var b [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			panic("client: no randomness: " + err.Error())
		}
		key = hex.EncodeToString(b[:])
	}
	for pause := firstPause; ; pause = min(pause*2, mostPause) {
		req, err := c.request(ctx, method, path, nil, body)
		if err != nil {
			return err
		}
		req.Header.Set("Idempotency-Key", key)
		answer, err := c.do(req, maxJSON)
		if err == nil {
			return decode(path, answer, out)
		}
		wait, again := worthAnother(err, pause)
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (gave up: %w)", err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// worthAnother says how long to wait before the same write is sent again.
func worthAnother(err error, pause time.Duration) (time.Duration, bool) {
	if p, ok := errors.AsType[*Problem](err); ok {
		return max(pause, min(p.RetryAfter, mostPause)), p.Again()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return 0, false
	}
	_, network := errors.AsType[*url.Error](err)
	return pause, network
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Request, error) {
	u := *c.base
	plain, err := url.PathUnescape(path) // its parts are escaped already
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath, u.RawQuery = u.Path+plain, u.EscapedPath()+path, query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body)) // no body where it is empty
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("Accept-Language", "en") // sentences in both languages come along
	if c.as != "" {
		req.Header.Set("Akashi-As", c.as)
	}
	if h := c.seen.height.Load(); h > 0 {
		req.Header.Set(rest.HeaderAfter, strconv.FormatUint(h, 10))
	}
	return req, nil
}

func (c *Client) do(req *http.Request, limit int64) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	c.seen.meet(resp.Header.Get(rest.HeaderHeight))
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, &url.Error{Op: req.Method, URL: req.URL.Redacted(), Err: err}
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("%s answers with more than %d bytes", req.URL.Path, limit)
	case resp.StatusCode/100 != 2:
		return nil, problemOf(resp, b)
	}
	return b, nil
}

func decode(path string, b []byte, out any) error {
	if out == nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}
