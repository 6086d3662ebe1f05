package custody

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
)

// TestRemoveLookup: what is taken away is gone from vault and index, with the name at
// the person, and nothing else of theirs is; somebody else's is left alone.
func TestRemoveLookup(t *testing.T) {
	d, err := deskOn(t, &vault.MemoryBlobs{}, 2)
	noErr(t, err)
	d.keys = newKeyring(1)
	mine, other := Ref("p0000000"), Ref("p0000001")
	noErr(t, d.AddLookup(ctx, mine, "member", "b-sha/x"))
	before, err := d.Vault.List("")
	noErr(t, err)
	noErr(t, d.AddLookup(ctx, mine, "member", "b-sha/y"))
	noErr(t, d.RemoveLookup(ctx, other, "member", "b-sha/y"))
	if _, found, err := d.Find(ctx, "member", "b-sha/y"); err != nil || !found {
		t.Errorf("somebody else took it away: %v, %v", found, err)
	}
	for range 2 { // a repeated call is no error
		noErr(t, d.RemoveLookup(ctx, mine, "member", "b-sha/y"))
	}
	after, err := d.Vault.List("")
	noErr(t, err)
	if len(after) != len(before) {
		t.Errorf("%d entries are left, want %d", len(after), len(before))
	}
	if ref, found, err := d.Find(ctx, "member", "b-sha/x"); err != nil || !found || ref != mine {
		t.Errorf("the other connection: %q, %v, %v", ref, found, err)
	}
	if got, err := d.Lookups(mine, "member"); err != nil || len(got) != 1 || got[0] != "b-sha/x" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := d.Vault.Get("l/member/b-sha/y"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("the vault: %v", err)
	}
}

// TestHint: an address is known again by its owner, and told to nobody.
func TestHint(t *testing.T) {
	for value, want := range map[string]string{
		"09012345678": "•••678", "+819012345678": "•••5678", "1234": "•••4", "12": "•••", "yu@example.jp": "y•••@example.jp",
		"髙橋@例え.jp": "髙•••@例え.jp", "@": "•••", "": "•••", "\xff@x": "\xff•••@x",
	} {
		if got := hint(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
