package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/dgraph-io/badger/v4"
)

var quiet = slog.New(slog.DiscardHandler)

func openTestState(t testing.TB, dir string) *badger.DB {
	t.Helper()
	db, err := OpenState(dir, quiet, WithMinFree(0))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func testValue(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "value %08d ", i), 8) }

func testKey(i int) []byte { return fmt.Appendf(nil, "key/%08d", i) }

// fillState writes entries into tables and closes the database.
func fillState(t testing.TB, dir string, count int) {
	t.Helper()
	db := openTestState(t, dir)
	for start := 0; start < count; start += 5000 {
		ts := uint64(start/5000 + 1)
		txn := db.NewTransactionAt(ts, true)
		for i := start; i < min(start+5000, count); i++ {
			if err := txn.Set(testKey(i), testValue(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.CommitAt(ts, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func tablesOf(t testing.TB, dir string) []string {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	return tables
}

func flip(t testing.TB, file string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestOpenStateReopens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "state")
	fillState(t, dir, 12_000)
	db := openTestState(t, dir)
	defer db.Close()
	if err := Verify(db); err != nil {
		t.Error(err)
	}
	for _, i := range []int{0, 4999, 5000, 11_999} {
		value, found, err := func() ([]byte, bool, error) {
			txn := db.NewTransactionAt(100, false)
			defer txn.Discard()
			return getBlob(txn, testKey(i))
		}()
		if err != nil || !found || !bytes.Equal(value, testValue(i)) {
			t.Errorf("entry %d: %q, %v, %v", i, value, found, err)
		}
	}
	// A reader at an earlier height does not see what came later.
	txn := db.NewTransactionAt(1, false)
	defer txn.Discard()
	if _, found, err := getBlob(txn, testKey(5000)); found || err != nil {
		t.Errorf("read at height 1: %v, %v", found, err)
	}
}

func TestOpenRefusals(t *testing.T) {
	wantKind := func(t *testing.T, dir string, kind error, opts ...OpenOption) {
		t.Helper()
		if db, err := OpenState(dir, quiet, opts...); !errors.Is(err, kind) {
			if err == nil {
				db.Close()
			}
			t.Errorf("state: got %v, want %v", err, kind)
		}
		if b, err := OpenBlobs(dir, quiet, opts...); !errors.Is(err, kind) {
			if err == nil {
				b.Close()
			}
			t.Errorf("blobs: got %v, want %v", err, kind)
		}
	}
	t.Run("no logger", func(t *testing.T) {
		if _, err := OpenState(t.TempDir(), nil); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("locked here", func(t *testing.T) {
		dir := t.TempDir()
		db := openTestState(t, dir)
		defer db.Close()
		wantKind(t, dir, ErrLocked)
	})
	t.Run("locked by another process", func(t *testing.T) {
		dir := t.TempDir()
		child := exec.Command(os.Args[0], "-test.run=^TestBlobsChild$")
		child.Env = append(os.Environ(), "AKASHI_TEST_BLOBS_CHILD="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { child.Process.Kill(); child.Wait() }()
		if _, err := out.Read(make([]byte, 1)); err != nil { // it is open and writes
			t.Fatal(err)
		}
		wantKind(t, dir, ErrLocked)
	})
	t.Run("disk full", func(t *testing.T) {
		wantKind(t, t.TempDir(), ErrDiskFull, WithMinFree(1<<62))
		wantKind(t, t.TempDir(), syscall.ENOSPC, WithMinFree(1<<62))
	})
	t.Run("not writable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			machine.Lacks(t, "root may write anywhere: a directory that may not be written is for another user to try")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		wantKind(t, dir, ErrReadOnly)
	})
	t.Run("not a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenState(file, quiet); err == nil {
			t.Error("accepted")
		}
	})
	for name, harm := range map[string]func(t *testing.T, dir string){
		"manifest lost": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, badger.ManifestFilename)); err != nil {
				t.Fatal(err)
			}
		},
		"manifest damaged": func(t *testing.T, dir string) { flip(t, filepath.Join(dir, badger.ManifestFilename), 18) },
		"manifest empty": func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, badger.ManifestFilename), 0); err != nil {
				t.Fatal(err)
			}
		},
		"table lost": func(t *testing.T, dir string) {
			if err := os.Remove(tablesOf(t, dir)[0]); err != nil {
				t.Fatal(err)
			}
		},
		"table cut": func(t *testing.T, dir string) {
			if err := os.Truncate(tablesOf(t, dir)[0], 5000); err != nil {
				t.Fatal(err)
			}
		},
		"table empty": func(t *testing.T, dir string) {
			if err := os.Truncate(tablesOf(t, dir)[0], 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fillState(t, dir, 10_000)
			harm(t, dir)
			before := tree(t, dir)
			wantKind(t, dir, ErrCorrupt, WithMinFree(0))
			if after := tree(t, dir); after != before {
				t.Errorf("the refusal changed the directory:\n%s\n%s", before, after)
			}
		})
	}
}

func tree(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %d; ", e.Name(), info.Size())
	}
	return out.String()
}

// Wherever one bit of a table is wrong, opening says so, and if it does not,
// nothing that is read is wrong or missing.
func TestOpenFindsEveryDamagedBlock(t *testing.T) {
	const count = 4000
	pristine := t.TempDir()
	fillState(t, pristine, count)
	random := rand.New(rand.NewPCG(1, 2))
	undetected := 0
	for round := range 41 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
			t.Fatal(err)
		}
		table := tablesOf(t, dir)[0]
		info, err := os.Stat(table)
		if err != nil {
			t.Fatal(err)
		}
		offset := random.Int64N(info.Size())
		if round > 0 { // the first copy is sound
			flip(t, table, offset)
		}
		db, err := OpenState(dir, quiet, WithMinFree(0))
		if err != nil && round == 0 {
			t.Fatal(err)
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("offset %d: %v", offset, err)
			}
			continue
		}
		undetected++
		txn := db.NewTransactionAt(100, false)
		for i := range count {
			value, found, err := getBlob(txn, testKey(i))
			if err != nil || !found || !bytes.Equal(value, testValue(i)) {
				t.Errorf("offset %d of %d opened, entry %d: %v, %v", offset, info.Size(), i, found, err)
				break
			}
		}
		txn.Discard()
		db.Close()
	}
	t.Logf("%d of 40 damaged ones opened", undetected-1)
}

// Badger's reads do not tell about damage that appears later; Verify does.
func TestVerifyFindsLaterDamage(t *testing.T) {
	dir := t.TempDir()
	fillState(t, dir, 10_000)
	b, err := OpenBlobs(dir, quiet, WithMinFree(0))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Verify(); err != nil {
		t.Fatal(err)
	}
	flip(t, tablesOf(t, dir)[0], 10_000)
	wrong, absent := 0, 0
	for i := range 10_000 {
		value, found, err := b.Get(testKey(i))
		switch {
		case err != nil:
			t.Fatal(err)
		case !found:
			absent++
		case !bytes.Equal(value, testValue(i)):
			wrong++
		}
	}
	t.Logf("%d absent", absent)
	if wrong > 0 {
		t.Errorf("%d wrong values", wrong)
	}
	if absent == 0 {
		t.Error("nothing absent: Badger reports damage now, or the test hits nothing; review the comment in open.go")
	}
	if err := b.Verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify: %v", err)
	}
	if _, _, err := b.Get(testKey(1)); !errors.Is(err, ErrStopped) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("Get after Verify: %v", err)
	}
}

func TestBadgerLog(t *testing.T) {
	var out bytes.Buffer
	l := badgerLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l.Infof("unseen")
	l.Debugf("unseen")
	l.Warningf("a %d\n", 1)
	l.Errorf("b")
	got := out.String()
	if strings.Contains(got, "unseen") || !strings.Contains(got, `level=WARN msg="badger: a 1"`) || !strings.Contains(got, `level=ERROR msg="badger: b"`) {
		t.Error(got)
	}
}
