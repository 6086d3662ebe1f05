package vault

import (
	"errors"
	"fmt"
	"slices"
)

// Options changes what Open accepts. The zero value is right for daily use.
type Options struct {
	// MaxEntries bounds the vault; 0 means DefaultMaxEntries.
	MaxEntries int
	// DropDamagedTail gives up the entries of the last put if its blob is damaged,
	// for a repair after which they are fetched from another custodian.
	DropDamagedTail bool
}

// Open opens a vault, creating one where slot and store are both blank, and ends
// a rotation that a crash left half done. The package comment says which slot
// wins. It takes over slot and closes it, also on failure; blobs stay the
// caller's. Errors: ErrSlot, ErrSlotLost, ErrStale, ErrBlock, ErrDelta,
// ErrReadOnly, ErrDiskFull, ErrIO.
func Open(slot Slot, blobs Blobs, opts Options) (*Vault, error) {
	if slot == nil || blobs == nil {
		panic("vault: open without slot or blobs")
	}
	if opts.MaxEntries == 0 {
		opts.MaxEntries = DefaultMaxEntries
	}
	s, err := recoverSecrets(slot, blobs, opts)
	if err != nil {
		slot.Close()
		return nil, fmt.Errorf("open vault: %w", err)
	}
	return &Vault{slot: slot, blobs: blobs, maxEntries: opts.MaxEntries, secrets: s}, nil
}

func recoverSecrets(slot Slot, blobs Blobs, opts Options) (*secrets, error) {
	keys, err := blobs.List(blobRoot)
	if err != nil {
		return nil, ioFault("list blobs", err)
	}
	candidates, err := readSlots(slot, len(keys) > 0)
	if err != nil {
		return nil, err
	}
	names, err := parseBlobs(keys, candidates[0].vault)
	if err != nil {
		return nil, err
	}
	s, err := loadWinner(blobs, candidates, names, opts.DropDamagedTail)
	if err != nil {
		return nil, err
	}
	if err := settle(slot, blobs, s, names); err != nil {
		s.wipe()
		return nil, err
	}
	return s, nil
}

// readSlots returns the records that check, newest first: one, or two whose
// generations follow each other. Where there was never a vault, it draws the
// first record and writes nothing yet.
func readSlots(slot Slot, haveBlobs bool) ([]record, error) {
	var found []record
	var faults [2]error
	for i := range faults {
		content, err := slot.Read(i)
		if err != nil {
			return nil, ioFault("read slot", err)
		}
		r, err := decodeRecord(content)
		if faults[i] = err; err == nil {
			found = append(found, r)
		}
		clear(content[:])
	}
	switch {
	case len(found) == 0 && faults[0] == errBlank && faults[1] == errBlank && haveBlobs:
		return nil, because(ErrSlotLost, "put back the slot file, or remove the blobs and fetch the keys from another custodian")
	case len(found) == 0 && faults[1] == errBlank && !haveBlobs:
		return []record{newRecord()}, nil
	case len(found) == 0:
		return nil, because(ErrSlot, "slot 0: %w, slot 1: %w", faults[0], faults[1])
	case len(found) == 1 || found[0] == found[1]:
		return found[:1], nil
	case found[0].vault != found[1].vault:
		return nil, because(ErrSlot, "the slots belong to two vaults")
	case found[0].generation == found[1].generation+1:
		return found, nil
	case found[1].generation == found[0].generation+1:
		return []record{found[1], found[0]}, nil
	}
	return nil, because(ErrSlot, "generations %d and %d do not follow each other", found[0].generation, found[1].generation)
}

// loadWinner loads the newest candidate. If its block, and nothing else, is
// damaged and an older one is still there, the rotation was not committed and the
// older one wins.
func loadWinner(blobs Blobs, candidates []record, names []blobName, dropTail bool) (*secrets, error) {
	var first error
	for _, r := range candidates {
		s, err := load(blobs, r, lastDelta(names, r.generation), dropTail)
		if err == nil {
			err = checkNewest(s, names)
		}
		if err == nil {
			return s, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, ErrBlock) {
			break
		}
	}
	if errors.Is(first, ErrBlock) && slices.ContainsFunc(names, func(n blobName) bool { return n.generation > candidates[0].generation }) {
		first = because(ErrStale, "there are blobs of later generations: %w", first)
	}
	return nil, first
}

func lastDelta(names []blobName, generation uint64) (last uint64) {
	for _, n := range names {
		if n.generation == generation {
			last = max(last, n.sequence)
		}
	}
	return last
}

// checkNewest refuses to go on where blobs show that the vault was once ahead of
// s. What a crash can leave behind is pages of the next generation, and only if
// there was something to rotate.
func checkNewest(s *secrets, names []blobName) error {
	for _, n := range names {
		ahead := n.generation > s.at.generation+1 ||
			n.generation == s.at.generation+1 && (n.sequence > 0 || len(s.entries) == 0)
		if ahead {
			s.wipe()
			return because(ErrStale, "slot of generation %d, blob of generation %d", s.at.generation, n.generation)
		}
	}
	return nil
}

// settle makes both slots equal to the winner and deletes every other blob.
func settle(slot Slot, blobs Blobs, s *secrets, names []blobName) error {
	want := s.at.encode()
	defer clear(want[:])
	for i := range 2 {
		got, err := slot.Read(i)
		if err != nil {
			return ioFault("read slot", err)
		}
		if got != want {
			err = writeSlot(slot, i, s.at)
		}
		clear(got[:])
		if err != nil {
			return err
		}
	}
	return collect(blobs, s, names)
}

// collect deletes, in ascending order, the blobs that are not part of s.
func collect(blobs Blobs, s *secrets, names []blobName) error {
	live := make(map[string]bool, s.at.pages)
	for page := range s.at.pages {
		live[s.at.pageKey(page)] = true
	}
	for _, n := range names {
		if live[n.key] || n.generation == s.at.generation && n.sequence > 0 && n.sequence <= s.deltas {
			continue
		}
		if err := blobs.Delete(n.key); err != nil {
			return ioFault("delete blob", err)
		}
	}
	return nil
}
