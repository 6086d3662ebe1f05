package oauth

import (
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
)

// TestVouched: another member is told the strongest of what was shown within ten
// minutes, with its own time, whatever came after it.
func TestVouched(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(m session.Method, minutes int) session.Proof {
		return session.Proof{Method: m, At: now.Add(-time.Duration(minutes) * time.Minute)}
	}
	for name, x := range map[string]struct {
		shown    []session.Proof
		minutes  int
		strength session.Method
	}{
		"a passkey, then a code":      {[]session.Proof{ago(session.Passkey, 9), ago(session.Code, 1)}, 9, session.Upstream},
		"a passkey long before":       {[]session.Proof{ago(session.Passkey, 11), ago(session.Code, 1)}, 1, session.Code},
		"a link, then a code":         {[]session.Proof{ago(session.Link, 5), ago(session.Code, 1)}, 5, session.Link},
		"an old proof that came last": {[]session.Proof{ago(session.Code, 1), ago(session.Upstream, 60)}, 1, session.Code},
		"a paper":                     {[]session.Proof{ago(session.Paper, 2)}, 2, session.Code},
	} {
		at, amr := vouched(&session.Session{Methods: x.shown}, now)
		if want := now.Add(-time.Duration(x.minutes) * time.Minute).Unix(); at != want || strengthElsewhere(slices.Clone(amr)) != x.strength {
			t.Errorf("%s: %d s ago as %v, want %d s as %s", name, now.Unix()-at, amr, now.Unix()-want, x.strength)
		}
	}
}
