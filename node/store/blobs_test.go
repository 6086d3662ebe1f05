package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func openTestBlobs(t testing.TB, dir string, opts ...OpenOption) *Blobs {
	t.Helper()
	b, err := OpenBlobs(dir, quiet, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func wantBlob(t testing.TB, b *Blobs, key, want string) {
	t.Helper()
	value, found, err := b.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if !found && want != "" || found && string(value) != want {
		t.Errorf("%s: got %q, %v, want %q", key, value, found, want)
	}
}

func kv(key, value string) KV { return KV{Key: []byte(key), Value: []byte(value)} }

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	b := openTestBlobs(t, dir)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wantBlob(t, b, "absent", "")
	check(b.Put([]byte("a"), []byte("1")))
	check(b.Put([]byte("empty"), nil))
	if value, found, err := b.Get([]byte("empty")); err != nil || !found || value == nil || len(value) != 0 {
		t.Errorf("empty value: %v, %v, %v", value, found, err)
	}
	check(b.PutMany([]KV{kv("p/2", "two"), kv("p/1", "one"), kv("p/3", "three"), kv("q", "x"), kv("a", "2"), kv("a", "3")}))
	wantBlob(t, b, "a", "3")
	check(b.Delete([]byte("q"), []byte("absent")))
	wantBlob(t, b, "q", "")
	check(b.PutMany(nil))
	check(b.Delete())

	var seen []string
	check(b.Scan([]byte("p/"), func(key, value []byte) error {
		seen = append(seen, string(key)+"="+string(value))
		return nil
	}))
	if want := []string{"p/1=one", "p/2=two", "p/3=three"}; !slices.Equal(seen, want) {
		t.Errorf("scan: %v", seen)
	}
	seen = nil
	check(b.Keys([]byte("p/"), func(key []byte) error {
		seen = append(seen, string(key))
		if len(seen) == 2 {
			return fs.SkipAll
		}
		return nil
	}))
	if !slices.Equal(seen, []string{"p/1", "p/2"}) {
		t.Errorf("keys: %v", seen)
	}
	mine := errors.New("mine")
	if err := b.Scan(nil, func(_, _ []byte) error { return mine }); err != mine {
		t.Errorf("scan error: %v", err)
	}

	check(b.Close())
	check(b.Close())
	if err := b.Put([]byte("a"), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("put after Close: %v", err)
	}
	again := openTestBlobs(t, dir)
	wantBlob(t, again, "a", "3")
	wantBlob(t, again, "q", "")
}

func TestBlobsLimits(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	tooLarge := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	largest := bytes.Repeat([]byte("v"), MaxValueBytes)
	if err := b.Put(bytes.Repeat([]byte("k"), MaxKeyBytes), largest); err != nil {
		t.Fatal(err)
	}
	tooLarge("value", b.Put([]byte("k"), append(largest, 'v')))
	tooLarge("key", b.Put(make([]byte, MaxKeyBytes+1), nil))
	if err := b.Put(nil, nil); err == nil {
		t.Error("empty key accepted")
	}
	if err := b.PutTTL([]byte("k"), nil, -1); err == nil {
		t.Error("negative time to live accepted")
	}
	// The largest sets fit, also when many come at once.
	var group sync.WaitGroup
	for caller := range 8 {
		group.Go(func() {
			var set, many []KV
			for i := range 2 {
				set = append(set, KV{Key: fmt.Appendf(nil, "set/%d/%d", caller, i), Value: largest})
			}
			for i := range MaxSetEntries {
				many = append(many, KV{Key: fmt.Appendf(nil, "many/%d/%d", caller, i)})
			}
			if err := errors.Join(b.PutMany(set), b.PutMany(many)); err != nil {
				t.Error(err)
			}
			tooLarge("bytes", b.PutMany(append(set, KV{Key: []byte("x"), Value: largest}, KV{Key: []byte("y"), Value: largest})))
			tooLarge("entries", b.PutMany(append(many, kv("x", ""))))
			tooLarge("update", b.Update(func(tx *BlobTx) error {
				for i := range 4 {
					if err := tx.Put(fmt.Appendf(nil, "u/%d", i), largest); err != nil {
						return err
					}
				}
				return nil
			}))
		})
	}
	group.Wait()
	wantBlob(t, b, "x", "")
	wantBlob(t, b, "u/0", "")
}

func TestBlobsTTL(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	const ttl = 1200 * time.Millisecond
	start := time.Now()
	if err := b.PutTTL([]byte("code"), []byte("x"), ttl); err != nil {
		t.Fatal(err)
	}
	stored := time.Now()
	for {
		_, found, err := b.Get([]byte("code"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if !found {
			if lived := now.Sub(start); lived < ttl {
				t.Errorf("gone after %v", lived)
			}
			return
		}
		if now.Sub(stored) > ttl+time.Minute {
			t.Fatalf("still there after %v", now.Sub(stored))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestBlobsUpdate(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	if err := b.PutMany([]KV{kv("p/1", "one"), kv("p/3", "three"), kv("p/5", "five")}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	var kept *BlobTx
	err := b.Update(func(tx *BlobTx) error {
		kept = tx
		return errors.Join(tx.Put([]byte("p/1"), []byte("lost")), tx.Delete([]byte("p/3")), refused)
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	wantBlob(t, b, "p/1", "one")
	wantBlob(t, b, "p/3", "three")
	if _, _, err := kept.Get([]byte("p/1")); !errors.Is(err, ErrClosed) {
		t.Errorf("a transaction after its end: %v", err)
	}
	if err := kept.Put([]byte("p/1"), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a transaction after its end: %v", err)
	}

	scan := func(tx *BlobTx) (seen []string) {
		if err := tx.Scan([]byte("p/"), func(key, value []byte) error {
			seen = append(seen, string(key)+"="+string(value))
			return nil
		}); err != nil {
			t.Error(err)
		}
		return seen
	}
	err = b.Update(func(tx *BlobTx) error {
		buffer := []byte("p/0")
		check := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		check(tx.Put(buffer, []byte("zero")))
		copy(buffer, "XXX")
		check(tx.Put([]byte("p/4"), []byte("four")))
		check(tx.Put([]byte("p/9"), []byte("nine")))
		check(tx.Put([]byte("p/5"), []byte("FIVE")))
		check(tx.Delete([]byte("p/3")))
		check(tx.Delete([]byte("p/8")))
		check(tx.Put([]byte("other"), []byte("x")))
		if got, want := scan(tx), []string{"p/0=zero", "p/1=one", "p/4=four", "p/5=FIVE", "p/9=nine"}; !slices.Equal(got, want) {
			t.Errorf("scan in update: %v", got)
		}
		if _, found, err := tx.Get([]byte("p/3")); found || err != nil {
			t.Errorf("deleted key: %v, %v", found, err)
		}
		if value, found, err := tx.Get([]byte("p/4")); string(value) != "four" || !found || err != nil {
			t.Errorf("own write: %q, %v, %v", value, found, err)
		}
		calls := 0
		check(tx.Scan(nil, func(_, _ []byte) error { calls++; return fs.SkipAll }))
		if calls != 1 {
			t.Errorf("%d calls after SkipAll", calls)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantBlob(t, b, "p/0", "zero")
	wantBlob(t, b, "p/3", "")
	wantBlob(t, b, "p/5", "FIVE")
}

// Of many redemptions of one code exactly one succeeds, whatever is written
// beside it.
func TestBlobsCompareAndSet(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	used := errors.New("used")
	for round := range 20 {
		code := fmt.Appendf(nil, "code/%d", round)
		if err := b.Put(code, []byte("fresh")); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 40 {
			group.Go(func() {
				if i%2 == 0 {
					if err := b.Put(fmt.Appendf(nil, "noise/%d", i), []byte("x")); err != nil {
						t.Error(err)
					}
				}
				err := b.Update(func(tx *BlobTx) error {
					value, _, err := tx.Get(code)
					if err != nil {
						return err
					}
					if string(value) != "fresh" {
						return used
					}
					return tx.Put(code, []byte("used"))
				})
				switch {
				case err == nil:
					mu.Lock()
					won++
					mu.Unlock()
				case !errors.Is(err, used):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won != 1 {
			t.Fatalf("%d redemptions of one code", won)
		}
	}
}

// Transfers between accounts keep their sum in every reader's eyes.
func TestBlobsAreSerial(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	const accounts, each = 10, 100
	account := func(i int) []byte { return fmt.Appendf(nil, "account/%d", i) }
	for i := range accounts {
		if err := b.Put(account(i), []byte{each}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				sum := 0
				if err := b.Scan([]byte("account/"), func(_, value []byte) error { sum += int(value[0]); return nil }); err != nil {
					t.Error(err)
					return
				}
				if sum != accounts*each {
					t.Errorf("sum %d", sum)
					return
				}
			}
		})
	}
	for writer := range 16 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 0))
			for range 50 {
				from, to := account(random.IntN(accounts)), account(random.IntN(accounts))
				if err := b.Update(func(tx *BlobTx) error {
					a, _, err := tx.Get(from)
					if err != nil || a[0] == 0 {
						return err
					}
					if err := tx.Put(from, []byte{a[0] - 1}); err != nil {
						return err
					}
					c, _, err := tx.Get(to)
					if err != nil || c[0] == 255 {
						return errors.Join(err, tx.Put(from, a))
					}
					return tx.Put(to, []byte{c[0] + 1})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestBlobsDiskFull(t *testing.T) {
	dir := t.TempDir()
	b := openTestBlobs(t, dir)
	if err := b.Put([]byte("a"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = openTestBlobs(t, dir)
	b.minFreeBytes = 1 << 62
	for _, err := range []error{
		b.Put([]byte("a"), []byte("2")),
		b.Update(func(tx *BlobTx) error { return tx.Put([]byte("a"), []byte("2")) }),
	} {
		if !errors.Is(err, ErrDiskFull) {
			t.Errorf("got %v", err)
		}
	}
	wantBlob(t, b, "a", "1") // reading goes on
	b.minFreeBytes = 0       // and writing too when there is space again
	if err := b.Put([]byte("a"), []byte("3")); err != nil {
		t.Error(err)
	}
	wantBlob(t, b, "a", "3")
}

func TestBlobsStop(t *testing.T) {
	b := openTestBlobs(t, t.TempDir())
	if err := b.Put([]byte("a"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Close(); err != nil { // the next commit fails
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Put([]byte("a"), []byte("2")); !errors.Is(err, ErrStopped) {
			t.Errorf("put: %v", err)
		}
	}
	if _, _, err := b.Get([]byte("a")); !errors.Is(err, ErrStopped) {
		t.Errorf("get: %v", err)
	}
}

// Close waits for the calls in progress: each is answered, and none is lost.
func TestBlobsCloseUnderLoad(t *testing.T) {
	dir := t.TempDir()
	b := openTestBlobs(t, dir)
	var group sync.WaitGroup
	var mu sync.Mutex
	var acknowledged [][]byte
	for writer := range 64 {
		group.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Appendf(nil, "%d/%d", writer, i)
				if err := b.Put(key, key); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, key)
				mu.Unlock()
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	again := openTestBlobs(t, dir)
	for _, key := range acknowledged {
		wantBlob(t, again, string(key), string(key))
	}
}
