package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	stdpath "path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
	"github.com/prometheus/client_golang/prometheus"
)

// stranger is what a malformed request carries that must not be logged, nor come
// back in an answer: a name and a telephone number.
const stranger = "hanako-yamada-09012345678"

// rawNode is one member's node with everything that it serves over HTTP, in this
// process, so that its whole log is seen.
type rawNode struct {
	t      *testing.T
	dir    string // of the consortium
	addr   string
	tokens map[string]string
	log    lockedBuffer
	n      *node.Node
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startRaw(t *testing.T) *rawNode {
	t.Helper()
	return startRawWith(t, func(*node.Settings) {})
}

// startRawWith lets the caller change the settings first.
func startRawWith(t *testing.T, change func(*node.Settings)) *rawNode {
	t.Helper()
	o := devOptions{dir: t.TempDir(), members: 1, people: []string{"p01"}, base: machine.FreePorts(t, portStep)}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	home := memberDir(o.dir, 0)
	s, err := node.LoadSettings(home)
	if err != nil {
		t.Fatal(err)
	}
	s.OpenEntries = false
	change(s)
	if err := s.Save(home); err != nil {
		t.Fatal(err)
	}
	r := &rawNode{t: t, dir: o.dir, addr: s.HTTP}
	if r.tokens, err = readTokens(o.dir); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n, err := node.Start(home, log)
	if err != nil {
		t.Fatal(err)
	}
	r.n = n
	t.Cleanup(func() { n.Close() })
	if err := takeTokens(home, n.Blobs()); err != nil {
		t.Fatal(err)
	}
	handler, stop, err := handlerOf(n, shared{tokens: token.New(n.Blobs()), metrics: prometheus.NewRegistry(), log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	l, err := net.Listen("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	server := serverOf(handler, log)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return r
}

// send writes bytes to a new connection and reads the answer.
func (r *rawNode) send(method, raw string) (*http.Response, []byte) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, raw)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("no answer to %.200q: %v", raw, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		r.t.Fatalf("answer to %.200q: %v", raw, err)
	}
	return resp, b
}

// oddRequest is one malformed request and the statuses that are right for it.
type oddRequest struct {
	what, method, raw string
	want              []int
	moved             bool // the router may send it to the path's one spelling, which names the path
}

// spell writes a request. Headers are pairs; a body comes with its length.
func spell(method, target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: node.example\r\nConnection: close\r\nX-Request-Id: %s\r\n", method, target, stranger)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// mutate changes a text at up to three places.
func mutate(r *rand.Rand, text, alphabet string) string {
	b := []byte(text)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		c := alphabet[r.IntN(len(alphabet))]
		switch {
		case at == len(b) || r.IntN(3) == 0:
			b = append(b[:at:at], append([]byte{c}, b[at:]...)...)
		case r.IntN(2) == 0:
			b[at] = c
		default:
			b = append(b[:at:at], b[at+1:]...)
		}
	}
	return string(b)
}

// oddTiles are paths below /log/ of which most are wrong. ends are the sizes of
// the log after each batch; there is no full tile.
func oddTiles(r *rand.Rand, ends []uint64, token string) oddRequest {
	end := ends[r.IntN(len(ends))]
	good := []string{merkle.TilePath(merkle.TileID{}, int(end)), merkle.EntriesPath(0, int(end)), "checkpoint", "policy/0"}[r.IntN(4)]
	path := mutate(r, good, "0123456789x./p%-+ae~")
	target := "/log/" + path
	var headers []string
	if token != "" {
		headers = []string{"Authorization", "Bearer " + token}
	}
	o := oddRequest{what: "tile", method: http.MethodGet, raw: spell(http.MethodGet, target, "", headers...), want: []int{http.StatusNotFound}}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		o.want = []int{http.StatusBadRequest}
		return o
	}
	if clean := stdpath.Clean(u.EscapedPath()); clean != u.EscapedPath() && clean+"/" != u.EscapedPath() {
		o.want, o.moved = []int{http.StatusTemporaryRedirect}, true
		return o
	}
	_, width, err := merkle.ParseEntriesPath(path)
	there := slices.Contains(ends, uint64(width))
	switch {
	case err == nil && token == "":
		o.want = []int{http.StatusUnauthorized}
	case path == "checkpoint", path == "policy", path == "policy/0", err == nil && path == merkle.EntriesPath(0, width) && there:
		o.want = []int{http.StatusOK}
	}
	if id, width, err := merkle.ParseTilePath(path); err == nil && id == (merkle.TileID{}) && slices.Contains(ends, uint64(width)) {
		o.want = []int{http.StatusOK}
	}
	return o
}

// oddMethods are methods that nothing below /log/ and no read of /v1 has.
func oddMethods(r *rand.Rand) oddRequest {
	method := []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND"}[r.IntN(9)]
	target := []string{"/log/checkpoint", "/log/tile/0/000.p/2", "/log/policy", "/v1/status", "/v1/proofs/register", "/v1/proofs/inclusion"}[r.IntN(6)]
	body := ""
	if method != "TRACE" && r.IntN(2) == 0 {
		body = `{"name":"` + stranger + `"}`
	}
	return oddRequest{what: "method", method: method, raw: spell(method, target, body), want: []int{http.StatusMethodNotAllowed}}
}

// oddNames are paths that no route has.
func oddNames(r *rand.Rand) oddRequest {
	parts := []string{"v1", stranger, "%E5%B1%B1%E7%94%B0", "people", "records", "%00", "..;", "%2e%2e", "a%2fb", strings.Repeat("z", 300), "%ff%fe", "'", "*", "$%7Bx%7D"}
	target := "/v1"
	for range 2 + r.IntN(4) {
		target += "/" + parts[r.IntN(len(parts))]
	}
	target += "/no-such-route" // a name that stands last nowhere
	return oddRequest{what: "name", method: http.MethodGet, raw: spell(http.MethodGet, target+"?q="+stranger, ""), want: []int{http.StatusNotFound}}
}

// oddTokens ask what needs a token with none that is known.
func oddTokens(r *rand.Rand, routes [][2]string) oddRequest {
	rt := routes[r.IntN(len(routes))]
	token := []string{"", "Bearer", "Bearer ", "Bearer " + stranger, "bearer  x", "Basic " + stranger, "Bearer " + strings.Repeat("A", 1+r.IntN(400)),
		"Bearer \xe5\xb1\xb1", "Digest username=" + stranger, "Bearer a b"}[r.IntN(10)]
	var headers []string
	if token != "" {
		headers = []string{"Authorization", token}
	}
	body := ""
	if rt[0] != http.MethodGet {
		body = `{"person":"` + stranger + `"}`
	}
	return oddRequest{what: "token", method: rt[0], raw: spell(rt[0], rt[1], body, headers...), want: []int{http.StatusUnauthorized}}
}

// oddQueries are parameters that no route has, or that are no numbers.
func oddQueries(r *rand.Rand) oddRequest {
	number := []string{"-1", "+1", "1e3", "0x10", "1.0", "%20", "99999999999999999999999", stranger, "%E4%B8%80", "1&index=1", "01", ""}[r.IntN(12)]
	target := []string{"/v1/proofs/inclusion?index=", "/v1/proofs/inclusion?index=0&size=", "/v1/proofs/consistency?from=", "/v1/proofs/consistency?from=2&to="}[r.IntN(4)] + number
	if r.IntN(3) == 0 {
		target = "/v1/status?" + mutate(r, stranger+"=1", "=&%+;abc")
	}
	return oddRequest{what: "query", method: http.MethodGet, raw: spell(http.MethodGet, target, ""), want: []int{http.StatusBadRequest, http.StatusUnprocessableEntity}}
}

// oddBodies are bodies that are no request for a tick.
func oddBodies(r *rand.Rand, token string) oddRequest {
	body := []string{`{"` + stranger + `":1}`, `[`, `{"a":{`, "\x00", `{"a":"\ud800"}`, `{"a":1,"a":2}`, `nul`, "{}{}", strings.Repeat("[", 200), `"` + stranger + `"`,
		`{"a":1e999}`, "\xef\xbb\xbf{}", mutate(r, `{"note":"`+stranger+`"}`, `{}[]",:0\`)}[r.IntN(13)]
	return oddRequest{what: "body", method: http.MethodPost, raw: spell(http.MethodPost, "/v1/ticks", body, "Authorization", "Bearer "+token),
		want: []int{http.StatusBadRequest, http.StatusUnprocessableEntity}}
}

// oddHeads are requests that are no HTTP, or that could be read in two ways.
func oddHeads(r *rand.Rand) oddRequest {
	const line, host = "GET /log/checkpoint HTTP/1.1\r\n", "Host: node.example\r\n"
	heads := []struct {
		raw  string
		want int
	}{
		{stranger + "\r\n\r\n", 400}, {"GET  /log/checkpoint HTTP/1.1\r\n" + host + "\r\n", 400}, {"GET log/checkpoint HTTP/1.1\r\n" + host + "\r\n", 400},
		{"GET /log/checkpoint HTTP/1.1x\r\n" + host + "\r\n", 400}, {"GET /log/check\x01point HTTP/1.1\r\n" + host + "\r\n", 400},
		{"GET /log/%zz HTTP/1.1\r\n" + host + "\r\n", 400}, {line + "\r\n", 400}, {line + host + host + "\r\n", 400}, {line + "Host: a b\r\n\r\n", 400},
		{line + host + "X Y: " + stranger + "\r\n\r\n", 400}, {line + host + "X: a\x00b\r\n\r\n", 400}, {line + host + "Content-Length: -1\r\n\r\n", 400},
		{line + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400}, {line + host + "Transfer-Encoding: " + stranger + "\r\n\r\n", 501},
		{line + host + "Content-Length: " + stranger + "\r\n\r\n", 400}, {"GET /log/checkpoint HTTP/3.7\r\n" + host + "\r\n", 505},
		{line + host + "X: " + strings.Repeat(stranger, 4000) + "\r\n\r\n", 431}, {"/\xff HTTP/1.1 GET\r\n" + host + "\r\n", 400},
	}
	h := heads[r.IntN(len(heads))]
	return oddRequest{what: "head", method: http.MethodGet, raw: h.raw, want: []int{h.want}}
}

// needToken are the routes of the API that not everyone may call, as it says
// itself, with references filled in.
func (r *rawNode) needToken() (routes [][2]string) {
	_, b := r.send(http.MethodGet, spell(http.MethodGet, "/openapi.json", ""))
	var doc struct {
		Paths map[string]map[string]struct {
			Security []any `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		r.t.Fatal(err)
	}
	fill := strings.NewReplacer("{ref}", "p01", "{id}", strings.Repeat("ab", 16), "{hash}", strings.Repeat("ab", 32), "{record}", "1")
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if len(op.Security) > 0 {
				routes = append(routes, [2]string{strings.ToUpper(method), fill.Replace(path)})
			}
		}
	}
	slices.SortFunc(routes, func(a, b [2]string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	if len(routes) < 20 {
		r.t.Fatalf("%d routes need a token", len(routes))
	}
	return routes
}

// TestMalformedRequests sends more than a thousand malformed requests to all that
// a node serves over HTTP. Each gets the status that is right for it, none ends
// in a fault of the node, and nothing of them is logged.
func TestMalformedRequests(t *testing.T) {
	r := startRaw(t)
	app, err := client.New("http://"+r.addr, client.Options{Token: r.tokens["app"]})
	if err != nil {
		t.Fatal(err)
	}
	ends := []uint64{2} // genesis and its seal
	for range 5 {
		if _, err := app.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, ends[len(ends)-1]+2)
	}
	rng, routes := rand.New(rand.NewPCG(3, 6)), r.needToken()
	kinds := []func() oddRequest{
		func() oddRequest { return oddTiles(rng, ends, "") }, func() oddRequest { return oddTiles(rng, ends, r.tokens["auditor"]) },
		func() oddRequest { return oddMethods(rng) }, func() oddRequest { return oddNames(rng) }, func() oddRequest { return oddTokens(rng, routes) },
		func() oddRequest { return oddQueries(rng) }, func() oddRequest { return oddBodies(rng, r.tokens["app"]) }, func() oddRequest { return oddHeads(rng) },
	}
	sent, refused := 0, 0
	for range 160 {
		for _, kind := range kinds {
			o := kind()
			resp, b := r.send(o.method, o.raw)
			if sent++; resp.StatusCode >= 400 {
				refused++
			}
			if !slices.Contains(o.want, resp.StatusCode) {
				t.Errorf("%s: %d, want %v, for %.300q: %.200q", o.what, resp.StatusCode, o.want, o.raw, b)
			}
			if !o.moved && bytes.Contains(b, []byte(stranger)) {
				t.Errorf("%s: the answer repeats %.300q", o.what, o.raw)
			}
		}
	}
	t.Logf("%d requests, %d refused", sent, refused)
	if refused < 1000 {
		t.Errorf("only %d malformed requests", refused)
	}
	if text := r.log.String(); strings.Contains(text, stranger) || strings.Contains(text, "level=ERROR") || strings.Contains(text, "panic") {
		t.Errorf("logged: %.2000s", text)
	}
	if _, err := app.Tick(t.Context()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}
