// Package web is the small portal of a node: one person's consents, history
// and receipts, whether these are all (「これで全部です」), and a page on which
// anyone can verify a file that a person keeps.
//
// # Invariants
//
//   - The server never says that something was verified. It writes 「まだ確かめて
//     いません」; only code on the reader's machine (assets/verify.js) says more.
//   - Everything that changes is a POST with a token of the session in the form,
//     from this origin. Every page works without JavaScript, except verifying,
//     which then is the business of `akashi verify`.
//   - No request goes to another host, and no script or style is inline: see
//     policy.
//   - Every page ends with what it cannot show.
//   - Stopping takes one tap, and so does starting again what was agreed to
//     before. What a person never agreed to is shown in full before it starts.
//
// # What it does not do
//
// It keeps no state: sessions and everything shown are the backend's. How a
// person signs in, and what an app asks for, is the business of other pages.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"
)

// Options of New.
type Options struct {
	Log    *slog.Logger // required; gets no personal data
	Secure bool         // the pages are reached over TLS: cookies are for TLS only
	SignIn string       // path of the page on which people sign in, "" where there is none
}

// policy lets a page load its own parts and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed assets
var assets embed.FS

// server serves the pages.
type server struct {
	backend Backend
	Options
	pages pages
	files map[string]file // by URL path
}

// file is an asset with its entity tag.
type file struct {
	kind, tag string
	body      []byte
}

// Paths are the patterns under which the pages' handler is to be mounted.
func Paths() []string {
	return []string{"/{$}", "/enter", "/leave", "/consents/", "/services/", "/erasures/", "/requests", "/stops", "/.well-known/gpc.json", "/history", "/receipts", "/receipts/", "/all", "/all" + receiptSuffix, "/verify", "/assets/"}
}

// New returns the pages' handler, for what Paths names.
func New(b Backend, o Options) (http.Handler, error) {
	if b == nil || o.Log == nil {
		return nil, errors.New("web: backend and logger are needed")
	}
	s := &server{backend: b, Options: o}
	var err error
	if s.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("web: templates: %w", err)
	}
	if s.files, err = loadFiles(); err != nil {
		return nil, fmt.Errorf("web: assets: %w", err)
	}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, r.handle)
	}
	mux.HandleFunc("/", s.notFound)
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, http.StatusForbidden, "error.form")
	}))
	return headers(origin.Handler(mux)), nil
}

// A route of the pages.
type route struct {
	pattern string
	handle  http.HandlerFunc
	page    bool // what a browser shows; else it is a file, or leads to a page
}

func (s *server) routes() []route {
	return []route{
		{"GET /{$}", s.home, true},
		{"GET /enter", s.enter, true},
		{"POST /enter", s.entering, false},
		{"POST /leave", s.leave, false},
		{"POST /consents/stop", s.stop, false},
		{"POST /consents/start", s.start, false},
		{"GET /services/{service}/{purpose}", s.offer, true},
		{"GET /services/{service}", s.ending, true},
		{"POST /services/{service}", s.end, false},
		{"GET /erasures/{id}", s.erasure, true},
		{"GET /requests", s.requests, true},
		{"POST /requests", s.file, false},
		{"GET /stops", s.stops, true},
		{"POST /stops", s.setStop, false},
		{"GET /.well-known/gpc.json", s.gpc, false},
		{"GET /history", s.history, true},
		{"GET /receipts", s.receipts, true},
		{"GET /receipts/{id}", s.receipt, true},
		{"GET /receipts/every", s.every, false},
		{"GET /all", s.all, true},
		{"GET /all" + receiptSuffix, s.all, false},
		{"GET /verify", s.verify, true},
		{"GET /assets/{name}", s.asset, false},
	}
}

// Pages are the patterns of what a browser shows: whoever looks at every page takes
// them from here.
func Pages() (patterns []string) {
	for _, r := range new(server).routes() {
		if r.page {
			patterns = append(patterns, r.pattern)
		}
	}
	return patterns
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// loadFiles reads the assets, and makes a module of texts for each language.
func loadFiles() (map[string]file, error) {
	out := map[string]file{}
	add := func(name, kind string, body []byte) {
		sum := sha256.Sum256(body)
		out["/assets/"+name] = file{kind, `"` + hex.EncodeToString(sum[:16]) + `"`, body}
	}
	err := fs.WalkDir(assets, "assets", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		kind, ok := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}[path.Ext(name)]
		if !ok {
			return fmt.Errorf("no media type for %s", name)
		}
		b, err := assets.ReadFile(name)
		add(strings.TrimPrefix(name, "assets/"), kind, b)
		return err
	})
	for _, l := range languages {
		add("text-"+string(l)+".js", "text/javascript; charset=utf-8", l.module())
	}
	return out, err
}

func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	f, ok := s.files[r.URL.Path]
	if !ok {
		s.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", f.tag)
	w.Header().Set("Cache-Control", "no-cache") // kept, and asked for again: a node has one version
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, http.StatusNotFound, "error.notfound")
}

// problem shows what happened, what stayed safe and what to do.
func (s *server) problem(w http.ResponseWriter, r *http.Request, status int, key string) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "3")
	}
	p := s.page(w, r)
	p.Title = p.Lang.text(key + ".title")
	p.Problem = key
	s.show(w, status, "problem", p)
}

// refuse shows why the node did not do it. Nothing has changed.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, code string) {
	p := s.page(w, r)
	p.Title, p.Problem, p.Code = p.Lang.text("error.refused.title"), "error.refused", code
	s.show(w, http.StatusUnprocessableEntity, "problem", p)
}

// signedOut asks a person to sign in: one whose session is over hears that.
func (s *server) signedOut(w http.ResponseWriter, r *http.Request) {
	key := "error.signin"
	if s.read(r, cookieSession) != "" {
		key = "error.session"
	}
	s.forget(w)
	p := s.page(w, r)
	p.Title, p.Problem = p.Lang.text(key+".title"), key
	if p.Next = "/"; r.Method == http.MethodGet {
		p.Next = r.URL.RequestURI()
	}
	s.show(w, http.StatusUnauthorized, "problem", p)
}

// fail shows an error of the backend.
func (s *server) fail(w http.ResponseWriter, r *http.Request, what string, err error) {
	var no *Refused
	switch {
	case errors.As(err, &no):
		s.refuse(w, r, no.Code)
	case errors.Is(err, ErrNoSession):
		s.signedOut(w, r)
	case errors.Is(err, ErrNotFound):
		s.notFound(w, r)
	case errors.Is(err, ErrErased):
		s.problem(w, r, http.StatusGone, "error.erased")
	case errors.Is(err, ErrNoSecret):
		s.problem(w, r, http.StatusConflict, "error.nosecret")
	case errors.Is(err, ErrNotFinal):
		s.problem(w, r, http.StatusServiceUnavailable, "error.notfinal")
	case errors.Is(err, ErrBusy):
		s.problem(w, r, http.StatusServiceUnavailable, "error.busy")
	default:
		s.Log.Error("page", "what", what, "err", err)
		s.problem(w, r, http.StatusInternalServerError, "error.node")
	}
}
