package vault

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Options changes what Open accepts. The zero value is right for daily use.
type Options struct {
	// MaxEntries bounds the vault; 0 means DefaultMaxEntries.
	MaxEntries int
	// DropDamagedTail gives up the entries of the last put if its blob is damaged,
	// for a repair after which they are fetched from another custodian.
	DropDamagedTail bool
	// OnStop is called once, with the reason, when a write failed and the vault stopped.
	// It must not wait, and not call the vault.
	OnStop func(error)

	shape shape // zero means usual
}

// Open opens a vault, creating one where slot and store are both blank, and ends
// a rotation that a crash left half done. The package comment says which slot
// wins. It takes over slot and closes it, also on failure; blobs stay the
// caller's. Errors: ErrVersion, ErrSlot, ErrSlotLost, ErrStale, ErrBlock, ErrDelta,
// ErrReadOnly, ErrDiskFull, ErrIO.
func Open(slot Slot, blobs Blobs, opts Options) (*Vault, error) {
	if slot == nil || blobs == nil {
		panic("vault: open without slot or blobs")
	}
	if opts.MaxEntries == 0 {
		opts.MaxEntries = DefaultMaxEntries
	}
	if opts.shape == (shape{}) {
		opts.shape = usual
	}
	t, err := recoverTree(slot, blobs, opts)
	if err != nil {
		slot.Close()
		return nil, fmt.Errorf("open vault: %w", err)
	}
	v := &Vault{slot: slot, blobs: blobs, maxEntries: opts.MaxEntries, shape: opts.shape, onStop: opts.OnStop, tree: t}
	v.folded = sync.NewCond(&v.mu)
	return v, nil
}

func recoverTree(slot Slot, blobs Blobs, opts Options) (*tree, error) {
	keys, err := blobs.List(blobRoot)
	if err != nil {
		return nil, ioFault("list blobs", err)
	}
	candidates, err := readSlots(slot, len(keys) > 0)
	if err != nil {
		return nil, err
	}
	defer clear(candidates)
	names, err := parseBlobs(keys, candidates[0].vault)
	if err != nil {
		return nil, err
	}
	t, err := loadWinner(blobs, candidates, names, opts)
	if err != nil {
		return nil, err
	}
	if err := settle(slot, blobs, t, names); err != nil {
		t.wipe()
		return nil, err
	}
	return t, nil
}

// readSlots returns the records that check, newest first: one, or two whose
// generations follow each other. Where there was never a vault, it draws the
// first record and writes nothing yet.
func readSlots(slot Slot, haveBlobs bool) ([]record, error) {
	var found []record
	var faults [2]error
	var version byte
	for i := range faults {
		content, err := slot.Read(i)
		if err != nil {
			return nil, ioFault("read slot", err)
		}
		r, err := decodeRecord(content)
		switch faults[i] = err; err {
		case nil:
			found = append(found, r)
		case errVersion:
			version = content[len(slotMagic)]
		}
		clear(content[:])
	}
	switch {
	case faults[0] == errVersion || faults[1] == errVersion:
		return nil, because(ErrVersion, "its slots are of version %d, this program reads version %d", version, slotVersion)
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
	case found[0].root.generation == found[1].root.generation+1:
		return found, nil
	case found[1].root.generation == found[0].root.generation+1:
		return []record{found[1], found[0]}, nil
	}
	return nil, because(ErrSlot, "generations %d and %d do not follow each other", found[0].root.generation, found[1].root.generation)
}

// loadWinner loads the newest candidate. If its tree, and nothing else, is damaged
// and an older one is still there, the rotation was not committed and the older
// one wins: so where there are two, what the rotation wrote is read in full.
func loadWinner(blobs Blobs, candidates []record, names []blobName, opts Options) (*tree, error) {
	var first error
	for i, r := range candidates {
		t, err := load(blobs, r, names, opts, i+1 < len(candidates))
		if err == nil {
			return t, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, ErrBlock) {
			break
		}
	}
	if errors.Is(first, ErrBlock) && slices.ContainsFunc(names, func(n blobName) bool { return n.generation > candidates[0].root.generation }) {
		first = because(ErrStale, "there are blobs of later generations: %w", first)
	}
	return nil, first
}

// load reads the tree and the deltas of r, and with fresh also the buckets that
// its rotation wrote.
func load(blobs Blobs, r record, names []blobName, opts Options, fresh bool) (*tree, error) {
	t, err := readTree(blobs, r, opts.shape.fan)
	if err != nil {
		return nil, err
	}
	if fresh {
		err = t.checkFresh(blobs)
	}
	if err == nil {
		err = readDeltas(blobs, t, lastDelta(names, r.root.generation), opts.DropDamagedTail)
	}
	if err == nil {
		err = checkNewest(t, names)
	}
	if err != nil {
		t.wipe()
		return nil, err
	}
	return t, nil
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
// t. What a crash can leave behind is a tree of the next generation without
// deltas, and only if there was something to rotate.
func checkNewest(t *tree, names []blobName) error {
	now := t.at.root.generation
	for _, n := range names {
		ahead := n.generation > now+1 || n.generation == now+1 && (n.sequence > 0 || t.entries() == 0)
		if ahead {
			return because(ErrStale, "slot of generation %d, blob of generation %d", now, n.generation)
		}
	}
	return nil
}

// settle makes both slots equal to the winner and deletes every other blob.
func settle(slot Slot, blobs Blobs, t *tree, names []blobName) error {
	want := t.at.encode()
	defer clear(want[:])
	for i := range 2 {
		got, err := slot.Read(i)
		if err != nil {
			return ioFault("read slot", err)
		}
		if got != want {
			err = writeSlot(slot, i, t.at)
		}
		clear(got[:])
		if err != nil {
			return err
		}
	}
	return collect(blobs, t, names)
}

// collect deletes the blobs that are not part of t.
func collect(blobs Blobs, t *tree, names []blobName) error {
	live := t.liveKeys()
	var dead []string
	for _, n := range names {
		if !live[n.key] {
			dead = append(dead, n.key)
		}
	}
	return remove(blobs, dead)
}

// liveKeys returns the keys of all blobs that t consists of.
func (t *tree) liveKeys() map[string]bool {
	live := map[string]bool{}
	note := func(p place, r *ref) {
		if *r != (ref{}) {
			live[p.key(r)] = true
		}
	}
	if t.at.planted() {
		note(t.rootPlace(), &t.at.root)
	}
	note(t.carryPlace(), &t.carry)
	for m := range t.middles {
		note(t.middle(m), &t.middles[m])
	}
	for b := range t.count() {
		note(t.bucket(b), t.ref(b))
	}
	for sequence := uint64(1); sequence <= t.deltas; sequence++ {
		live[t.at.deltaKey(sequence)] = true
	}
	return live
}
