package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
)

// TestBackupDiskFull: no room for a backup, or for what is made of one: it is said, no
// file has the name of a backup, and with room the same commands go through.
func TestBackupDiskFull(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=8k"); err != nil {
		machine.Lacks(t, "mounting is not permitted here, so no real disk becomes full: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	n := startRawWith(t, func(s *node.Settings) { s.BackupTo = []string{key.Recipient().String()} })
	file := filepath.Join(small, "backup")
	out, exit := runFor(t, patience, "backup", "http://"+n.addr, file, "--token", n.tokens["admin"])
	if exit != exitNotNow || !strings.Contains(out, "no space left") {
		t.Errorf("a backup onto a full disk exits %d:\n%s", exit, out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a file of a backup that is not whole")
	}
	identity := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	roomy := filepath.Join(t.TempDir(), "backup")
	if out, exit := runFor(t, patience, "backup", "http://"+n.addr, roomy, "--token", n.tokens["admin"]); exit != 0 {
		t.Fatalf("with room: %d\n%s", exit, out)
	}
	home := filepath.Join(small, "home")
	out, exit = runFor(t, patience, "restore", roomy, "--dir", home, "--identity", identity)
	if exit != exitUnmet || !strings.Contains(out, string(node.CodeRestoreDisk)+": ") {
		t.Errorf("a restore onto a full disk exits %d:\n%s", exit, out)
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("something was left behind")
	}
	if out, exit := runFor(t, patience, "restore", roomy, "--dir", filepath.Join(t.TempDir(), "home"), "--identity", identity); exit != 0 {
		t.Errorf("with room: %d\n%s", exit, out)
	}
}
