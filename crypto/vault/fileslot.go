package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// FileSlot is the slot in a file of 8192 bytes, mode 0600, overwritten in place.
//
// BUG: what the hardware keeps is beyond it. Flash remaps sectors, snapshots
// copy them, ext4 mounted with data=journal writes them to its journal first.
// The class names the file system that was found, and says "overwrite" only for
// those that write data in place (measured on ext4, data=ordered: 1 of 40
// generations left on the raw device).
type FileSlot struct {
	class string

	mu     sync.Mutex
	file   slotFile
	failed error // the first failed write or fsync
}

// slotFile is what FileSlot needs of an os.File.
type slotFile interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// overwritten is a file that is only overwritten: its size and blocks stay.
type overwritten struct{ *os.File }

// Sync makes what was written durable.
func (f overwritten) Sync() error { return syncContent(f.File) }

// OpenFileSlot opens the slot file, creating a blank one where there is none, and
// locks it until Close. Errors: ErrLocked, ErrSlot (size, mode or type of the
// file), ErrReadOnly, ErrDiskFull, ErrIO.
func OpenFileSlot(path string) (*FileSlot, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, ioFault("open slot file", err)
	}
	if err := prepare(file, filepath.Dir(path)); err != nil {
		file.Close()
		return nil, err
	}
	return &FileSlot{class: "file.two-slot/" + fileSystemClass(file), file: overwritten{file}}, nil
}

func prepare(file *os.File, dir string) error {
	if err := lockFile(file); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return ioFault("look at slot file", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return because(ErrSlot, "mode is %v, must be a regular file of mode 0600", info.Mode())
	}
	if info.Size() == 2*SlotBytes {
		return nil
	}
	return preallocate(file, info, dir)
}

// preallocate fills a new file, or one whose creation was interrupted, with
// zeros, so that later writes allocate nothing.
func preallocate(file *os.File, info fs.FileInfo, dir string) error {
	var have, zeros [2 * SlotBytes]byte
	n, err := file.ReadAt(have[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ioFault("read slot file", err)
	}
	if info.Size() > 2*SlotBytes || have != zeros {
		clear(have[:n])
		return because(ErrSlot, "size is %d, must be %d", info.Size(), 2*SlotBytes)
	}
	if _, err := file.WriteAt(zeros[:], 0); err != nil {
		return ioFault("preallocate slot file", err)
	}
	if err := file.Sync(); err != nil {
		return ioFault("preallocate slot file", err)
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return ioFault("open folder of slot file", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return ioFault("sync folder of slot file", err)
	}
	return nil
}

// Class implements Slot: "file.two-slot/" and what the file system does with an
// overwrite.
func (f *FileSlot) Class() string { return f.class }

// Read implements Slot.
func (f *FileSlot) Read(i int) (content [SlotBytes]byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return content, f.failed
	}
	if _, err := f.file.ReadAt(content[:], offset(i)); err != nil {
		return content, fmt.Errorf("slot %d: %w", i, err)
	}
	return content, nil
}

// Write implements Slot. It tries once: after a failed fsync the kernel may call
// pages clean that never reached the disk.
func (f *FileSlot) Write(i int, content [SlotBytes]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return f.failed
	}
	_, err := f.file.WriteAt(content[:], offset(i))
	if err == nil {
		err = f.file.Sync()
	}
	clear(content[:])
	if err != nil {
		f.failed = fmt.Errorf("slot %d: %w", i, err)
	}
	return f.failed
}

// Close implements Slot: it unlocks the file.
func (f *FileSlot) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = os.ErrClosed
	}
	return f.file.Close()
}

func offset(i int) int64 {
	if i != 0 && i != 1 {
		panic(fmt.Sprintf("vault: slot %d of 2", i))
	}
	return int64(i) * SlotBytes
}
