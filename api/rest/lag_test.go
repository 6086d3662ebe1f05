package rest

import (
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/node/escrow"
)

// TestKeyLag: keys that are at no custodian are in the status, the metrics and, when
// they are old, in the node's health; it serves all the same.
func TestKeyLag(t *testing.T) {
	for name, c := range map[string]struct {
		age      time.Duration
		degraded bool
	}{"young": {time.Minute, false}, "old": {time.Hour, true}} {
		m := newMember(t)
		m.lag = escrow.Lag{Custodians: 2, Keys: 7, Since: time.Now().Add(-c.age)}
		s := must[Status](m, "", "GET", "/v1/status", nil)
		if s.Keys.Custodians != 2 || s.Keys.Waiting != 7 || s.Keys.AgeMs < uint64(c.age.Milliseconds()) || s.Keys.Degraded != c.degraded {
			t.Errorf("%s: %+v", name, s.Keys)
		}
		if a := m.ask("", "GET", "/healthz", nil); a.StatusCode != 200 || strings.HasPrefix(string(a.body), "degraded") != c.degraded {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		text := string(m.ask("", "GET", "/metrics", nil).body)
		for _, want := range []string{"akashi_custodians 2\n", "akashi_keys_uncopied 7\n", "akashi_keys_uncopied_age_seconds "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
}
