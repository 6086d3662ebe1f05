package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A child writes as fast as it can and says what was acknowledged; the parent
// kills it at a random moment (SIGKILL) and looks for everything that was said.
// Each writer's loop:
//
//	single W I      one Put
//	set W I 0…4     one PutMany of five
//	count W         one Update that adds one
const (
	crashWriters = 48
	crashSet     = 5
)

// TestBlobsChild is the child; on its own it does nothing.
func TestBlobsChild(t *testing.T) {
	dir := os.Getenv("AKASHI_TEST_BLOBS_CHILD")
	if dir == "" {
		t.Skip("runs only as a child of other tests")
	}
	b, err := OpenBlobs(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for w := range crashWriters {
		group.Go(func() {
			// Values large enough that memtables rotate and compactions run.
			value := bytes.Repeat([]byte{byte(w)}, 2000)
			for i := 0; ; i++ {
				var set []KV
				for j := range crashSet {
					set = append(set, KV{Key: fmt.Appendf(nil, "set/%d/%d/%d", w, i, j), Value: value})
				}
				err := errors.Join(
					b.Put(fmt.Appendf(nil, "single/%d/%d", w, i), value),
					b.PutMany(set),
					b.Update(func(tx *BlobTx) error {
						key := fmt.Appendf(nil, "count/%d", w)
						old, _, err := tx.Get(key)
						if err != nil {
							return err
						}
						var n int
						fmt.Sscan(string(old), &n)
						if n != i {
							return fmt.Errorf("writer %d counts %d instead of %d", w, n, i)
						}
						return tx.Put(key, fmt.Append(nil, n+1))
					}))
				mu.Lock()
				if err != nil {
					fmt.Printf("error %v\n", err)
				} else {
					fmt.Printf("done %d %d\n", w, i)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestBlobsSurviveKill(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	total := 0
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "blobs")
		child := exec.Command(os.Args[0], "-test.run=^TestBlobsChild$")
		child.Env = append(os.Environ(), "AKASHI_TEST_BLOBS_CHILD="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		var last [crashWriters]int // acknowledged iterations per writer
		kill := time.AfterFunc(time.Hour, func() {})
		for first := true; ; first = false {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // killed; a line without its end was not said
			}
			if first {
				kill = time.AfterFunc(time.Duration(100+rand.IntN(900))*time.Millisecond, func() { child.Process.Kill() })
			}
			var w, i int
			if _, err := fmt.Sscanf(line, "done %d %d\n", &w, &i); err != nil {
				t.Errorf("round %d: the child says %s", round, strings.TrimSpace(line))
				continue
			}
			last[w] = i + 1
		}
		kill.Stop()
		child.Process.Kill()
		child.Wait()
		for _, iterations := range last {
			total += iterations
		}
		checkSurvivors(t, dir, last[:])
	}
	t.Logf("%d acknowledged iterations of three writes in %d rounds", total, rounds)
	if total == 0 {
		t.Error("nothing was acknowledged")
	}
}

func checkSurvivors(t *testing.T, dir string, last []int) {
	t.Helper()
	b := openTestBlobs(t, dir)
	defer b.Close()
	if err := b.Verify(); err != nil {
		t.Error(err)
	}
	sets := make(map[string]int)
	if err := b.Keys([]byte("set/"), func(key []byte) error {
		sets[string(key[:bytes.LastIndexByte(key, '/')])]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for set, count := range sets {
		if count != crashSet {
			t.Errorf("%s: %d of %d entries, not atomic", set, count, crashSet)
		}
	}
	for w, iterations := range last {
		for i := range iterations {
			key := fmt.Appendf(nil, "single/%d/%d", w, i)
			value, found, err := b.Get(key)
			if err != nil || !found || !bytes.Equal(value, bytes.Repeat([]byte{byte(w)}, 2000)) {
				t.Fatalf("%s was acknowledged: found %v, %d bytes, %v", key, found, len(value), err)
			}
			if sets[fmt.Sprintf("set/%d/%d", w, i)] != crashSet {
				t.Fatalf("set/%d/%d was acknowledged", w, i)
			}
		}
		value, _, err := b.Get(fmt.Appendf(nil, "count/%d", w))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		fmt.Sscan(string(value), &n)
		if n < iterations {
			t.Fatalf("count/%d is %d after %d acknowledged updates", w, n, iterations)
		}
	}
}
