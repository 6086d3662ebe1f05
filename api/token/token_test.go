package token

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/node/store"
)

func opened(t *testing.T) (*Store, *store.Blobs) {
	t.Helper()
	b, err := store.OpenBlobs(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return New(b), b
}

func TestIssueAndLookup(t *testing.T) {
	s, blobs := opened(t)
	for _, role := range Roles {
		person := ""
		if role == Subject {
			person = "p01-hana"
		}
		text, err := s.Issue(role, "shop-app", person)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Lookup(text)
		if want := (Caller{Role: role, Name: "shop-app", Person: person}); err != nil || got != want {
			t.Errorf("Lookup = %+v, %v, want %+v", got, err, want)
		}
		for i := range len(text) { // no changed token is known
			bad := []byte(text)
			bad[i] ^= 1
			if _, err := s.Lookup(string(bad)); !errors.Is(err, ErrUnknown) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
		err = blobs.Scan(nil, func(key, value []byte) error {
			both := append(append([]byte{}, key...), value...)
			if bytes.Contains(both, []byte("hana")) || bytes.Contains(both, []byte(text[len(text)-20:])) {
				t.Errorf("the storage shows a person or a token")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(text); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Lookup(text); !errors.Is(err, ErrUnknown) {
			t.Errorf("revoked: %v", err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	s, _ := opened(t)
	for _, c := range []Caller{{Role: "root", Name: "x"}, {Role: Admin}, {Role: Admin, Name: "x", Person: "p01"}, {Role: Subject, Name: "x"},
		{Role: App, Name: strings.Repeat("x", 65)}, {Role: Subject, Name: "x", Person: strings.Repeat("p", 65)}} {
		if _, err := s.Issue(c.Role, c.Name, c.Person); !errors.Is(err, ErrForm) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Caller{{Role: Admin, Name: "x", Party: "shop"}, {Role: Subject, Name: "x", Party: "shop"}, {Role: App, Name: "x"}, {Role: App, Party: "shop"}} {
		if _, err := s.IssueTo(c.Party, c.Role, c.Name); !errors.Is(err, ErrForm) {
			t.Errorf("bound to a party %+v: %v", c, err)
		}
	}
	text, err := s.IssueTo("shop", Manager, "till")
	if got, err2 := s.Lookup(text); err != nil || err2 != nil || got != (Caller{Role: Manager, Name: "till", Party: "shop"}) {
		t.Errorf("%+v, %v, %v", got, err, err2)
	}
	if _, err := s.Link("p01", MaxLink+1); err == nil {
		t.Error("a link for ever")
	}
}

func TestLookupOfAnything(t *testing.T) {
	s, _ := opened(t)
	for _, text := range []string{"", "x", "admin_", strings.Repeat("a", 43), strings.Repeat("a", 1<<16), "admin_" + strings.Repeat("\x00", 43)} {
		if _, err := s.Lookup(text); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", text[:min(len(text), 20)], err)
		}
	}
}

// TestRedeemOnce: a code counts once, however many ask at the same time, and is
// no token.
func TestRedeemOnce(t *testing.T) {
	s, _ := opened(t)
	for range 20 {
		code, err := s.Link("p07", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Lookup(code); !errors.Is(err, ErrUnknown) {
			t.Fatalf("the code is a token: %v", err)
		}
		if c, err := s.Peek(code); err != nil || c.Person != "p07" {
			t.Fatalf("looked at: %+v, %v", c, err)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch c, err := s.Redeem(code); {
				case err == nil && c == (Caller{Role: Subject, Name: "link", Person: "p07"}):
					won.Add(1)
				case !errors.Is(err, ErrUnknown):
					t.Errorf("redeem: %+v, %v", c, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("redeemed %d times", won.Load())
		}
		if _, err := s.Peek(code); !errors.Is(err, ErrUnknown) {
			t.Fatalf("looked at after its use: %v", err)
		}
	}
}
