package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Desk is what the server needs of the member's desk (custody.Desk).
type Desk interface {
	Screen(ctx context.Context, service, version string) (*custody.Shown, error)
	ScopesNow(ctx context.Context, ref custody.Ref, service string) ([]custody.ScopeNow, error)
	Consents(ctx context.Context, ref custody.Ref) ([]custody.ConsentView, error)
	Consent(ctx context.Context, c custody.Call, r custody.ConsentRequest) (*custody.Done, error)
	Challenge(ctx context.Context, r custody.ConsentRequest) ([32]byte, *custody.Drawn, error)
	Decline(ctx context.Context, c custody.Call, r custody.DeclineRequest) (*custody.Done, error)
	Read(ctx context.Context, r custody.ProvideRequest) (*custody.ReadItems, error)
	Find(ctx context.Context, kind, value string) (custody.Ref, bool, error)
	Known(ref custody.Ref) (bool, error)
	Name(ref custody.Ref) ([32]byte, error)
	KnownHandle(k sign.PublicKey, ref custody.Ref) (bool, error)
	Lookups(ref custody.Ref, kind string) ([]string, error)
	AddLookup(ctx context.Context, ref custody.Ref, kind, value string) error
	RemoveLookup(ctx context.Context, ref custody.Ref, kind, value string) error
	Hint(ref custody.Ref) (string, error)
	OnGone(tell func(custody.Gone))
}

// Options of New. All but Sender, Upstream and Members is required.
type Options struct {
	Issuer   string // origin of the pages, such as https://id.example.jp: no path, no slash at its end
	Member   string
	Key      [32]byte // the member's own, from its vault
	Blobs    session.Blobs
	Sessions *session.Store
	Desk     Desk
	State    func() *store.State    // the newest final state
	Changed  func() <-chan struct{} // closed when another becomes final
	Now      func() time.Time
	Log      *slog.Logger // gets no personal data

	Sender   session.Sender  // of one-time codes; nil: nobody signs in by code
	Upstream *Upstream       // identity provider; nil: none
	Members  func() []Member // other members whose pages are known; nil: none
}

// Codes of refusals of this package.
const (
	CodeClient        record.Code = "client.invalid"
	CodeClientUnknown record.Code = "client.unknown"
	CodeNotFinal      record.Code = "not-final-yet"
)

// Server is a member's authorization server.
type Server struct {
	Options
	storage *storage
	signer  goidc.JSONWebKey
	engine  http.Handler // go-oidc's
	mux     *http.ServeMux
	pages   pages
	cookies session.Cookies
	party   *webauthn.WebAuthn // nil: no passkeys here
	idp     *upstream          // nil: none
	others  others             // members as identity providers
	rooms   rooms              // for what strangers begin

	discovery []byte
	left      atomic.Bool // an erasure left something here
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// New returns a server that follows the log until Close.
func New(o Options) (*Server, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("oauth: the issuer is an origin such as https://id.example.jp")
	}
	if u.Scheme == "http" && !session.Loopback(u.Hostname()) {
		return nil, errors.New("oauth: beyond this machine the issuer is https")
	}
	if o.Member == "" || o.Blobs == nil || o.Sessions == nil || o.Desk == nil || o.State == nil || o.Changed == nil || o.Now == nil || o.Log == nil {
		return nil, errors.New("oauth: every option but Sender, Upstream and Members is required")
	}
	s := &Server{Options: o, cookies: session.Cookies{Secure: u.Scheme == "https"}, rooms: newRooms(roomBytes)}
	if s.Members == nil {
		s.Members = func() []Member { return nil }
	}
	s.storage = &storage{blobs: o.Blobs, key: o.Key, now: o.Now, live: s.live, self: o.Member, members: s.Members}
	if err := s.loadSigner(); err != nil {
		return nil, err
	}
	if s.pages, err = parsePages(); err != nil {
		return nil, err
	}
	if err := s.openPasskeys(); err != nil {
		return nil, fmt.Errorf("oauth: passkeys: %w", err)
	}
	if o.Upstream != nil {
		s.idp = s.newUpstream(*o.Upstream, "")
	}
	p, err := s.newProvider()
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	s.engine = p.Handler()
	if err := s.describe(); err != nil {
		return nil, err
	}
	s.route()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	o.Desk.OnGone(s.gone)
	s.wg.Go(func() { s.follow(ctx) })
	return s, nil
}

// Close ends what runs beside requests.
func (s *Server) Close() {
	s.Desk.OnGone(func(custody.Gone) {})
	s.cancel()
	s.wg.Wait()
}

// Patterns are the paths that the server answers, for the mux of a node.
func Patterns() []string {
	return []string{"/oauth/", "/signin", "/signin/", pathDiscovery, pathMetadata}
}

func (s *Server) route() {
	s.mux = http.NewServeMux()
	machine := func(method, path string, name endpointName) {
		s.mux.Handle(method+" "+path, s.machine(name))
	}
	machine("POST", pathPushed, "")
	machine("POST", pathToken, atToken)
	machine("POST", pathIntrospect, atIntrospection)
	machine("POST", pathRevoke, "")
	machine("GET", pathKeys, "")
	s.mux.HandleFunc("GET "+pathDiscovery, s.discover)
	s.mux.HandleFunc("GET "+pathMetadata, s.discover)
	s.mux.HandleFunc("GET "+pathData, s.data)
	s.mux.HandleFunc("GET "+pathGrant, s.grant)
	s.mux.HandleFunc("DELETE "+pathGrant, s.grant)

	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.page(r.handle))
	}
	s.mux.HandleFunc("GET /oauth/assets/{name}", s.asset)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.page(func(w http.ResponseWriter, r *http.Request) { s.problem(w, r, http.StatusNotFound, "error.notfound") }).ServeHTTP(w, r)
	})
}

// A route of the pages.
type route struct {
	pattern string
	handle  http.HandlerFunc
	page    bool // what a browser shows; else it leads to a page, or back to one
}

func (s *Server) routes() []route {
	return []route{
		{"GET " + pathAuthorize, s.beginsRequest(s.authorize), true},
		{"POST " + pathAuthorize, s.beginsRequest(s.authorize), false},
		{"GET " + pathAuthorize + "/{callback}", s.authorize, true},
		{"POST " + pathAuthorize + "/{callback}", s.authorize, false},
		{"GET /signin", s.signIn, true},
		{"POST /signin", s.beginsSignIn(s.sendCode), false},
		{"GET /signin/code", s.askCode, true},
		{"POST /signin/code", s.takeCode, false},
		{"POST /signin/paper", s.makePaper, true},
		{"POST /signin/paper/end", s.endPaper, false},
		{"GET /signin/recover", s.recover, true},
		{"POST /signin/recover", s.usePaper, false},
		{"POST " + pathUpstream, s.beginsSignIn(s.upstreamBegin), false},
		{"GET " + pathUpstream + "/callback", s.upstreamEnd, false},
		{"GET " + pathUpstream + "/callback/{member}", s.upstreamEnd, false},
		{"GET " + pathConnect, s.askConnect, true},
		{"POST " + pathConnect, s.connect, false},
		{"POST /signin/disconnect", s.disconnect, false},
		{"POST /signin/passkey/begin", s.beginsSignIn(s.passkeyBegin), false},
		{"POST /signin/passkey/end", s.passkeyEnd, false},
		{"POST /signin/passkey/remove", s.endPasskey, false},
		{"GET /signin/sessions", s.listSessions, true},
		{"POST /signin/sessions", s.endSession, false},
		{"POST /signin/apps", s.endAccess, false},
	}
}

// Pages are the patterns of what a browser shows: whoever looks at every page takes
// them from here.
func Pages() (patterns []string) {
	for _, r := range new(Server).routes() {
		if r.page {
			patterns = append(patterns, r.pattern)
		}
	}
	return patterns
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// machine passes a request of a program to go-oidc.
func (s *Server) machine(name endpointName) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare(w)
		if err := session.ReadForm(w, r, maxRequest); err != nil || repeated(r.Form) {
			protocolError(w, goidc.NewError(goidc.ErrorCodeInvalidRequest, "a parameter stands twice, or the request cannot be read"))
			return
		}
		if len(r.URL.RawQuery) > 0 && r.Method == http.MethodPost {
			protocolError(w, goidc.NewError(goidc.ErrorCodeInvalidRequest, "parameters belong into the body")) // RFC 6749 §3.2
			return
		}
		if otherResponse(r.Form) {
			protocolError(w, goidc.NewError("unsupported_response_type", "code, by query, is the only response"))
			return
		}
		if e, is := unsupported(r.Form); is {
			protocolError(w, e)
			return
		}
		if len(r.Header.Values("Dpop")) > 1 {
			protocolError(w, goidc.NewError("invalid_dpop_proof", "more than one proof"))
			return
		}
		s.engine.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), endpoint{}, name)))
	})
}

const maxRequest = 64 << 10

// repeated reports whether a parameter stands twice (RFC 6749 §3.1).
func repeated(form url.Values) bool {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return true
		}
	}
	return false
}

// otherResponse reports whether a request wants another answer than a code in the
// query. go-oidc answers even the refusal of a mode in that mode, with a page that
// has a script in it.
func otherResponse(form url.Values) bool {
	typ, mode := form.Get("response_type"), form.Get("response_mode")
	return typ != "" && typ != string(goidc.ResponseTypeCode) || mode != "" && mode != string(goidc.ResponseModeQuery)
}

// unsupported refuses what go-oidc would pass over, so that an app's wish is not dropped
// without a word: parameters in an object (OpenID Connect Core 1.0 §6.1, §7.2.1), and an
// age of the sign-in that is no number of seconds.
func unsupported(form url.Values) (e goidc.Error, is bool) {
	switch {
	case form.Get("request") != "": // without a value it counts as left out (RFC 6749 §3.1)
		return goidc.NewError("request_not_supported", "the parameters stand in the request itself"), true
	case form.Get("registration") != "":
		return goidc.NewError("registration_not_supported", "clients are registered by members"), true
	}
	if age := form.Get("max_age"); age != "" {
		if _, err := strconv.ParseUint(age, 10, 31); err != nil {
			return goidc.NewError(goidc.ErrorCodeInvalidRequest, "max_age"), true
		}
	}
	return e, false
}

func bare(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

func protocolError(w http.ResponseWriter, e goidc.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.StatusCode())
	json.NewEncoder(w).Encode(e)
}

// authorize passes a request of a browser to go-oidc, whose policy is decide.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil { // of a GET; page read that of a POST
		s.problem(w, r, http.StatusBadRequest, "error.request")
		return
	}
	if _, is := unsupported(r.Form); r.PathValue("callback") == "" && (is || repeated(r.Form) || otherResponse(r.Form)) {
		s.problem(w, r, http.StatusBadRequest, "error.request")
		return
	}
	s.engine.ServeHTTP(w, r)
}

// describe makes the metadata (OpenID Connect Discovery, RFC 8414): go-oidc's, less
// what is not served here.
func (s *Server) describe() error {
	r, err := http.NewRequest(http.MethodGet, pathDiscovery, nil)
	if err != nil {
		return err
	}
	said := captured{header: http.Header{}}
	s.engine.ServeHTTP(&said, r)
	var m map[string]any
	if err := json.Unmarshal(said.body.Bytes(), &m); err != nil {
		return fmt.Errorf("oauth: metadata: %w", err)
	}
	for _, name := range []string{"registration_endpoint", "userinfo_endpoint"} {
		delete(m, name)
	}
	m["response_modes_supported"] = []string{"query"}
	m["akashi_data_endpoint"] = s.Issuer + pathData
	m["akashi_grant_endpoint"] = s.Issuer + pathGrant
	m["request_uri_parameter_supported"] = false // true where it is absent
	m["ui_locales_supported"] = []string{"ja", "en"}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(m); err != nil {
		return err
	}
	s.discovery = b.Bytes()
	return nil
}

// captured is an answer that goes nowhere.
type captured struct {
	header http.Header
	body   bytes.Buffer
}

func (c *captured) Header() http.Header         { return c.header }
func (c *captured) WriteHeader(int)             {}
func (c *captured) Write(b []byte) (int, error) { return c.body.Write(b) }

func (s *Server) discover(w http.ResponseWriter, _ *http.Request) {
	bare(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	w.Write(s.discovery)
}

// codeOf is the code of a refusal, "" where err is something else.
func codeOf(err error) record.Code {
	if err == nil {
		return ""
	}
	return record.Code(rest.CodeOf(err))
}

func oneOf(code record.Code, codes ...record.Code) bool { return slices.Contains(codes, code) }
