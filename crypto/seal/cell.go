package seal

import (
	"runtime"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/memlock"
)

// Data keys lie in cells: 32 bytes each in pages that are locked in memory where the
// system allows it, zeroed when given back, and used again.
type cell = [32]byte

const cellsAtOnce = 128 // 4 KiB

var cells struct {
	sync.Mutex
	free []*cell
}

// newCell returns a cell of zeros.
func newCell() *cell {
	cells.Lock()
	defer cells.Unlock()
	if len(cells.free) == 0 {
		page := make([]cell, cellsAtOnce)
		memlock.Lock(page)
		for i := range page {
			cells.free = append(cells.free, &page[i])
		}
	}
	last := len(cells.free) - 1
	c := cells.free[last]
	cells.free = cells.free[:last]
	return c
}

// giveBack zeroes a cell. Nothing else may use it any more.
func giveBack(c *cell) {
	clear(c[:])
	cells.Lock()
	defer cells.Unlock()
	cells.free = append(cells.free, c)
}

// keyBytes is one data key, nil once it was wiped. Where nobody wipes it, that happens
// when it was collected.
type keyBytes struct {
	secret  *cell
	cleanup runtime.Cleanup
}

func newKeyBytes() *keyBytes {
	k := &keyBytes{secret: newCell()}
	k.cleanup = runtime.AddCleanup(k, giveBack, k.secret)
	return k
}

func (k *keyBytes) wipe() {
	if k.secret != nil {
		k.cleanup.Stop()
		giveBack(k.secret)
		k.secret = nil
	}
}
