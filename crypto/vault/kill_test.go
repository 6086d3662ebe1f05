package vault

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// killed is a vault in a Badger whose process is killed again and again, and what
// that process was told or did not live to hear.
type killed struct {
	dir    string
	held   map[string]bool
	asked  string             // the call under way when the process ended, "" for none
	gone   map[string]bool    // shredded for sure
	copies map[string]bool    // every blob that ever was in the store after a kill
	before [2][SlotBytes]byte // the slots before the last round
	was    map[string]bool    // what was held before the last round
	loose  []string           // what the last round shredded of that
}

// TestKillVault kills a process with kill -9 at a random moment while it puts,
// shreds and compacts: what it was told is true, what it was not told is done or
// not, nothing else is lost, and from every blob of every round with the slot of
// the end nothing that was shredded opens. 6 rounds, 250 with AKASHI_SIM=long.
// (A kill leaves the page cache: what a failing disk does is TestCrashTable's.)
func TestKillVault(t *testing.T) {
	rounds := 6
	if os.Getenv("AKASHI_SIM") == "long" {
		rounds = 250
	}
	k := &killed{dir: t.TempDir(), held: map[string]bool{}, gone: map[string]bool{}, copies: map[string]bool{}}
	busy := 0
	for round := range rounds {
		if round > 0 {
			k.before = readSlotFile(t, filepath.Join(k.dir, "slot"))
		}
		k.run(t, round)
		if k.asked != "" {
			busy++
		}
		k.check(t, round)
	}
	t.Logf("%d rounds, %d of them within a call; %d shredded, %d held, %d blobs", rounds, busy, len(k.gone), len(k.held), len(k.copies))
	if rounds > 100 && (busy < rounds/4 || len(k.gone) < rounds) {
		t.Error("it was hardly ever killed at work")
	}
	k.plunder(t)
}

// run starts the process and kills it.
func (k *killed) run(t *testing.T, round int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChildWorksVault$")
	child.Env = append(os.Environ(), "VAULT_TEST_DIR="+k.dir, fmt.Sprint("VAULT_TEST_ROUND=", round))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		rest, _ := io.ReadAll(out)
		t.Fatalf("round %d: %q %s", round, lines.Text(), rest)
	}
	time.AfterFunc(time.Duration(rand.N(int64(80*time.Millisecond))), func() { child.Process.Kill() })
	k.asked, k.loose, k.was = "", nil, maps.Clone(k.held)
	for lines.Scan() {
		if lines.Text() == "ok" {
			k.done()
		} else {
			k.asked = lines.Text()
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("round %d: it ended by itself: %v, last %q", round, err, k.asked)
	}
}

// done takes the call under way as done.
func (k *killed) done() {
	what, rest, _ := strings.Cut(k.asked, " ")
	for _, id := range strings.Fields(rest) {
		switch what {
		case "put":
			k.held[id] = true
		case "shred":
			delete(k.held, id)
			k.gone[id] = true
			if k.was[id] {
				k.loose = append(k.loose, id)
			}
		}
	}
	k.asked = ""
}

// check opens the vault and compares.
func (k *killed) check(t *testing.T, round int) {
	t.Helper()
	blobs, v := openKilled(t, k.dir)
	defer blobs.db.Close()
	defer v.Close()
	held, err := v.List("")
	if err != nil {
		t.Fatal(err)
	}
	if k.asked != "" && !slices.Equal(held, slices.Sorted(maps.Keys(k.held))) {
		k.done()
	}
	if want := slices.Sorted(maps.Keys(k.held)); !slices.Equal(held, want) {
		t.Fatalf("round %d: holds %q, want %q", round, held, want)
	}
	for _, id := range held {
		if got, err := v.Get(id); err != nil || string(got) != string(secretOf(id)) {
			t.Fatalf("round %d: %s: %q, %v", round, id, got, err)
		}
	}
	if err := v.Verify(); err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	err = blobs.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if value, err := it.Item().ValueCopy(nil); err == nil {
				k.copies[string(value)] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// plunder tries every blob of every round with the slot of the end, and, as a
// control, with that of before the last round.
func (k *killed) plunder(t *testing.T) {
	t.Helper()
	var copies [][]byte
	for b := range k.copies {
		copies = append(copies, []byte(b))
	}
	loot := plunder(readSlotFile(t, filepath.Join(k.dir, "slot")), copies)
	for id := range k.gone {
		if loot.has(secretOf(id)) {
			t.Errorf("%s opens", id)
		}
	}
	for id := range k.held {
		if !loot.has(secretOf(id)) {
			t.Errorf("control: %s, which is held, does not open", id)
		}
	}
	old := plunder(k.before, copies)
	if len(k.loose) > 0 && !slices.ContainsFunc(k.loose, func(id string) bool { return old.has(secretOf(id)) }) {
		t.Errorf("control: with the slot of before the last round nothing that it shredded opens")
	}
}

func openKilled(t *testing.T, dir string) (badgerBlobs, *Vault) {
	t.Helper()
	blobs := openBadger(t, filepath.Join(dir, "db"))
	slot, err := OpenFileSlot(filepath.Join(dir, "slot"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(slot, blobs, Options{shape: small})
	if err != nil {
		t.Fatal(err)
	}
	return blobs, v
}

// TestChildWorksVault says on its standard output what it is about to do, does it,
// says so, and does not stop.
func TestChildWorksVault(t *testing.T) {
	dir := os.Getenv("VAULT_TEST_DIR")
	if dir == "" {
		t.Skip("runs in the child of TestKillVault")
	}
	_, v := openKilled(t, dir)
	held, err := v.List("")
	fmt.Println("open")
	for n := 0; err == nil; n++ {
		s := step{compact: n%2 == 0, fold: n%2 == 1}
		switch {
		case len(held) > 12 || len(held) > 2 && rand.N(3) == 0:
			rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
			s = step{shred: slices.Clone(held[:1+rand.N(3)])}
		case rand.N(8) > 0:
			s = step{put: []string{fmt.Sprintf("p/%s-%d/ks", os.Getenv("VAULT_TEST_ROUND"), n), fmt.Sprintf("l/%s-%d", os.Getenv("VAULT_TEST_ROUND"), n)}}
		}
		fmt.Println(s)
		if err = s.do(v); err == nil {
			fmt.Println("ok")
			held = s.after(held)
		}
	}
	t.Fatal(err)
}

func (s step) String() string {
	switch {
	case s.put != nil:
		return "put " + strings.Join(s.put, " ")
	case s.shred != nil:
		return "shred " + strings.Join(s.shred, " ")
	}
	return "compact or fold"
}
