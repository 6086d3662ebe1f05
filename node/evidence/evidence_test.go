package evidence

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// lie is evidence that a member cosigned the log's own root and the n-th other.
func lie(t *testing.T, c *ledgertest.Consortium, member string, n uint64) []byte {
	t.Helper()
	p := c.Policy()
	a := receipt.Cosigned{Checkpoint: c.Checkpoint(0)}
	b := a
	binary.BigEndian.PutUint64(b.Root[:], n)
	for _, m := range p.Members {
		if m.ID == member {
			a.Sigs = []sign.Cosignature{c.Member(member).Cosign.Cosign(m.Signer, a.Checkpoint, 1700000000+n)}
			b.Sigs = []sign.Cosignature{c.Member(member).Cosign.Cosign(m.Signer, b.Checkpoint, 1700000000+n)}
		}
	}
	file, err := receipt.BuildCheckpoints(p, a, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func open(t *testing.T, home string) *Store {
	t.Helper()
	s, err := Open(home, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeep(t *testing.T) {
	home, c := t.TempDir(), ledgertest.New(t, ledgertest.Options{})
	s, file := open(t, home), lie(t, c, "b-sha", 1)
	for round, want := range []bool{true, false} {
		if isNew, err := s.Keep(file, c.Policy()); err != nil || isNew != want {
			t.Fatalf("round %d: new %v, %v", round, isNew, err)
		}
	}
	if isNew, err := open(t, home).Keep(lie(t, c, "b-sha", 1), c.Policy()); err != nil || isNew {
		t.Errorf("the same contradiction is kept again after a restart: %v", err)
	}
	if isNew, err := s.Keep(lie(t, c, "c-sha", 2), c.Policy()); err != nil || !isNew {
		t.Errorf("another's lie: new %v, %v", isNew, err)
	}
	items := open(t, home).Items()
	if len(items) != 2 || items[0].Kind != receipt.EvidenceCheckpoint || items[0].Signers[0] != "b-sha" || items[1].Signers[0] != "c-sha" {
		t.Fatalf("after a restart: %+v", items)
	}
	b, ok, err := s.File(items[0].ID)
	if err != nil || !ok || !bytes.Equal(b, file) {
		t.Errorf("file: %v, %v", ok, err)
	}
	if _, ok, err := s.File("../keys"); ok || err != nil {
		t.Errorf("a path for an id: %v, %v", ok, err)
	}
}

func TestKeepOnlyWhatHolds(t *testing.T) {
	home, c := t.TempDir(), ledgertest.New(t, ledgertest.Options{})
	s, file := open(t, home), lie(t, c, "b-sha", 1)
	if _, err := s.Keep(file, ledgertest.New(t, ledgertest.Options{Seed: "other"}).Policy()); err == nil {
		t.Error("kept under another policy")
	}
	if _, err := s.Keep(append(file, '\n'), c.Policy()); err == nil {
		t.Error("kept with a byte too many")
	}
	if _, err := s.Keep([]byte("{}"), c.Policy()); err == nil {
		t.Error("kept what is no evidence")
	}
	if _, err := os.Stat(filepath.Join(home, Dir)); err == nil {
		t.Error("something was written")
	}
}

func TestBounds(t *testing.T) {
	home, c := t.TempDir(), ledgertest.New(t, ledgertest.Options{})
	s := open(t, home)
	for n := range uint64(3 * maxEach) {
		if _, err := s.Keep(lie(t, c, "b-sha", n), c.Policy()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(open(t, home).Items()); n != maxEach {
		t.Errorf("%d files of one liar", n)
	}
	if isNew, err := s.Keep(lie(t, c, "pf", 1), c.Policy()); err != nil || !isNew {
		t.Errorf("one liar keeps another's evidence out: %v", err)
	}
}

// What a crash left, and what is not ours, does not keep a node from starting.
func TestOpenAmongOtherFiles(t *testing.T) {
	home, c := t.TempDir(), ledgertest.New(t, ledgertest.Options{})
	if _, err := open(t, home).Keep(lie(t, c, "b-sha", 1), c.Policy()); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(home, Dir, "00000000000000000000000000000000"+temporary)
	for path, content := range map[string]string{half: "{", filepath.Join(home, Dir, "notes.txt"): "x",
		filepath.Join(home, Dir, "11111111111111111111111111111111"+suffix): "not JSON"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(open(t, home).Items()); n != 1 {
		t.Errorf("%d items", n)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half file is still there: %v", err)
	}
}
