package main

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestServeRefusesBadVaults: where the vault cannot be opened, serve says why with a
// stable code and what to do, and changes nothing.
func TestServeRefusesBadVaults(t *testing.T) {
	o := devOptions{dir: t.TempDir(), members: 4, base: machine.FreePorts(t, 4*portStep)}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	dir := memberDir(o.dir, 0)
	slot := filepath.Join(dir, slotFile)
	blobs := func() *store.Blobs {
		b, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	older := makeVault(t, slot, blobs, node.VaultBlobs)
	good, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte, mode os.FileMode) {
		if err := os.WriteFile(slot, b, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(slot, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		harm func() (mend func())
		code vault.Code
	}{
		{"both slots damaged", func() func() {
			b := bytes.Clone(good)
			b[40] ^= 1
			b[vault.SlotBytes+40] ^= 1
			write(b, 0o600)
			return nil
		}, vault.ErrSlot.Code},
		{"cut", func() func() { write(good[:5000], 0o600); return nil }, vault.ErrSlot.Code},
		{"others may read it", func() func() { write(good, 0o644); return nil }, vault.ErrSlot.Code},
		{"blank", func() func() { write(make([]byte, len(good)), 0o600); return nil }, vault.ErrSlotLost.Code},
		{"of an older generation", func() func() { write(older, 0o600); return nil }, vault.ErrStale.Code},
		{"of another version", func() func() {
			b := bytes.Clone(good)
			for i := range 2 {
				half := b[i*vault.SlotBytes : (i+1)*vault.SlotBytes]
				half[7] = 9
				sum := sha256.Sum256(half[:vault.SlotBytes-sha256.Size])
				copy(half[vault.SlotBytes-sha256.Size:], sum[:])
			}
			write(b, 0o600)
			return nil
		}, vault.ErrVersion.Code},
		{"in use", func() func() {
			s, err := vault.OpenFileSlot(slot)
			if err != nil {
				t.Fatal(err)
			}
			return func() { s.Close() }
		}, vault.ErrLocked.Code},
		{"root block damaged", func() func() { return harmBlob(t, "root", blobs, node.VaultBlobs) }, vault.ErrBlock.Code},
	} {
		mend := c.harm()
		before, _ := os.ReadFile(slot)
		var out bytes.Buffer
		code := report(&out, run(t.Context(), []string{"serve", "--dir", dir}, strings.NewReader(""), &out, &out))
		if code != exitNotNow || !strings.Contains(out.String(), "hint: "+string(c.code)+": ") {
			t.Errorf("%s: exit %d: %s", c.name, code, out.String())
		}
		if after, _ := os.ReadFile(slot); !bytes.Equal(before, after) {
			t.Errorf("%s: the slot was changed", c.name)
		}
		if mend != nil {
			mend()
		}
		write(good, 0o600)
	}
	v, end := openVault(t, slot, blobs(), node.VaultBlobs)
	defer end()
	if ids, err := v.List(""); err != nil || len(ids) != 1 || v.Verify() != nil {
		t.Errorf("after all this it holds %q, %v", ids, err)
	}
}

// openVault opens a vault on blobs; end closes both.
func openVault(t *testing.T, slot string, b *store.Blobs, of func(*store.Blobs) vault.Blobs) (v *vault.Vault, end func()) {
	t.Helper()
	s, err := vault.OpenFileSlot(slot)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = vault.Open(s, of(b), vault.Options{}); err != nil {
		t.Fatal(err)
	}
	return v, func() {
		v.Close()
		b.Close()
	}
}

// makeVault makes a vault of generation 3 with one entry left, and returns the slot
// file of generation 2.
func makeVault(t *testing.T, slot string, blobs func() *store.Blobs, of func(*store.Blobs) vault.Blobs) (older []byte) {
	t.Helper()
	v, end := openVault(t, slot, blobs(), of)
	defer end()
	if err := v.Put(vault.Entry{ID: "a", Value: []byte("1")}, vault.Entry{ID: "b"}, vault.Entry{ID: "c"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "c"} {
		var err error
		if older, err = os.ReadFile(slot); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Shred(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	return older
}

// TestRepair: what is damaged is counted, and given up only where that was asked for,
// in the member's own vault and in that of the copies that it keeps.
func TestRepair(t *testing.T) {
	t.Run("vault", func(t *testing.T) { testRepair(t, slotFile, node.VaultBlobs, "the vault") })
	t.Run("copies", func(t *testing.T) {
		testRepair(t, node.CopiesSlotFile, node.CopiesBlobs, "the copies kept for other members")
	})
}

func testRepair(t *testing.T, slot string, of func(*store.Blobs) vault.Blobs, name string) {
	dir := t.TempDir()
	blobs := func() *store.Blobs {
		b, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	makeVault(t, filepath.Join(dir, slot), blobs, of)
	harmBlob(t, "bucket", blobs, of)
	moved := func(from, to string) {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want int
		says string
		lost bool // the slot is elsewhere
	}{
		{nil, exitUnmet, "1 of 65536 parts of " + name, false},
		{nil, exitUnmet, "--give-up", false},
		{[]string{"--give-up"}, exitNotNow, "hint: vault.slot-lost: ", true},
		{[]string{"--give-up"}, 0, "Gave up 1 entries", false},
		{nil, 0, "0 of 65536 parts of " + name, false},
	} {
		if c.lost {
			moved(slot, "away")
		}
		var out bytes.Buffer
		code := report(&out, run(t.Context(), append([]string{"repair", "--dir", dir}, c.args...), strings.NewReader(""), &out, &out))
		if code != c.want || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit %d: %s", c.args, code, out.String())
		}
		if c.lost {
			moved("away", slot)
		}
	}
}

// harmBlob damages a block of the vault.
func harmBlob(t *testing.T, kind string, open func() *store.Blobs, of func(*store.Blobs) vault.Blobs) (mend func()) {
	t.Helper()
	b := open()
	defer b.Close()
	keys, err := of(b).List("vault/")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !strings.Contains(key, "/"+kind+"/") {
			continue
		}
		value, err := of(b).Get(key)
		if err != nil {
			t.Fatal(err)
		}
		harmed := bytes.Clone(value)
		harmed[100] ^= 1
		if err := of(b).Put(vault.Blob{Key: key, Value: harmed}); err != nil {
			t.Fatal(err)
		}
		return func() {
			b := open()
			defer b.Close()
			if err := of(b).Put(vault.Blob{Key: key, Value: value}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("there is no " + kind)
	return nil
}
