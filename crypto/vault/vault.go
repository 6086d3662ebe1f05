package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Vault is an open vault. Its methods may be called from several goroutines; a
// shred holds up the others until it is done. It prints as "[redacted]".
type Vault struct {
	slot       Slot
	blobs      Blobs
	maxEntries int

	mu      sync.RWMutex
	secrets *secrets // behind a pointer, so that fmt does not walk into it
	ended   error    // why the vault is closed or stopped
}

// Format writes "[redacted]" for every verb.
func (v *Vault) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }

// Class returns the storage class of the slot.
func (v *Vault) Class() string { return v.slot.Class() }

// Put adds entries, all or none, and returns when they are durable. An entry
// that is already there with the same value is left alone. Errors, with nothing
// changed: ErrInvalid (id empty, too long or repeated; value too long),
// ErrExists, ErrTooLarge (over about 500 kB in one call), ErrFull; with unknown
// outcome: ErrStopped.
func (v *Vault) Put(entries ...Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return v.ended
	}
	fresh, err := v.admit(entries)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if len(fresh) == 0 {
		return nil
	}
	if v.secrets.deltas >= maxDeltas {
		if err := v.rotate(nil); err != nil {
			return v.stop("put", err)
		}
		if v.ended != nil {
			return v.ended
		}
	}
	if err := putDelta(v.blobs, v.secrets, fresh); err != nil {
		return v.stop("put", err)
	}
	for _, e := range fresh {
		v.secrets.set(e)
	}
	return nil
}

// admit returns copies of the entries that change something, sorted.
func (v *Vault) admit(entries []Entry) ([]Entry, error) {
	var fresh []Entry
	seen := make(map[string]bool, len(entries))
	added, bytesNow, most := 0, v.secrets.bytes, v.maxEntries+v.maxEntries/8+8
	for i, e := range entries {
		if len(e.ID) == 0 || len(e.ID) > MaxIDBytes || len(e.Value) > MaxValueBytes || seen[e.ID] {
			return nil, because(ErrInvalid, "entry %d: id of %d bytes, value of %d bytes, repeated: %t", i, len(e.ID), len(e.Value), seen[e.ID])
		}
		seen[e.ID] = true
		old, held := v.secrets.entries[e.ID]
		switch {
		case held && bytes.Equal(old, e.Value):
			continue
		case held && !e.Replace:
			return nil, because(ErrExists, "entry %d", i)
		case !held:
			added++
			if !e.Reserve {
				most = v.maxEntries
			}
		}
		bytesNow += e.encodedBytes()
		fresh = append(fresh, Entry{ID: e.ID, Value: append([]byte{}, e.Value...)})
	}
	if held := len(v.secrets.entries); held+added > most && added > 0 || bytesNow > maxBlockBytes {
		return nil, because(ErrFull, "it holds %d of %d entries and %d of %d bytes", held, most, v.secrets.bytes, maxBlockBytes)
	}
	if size := pageSize(fresh) + pageHeadBytes + 16; size > MaxBlobBytes {
		return nil, because(ErrTooLarge, "%d of %d bytes; divide it", size, MaxBlobBytes)
	}
	sortEntries(fresh)
	return fresh, nil
}

// Get returns a copy of the secret, which the caller clears after use.
// Errors: ErrNotFound, ErrStopped, ErrClosed.
func (v *Vault) Get(id string) ([]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return nil, v.ended
	}
	value, ok := v.secrets.entries[id]
	if !ok {
		return nil, ErrNotFound
	}
	return append([]byte{}, value...), nil
}

// Has reports whether an entry has this id. Errors: ErrStopped, ErrClosed.
func (v *Vault) Has(id string) (bool, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return false, v.ended
	}
	_, ok := v.secrets.entries[id]
	return ok, nil
}

// List returns the ids with this prefix in ascending order.
// Errors: ErrStopped, ErrClosed.
func (v *Vault) List(prefix string) ([]string, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return nil, v.ended
	}
	var ids []string
	for id := range v.secrets.entries {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Verify reads slots and blobs again and compares them with what the vault
// holds. It changes nothing, and holds up puts and shreds meanwhile (about 50 ms
// when full). Errors: ErrSlot, ErrBlock, ErrDelta, ErrIO, ErrStopped, ErrClosed.
func (v *Vault) Verify() error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.ended != nil {
		return v.ended
	}
	for i := range 2 {
		content, err := v.slot.Read(i)
		if err != nil {
			return fmt.Errorf("verify vault: %w", ioFault("read slot", err))
		}
		same := content == v.secrets.at.encode()
		clear(content[:])
		if !same {
			return fmt.Errorf("verify vault: %w", because(ErrSlot, "slot %d is not what was written", i))
		}
	}
	stored, err := load(v.blobs, v.secrets.at, v.secrets.deltas, false)
	if err != nil {
		return fmt.Errorf("verify vault: %w", err)
	}
	defer stored.wipe()
	if !maps.EqualFunc(stored.entries, v.secrets.entries, bytes.Equal) {
		return fmt.Errorf("verify vault: %w", because(ErrBlock, "entries differ from those in memory"))
	}
	return nil
}

// Close wipes the secrets in memory and gives up the lock. A second call does
// nothing.
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if errors.Is(v.ended, ErrClosed) {
		return nil
	}
	v.ended = ErrClosed
	v.secrets.wipe()
	if err := v.slot.Close(); err != nil {
		return fmt.Errorf("close vault: %w", err)
	}
	return nil
}

// stop ends the vault after a failed write and wipes what is in memory, which may
// no longer be what is stored.
func (v *Vault) stop(doing string, err error) error {
	v.secrets.wipe()
	v.ended = because(ErrStopped, "%s: %w", doing, err)
	return v.ended
}
