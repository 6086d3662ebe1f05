package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
)

type fixture struct {
	*Store
	dir   string
	blobs *store.Blobs
	clock time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), clock: time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)}
	var err error
	if f.blobs, err = store.OpenBlobs(f.dir, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.blobs.Close() })
	if f.Store, err = New(f.blobs, [32]byte{1}, 30*time.Minute, func() time.Time { return f.clock }); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) start(t *testing.T, person string, m Method) string {
	t.Helper()
	token, _, err := f.Start(person, m, "Firefox")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *fixture) unknown(t *testing.T, token, why string) {
	t.Helper()
	if _, err := f.Lookup(token); !errors.Is(err, ErrUnknown) {
		t.Errorf("%s: %v, want ErrUnknown", why, err)
	}
}

func TestSessionsOfAPerson(t *testing.T) {
	f := newFixture(t)
	first, second, other := f.start(t, "p01", Code), f.start(t, "p01", Passkey), f.start(t, "p02", Code)
	v, err := f.Lookup(second)
	if err != nil || v.Person != "p01" || !v.Strong(f.clock, time.Minute) {
		t.Fatalf("second session: %+v %v", v, err)
	}
	if v, err := f.Lookup(first); err != nil || v.Strong(f.clock, time.Minute) {
		t.Fatalf("a code alone is not strong: %+v %v", v, err)
	}
	all, err := f.List("p01")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	if n, err := f.Revoke("p02", v.ID); n != 0 || err != nil {
		t.Fatalf("another person ended %d sessions, %v", n, err)
	}
	if n, err := f.Revoke("p01", v.ID); n != 1 || err != nil {
		t.Fatalf("ended %d, %v", n, err)
	}
	f.unknown(t, second, "a session that was ended from the list")
	if err := f.End(first); err != nil {
		t.Fatal(err)
	}
	f.unknown(t, first, "a session that was ended")
	if all, _ := f.List("p01"); len(all) != 0 {
		t.Errorf("%d sessions are still listed", len(all))
	}
	if _, err := f.Lookup(other); err != nil {
		t.Errorf("the other person's session ended too: %v", err)
	}
}

func TestSessionEnds(t *testing.T) {
	f := newFixture(t)
	idle, used := f.start(t, "p01", Code), f.start(t, "p01", Code)
	for range 4 {
		f.clock = f.clock.Add(10 * time.Minute)
		if _, err := f.Lookup(used); err != nil {
			t.Fatalf("a session that is used: %v", err)
		}
	}
	f.unknown(t, idle, "unused for 40 minutes")
	for range 70 {
		f.clock = f.clock.Add(10 * time.Minute)
		f.Lookup(used)
	}
	f.unknown(t, used, "older than MaxLife")
}

// A second proof gives the browser a new token: the one that somebody may have
// planted or seen before is worth nothing after it.
func TestSecondProofChangesTheToken(t *testing.T) {
	f := newFixture(t)
	before := f.start(t, "p01", Code)
	after, v, err := f.Add(before, Passkey)
	if err != nil || after == before || !v.Strong(f.clock, time.Minute) {
		t.Fatalf("%v %+v", err, v)
	}
	f.unknown(t, before, "the token from before")
	if all, _ := f.List("p01"); len(all) != 1 {
		t.Errorf("%d sessions are listed, want 1", len(all))
	}
}

func TestSessionOfANonsenseToken(t *testing.T) {
	f := newFixture(t)
	for _, token := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 44), strings.Repeat("\x00", 43)} {
		f.unknown(t, token, "a made-up token")
		if err := f.End(token); err != nil {
			t.Errorf("End: %v", err)
		}
	}
}

func TestTooManySessions(t *testing.T) {
	f := newFixture(t)
	first := f.start(t, "p01", Code)
	for range maxSessions {
		f.clock = f.clock.Add(time.Millisecond)
		f.start(t, "p01", Code)
	}
	f.unknown(t, first, "the oldest of too many")
	if all, _ := f.List("p01"); len(all) != maxSessions {
		t.Errorf("%d sessions", len(all))
	}
}

// What lies on the disk names nobody and opens nothing.
func TestStorageHoldsNoSecret(t *testing.T) {
	f := newFixture(t)
	token := f.start(t, "person-of-the-test", Code)
	secret, code, err := f.NewCode("person-of-the-test", "phone", "090-0000-1234")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	f.blobs.Scan([]byte("S/"), func(key, value []byte) error {
		found++
		for _, s := range []string{token, secret, "person-of-the-test", "090-0000-1234", `"` + code + `"`} {
			if bytes.Contains(key, []byte(s)) || bytes.Contains(value, []byte(s)) {
				t.Errorf("%q is in clear under %q", s, key[:4])
			}
		}
		return nil
	})
	if found < 4 {
		t.Fatalf("%d entries", found)
	}
}

func TestOneTimeCode(t *testing.T) {
	wrong := func(code string) string {
		if code == "000000" {
			return "000001"
		}
		return "000000"
	}
	for _, c := range []struct {
		name string
		try  func(f *fixture, secret, code string) (string, error)
		want string
	}{
		{"right", func(f *fixture, s, c string) (string, error) { return f.Redeem(s, c) }, "p01"},
		{"another browser", func(f *fixture, s, c string) (string, error) { return f.Redeem(NewSecret(), c) }, ""},
		{"no browser", func(f *fixture, s, c string) (string, error) { return f.Redeem("", c) }, ""},
		{"wrong", func(f *fixture, s, c string) (string, error) { return f.Redeem(s, wrong(c)) }, ""},
		{"right after four wrong", func(f *fixture, s, c string) (string, error) {
			for range codeTries - 1 {
				f.Redeem(s, wrong(c))
			}
			return f.Redeem(s, c)
		}, "p01"},
		{"right after five wrong", func(f *fixture, s, c string) (string, error) {
			for range codeTries {
				f.Redeem(s, wrong(c))
			}
			return f.Redeem(s, c)
		}, ""},
		{"twice", func(f *fixture, s, c string) (string, error) {
			f.Redeem(s, c)
			return f.Redeem(s, c)
		}, ""},
		{"too late", func(f *fixture, s, c string) (string, error) {
			f.clock = f.clock.Add(CodeLife)
			return f.Redeem(s, c)
		}, ""},
		{"longer", func(f *fixture, s, c string) (string, error) { return f.Redeem(s, c+"0") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			secret, code, err := f.NewCode("p01", "phone", "1")
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.try(f, secret, code)
			if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrCode) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// Nobody learns whether an address is known: a code for nobody is made and wrong.
func TestCodeForNobody(t *testing.T) {
	f := newFixture(t)
	secret, code, err := f.NewCode("", "phone", "1")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := f.Redeem(secret, code); !errors.Is(err, ErrCode) || p != "" {
		t.Errorf("%q, %v", p, err)
	}
}

func TestCodeOnceInParallel(t *testing.T) {
	f := newFixture(t)
	secret, code, err := f.NewCode("p01", "phone", "1")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	redeemed := 0
	for range 100 {
		wg.Go(func() {
			if _, err := f.Redeem(secret, code); err == nil {
				mu.Lock()
				redeemed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if redeemed != 1 {
		t.Errorf("redeemed %d times", redeemed)
	}
}

func TestCodesToOneAddress(t *testing.T) {
	f := newFixture(t)
	for range codesAnHour {
		if _, _, err := f.NewCode("p01", "phone", "1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.NewCode("p01", "phone", "1"); !errors.Is(err, ErrTooMany) {
		t.Errorf("the sixth code: %v", err)
	}
	if _, _, err := f.NewCode("p02", "phone", "2"); err != nil {
		t.Errorf("another address: %v", err)
	}
	f.clock = f.clock.Add(time.Hour)
	if _, _, err := f.NewCode("p01", "phone", "1"); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// guess uses up a code with wrong guesses.
func (f *fixture) guess(t *testing.T, secret, code string) {
	t.Helper()
	for i := range codeTries {
		if _, err := f.Redeem(secret, fmt.Sprintf("%06d", (number(t, code)+1+i)%1_000_000)); !errors.Is(err, ErrCode) {
			t.Fatal(err)
		}
	}
}

func number(t *testing.T, code string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(code, "%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGuessesAtOneAddress: whoever guesses the codes of somebody's address for a month has
// few guesses, whether it is known or not; a code that was used makes the address like
// new, and so does a week without guesses. Who asks for codes and does not guess keeps
// nobody from theirs.
func TestGuessesAtOneAddress(t *testing.T) {
	const days = 30
	for _, person := range []string{"p01", ""} {
		f := newFixture(t)
		got := 0
		for range days * 24 * 4 {
			switch secret, code, err := f.NewCode(person, "phone", "1"); {
			case err == nil:
				got++
				f.guess(t, secret, code)
			case !errors.Is(err, ErrTooMany):
				t.Fatal(err)
			}
			f.clock = f.clock.Add(15 * time.Minute)
		}
		if got*codeTries > 100+days*codeTries || got < days {
			t.Errorf("%q: %d codes, each with %d guesses", person, got, codeTries)
		}
		f.clock = f.clock.Add(wrongFor)
		for range codesAnHour {
			if _, _, err := f.NewCode(person, "phone", "1"); err != nil {
				t.Errorf("a week after: %v", err)
			}
		}
	}
	f := newFixture(t)
	for range days * 24 { // codes that lie unused
		if _, _, err := f.NewCode("p01", "phone", "1"); err != nil {
			t.Fatal(err)
		}
		f.clock = f.clock.Add(15 * time.Minute)
	}
	for range wrongGuesses / codeTries {
		secret, code, err := f.NewCode("p01", "phone", "1")
		if err != nil {
			t.Fatal(err)
		}
		f.guess(t, secret, code)
		f.clock = f.clock.Add(15 * time.Minute)
	}
	f.clock = f.clock.Add(24 * time.Hour)
	secret, code, err := f.NewCode("p01", "phone", "1")
	if err != nil {
		t.Fatal(err)
	}
	f.clock = f.clock.Add(time.Minute)
	if _, _, err := f.NewCode("p01", "phone", "1"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a second one that day: %v", err)
	}
	if p, err := f.Redeem(secret, code); err != nil || p != "p01" {
		t.Fatal(p, err)
	}
	for range codesAnHour - 1 { // the used one was the hour's first
		if _, _, err := f.NewCode("p01", "phone", "1"); err != nil {
			t.Errorf("after one was used: %v", err)
		}
	}
}

func TestCookies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		c := Cookies{Secure: secure}
		k := c.New(CookieSession, "v", time.Minute)
		if !k.HttpOnly || k.Secure != secure || k.SameSite != http.SameSiteLaxMode || k.Domain != "" || k.Path != "/" || k.MaxAge != 60 {
			t.Errorf("%+v", k)
		}
		if strings.HasPrefix(k.Name, "__Host-") != secure {
			t.Errorf("name %s", k.Name)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(k)
		if got := c.Read(r, CookieSession); got != "v" {
			t.Errorf("%q", got)
		}
		r.AddCookie(c.New(CookieSession, "planted", time.Minute))
		if got := c.Read(r, CookieSession); got != "" {
			t.Errorf("of two cookies %q was taken", got)
		}
	}
	if CheckForm("", FormToken("")) {
		t.Error("a form without a session was accepted")
	}
	if CheckForm("a", FormToken("b")) || !CheckForm("a", FormToken("a")) {
		t.Error("form tokens")
	}
}

func TestWebhook(t *testing.T) {
	var got string
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.Header.Get("Authorization") + " " + string(b)
		w.WriteHeader(status)
	}))
	defer s.Close()
	h, err := NewWebhook(s.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Kind: "phone", To: "090", Code: "123456", Language: "ja", Member: "member-0", Minutes: 10}
	if err := h.Send(t.Context(), m); err != nil || !strings.Contains(got, `"code":"123456"`) || !strings.HasPrefix(got, "Bearer key ") {
		t.Fatalf("%v: %s", err, got)
	}
	status = http.StatusFound
	if err := h.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "090") {
		t.Errorf("a redirect: %v", err)
	}
	for _, bad := range []string{"", "ftp://x", "http://example.com/x", "https://"} {
		if _, err := NewWebhook(bad, ""); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestFileSender(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), "codes")}
	for range 2 {
		if err := f.Send(t.Context(), Message{Code: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if b, _ := os.ReadFile(f.Path); strings.Count(string(b), "\n") != 2 {
		t.Errorf("%s", b)
	}
}
