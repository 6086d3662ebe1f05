package custody

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// TestExport: what a person takes along opens with the ordinary age command, under
// a key of either kind, and holds all that the member holds.
func TestExport(t *testing.T) {
	w, a, b := handedOver(t)
	x25519, err := age.GenerateX25519Identity()
	noErr(t, err)
	hybrid, err := age.GenerateHybridIdentity()
	noErr(t, err)
	command := ageCommand(t)
	for recipient, secret := range map[string]string{x25519.Recipient().String(): x25519.String(), hybrid.Recipient().String(): hybrid.String()} {
		file, err := a.Export(ctx, refMarker, recipient)
		noErr(t, err)
		for _, marker := range markers {
			if bytes.Contains(file, []byte(marker)) {
				t.Errorf("%q is in clear", marker)
			}
		}
		p := opened(t, command, file, secret)
		if p.Format != FormatPerson || p.Member != "a-sha" || p.Origin != w.c.Origin || p.Held.Person != refMarker || len(p.Held.Classes) != 1 ||
			p.Held.Classes[0].Items[0].Value != nameMarker || p.Held.Lookups[0].Value != phoneMarker || len(p.Consents) != 1 || !p.Consents[0].On {
			t.Errorf("%+v", p)
		}
		kinds, openings := "", 0
		for _, r := range p.Records {
			kinds += r.Kind + " "
			if len(r.Opening) > 0 {
				openings++
			}
		}
		if kinds != "consent provision provision.received " || openings != 2 { // the third is b-sha's to open
			t.Errorf("%s, %d openings", kinds, openings)
		}
	}
	handles, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	got, _, err := b.personOf(handles[0].Key)
	noErr(t, err)
	file, err := b.Export(ctx, got.Ref, hybrid.Recipient().String())
	noErr(t, err)
	if p := opened(t, command, file, hybrid.String()); len(p.Held.Classes) != 1 || p.Held.Classes[0].Items[0].Source != "a-sha" {
		t.Errorf("%+v", p.Held)
	}
	for name, bad := range map[string]string{"nothing": "", "words": "山田の鍵", "a secret key": x25519.String(), "an ssh key": "ssh-ed25519 AAAA",
		"capitals": strings.ToUpper(hybrid.Recipient().String()) + "x", "too long": "age1" + strings.Repeat("q", 1<<20), "a plugin's": "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"} {
		_, err := a.Export(ctx, refMarker, bad)
		wantCode(t, err, CodeRecipient)
		if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: repeated in the error", name)
		}
	}
	_, err = a.Export(ctx, "p-nobody", x25519.Recipient().String())
	wantCode(t, err, CodePersonUnknown)
}

// opened decrypts a file with the age command and decodes it strictly.
func opened(t *testing.T, command string, file []byte, secret string) *Portable {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	noErr(t, os.WriteFile(key, []byte(secret+"\n"), 0o600))
	cmd := exec.CommandContext(t.Context(), command, "--decrypt", "--identity", key)
	cmd.Stdin = bytes.NewReader(file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("age: %v\n%s", err, errs.Bytes())
	}
	p := new(Portable)
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	noErr(t, d.Decode(p))
	return p
}

// ageCommand builds filippo.io/age/cmd/age as simulations/tools pins it, or finds
// it in Go's cache.
func ageCommand(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", "age")
	cmd.Dir = filepath.Join("..", "..", "simulations", "tools")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.Output()
	noErr(t, err)
	return strings.TrimSpace(string(out))
}
