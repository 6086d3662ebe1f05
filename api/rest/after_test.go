package rest

import (
	"net/http"
	"strconv"
	"testing"

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
	for _, bad := range []string{"x", "-1", "1.0", "99999999999999999999"} {
		if a := m.ask(token.App, http.MethodGet, "/v1/services", nil, HeaderAfter, bad); a.StatusCode != http.StatusBadRequest || a.code() != codeParameter {
			t.Errorf("%s %q: %s %s", HeaderAfter, bad, a.Status, a.code())
		}
	}
}
