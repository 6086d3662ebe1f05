package rest

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
)

// TestAfter: a caller that has seen a height elsewhere is answered when it is
// final here, and each answer says how far it reaches.
func TestAfter(t *testing.T) {
	m := newMember(t)
	seen := m.ask(token.App, http.MethodGet, "/v1/services", nil).Header.Get(HeaderHeight)
	height, err := strconv.ParseUint(seen, 10, 63)
	if err != nil {
		t.Fatalf("%s is %q", HeaderHeight, seen)
	}
	next := strconv.FormatUint(height+1, 10)
	got := make(chan answer, 1)
	changed := m.Changed()
	go func() { got <- m.ask(token.App, http.MethodGet, "/v1/services", nil, HeaderAfter, next) }()
	select {
	case a := <-got:
		t.Fatalf("answered with %s of height %s before height %s is final", a.Status, a.Header.Get(HeaderHeight), next)
	case <-changed:
		t.Fatal("something became final by itself")
	default:
	}
	m.post("pf", m.c.Tick())
	if a := <-got; a.StatusCode != http.StatusOK || a.Header.Get(HeaderHeight) != next {
		t.Errorf("%s, height %s, want %s", a.Status, a.Header.Get(HeaderHeight), next)
	}
	m.waits(token.App, maxBehind+1, "")
	for _, bad := range []string{"x", "-1", "1.0", "99999999999999999999"} {
		if a := m.ask(token.App, http.MethodGet, "/v1/services", nil, HeaderAfter, bad); a.StatusCode != http.StatusBadRequest || a.code() != codeParameter {
			t.Errorf("%s %q: %s %s", HeaderAfter, bad, a.Status, a.code())
		}
	}
}

// maxBehind is how many without a token may wait in these tests.
const maxBehind = 3

// waits has n callers of a role ask for a height that is not final yet: as many as
// may wait get it, and one more gets the code at once.
func (m *member) waits(role token.Role, n int, code string) {
	m.t.Helper()
	next := strconv.FormatUint(m.Final().State.Height+1, 10)
	got := make(chan answer, n)
	for range n {
		go func() { got <- m.ask(role, http.MethodGet, "/v1/services", nil, HeaderAfter, next) }()
	}
	if code != "" {
		if a := <-got; a.code() != code || a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			m.t.Fatalf("%s: %d %s, want %s", role, a.StatusCode, a.body, code)
		}
		n--
	}
	m.post("pf", m.c.Tick())
	for range n {
		if a := <-got; a.StatusCode != http.StatusOK {
			m.t.Fatalf("%q: %d %s", role, a.StatusCode, a.body)
		}
	}
}

// TestAnonymousWaitersAreBounded: who has no token waits less, and only so many do.
func TestAnonymousWaitersAreBounded(t *testing.T) {
	m := newMember(t)
	m.waits("", maxBehind+1, codeTooMany)
	begin := time.Now()
	if a := m.ask("", http.MethodGet, "/v1/services", nil, HeaderAfter, "9999999"); a.code() != codeNotFinal || time.Since(begin) >= behindLimit {
		t.Errorf("%d %s after %v", a.StatusCode, a.body, time.Since(begin))
	}
}
