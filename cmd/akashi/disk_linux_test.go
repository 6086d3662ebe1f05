package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestServeOnBadDisks: on a real file system that is read-only, or full, serve says so
// and ends; afterwards the vault is as it was.
func TestServeOnBadDisks(t *testing.T) {
	base := t.TempDir()
	if err := syscall.Mount("tmpfs", base, "tmpfs", 0, "size=400m"); err != nil {
		machine.Lacks(t, "mounting is not permitted here, so no real disk becomes full or read-only: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(base, syscall.MNT_DETACH) })
	o := devOptions{dir: filepath.Join(base, "dev"), members: 4}
	var err error
	if o.base, err = freePorts(4); err != nil {
		t.Fatal(err)
	}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	dir := memberDir(o.dir, 0)
	slot, blobs := filepath.Join(dir, slotFile), func() *store.Blobs {
		b, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler), store.WithMinFree(0))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	makeVault(t, slot, blobs, node.VaultBlobs)
	before, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := syscall.Mount("", base, "", syscall.MS_REMOUNT|flags, "size=400m"); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(base, "ballast")
	for _, c := range []struct {
		says       string
		harm, mend func()
	}{
		{"read-only", func() { remount(syscall.MS_RDONLY) }, func() { remount(0) }},
		{"too little free space on disk", func() { fillUp(t, ballast) }, func() { os.Remove(ballast) }},
	} {
		c.harm()
		var out bytes.Buffer
		code := report(&out, run(t.Context(), []string{"serve", "--dir", dir}, strings.NewReader(""), &out, &out))
		c.mend()
		if code != exitNotNow || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d: %s", c.says, code, out.String())
		}
		if after, _ := os.ReadFile(slot); !bytes.Equal(before, after) {
			t.Errorf("%s: the slot was changed", c.says)
		}
	}
	v, end := openVault(t, slot, blobs(), node.VaultBlobs)
	defer end()
	if ids, err := v.List(""); err != nil || len(ids) != 1 || v.Verify() != nil {
		t.Errorf("after all this it holds %q, %v", ids, err)
	}
}

// fillUp writes until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
