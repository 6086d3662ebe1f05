package oauth

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
)

// TestPasskeyKeepsItsTimes: a stored passkey must come back with the time from
// which it is a strong proof, or the wait of one that was added with a code is none.
func TestPasskeyKeepsItsTimes(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000).UTC()
	in := passkey{Credential: webauthn.Credential{ID: []byte{1}}, Made: at, Strong: at.Add(passkeyWait)}
	b, err := json.Marshal(passkeys{Person: "p", Keys: []passkey{in}})
	if err != nil {
		t.Fatal(err)
	}
	var out passkeys
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Keys[0]; !got.Made.Equal(in.Made) || !got.Strong.Equal(in.Strong) || string(got.ID) != "\x01" {
		t.Errorf("made %v, strong %v, id %x", got.Made, got.Strong, got.ID)
	}
}
