// Package store is what a node keeps on disk in Badger: the ledger state, every
// version of it since the last final batch (Ledger, State), and beside it the
// blobs (Blobs): sealed parts, vault blocks, outbox, sessions.
//
// Invariants: all effects of a batch are one transaction at the batch's height;
// a write of Blobs that was answered is on disk; a value that is read is the one
// that was written, or there is an error (what Badger cannot promise here is said
// in open.go). The package knows no network and decides nothing.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Both databases of a node are Badger, opened here with values inline (a flipped
// bit in Badger's value log is returned as a wrong value without an error,
// whatever its options say; in a table it is found by the block's checksum).
// So no value may be larger than MaxValueBytes.
//
// Badger writes through memory maps. Where the disk is full or has a bad sector
// that is a SIGBUS in one of Badger's goroutines, which nobody can catch: the
// process ends. Hence the free space that is asked for at the start (and by
// Blobs before every commit): enough for the memtables and a compaction.
//
// There is no block cache: without compression it admits no block (it takes the
// rest of the mapped file for the block's size), makes reads a fifth slower, and
// if it did keep one would serve the mapped bytes without checking them again.
//
// Badger's reads do not report damage: a block whose checksum is wrong counts as
// empty, so its keys are absent or show an older value, an iterator ends there,
// and a compaction drops the rest for good. Hence every block of every table is
// checked before Badger gets to see it (its own check at the start ends in a nil
// dereference in a goroutine of its own). Damage that appears later is found by
// Verify, unless a compaction was faster.
//
// What opening cannot see: records missing at the end of Badger's write-ahead
// log. After a crash or damage there it opens without an error, so whoever
// needs completeness compares with what was fsynced elsewhere.

// MaxValueBytes is the largest value that Badger keeps inline.
const MaxValueBytes = 1<<20 - 1

// maxStateValueBytes is the same for the ledger state, where three times the largest
// value that there is (an index of spanLeaves events of one handle) is enough.
const maxStateValueBytes = 896 << 10

const defaultMinFreeBytes = 512 << 20

// Reasons why a database cannot be opened or used. Each needs an operator.
var (
	ErrLocked   = errors.New("directory is in use by another process")
	ErrReadOnly = errors.New("directory cannot be written")
	ErrDiskFull = errors.New("too little free space on disk") // wraps syscall.ENOSPC
	ErrCorrupt  = errors.New("database files are damaged")
)

// OpenOption changes how a database is opened.
type OpenOption func(*openOptions)

type openOptions struct {
	sync         bool
	minFreeBytes uint64
}

// WithoutSync leaves commits in the page cache: for the ledger state, which can
// be derived again from the Raft log, and for restoring into a fresh directory,
// where the restore as a whole is synced or repeated. Badger's rotation of memtables does not sync, so after power loss such a database may
// lack commits in the middle.
func WithoutSync() OpenOption { return func(o *openOptions) { o.sync = false } }

// WithMinFree sets the free space below which opening (and, for Blobs, writing)
// is refused. The default is 512 MiB.
func WithMinFree(bytes uint64) OpenOption { return func(o *openOptions) { o.minFreeBytes = bytes } }

func openOptionsOf(opts []OpenOption) openOptions {
	o := openOptions{sync: true, minFreeBytes: defaultMinFreeBytes}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// OpenState opens the ledger state: managed timestamps, no conflict detection
// (one goroutine applies). The caller sets the discard timestamp and closes it.
func OpenState(dir string, log *slog.Logger, opts ...OpenOption) (*badger.DB, error) {
	o := openOptionsOf(opts)
	return openBadger(dir, log, o, badger.OpenManaged, badger.DefaultOptions(dir).
		WithDetectConflicts(false).
		// Two or three memtables are in memory, and up to eight builders of tables, which are kept for
		// reuse: the table of a memtable fits what a builder takes at first, twice the size of a table.
		// A transaction may take 15 % of a memtable (writer.go), which is more than one value.
		WithBaseTableSize(4<<20).
		WithMemTableSize(6<<20).
		WithValueThreshold(maxStateValueBytes+1).
		WithNumLevelZeroTables(32+rand.N(8)). // not the same at every node: equal data would be merged everywhere at once
		WithNumLevelZeroTablesStall(96).      // beyond this, writes wait for the merge
		WithBaseLevelSize(128<<20).           // one level less through which all is copied
		WithIndexCacheSize(32<<20))
}

func openBadger(dir string, log *slog.Logger, o openOptions, open func(badger.Options) (*badger.DB, error), tuned badger.Options) (*badger.DB, error) {
	if log == nil {
		return nil, errors.New("open database: a logger is required")
	}
	tuned.TableSizeMultiplier = 1 // a builder takes up to three times its table's size
	tuned = tuned.
		WithLogger(badgerLog{log}).
		WithSyncWrites(o.sync).
		WithCompression(options.None).
		WithBlockCacheSize(0). // see the comment above
		WithNumMemtables(2).
		WithNumCompactors(2).           // each builds tables in memory
		WithValueLogFileSize(16 << 20). // stays empty
		WithNumVersionsToKeep(1).       // managed mode: of those up to the discard timestamp
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithMetricsEnabled(false)
	if err := inspect(dir, o.minFreeBytes); err != nil {
		return nil, fmt.Errorf("open database %s: %w", dir, err)
	}
	was, err := memtableSize(dir)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", dir, systemError(err))
	}
	var db *badger.DB
	err = guarded(func() (err error) {
		if was > tuned.MemTableSize {
			if db, err = open(tuned.WithMemTableSize(was)); err == nil {
				err = db.Close() // makes tables of the memtables
			}
			if err != nil {
				return openError(err)
			}
		}
		db, err = open(tuned)
		return openError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", dir, err)
	}
	return db, nil
}

// memtableSize returns the size for which the largest memtable's log was made that a
// kill has left, 0 where there is none. Badger makes the file twice as large, and ends
// the process where the log does not fit a memtable of today's size.
func memtableSize(dir string) (size int64, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	for _, name := range names {
		fi, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		size = max(size, fi.Size()/2)
	}
	return size, err
}

// Unused returns ErrLocked where another process has the database in dir open. A
// database that was never opened is unused.
func Unused(dir string) error {
	unlock, err := lockDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	unlock()
	return nil
}

// inspect looks for what Badger reports badly or not at all.
func inspect(dir string, minFreeBytes uint64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return systemError(err)
	}
	if err := tryWrite(dir); err != nil {
		return systemError(err)
	}
	if err := checkFree(dir, minFreeBytes); err != nil {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock() // Badger takes its own next
	// Badger deletes all tables that its manifest does not name: it would turn
	// a lost manifest into an empty database.
	_, err = os.Stat(filepath.Join(dir, badger.ManifestFilename))
	if err == nil {
		return errors.Join(dropEmptyMemtables(dir), inspectTables(dir))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return systemError(err)
	}
	for _, pattern := range []string{"*.sst", "*.mem", "*.vlog"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return fmt.Errorf("%w: the MANIFEST is missing beside %s", ErrCorrupt, filepath.Base(found[0]))
		}
	}
	return nil
}

// dropEmptyMemtables removes memtables into which nothing was ever written: Badger
// creates the file, then grows it, and refuses to open what a kill in between left.
func dropEmptyMemtables(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 0 {
			continue
		}
		if err := os.Remove(file); err != nil {
			return systemError(err)
		}
	}
	return err
}

func tryWrite(dir string) error {
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = probe.Write(make([]byte, 4096))
	return errors.Join(err, probe.Sync(), probe.Close(), os.Remove(probe.Name()))
}

func checkFree(dir string, minBytes uint64) error {
	freeBytes, err := freeSpace(dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if freeBytes < minBytes {
		return fmt.Errorf("%w: %d MiB free, %d MiB needed: %w", ErrDiskFull, freeBytes>>20, minBytes>>20, syscall.ENOSPC)
	}
	return nil
}

// systemError names the errors of the system that an operator can act on.
func systemError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	default:
		return err
	}
}

// openError classifies by text: Badger wraps no causes (y.Wrap formats them).
func openError(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, known := range []struct {
		text string
		kind error
	}{
		{"Cannot acquire directory lock", ErrLocked},
		{syscall.ENOSPC.Error(), ErrDiskFull},
		{syscall.EROFS.Error(), ErrReadOnly},
		{syscall.EACCES.Error(), ErrReadOnly},
		{syscall.EPERM.Error(), ErrReadOnly},
	} {
		if strings.Contains(text, known.text) {
			return fmt.Errorf("%w: %w", known.kind, err)
		}
	}
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if strings.Contains(text, errno.Error()) {
			return err // the machine's fault, not the files'
		}
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// guarded runs a call into Badger and turns its panic, which is how Badger
// answers a damaged block, into ErrCorrupt. Callbacks of ours do not belong in it.
func guarded(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return call()
}

// badgerLog passes on what an operator should see.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, args ...any) {
	l.log.Error("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l badgerLog) Warningf(format string, args ...any) {
	l.log.Warn("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l badgerLog) Infof(string, ...any)  {}
func (l badgerLog) Debugf(string, ...any) {}
