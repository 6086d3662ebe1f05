package session

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/node/store"
)

// failing is storage of which one call fails: before it did anything, or ("lost") when
// it is durable already and only the answer got lost.
type failing struct {
	*store.Blobs
	at   int // which call, from 1
	lost bool
	made int
}

var errDisk = errors.New("the disk failed")

func (f *failing) call(do func() error) error {
	if f.made++; f.made != f.at {
		return do()
	}
	if f.lost {
		return errors.Join(do(), errDisk)
	}
	return errDisk
}

func (f *failing) Get(key []byte) (value []byte, ok bool, err error) {
	err = f.call(func() (err error) { value, ok, err = f.Blobs.Get(key); return err })
	return value, ok && err == nil, err
}

func (f *failing) PutMany(e []store.KV) error {
	return f.call(func() error { return f.Blobs.PutMany(e) })
}
func (f *failing) Delete(keys ...[]byte) error {
	return f.call(func() error { return f.Blobs.Delete(keys...) })
}
func (f *failing) Update(fn func(tx *store.BlobTx) error) error {
	return f.call(func() error { return f.Blobs.Update(fn) })
}

// TestPaperCrash: whatever call fails while a paper is used, failed or failed but
// persisted, the person gets in with it from the same browser afterwards, and nobody
// else by it ever again; sessions of before live exactly as long as the paper.
func TestPaperCrash(t *testing.T) {
	yes := func(string) (bool, error) { return true, nil }
	effects := 0
	for at := 1; ; at++ {
		for _, lost := range []bool{false, true} {
			f := newFixture(t)
			mine := f.start(t, "p01", Passkey)
			secret, browser := f.paper(t, "p01"), newSecret()
			broken := &failing{Blobs: f.blobs, at: at, lost: lost}
			s, err := New(broken, f.key, f.idle, f.now)
			if err != nil {
				t.Fatal(err)
			}
			_, _, failed := s.UsePaper(secret, browser, "", yes)
			if failed == nil {
				if broken.made >= at || effects == 0 {
					t.Fatalf("call %d of %d failed, and nobody heard", at, broken.made)
				}
				t.Logf("%d calls", effects)
				return
			}
			effects = at
			if !errors.Is(failed, errDisk) {
				t.Fatalf("call %d: %v", at, failed)
			}
			made, err := f.PaperMade("p01")
			if err != nil {
				t.Fatal(err)
			}
			_, before := f.Lookup(mine)
			if used := made.IsZero(); used != errors.Is(before, ErrUnknown) {
				t.Errorf("call %d, lost %v: used %v, and the session of before: %v", at, lost, used, before)
			} else if used {
				f.worthless(t, secret, "in another browser")
			}
			for range 2 {
				token, v, err := f.UsePaper(secret, browser, "", yes)
				if err != nil || v.Person != "p01" || v.Strong(f.clock, PaperLife) {
					t.Fatalf("call %d, lost %v: again in the same browser: %+v, %v", at, lost, v, err)
				}
				if got, err := f.Lookup(token); err != nil || got.ID != v.ID {
					t.Errorf("its session: %+v, %v", got, err)
				}
			}
			if all, err := f.List("p01"); err != nil || len(all) != 1 {
				t.Errorf("call %d, lost %v: %d sessions, %v", at, lost, len(all), err)
			}
			f.worthless(t, secret, "in another browser, at the end")
			if _, err := f.Revoke("p01", ""); err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.UsePaper(secret, browser, "", yes); !errors.Is(err, ErrPaper) {
				t.Errorf("after the person ended the session: %v", err)
			}
		}
	}
}

// A paper of somebody who is gone is used by nobody, and stays for the sweep.
func TestPaperOfNobody(t *testing.T) {
	f := newFixture(t)
	secret := f.paper(t, "p01")
	if _, _, err := f.UsePaper(secret, "b", "", func(string) (bool, error) { return false, nil }); !errors.Is(err, ErrPaper) {
		t.Errorf("%v", err)
	}
	if _, _, err := f.UsePaper(secret, "b", "", func(string) (bool, error) { return false, errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("%v", err)
	}
	if _, _, err := f.UsePaper(secret, "", "", func(string) (bool, error) { return true, nil }); !errors.Is(err, ErrPaper) {
		t.Errorf("no browser: %v", err)
	}
}
