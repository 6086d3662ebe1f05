package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Options of New. Log and Tokens are required; zero values of the rest mean the
// defaults.
type Options struct {
	Tokens   *token.Store
	Log      *slog.Logger
	Version  string               // of the program, for /openapi.json and /v1/status
	Registry *prometheus.Registry // of /metrics; an own one where nil
	Clients  Clients              // nil: no app asks people here

	WriteWait    time.Duration // how long a write waits for its outcome
	MaxRequests  int           // under way at once
	MaxBodyBytes int64         // of all requests under way
	MaxStreams   int           // readers of /v1/stream
	MaxBehind    int           // requests without a token that may wait for a height at once; 0: 64
	Heartbeat    time.Duration // of /v1/stream
	SlowAfter    time.Duration // how long a reader of a stream may take for one part of it
}

// Defaults of Options, and bounds.
const (
	defaultWriteWait    = 8 * time.Second // then the outcome is unknown: the caller asks again with the same key
	defaultMaxRequests  = 4096
	defaultMaxBodyBytes = 256 << 20
	defaultMaxStreams   = 64
	defaultHeartbeat    = 15 * time.Second
	defaultSlowAfter    = 10 * time.Second

	maxQueryBytes = 4096
	maxBody       = 64 << 10 // of a request, where its route says nothing else
	maxKeyBytes   = 128      // of an Idempotency-Key
)

func (o *Options) defaults() error {
	if o.Tokens == nil || o.Log == nil {
		return errors.New("rest: Tokens and Log are required")
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.WriteWait, defaultWriteWait}, {&o.Heartbeat, defaultHeartbeat}, {&o.SlowAfter, defaultSlowAfter}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = defaultMaxBodyBytes
	}
	if o.MaxBehind <= 0 {
		o.MaxBehind = defaultMaxBehind
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = defaultMaxStreams
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return nil
}

type server struct {
	Backend
	Options
	tokens   *token.Store
	mux      *http.ServeMux
	metrics  *metrics
	registry huma.Registry
	screens  screenCache

	requests, bodies, streams, behind atomic.Int64
	backing                           chan struct{} // holds one while a backup is on its way
}

// NewHandler returns the API over a backend. Most callers want New.
func NewHandler(b Backend, o Options) (http.Handler, error) {
	if b.Self == "" || b.Founding == nil || b.Clock == nil || b.Desk == nil || b.Outbox == nil || b.Kept == nil || b.Custody == nil || b.Final == nil || b.Changed == nil ||
		b.Closing == nil || b.Leader == nil || b.Ready == nil || b.Refresh == nil || b.Host == nil || b.Sign == nil || b.Candidate == nil || b.Network == nil ||
		b.Prepare == nil || b.Prove == nil {
		return nil, errors.New("rest: every field of Backend is required")
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	s := &server{Backend: b, Options: o, tokens: o.Tokens, mux: http.NewServeMux(), backing: make(chan struct{}, 1)}
	var err error
	if s.metrics, err = newMetrics(s); err != nil {
		return nil, err
	}
	spec, err := s.describe()
	if err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		writeBytes(w, "application/json", spec)
	})
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.Handle("GET /metrics", s.metrics.handler)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	out := &answered{ResponseWriter: w}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	route := "other"
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			s.Log.Error("a request ended in a bug", "route", route, "stack", string(debug.Stack())) // not the value: it may repeat the request
			if out.status == 0 {
				s.fail(out, r, fault(codeInternal))
			}
		}
		s.metrics.observe(route, out.status, time.Since(began))
	}()
	if n := s.requests.Add(1); n > int64(s.MaxRequests) {
		s.requests.Add(-1)
		s.fail(out, r, fault(codeBusy))
		return
	}
	defer s.requests.Add(-1)
	if len(r.URL.RawQuery) > maxQueryBytes || len(r.URL.Path) > maxQueryBytes {
		s.fail(out, r, fault(codeParameter))
		return
	}
	handler, pattern := s.mux.Handler(r)
	if pattern == "" {
		s.unmatched(out, r, handler)
		return
	}
	route = pattern
	s.mux.ServeHTTP(out, r)
}

// unmatched turns the router's own answers into problems.
func (s *server) unmatched(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	probe := &discarded{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		s.fail(w, r, fault(codeMethod))
		return
	}
	s.fail(w, r, fault(codeNotFound))
}

// fail answers with the problem of an error. What is the node's own fault is
// logged: errors hold no personal data, and refusals are not logged at all.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	english := wantsEnglish(r)
	p := problemOf(err, english)
	if p.Status == http.StatusInternalServerError {
		s.Log.Error("a request failed", "code", p.Code, "err", err.Error())
	}
	p.write(w, english)
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.Closing:
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	default:
		text := "ok\n"
		if l := s.Custody.KeyLag(); l.Degraded(time.Now()) { // it serves all the same
			text = fmt.Sprintf("degraded: keys are at no custodian for %s: see /v1/custodians\n", l.Age(time.Now()).Truncate(time.Second))
		}
		writeBytes(w, "text/plain; charset=utf-8", []byte(text))
	}
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.healthz(w, r)
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

// waiting returns a context for a write: it ends when nobody waits any more.
func (s *server) waiting(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), s.WriteWait)
}
