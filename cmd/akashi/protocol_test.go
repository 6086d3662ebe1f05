package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/simulations/load"
	"golang.org/x/mod/sumdb/tlog"
)

// protocolLeaves is how long the log is that strangers' programs check.
const protocolLeaves = 5000

// TestPublicClients lets programs that others wrote check a consortium of four
// processes, at its nodes and as exported files on a plain web server: Tessera's
// fsck, torchwood's client and verifiers, and Go's tlog.
func TestPublicClients(t *testing.T) {
	l := startLocal(t)
	l.closeEntries(1)
	before, _, err := l.app(1).Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.fill(protocolLeaves)
	policy, err := os.ReadFile(policyFile(l.dir))
	if err != nil {
		t.Fatal(err)
	}
	node, auditor := "http://"+address(l.base, 1, portHTTP), l.tokens["auditor"]
	vkey := logVkey(t, policy)

	if said, ok := fsck(t, node+"/log/", vkey, auditor, time.Minute); !ok {
		t.Errorf("fsck at the node:\n%s", said)
	}
	if _, ok := fsck(t, node+"/log/", vkey, "no-such-token", 10*time.Second); ok {
		t.Error("fsck reads entries without a token")
	}
	readAll(t, node+"/log", auditor, policy, tlog.Tree{N: int64(before.Size), Hash: tlog.Hash(before.Root)})
	l.strangersProof(policy)

	dir := filepath.Join(t.TempDir(), "log")
	if out, code := runFor(t, patience, "export", node, dir, "--policy", policyFile(l.dir), "--token", auditor); code != 0 {
		t.Fatalf("export exits %d:\n%s", code, out)
	}
	if said, ok := fsck(t, "file://"+dir, vkey, "", time.Minute); !ok {
		t.Errorf("fsck of the files:\n%s", said)
	}
	mirror := httptest.NewServer(http.StripPrefix("/mirror", http.FileServer(http.Dir(dir))))
	defer mirror.Close()
	if said, ok := fsck(t, mirror.URL+"/mirror/", vkey, "", time.Minute); !ok {
		t.Errorf("fsck of the mirror:\n%s", said)
	}
	readAll(t, mirror.URL+"/mirror", "", policy, tlog.Tree{N: int64(before.Size), Hash: tlog.Hash(before.Root)})
	if _, r := audited(t, 0, mirror.URL+"/mirror", "--policy", policyFile(l.dir)); r.Size < protocolLeaves {
		t.Errorf("the audit of the mirror ends at leaf %d", r.Size)
	}

	// the control: what fsck says of a damaged log is not "all well"
	for _, path := range []string{"tile/0/003", "tile/1/000.p/*", "tile/entries/011"} {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(path)))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s: %v", path, err)
		}
		for _, name := range found {
			damage(t, name)
		}
		if said, ok := fsck(t, "file://"+dir, vkey, "", 5*time.Second); ok {
			t.Errorf("fsck finds nothing wrong with %s:\n%s", path, said)
		}
		for _, name := range found {
			damage(t, name) // the same bit again
		}
	}
}

// closeEntries makes a member's entry bundles need a token.
func (l *local) closeEntries(i int) {
	l.t.Helper()
	l.kill(i)
	s, err := node.LoadSettings(memberDir(l.dir, i))
	if err == nil {
		s.OpenEntries = false
		err = s.Save(memberDir(l.dir, i))
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.again(i)
	l.healthy()
}

// fill posts records until the log has at least size leaves at every member.
func (l *local) fill(size uint64) {
	l.t.Helper()
	o := load.Options{Origin: "dev.akashi.example", Clients: 4, Batch: 400, Duration: time.Minute, Records: int(size), Consents: 20, Handles: 50}
	for i := range l.members {
		o.Members = append(o.Members, load.Target{Member: fmt.Sprintf("member-%d", i), URL: "http://" + address(l.base, i, portHTTP), Token: l.tokens["app"]})
	}
	r, err := load.Run(l.t.Context(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.sameRoots()
	if note, _, err := l.app(1).Checkpoint(l.t.Context()); err != nil || note.Size < size {
		l.t.Fatalf("%d records, log %+v: %v", r.Records, note, err)
	}
}

// logVkey takes the log's key out of a policy.
func logVkey(t *testing.T, policy []byte) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^log (\S+)`).FindSubmatch(policy)
	if m == nil {
		t.Fatalf("no log line in %s", policy)
	}
	return string(m[1])
}

type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// readAll reads a whole log with torchwood, proves records with Go's tlog over
// the tiles, and that the log extends an older tree.
func readAll(t *testing.T, url, token string, policy []byte, older tlog.Tree) {
	t.Helper()
	ctx := t.Context()
	f, err := torchwood.NewTileFetcher(url, torchwood.WithHTTPClient(&http.Client{Transport: bearer(token)}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := torchwood.NewClient(f)
	if err != nil {
		t.Fatal(err)
	}
	p, err := torchwood.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	note, err := f.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	cp, _, err := torchwood.VerifyCheckpoint(note, p)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for i, entry := range c.AllEntries(ctx, cp.Tree, 0) {
		if i != n || len(entry) == 0 {
			t.Fatalf("entry %d, want %d", i, n)
		}
		n++
	}
	if err := c.Err(); err != nil || n != cp.N || n < protocolLeaves {
		t.Fatalf("%d of %d entries: %v", n, cp.N, err)
	}
	hashes := torchwood.TileHashReaderWithContext(ctx, cp.Tree, f)
	for _, at := range []int64{0, 1, 255, 256, older.N - 1, cp.N / 2, cp.N - 1} {
		entry, _, err := c.Entry(ctx, cp.Tree, at)
		if err != nil {
			t.Fatalf("entry %d: %v", at, err)
		}
		proof, err := tlog.ProveRecord(cp.N, at, hashes)
		if err == nil {
			err = tlog.CheckRecord(proof, cp.N, cp.Hash, at, tlog.RecordHash(entry))
		}
		if err != nil {
			t.Errorf("record %d: %v", at, err)
		}
	}
	proof, err := tlog.ProveTree(cp.N, older.N, hashes)
	if err == nil {
		err = tlog.CheckTree(proof, cp.N, cp.Hash, older.N, older.Hash)
	}
	if err != nil {
		t.Errorf("consistency of %d and %d: %v", older.N, cp.N, err)
	}
}

// strangersProof checks every member's proof of a new record with torchwood alone.
func (l *local) strangersProof(policy []byte) {
	l.t.Helper()
	p, err := torchwood.ParsePolicy(policy)
	if err != nil {
		l.t.Fatal(err)
	}
	id := l.mustWrite(2, patience)
	for i := range l.members {
		var status int
		var b []byte
		l.until(fmt.Sprintf("the record is final at member %d, too", i), func() bool {
			status, b = l.get("http://"+address(l.base, i, portHTTP)+"/v1/proofs/inclusion?id="+id, l.tokens["auditor"])
			return status != http.StatusNotFound
		})
		var got struct {
			LeafHash []byte `json:"leafHash"`
			Proof    string `json:"proof"`
		}
		if err := json.Unmarshal(b, &got); err != nil || status != http.StatusOK || len(got.LeafHash) != tlog.HashSize {
			l.t.Fatalf("member %d: %d %s", i, status, b)
		}
		if err := torchwood.VerifyProof(p, tlog.Hash(got.LeafHash), []byte(got.Proof)); err != nil {
			l.t.Errorf("member %d: %v\n%s", i, err, got.Proof)
		}
		got.LeafHash[0] ^= 1
		if torchwood.VerifyProof(p, tlog.Hash(got.LeafHash), []byte(got.Proof)) == nil {
			l.t.Errorf("member %d: another leaf verifies", i)
		}
	}
}
