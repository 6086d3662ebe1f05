package session

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func (f *fixture) paper(t *testing.T, person string) string {
	t.Helper()
	v, err := f.Lookup(f.start(t, person, Link))
	if err != nil {
		t.Fatal(err)
	}
	was, err := f.PaperMade(person)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := f.NewPaper(v, was)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// use uses a paper in a browser of its own and returns whose it was.
func (f *fixture) use(secret string) (person string, err error) {
	_, v, err := f.UsePaper(secret, newSecret(), "", func(string) (bool, error) { return true, nil })
	if v != nil && err == nil {
		person = v.Person
	}
	return person, err
}

func (f *fixture) worthless(t *testing.T, secret, why string) {
	t.Helper()
	if person, err := f.use(secret); !errors.Is(err, ErrPaper) || person != "" {
		t.Errorf("%s: %q, %v, want ErrPaper", why, person, err)
	}
}

// A paper brings its person back, once; it ends every session of theirs and of nobody
// else, and is no strong proof.
func TestPaper(t *testing.T) {
	f := newFixture(t)
	mine, others := f.start(t, "p01", Passkey), f.start(t, "p02", Passkey)
	secret, theirs := f.paper(t, "p01"), f.paper(t, "p02")
	if made, err := f.PaperMade("p01"); err != nil || !made.Equal(f.clock) {
		t.Errorf("made %v, %v", made, err)
	}
	person, err := f.use(secret)
	if err != nil || person != "p01" {
		t.Fatalf("%q, %v", person, err)
	}
	f.unknown(t, mine, "a session from before")
	if all, err := f.List("p01"); err != nil || len(all) != 1 || all[0].Methods[0].Method != Paper {
		t.Errorf("the sessions of p01: %+v, %v", all, err)
	}
	if _, err := f.Lookup(others); err != nil {
		t.Errorf("another person's session: %v", err)
	}
	f.worthless(t, secret, "used again")
	if made, err := f.PaperMade("p01"); err != nil || !made.IsZero() {
		t.Errorf("still there: %v, %v", made, err)
	}
	v, err := f.Lookup(f.start(t, "p01", Paper))
	if err != nil || v.Strong(f.clock, time.Hour) || v.BeyondCode() {
		t.Errorf("a paper is strong: %+v, %v", v, err)
	}
	if person, err := f.use(theirs); err != nil || person != "p02" {
		t.Errorf("the other's paper: %q, %v", person, err)
	}
}

// A paper is made where more than a code was shown, and one person has one.
func TestPaperIsMade(t *testing.T) {
	f := newFixture(t)
	for _, m := range []Method{Code, Paper} {
		v, err := f.Lookup(f.start(t, "p01", m))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.NewPaper(v, time.Time{}); !errors.Is(err, ErrWeak) {
			t.Errorf("made after a %s alone: %v", m, err)
		}
	}
	first, second := f.paper(t, "p01"), f.paper(t, "p01")
	f.worthless(t, first, "replaced")
	if err := f.EndPaper("p01"); err != nil {
		t.Fatal(err)
	}
	f.worthless(t, second, "taken back")
	third := f.paper(t, "p01")
	f.clock = f.clock.Add(PaperLife)
	f.worthless(t, third, "too old")
}

// Nobody gets in by guessing, by a part of a paper, or by what the storage holds.
func TestPaperIsNotGuessed(t *testing.T) {
	f := newFixture(t)
	secret := f.paper(t, "p01")
	for range 10_000 {
		f.worthless(t, newSecret(), "a guess")
	}
	for i := range secret {
		bad := []byte(secret)
		if bad[i] = 'A'; secret[i] == 'A' {
			bad[i] = 'B'
		}
		f.worthless(t, string(bad), "one character off")
		f.worthless(t, secret[:i], "a part")
	}
	for _, bad := range []string{secret + "A", "", "p01", string(make([]byte, 1<<16))} {
		f.worthless(t, bad, "malformed")
	}
	for _, prefix := range []string{prefixPaper, prefixPaperOf} {
		n := 0
		err := f.blobs.Scan([]byte(prefix), func(key, value []byte) error {
			n++
			if bytes.Contains(value, []byte("p01")) || bytes.Contains(value, []byte(secret)) || bytes.Contains(key, []byte(secret)) {
				t.Errorf("%q tells of the person or the secret", key)
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%s: %d entries, %v", prefix, n, err)
		}
	}
	if person, err := f.use(secret); err != nil || person != "p01" {
		t.Errorf("%q, %v", person, err)
	}
}

// A form that is sent twice at once from one browser gets the session with whichever
// answer the browser keeps.
func TestPaperTwiceAtOnce(t *testing.T) {
	f := newFixture(t)
	secret, browser := f.paper(t, "p01"), newSecret()
	var first string
	token, v, err := f.UsePaper(secret, browser, "", func(string) (bool, error) { // while the other is at it
		var err error
		first, _, err = f.UsePaper(secret, browser, "", func(string) (bool, error) { return true, nil })
		return true, err
	})
	if err != nil || token != first || v.Person != "p01" {
		t.Fatalf("the same browser's other request: %v", err)
	}
	if _, err := f.Lookup(token); err != nil {
		t.Error(err)
	}
	if all, err := f.List("p01"); err != nil || len(all) != 1 {
		t.Errorf("%d sessions, %v", len(all), err)
	}
	f.worthless(t, secret, "in another browser")
}

// Of many who use one paper at once, one gets in.
func TestPaperAtOnce(t *testing.T) {
	f := newFixture(t)
	for range 20 {
		secret := f.paper(t, "p01")
		var in atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, err := f.use(secret); err == nil {
					in.Add(1)
				} else if !errors.Is(err, ErrPaper) {
					t.Error(err)
				}
			})
		}
		if wg.Wait(); in.Load() != 1 {
			t.Fatalf("%d got in", in.Load())
		}
	}
}
