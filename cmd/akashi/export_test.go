package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// shelf serves checkpoint, policy and entries of a model of a log.
type shelf struct {
	c      *ledgertest.Consortium
	height uint64       // of the checkpoint
	asked  atomic.Int64 // for bundles
	cut    atomic.Int64 // the bundle requests from this one on break off; 0: none
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/log/")
	switch path {
	case "checkpoint":
		w.Write(s.c.Note(s.height))
		return
	case "policy":
		p, err := policyOf(s.c.Leaves[0])
		if err != nil {
			panic(err)
		}
		w.Write(p)
		return
	}
	index, width, err := merkle.ParseEntriesPath(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	var bundle []byte
	for _, leaf := range s.c.Leaves[index*merkle.TileWidth:][:width] {
		if bundle, err = merkle.AppendEntry(bundle, leaf); err != nil {
			panic(err)
		}
	}
	if n, cut := s.asked.Add(1), s.cut.Load(); cut > 0 && n >= cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(bundle)))
		w.Write(bundle[:len(bundle)/2])
		panic(http.ErrAbortHandler)
	}
	w.Write(bundle)
}

// grow adds a batch of n ticks.
func grow(c *ledgertest.Consortium, n int) {
	recs := make([]*record.Record, n)
	for i := range recs {
		recs[i] = c.Tick()
	}
	c.Must("a-sha", recs...)
}

// contents returns all files of a directory, by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestExportGoesOn interrupts an export in the middle of a bundle, lets it go on,
// lets the log grow, damages what is there, and asks a node that is behind.
func TestExportGoesOn(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	grow(c, 390)
	grow(c, 390)
	s := &shelf{c: c, height: c.Head().Height}
	srv := httptest.NewServer(s)
	defer srv.Close()
	dir, policy := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "policy")
	text, err := policyOf(c.Leaves[0])
	if err == nil {
		err = os.WriteFile(policy, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	export := func(want int, says string) {
		t.Helper()
		if out, code := runFor(t, patience, "export", srv.URL, dir, "--policy", policy); code != want || !strings.Contains(out, says) {
			t.Fatalf("exits %d, want %d and %q:\n%s", code, want, says, out)
		}
	}
	// whole wants the bundles and the tiles of level 0 to be those of the log.
	whole := func() map[string]string {
		t.Helper()
		got := contents(t, dir)
		for start := 0; start < len(c.Leaves); start += merkle.TileWidth {
			leaves := c.Leaves[start:min(start+merkle.TileWidth, len(c.Leaves))]
			var bundle, tile []byte
			for _, leaf := range leaves {
				bundle, _ = merkle.AppendEntry(bundle, leaf)
				h := merkle.LeafHash(leaf)
				tile = append(tile, h[:]...)
			}
			index := uint64(start / merkle.TileWidth)
			if got[merkle.EntriesPath(index, len(leaves))] != string(bundle) || got[merkle.TilePath(merkle.TileID{Index: index}, len(leaves))] != string(tile) {
				t.Fatalf("bundle or tile %d is not that of the log", index)
			}
		}
		if got["checkpoint"] != string(c.Note(c.Head().Height)) || got[exportTemp] != "" {
			t.Fatalf("checkpoint %q, temporary file %q", got["checkpoint"], got[exportTemp])
		}
		return got
	}

	s.cut.Store(3)
	export(exitNotNow, "")
	half := contents(t, dir)
	if half["checkpoint"] != "" || half["tile/entries/001"] == "" || half["tile/entries/002"] != "" {
		t.Fatalf("after the interruption there are %d files", len(half))
	}
	s.cut.Store(0)
	export(0, "2 bundles fetched, 2 already there")
	whole()

	grow(c, 100)
	export(0, "0 bundles fetched, 4 already there") // the node has not come so far
	s.height = c.Head().Height
	export(0, "1 bundle fetched, 3 already there")
	before := whole()

	s.height--
	export(exitNotNow, "is behind")
	s.height++
	damage(t, filepath.Join(dir, "tile", "entries", "001"))
	export(0, "4 bundles fetched, 0 already there")
	if after := whole(); len(after) != len(before) {
		t.Errorf("%d files, were %d", len(after), len(before))
	}
}

// TestExportKeepsEvidence: k members signed two logs. What was exported of the
// one is not overwritten by the other.
func TestExportKeepsEvidence(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	grow(c, 300)
	fork := c.Clone(t)
	fork.ID() // another draw: other records from here on
	grow(c, 300)
	grow(fork, 390)
	s := &shelf{c: c, height: c.Head().Height}
	srv := httptest.NewServer(s)
	defer srv.Close()
	dir := filepath.Join(t.TempDir(), "log")
	if out, code := runFor(t, patience, "export", srv.URL, dir); code != 0 {
		t.Fatalf("exits %d:\n%s", code, out)
	}
	before := contents(t, dir)
	s.c = fork
	out, code := runFor(t, patience, "export", srv.URL, dir)
	if code != exitUnmet || !strings.Contains(out, "does not extend") {
		t.Fatalf("exits %d:\n%s", code, out)
	}
	after := contents(t, dir)
	for path, was := range before {
		if after[path] != was {
			t.Errorf("%s was overwritten", path)
		}
	}
	other := ledgertest.New(t, ledgertest.Options{Origin: "other.example/log"})
	s.c, s.height = other, 0
	if out, code := runFor(t, patience, "export", srv.URL, dir); code != exitWrongUse || !strings.Contains(out, "something else") {
		t.Fatalf("exits %d:\n%s", code, out)
	}
}
