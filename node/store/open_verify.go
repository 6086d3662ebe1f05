package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// Verify reads every table of an open database again and checks every block:
// ErrCorrupt where one is damaged. It is for the background, and for whoever
// misses something that must be there. The memtables are not on its way.
func Verify(db *badger.DB) error {
	return guarded(func() error {
		if err := db.VerifyChecksum(); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return nil
	})
}

// inspectTables does the same before the database is opened, for the tables that
// the manifest names; others are leftovers of a crash, which Badger removes.
func inspectTables(dir string) error {
	file, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return systemError(err)
	}
	defer file.Close()
	manifest, _, err := badger.ReplayManifestFile(file, 0, badger.DefaultOptions(dir))
	if err != nil {
		return fmt.Errorf("%w: MANIFEST: %w", ErrCorrupt, err)
	}
	var (
		workers  sync.WaitGroup
		mu       sync.Mutex
		problems []error
		work     = make(chan uint64)
	)
	for range min(runtime.GOMAXPROCS(0), len(manifest.Tables)) {
		workers.Go(func() {
			for id := range work {
				name := table.NewFilename(id, dir)
				err := guarded(func() error { return inspectTable(name) })
				if err != nil {
					mu.Lock()
					problems = append(problems, fmt.Errorf("table %s: %w", filepath.Base(name), err))
					mu.Unlock()
				}
			}
		})
	}
	for id := range manifest.Tables {
		work <- id
	}
	close(work)
	workers.Wait()
	return errors.Join(problems...)
}

func inspectTable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the file is missing", ErrCorrupt)
	case err != nil:
		return systemError(err)
	case info.Size() == 0:
		return fmt.Errorf("%w: the file is empty", ErrCorrupt)
	}
	mapped, err := z.OpenMmapFile(file, os.O_RDONLY, 0)
	if err != nil {
		return systemError(err)
	}
	opened, err := table.OpenTable(mapped, table.Options{ReadOnly: true, Compression: options.None, ChkMode: options.NoVerification})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	// It ends in a nil dereference on a damaged block, which guarded reports. The
	// mapping is left to the process then, as is whatever Badger closed or not
	// after an error: nothing will be opened.
	if err := opened.VerifyChecksum(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return mapped.Close(-1)
}
