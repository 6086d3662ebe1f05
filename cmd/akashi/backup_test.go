package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
)

// TestBackupCommands: a backup of a running member becomes a data directory; what is
// wrong is said, and nothing is left half.
func TestBackupCommands(t *testing.T) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	n := startRawWith(t, func(s *node.Settings) { s.BackupTo = []string{key.Recipient().String()} })
	url, admin := "http://"+n.addr, n.tokens["admin"]
	tmp := t.TempDir()
	identity, file, dir := filepath.Join(tmp, "identity"), filepath.Join(tmp, "backup"), filepath.Join(tmp, "restored")
	if err := os.WriteFile(identity, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := run(ctx, args, strings.NewReader(""), &out, io.Discard)
		return out.String(), err
	}
	if _, err := do("backup", url, file, "--token", n.tokens["app"]); client.CodeOf(err) != "not-authorised" {
		t.Errorf("an app: %v", err)
	}
	if left, err := filepath.Glob(file + "*"); err != nil || len(left) > 0 {
		t.Errorf("of a backup that was not made there is %q, %v", left, err)
	}
	if _, err := do("backup", url, file, "--token", admin); err != nil {
		t.Fatal(err)
	}
	if _, err := do("backup", url, file, "--token", admin); err == nil {
		t.Error("a backup was replaced")
	}
	if out, err := do("restore", file, "--dir", dir, "--identity", identity); err != nil || !strings.Contains(out, "new keys") {
		t.Fatalf("%s, %v", out, err)
	}
	if out, err := do("join", "request", "--dir", dir, "--policy", filepath.Join(n.dir, "policy")); err != nil {
		t.Errorf("it cannot ask to come back: %s, %v", out, err)
	}
	if s, err := node.LoadSettings(dir); err != nil || s.Joined != 0 {
		t.Errorf("settings: %+v, %v", s, err)
	}
	other := filepath.Join(tmp, "other")
	if _, err := do("restore", file, "--dir", other, "--identity", file); err == nil || strings.Contains(err.Error(), "AGE") {
		t.Errorf("an identity file that is none: %v", err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrong, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := put("wrong.key", []byte(wrong.String()+"\n"))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		args []string
		code record.Code
	}{
		"over something":    {[]string{file, "--dir", dir, "--identity", identity}, node.CodeRestoreTarget},
		"wrong identity":    {[]string{file, "--dir", other, "--identity", wrongKey}, node.CodeRestoreIdentity},
		"truncated":         {[]string{put("short", whole[:len(whole)*2/3]), "--dir", other, "--identity", identity}, node.CodeRestoreDamaged},
		"a byte flipped":    {[]string{put("flipped", flipped), "--dir", other, "--identity", identity}, node.CodeRestoreDamaged},
		"of another member": {[]string{file, "--dir", other, "--identity", identity, "--member", "member-9"}, node.CodeRestoreMember},
	} {
		out, exit := runFor(t, patience, append([]string{"restore"}, c.args...)...)
		if exit != exitUnmet || !strings.Contains(out, string(c.code)+": ") || !strings.Contains(out, "hint: ") {
			t.Errorf("%s exits %d:\n%s", name, exit, out)
		}
		if _, err := os.Stat(other); err == nil {
			t.Errorf("%s: something was left behind", name)
		}
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("the backup has changed: %v", err)
	}
	if out, exit := runFor(t, patience, "restore", file, "--dir", other, "--identity", identity, "--member", "member-0"); exit != 0 {
		t.Errorf("after all these: %d\n%s", exit, out)
	}
}
