package custody

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node/store"
)

// smallDisk mounts a real file system of so many bytes.
func smallDisk(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		machine.Lacks(t, "mounting is not permitted here, so no real disk becomes full or read-only: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// diskVault opens a vault in a directory, on the blobs of a node.
func diskVault(t *testing.T, dir string, stopped *int) (*vault.Vault, func()) {
	t.Helper()
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler), store.WithMinFree(4<<20))
	noErr(t, err)
	slot, err := vault.OpenFileSlot(filepath.Join(dir, "slot"))
	noErr(t, err)
	v, err := vault.Open(slot, vaultBlobs{blobs}, vault.Options{OnStop: func(error) { *stopped++ }})
	noErr(t, err)
	return v, func() {
		v.Close()
		noErr(t, blobs.Close())
	}
}

// TestRealDiskFull: a real file system has no room left when a rotation begins. The
// vault says so with a stable code, stops, and has lost and erased nothing; with room
// again it goes on.
func TestRealDiskFull(t *testing.T) {
	dir, stopped := smallDisk(t, "size=160m"), 0
	v, end := diskVault(t, dir, &stopped)
	noErr(t, v.Put(vault.Entry{ID: "p/1/ks", Value: []byte("one")}, vault.Entry{ID: "p/2/ks", Value: []byte("two")}))
	noErr(t, v.Compact())
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	for i, do := range []func() error{
		func() error { _, err := v.Shred("p/1/ks"); return err },
		func() error { return v.Put(vault.Entry{ID: "p/3/ks"}) },
	} {
		if err := do(); !errors.Is(err, vault.ErrStopped) || !errors.Is(err, vault.ErrDiskFull) {
			t.Errorf("call %d on a full disk: %v", i, err)
		}
	}
	if stopped != 1 {
		t.Errorf("it said %d times that it stopped", stopped)
	}
	noErr(t, os.Remove(ballast))
	end()
	v, end = diskVault(t, dir, &stopped)
	defer end()
	if ids, err := v.List(""); err != nil || !slices.Equal(ids, []string{"p/1/ks", "p/2/ks"}) || v.Verify() != nil {
		t.Errorf("afterwards it holds %q, %v", ids, err)
	}
	if got, err := v.Shred("p/1/ks"); err != nil || got.Count != 1 {
		t.Errorf("again: %+v, %v", got, err)
	}
}

// fillDisk writes until the system says that the disk is full.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	noErr(t, err)
	defer f.Close()
	for b := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(b)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// TestRealSlotFullAndReadOnly: a slot file cannot be made on a full disk, nor opened
// on one that is mounted read-only.
func TestRealSlotFullAndReadOnly(t *testing.T) {
	dir := smallDisk(t, "size=64k")
	fillDisk(t, filepath.Join(dir, "ballast"))
	path := filepath.Join(dir, "slot")
	if _, err := vault.OpenFileSlot(path); !errors.Is(err, vault.ErrDiskFull) {
		t.Errorf("full disk: %v", err)
	}
	noErr(t, os.Remove(filepath.Join(dir, "ballast")))
	slot, err := vault.OpenFileSlot(path) // ends the creation that was interrupted
	noErr(t, err)
	noErr(t, slot.Close())
	noErr(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	if _, err := vault.OpenFileSlot(path); !errors.Is(err, vault.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
	if _, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler), store.WithMinFree(0)); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("blobs, read-only: %v", err)
	}
}
