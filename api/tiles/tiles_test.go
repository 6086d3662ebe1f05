package tiles

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/store"
	"golang.org/x/mod/sumdb/tlog"
)

// member is a node that is always final: a Source over a real ledger.
type member struct {
	t      *testing.T
	c      *ledgertest.Consortium
	ledger *store.Ledger
	raft   uint64
	none   bool         // nothing is final
	lone   bool         // nothing was agreed to since the start
	shown  *store.State // final, where a witness keeps what k members agreed to from it
}

func newMember(t *testing.T) *member {
	t.Helper()
	c := ledgertest.New(t, ledgertest.Options{})
	log := slog.New(slog.DiscardHandler)
	db, err := store.OpenState(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l, err := store.OpenLedger(db, c.Leaves[0], register.Options{}, log)
	if err != nil {
		t.Fatal(err)
	}
	return &member{t: t, c: c, ledger: l}
}

// post adds a batch of n ticks.
func (m *member) post(n int) {
	m.t.Helper()
	recs := make([]*record.Record, n)
	for i := range recs {
		recs[i] = m.c.Tick()
	}
	e := m.c.Entry(m.c.Submit("a-sha", recs...))
	m.c.Apply(e)
	m.raft++
	if _, err := m.ledger.Apply(m.raft, canon.Must(e)); err != nil {
		m.t.Fatal(err)
	}
	if got, want := m.ledger.State().Root, m.c.Last().Root; got != record.Digest(want) {
		m.t.Fatalf("the ledger has root %x, the model %x", got, want)
	}
}

// rotate adds a batch that changes a member's cosigner key, and returns the size with
// which it closes the policy epoch.
func (m *member) rotate(id string) uint64 {
	m.t.Helper()
	e := m.c.Entry(m.c.Submit("pf", m.c.Tick(), m.c.Rotate(id, []string{record.RoleCosigner}, "a-sha", "b-sha", "c-sha")))
	m.c.Apply(e)
	m.raft++
	if b, err := m.ledger.Apply(m.raft, canon.Must(e)); err != nil || b.Result.Next == nil {
		m.t.Fatal(b, err)
	}
	return m.c.Last().Size
}

// Final implements Source.
func (m *member) Final() ([]byte, *store.State, bool) {
	if m.none {
		return nil, nil, false
	}
	st := cmp.Or(m.shown, m.ledger.State())
	return m.c.Note(st.Height), st, true
}

// Agreed implements Source.
func (m *member) Agreed() *store.State {
	if m.lone {
		return nil
	}
	return m.ledger.State()
}

// Cited implements Source.
func (m *member) Cited(p *rules.Policy, c *record.Cited) ([]byte, error) {
	return cosign.NoteOf(p, c, m.c.Log)
}

// entries lets a header decide.
func entries(r *http.Request) Access {
	switch r.Header.Get("Authorization") {
	case "Bearer auditor":
		return Allowed
	case "Bearer subject":
		return Refused
	case "Bearer open":
		return Public
	}
	return Unknown
}

func serve(t *testing.T, m *member) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(New(m, Options{Entries: entries, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(srv.Close)
	return srv
}

type withToken struct{ token string }

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	return http.DefaultTransport.RoundTrip(r)
}

// client reads as a stranger would: with torchwood and the policy alone.
func client(t *testing.T, srv *httptest.Server) (*torchwood.TileFetcher, *torchwood.Client) {
	t.Helper()
	f, err := torchwood.NewTileFetcher(srv.URL+"/log", torchwood.WithHTTPClient(&http.Client{Transport: withToken{"auditor"}}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := torchwood.NewClient(f)
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func read(t *testing.T, f *torchwood.TileFetcher, path string) []byte {
	t.Helper()
	b, err := f.ReadEndpoint(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTorchwoodReadsEverything(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	f, c := client(t, srv)
	var before *torchwood.Checkpoint
	for _, n := range []int{1, 5, 240, 10, 3, 400, 600} {
		m.post(n)
		policy, err := torchwood.ParsePolicy(read(t, f, "policy"))
		if err != nil {
			t.Fatalf("policy: %v", err)
		}
		cp, _, err := torchwood.VerifyCheckpoint(read(t, f, "checkpoint"), policy)
		if err != nil {
			t.Fatalf("checkpoint: %v", err)
		}
		got := 0
		for i, entry := range c.AllEntries(context.Background(), cp.Tree, 0) {
			if !bytes.Equal(entry, m.c.Leaves[i]) {
				t.Fatalf("entry %d differs", i)
			}
			got++
		}
		if err := c.Err(); err != nil || got != len(m.c.Leaves) {
			t.Fatalf("%d of %d entries: %v", got, len(m.c.Leaves), err)
		}
		if before != nil { // a reader who still has the last checkpoint goes on
			if _, _, err := c.Entry(context.Background(), before.Tree, before.N-1); err != nil {
				t.Fatalf("entry under the checkpoint of size %d: %v", before.N, err)
			}
			proof, err := tlog.ProveTree(cp.N, before.N, torchwood.TileHashReaderWithContext(context.Background(), cp.Tree, f))
			if err == nil {
				err = tlog.CheckTree(proof, cp.N, cp.Hash, before.N, before.Hash)
			}
			if err != nil {
				t.Fatalf("consistency of %d and %d: %v", before.N, cp.N, err)
			}
		}
		before = &cp
	}
}

func get(t *testing.T, srv *httptest.Server, method, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// TestShapes: at every size, exactly the tiles of C2SP tlog-tiles that batch
// ends have, and no others.
func TestShapes(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	ends := []uint64{m.ledger.State().Size}
	for _, n := range []int{7, 245, 1, 30, 300} {
		m.post(n)
		ends = append(ends, m.ledger.State().Size)
	}
	size := m.ledger.State().Size
	want := map[string]bool{}
	for _, end := range ends {
		for level := range 3 {
			nodes := end >> (8 * level)
			for n := uint64(0); n <= nodes/256; n++ {
				switch w := min(256, nodes-n*256); w {
				case 0:
				case 256:
					want[fmt.Sprintf("%d/%03d", level, n)] = true
				default:
					want[fmt.Sprintf("%d/%03d.p/%d", level, n, w)] = true
				}
			}
		}
	}
	for level := range 3 {
		for n := range size/256 + 2 {
			for w := range 256 {
				path := fmt.Sprintf("%d/%03d.p/%d", level, n, w)
				if w == 0 {
					path = fmt.Sprintf("%d/%03d", level, n)
				}
				paths := []string{"/log/tile/" + path}
				if level == 0 {
					paths = append(paths, "/log/tile/entries/"+path[2:])
				}
				for _, p := range paths {
					resp, b := get(t, srv, "GET", p, "Authorization", "Bearer auditor")
					switch {
					case want[path] != (resp.StatusCode == 200):
						t.Fatalf("%s: %d at size %d", p, resp.StatusCode, size)
					case !want[path] && resp.StatusCode != 404:
						t.Fatalf("%s: %d", p, resp.StatusCode)
					case resp.StatusCode == 200 && !strings.Contains(p, "entries") && len(b) != 32*max(w, 256*(1-min(w, 1))):
						t.Fatalf("%s: %d bytes", p, len(b))
					}
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(300)
	for _, c := range []struct {
		path, token, contentType, caching string
		status                            int
	}{
		{"/log/checkpoint", "", "text/plain; charset=utf-8", "no-cache", 200},
		{"/log/policy", "", "text/plain; charset=utf-8", "no-cache", 200},
		{"/log/policy/0", "", "text/plain; charset=utf-8", "no-cache", 200},
		{"/log/policy/1", "", "text/plain; charset=utf-8", "no-store", 404},
		{"/log/policy/00", "", "text/plain; charset=utf-8", "no-store", 404},
		{"/log/tile/0/000", "", "application/octet-stream", immutable, 200},
		{"/log/tile/1/000.p/1", "", "application/octet-stream", immutable, 200},
		{"/log/tile/entries/000", "", "text/plain; charset=utf-8", "no-store", 401},
		{"/log/tile/entries/000", "stranger", "text/plain; charset=utf-8", "no-store", 401},
		{"/log/tile/entries/000", "subject", "text/plain; charset=utf-8", "no-store", 403},
		{"/log/tile/entries/000", "auditor", "application/octet-stream", private, 200},
		{"/log/tile/entries/000", "open", "application/octet-stream", immutable, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, b := get(t, srv, method, c.path, "Authorization", "Bearer "+c.token)
			if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.contentType || resp.Header.Get("Cache-Control") != c.caching {
				t.Errorf("%s %s: %d %q %q", method, c.path, resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"))
			}
			if method == "HEAD" && len(b) != 0 || method == "GET" && c.status == 200 && int64(len(b)) != resp.ContentLength {
				t.Errorf("%s %s: %d bytes, length %d", method, c.path, len(b), resp.ContentLength)
			}
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if resp, _ := get(t, srv, method, "/log/checkpoint"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
}

func TestGzip(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(300)
	_, plain := get(t, srv, "GET", "/log/tile/entries/000", "Authorization", "Bearer auditor")
	for accept, want := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "*": true, "gzip;q=0": false,
		"gzip;q=0, *": false, "identity": false, "gzip;q=x": false, "deflate": false} {
		resp, b := get(t, srv, "GET", "/log/tile/entries/000", "Authorization", "Bearer auditor", "Accept-Encoding", accept)
		if got := resp.Header.Get("Content-Encoding") == "gzip"; got != want || !strings.Contains(resp.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%q: gzip %v, Vary %q", accept, got, resp.Header.Get("Vary"))
		}
		if want {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(b, plain) {
			t.Errorf("%q: other bytes", accept)
		}
	}
}

// TestConditional: who has a resource is told so, and each encoding is another.
func TestConditional(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(300)
	auth := []string{"Authorization", "Bearer auditor"}
	tags := map[string]bool{}
	for _, path := range []string{"checkpoint", "policy", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"} {
		for _, accept := range []string{"identity", "gzip"} {
			head := append([]string{"Accept-Encoding", accept}, auth...)
			first, _ := get(t, srv, "GET", "/log/"+path, head...)
			tag := first.Header.Get("ETag")
			if tag == "" {
				t.Fatalf("%s: no entity tag", path)
			}
			if zipped := first.Header.Get("Content-Encoding") != ""; zipped && tags[tag] {
				t.Errorf("%s: both encodings have the tag %s", path, tag)
			}
			tags[tag] = true
			for _, method := range []string{"GET", "HEAD"} {
				for match, want := range map[string]int{tag: 304, `"x", W/` + tag: 304, "*": 304, `"x"`: 200, tag[1:]: 200, "": 200} {
					resp, b := get(t, srv, method, "/log/"+path, append(head, "If-None-Match", match)...)
					if resp.StatusCode != want || want == 304 && len(b) > 0 {
						t.Errorf("%s %s with %q: %d, %d bytes", method, path, match, resp.StatusCode, len(b))
					}
					for _, h := range []string{"ETag", "Cache-Control", "Vary"} {
						if resp.Header.Get(h) != first.Header.Get(h) {
							t.Errorf("%s %s with %q: %s is %q, was %q", method, path, match, h, resp.Header.Get(h), first.Header.Get(h))
						}
					}
				}
			}
		}
	}
	// what is not there, or not for everyone, is not "unchanged"
	for path, want := range map[string]int{"/log/tile/0/009": 404, "/log/tile/entries/000": 401} {
		if resp, _ := get(t, srv, "GET", path, "If-None-Match", "*"); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestNotFound(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(20)
	for _, path := range []string{"", "/", "/log", "/log/", "/log/x", "/log/checkpoint/", "/log/checkpoint%2f", "/log/tile", "/log/tile/",
		"/log/tile/0", "/log/tile/0/", "/log/tile/0/0", "/log/tile/0/00", "/log/tile/0/0000", "/log/tile/00/000", "/log/tile/-1/000", "/log/tile/data/000",
		"/log/tile/64/000.p/1", "/log/tile/63/000.p/1", "/log/tile/8/000.p/1", "/log/tile/0/000", "/log/tile/0/000.p/0", "/log/tile/0/000.p/256", "/log/tile/0/000.p/01",
		"/log/tile/0/000.p/+1", "/log/tile/0/x000/000", "/log/tile/0/x001/000", "/log/tile/0/000.p", "/log/tile/0/000.p/", "/log/tile/0/001.p/1",
		"/log/tile/0/x999/x999/x999/x999/x999/x999/999", "/log/tile/0/x036/x028/x797/x018/x963/967", "/log/tile/0/x999/x999/x999/x999/x999/x999/x999/999.p/3",
		"/log/tile/entries/", "/log/tile/entries/000", "/log/tile/entries/000.p/3", "/log/tile/entries/xxx", "/log/tile/0/0%30%30", "/log/policy/", "/log/policy/-1", "/log/policy/x"} {
		resp, _ := get(t, srv, "GET", path, "Authorization", "Bearer auditor")
		if resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	m.none = true
	if resp, _ := get(t, srv, "GET", "/log/checkpoint"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("before the first final checkpoint: %d", resp.StatusCode)
	}
}

// TestPolicyEpochs: over two changes of keys, each epoch's policy says where it
// counts, and the chain leads from the first to the last.
func TestPolicyEpochs(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	_, first := get(t, srv, "GET", "/log/policy/0")
	_, chain := get(t, srv, "GET", "/log/policy/chain")
	if trusted, err := sign.ParsePolicy(first); err != nil {
		t.Fatal(err)
	} else if same, err := receipt.FollowChain(chain, []*sign.Policy{trusted}); err != nil || len(same) != 1 {
		t.Errorf("a chain without links: %d policies, %v", len(same), err)
	}
	m.post(2)
	closing := m.rotate("b-sha")
	// What a required witness must know before the next epoch can begin.
	_, b := get(t, srv, "GET", "/log/policy/1")
	if next, err := sign.ParsePolicy(b); err != nil || next.Range.Epoch != 1 || next.Range.First.Size != closing+1 || bytes.Equal(next.Format(), first[len(first)-len(next.Format()):]) {
		t.Errorf("the next epoch's policy: %v\n%s", err, b)
	}
	if resp, now := get(t, srv, "GET", "/log/policy"); resp.StatusCode != 200 || !bytes.HasPrefix(now, []byte("# policy epoch 0 of ")) {
		t.Errorf("the policy of the shown checkpoint: %s", now)
	}
	if resp, _ := get(t, srv, "GET", "/log/policy/2"); resp.StatusCode != 404 {
		t.Errorf("an epoch that nobody voted for: %d", resp.StatusCode)
	}
	m.post(1)
	second := m.rotate("c-sha")
	m.post(1)
	trusted, err := sign.ParsePolicy(first)
	if err != nil {
		t.Fatal(err)
	}
	_, chain = get(t, srv, "GET", "/log/policy/chain")
	followed, err := receipt.FollowChain(chain, []*sign.Policy{trusted})
	if err != nil || len(followed) != 3 {
		t.Fatalf("%d policies, %v", len(followed), err)
	}
	for epoch, want := range []uint64{closing, second, 0} {
		resp, b := get(t, srv, "GET", fmt.Sprintf("/log/policy/%d", epoch))
		p, err := sign.ParsePolicy(b)
		if err != nil || p.Range.Epoch != uint64(epoch) || p.Range.Closing.Size != want || !bytes.Equal(p.Format(), followed[epoch].Format()) {
			t.Fatalf("epoch %d: %s: %v", epoch, b, err)
		}
		if want > 0 && p.Range.Closing != followed[epoch].Range.Closing {
			t.Errorf("epoch %d closes at %v, by the chain at %v", epoch, p.Range.Closing, followed[epoch].Range.Closing)
		}
		if immutable := strings.Contains(resp.Header.Get("Cache-Control"), "immutable"); immutable != (want > 0) {
			t.Errorf("epoch %d: %q", epoch, resp.Header.Get("Cache-Control"))
		}
	}
	note := m.c.Note(m.c.Head().Height)
	for epoch, p := range followed {
		if _, err := p.Open(note); (err == nil) != (epoch == 2) {
			t.Errorf("the newest checkpoint under epoch %d: %v", epoch, err)
		}
	}
}

// TestPolicyParses: what is served is also a policy to our own strict parser.
func TestPolicyParses(t *testing.T) {
	m := newMember(t)
	srv := serve(t, m)
	m.post(1)
	_, b := get(t, srv, "GET", "/log/policy/0")
	p, err := sign.ParsePolicy(b)
	if err != nil || p.K != 3 || len(p.Members) != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := p.Open(m.c.Note(m.c.Head().Height)); err != nil {
		t.Fatal(err)
	}
}
