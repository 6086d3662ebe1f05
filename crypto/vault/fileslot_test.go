package vault

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openFile(t *testing.T, path string) *FileSlot {
	t.Helper()
	slot, err := OpenFileSlot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slot.Close() })
	return slot
}

func TestFileSlotIsOverwrittenInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	slot := openFile(t, path)
	if !strings.HasPrefix(slot.Class(), "file.two-slot/") {
		t.Errorf("class %q", slot.Class())
	}
	before, _ := os.Stat(path)
	if before.Size() != 2*SlotBytes || before.Mode().Perm() != 0o600 {
		t.Errorf("new file: %d bytes, mode %v", before.Size(), before.Mode())
	}
	v, err := Open(slot, &MemoryBlobs{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "a", Value: []byte("one")}, Entry{ID: "b"})
	old := v.tree.at.root.key
	got, err := v.Shred("a")
	if err != nil || got.Class != slot.Class() {
		t.Fatalf("%+v, %v", got, err)
	}
	after, _ := os.Stat(path)
	if !os.SameFile(before, after) || after.Size() != before.Size() {
		t.Error("the file was replaced")
	}
	content, _ := os.ReadFile(path)
	if bytes.Contains(content, old[:8]) || !bytes.Contains(content, v.tree.at.root.key[:]) {
		t.Error("the old key is still there, or the new one is not")
	}
}

func TestFileSlotIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	slot := openFile(t, path)
	if _, err := OpenFileSlot(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	// Another process gets the same answer.
	child := exec.Command(os.Args[0], "-test.run=^TestChildOpensSlot$", "-test.v")
	child.Env = append(os.Environ(), "VAULT_TEST_SLOT="+path)
	if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("code=vault.locked")) {
		t.Errorf("other process: %s, %v", out, err)
	}
	slot.Close()
	openFile(t, path)
}

func TestChildOpensSlot(t *testing.T) {
	path := os.Getenv("VAULT_TEST_SLOT")
	if path == "" {
		t.Skip("runs in the child of TestFileSlotIsExclusive")
	}
	_, err := OpenFileSlot(path)
	var coded *Error
	if errors.As(err, &coded) {
		t.Logf("code=%s", coded.Code)
	}
}

func TestFileSlotRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode, fill byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte{fill}, size), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link")
	os.Symlink(write("target", 2*SlotBytes, 0o600, 0), link)
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"others may read": {write("open", 2*SlotBytes, 0o644, 0), ErrSlot},
		"too long":        {write("long", 2*SlotBytes+1, 0o600, 0), ErrSlot},
		"cut":             {write("cut", 100, 0o600, 1), ErrSlot},
		"symbolic link":   {link, ErrIO},
		"no folder":       {filepath.Join(dir, "no", "slot"), ErrIO},
		"a folder":        {dir, ErrIO},
	} {
		if _, err := OpenFileSlot(c.path); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A creation that was interrupted is ended.
	slot := openFile(t, write("short", 100, 0o600, 0))
	if content, err := slot.Read(1); err != nil || content != [SlotBytes]byte{} {
		t.Errorf("interrupted creation: %v", err)
	}
}

// stubFile fails as told, once.
type stubFile struct {
	content           [2 * SlotBytes]byte
	writeErr, syncErr error
	writes, syncs     int
}

func (s *stubFile) ReadAt(b []byte, at int64) (int, error) { return copy(b, s.content[at:]), nil }
func (s *stubFile) Close() error                           { return nil }

func (s *stubFile) WriteAt(b []byte, at int64) (int, error) {
	s.writes++
	if s.writeErr != nil {
		return 0, s.writeErr
	}
	return copy(s.content[at:], b), nil
}

func (s *stubFile) Sync() error {
	s.syncs++
	err := s.syncErr
	s.syncErr = nil // the kernel reports a failed fsync once
	return err
}

func TestFailedSyncIsNotRetried(t *testing.T) {
	file := &stubFile{syncErr: syscall.EIO}
	slot := &FileSlot{file: file}
	if err := slot.Write(0, [SlotBytes]byte{1}); !errors.Is(err, syscall.EIO) {
		t.Errorf("first write: %v", err)
	}
	if err := slot.Write(0, [SlotBytes]byte{1}); !errors.Is(err, syscall.EIO) || file.writes != 1 || file.syncs != 1 {
		t.Errorf("second write: %v, %d writes, %d syncs", err, file.writes, file.syncs)
	}
	if _, err := slot.Read(0); !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v", err)
	}
}

func TestReadOnlyAndFullDisk(t *testing.T) {
	for cause, want := range map[error]error{syscall.EROFS: ErrReadOnly, syscall.ENOSPC: ErrDiskFull} {
		if _, err := Open(&FileSlot{file: &stubFile{writeErr: cause}}, &MemoryBlobs{}, Options{}); !errors.Is(err, want) {
			t.Errorf("creation: %v, want %v", err, want)
		}
		file, blobs := &stubFile{}, &MemoryBlobs{}
		v, err := Open(&FileSlot{file: file}, blobs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, Entry{ID: "a"}, Entry{ID: "b"})
		file.writeErr = cause
		if _, err := v.Shred("a"); !errors.Is(err, want) || !errors.Is(err, ErrStopped) {
			t.Errorf("shred: %v, want %v", err, want)
		}
		v.Close()
		file.writeErr = nil
		v, err = Open(&FileSlot{file: file}, blobs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if ids, _ := v.List(""); len(ids) != 2 {
			t.Errorf("afterwards it holds %q", ids)
		}
	}
}
