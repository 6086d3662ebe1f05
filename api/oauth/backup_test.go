package oauth_test

import (
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node"
)

// TestBackupLetsNobodyIn: after somebody has signed in, added a passkey, printed a paper
// and let an app in, a backup has the app, the screen and the server's key of all that,
// so that nothing of it comes back that was ended after the backup.
func TestBackupLetsNobodyIn(t *testing.T) {
	m := newSiteOn(t, "localhost")
	b := m.enter("p01", session.Link)
	b.printed(t)
	b.passkey(t, "p01")
	m.granted(m.client(nil), "p01", "service")
	kept, left := map[string]int{}, map[string]int{}
	fatal(t, m.n.Blobs().Scan(nil, func(key, _ []byte) error {
		kind := string(key[:min(len(key), 4)])
		if !strings.HasPrefix(kind, "O/") && !strings.HasPrefix(kind, "S/") && !strings.HasPrefix(kind, "T/") {
			return nil
		}
		if node.InBackup(key) {
			kept[kind]++
		} else {
			left[kind]++
		}
		return nil
	}))
	if len(kept) != 3 || kept["O/c/"] != 1 || kept["O/x/"] != 1 || kept["O/i"] != 1 {
		t.Errorf("a backup has %v", kept)
	}
	for _, kind := range []string{"O/g/", "O/h/", "O/k/", "O/r/", "O/t/", "O/u/", "O/v/", "S/s/", "S/p/", "S/r/", "S/q/", "T/t/"} {
		if left[kind] == 0 {
			t.Errorf("there is no %s, of which to say that no backup has it", kind)
		}
	}
}
