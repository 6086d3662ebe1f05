package vault

import "bytes"

// Shredding is what a vault can attest after Shred.
type Shredding struct {
	Generation uint64 // of the root key that is in the slot now
	Class      string // storage class of the slot
	Count      int    // entries destroyed by this call
}

// Shred destroys the entries with these ids, all in one rotation. When it
// returns nil no copy of any blob opens to them. Ids that are not there are left
// out of the count, so that a call may be repeated after a crash; with none there
// is nothing to rotate. Cost: rewriting what survives, whatever the number of ids.
// Errors: ErrStopped, with unknown outcome until the vault is opened again;
// ErrClosed.
func (v *Vault) Shred(ids ...string) (Shredding, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return Shredding{}, v.ended
	}
	doomed := make(map[string]bool, len(ids))
	for _, id := range ids {
		if _, ok := v.secrets.entries[id]; ok {
			doomed[id] = true
		}
	}
	if len(doomed) > 0 {
		if err := v.rotate(doomed); err != nil {
			return Shredding{}, v.stop("shred", err)
		}
	}
	return Shredding{Generation: v.secrets.at.generation, Class: v.slot.Class(), Count: len(doomed)}, nil
}

// rotate moves all entries but the doomed ones under a fresh root key. The steps
// are those of the package comment. An error means that the outcome is unknown,
// and that nothing else may be written; after the commit point there is none: a
// delete that failed sets v.ended, for what would come next.
func (v *Vault) rotate(doomed map[string]bool) error {
	survivors, bytesLeft := v.survivors(doomed)
	next := v.secrets.at.next()
	defer clear(next.key[:])
	if err := writeBlock(v.blobs, &next, survivors); err != nil { // d
		return err
	}
	if err := checkBlock(v.blobs, next, survivors); err != nil { // e
		return err
	}
	for i := range 2 { // f, g: here the old root key ends
		if err := writeSlot(v.slot, i, next); err != nil {
			return err
		}
	}
	for id := range doomed {
		clear(v.secrets.entries[id])
		delete(v.secrets.entries, id)
	}
	v.secrets.at, v.secrets.bytes = next, bytesLeft
	v.secrets.deltas, v.secrets.chain = 0, next.hash
	if err := v.collectAll(); err != nil { // h
		v.stop("delete old blobs", err)
	}
	return nil
}

// survivors returns the entries that are not doomed, sorted, sharing their
// values, and their encoded size.
func (v *Vault) survivors(doomed map[string]bool) (entries []Entry, bytes int) {
	entries = make([]Entry, 0, len(v.secrets.entries))
	for id, value := range v.secrets.entries {
		if doomed[id] {
			continue
		}
		e := Entry{ID: id, Value: value}
		entries, bytes = append(entries, e), bytes+e.encodedBytes()
	}
	sortEntries(entries)
	return entries, bytes
}

// checkBlock reads the block of r as Open would and compares it.
func checkBlock(blobs Blobs, r record, want []Entry) error {
	got, err := readBlock(blobs, r)
	if err != nil {
		return err
	}
	same := len(got) == len(want)
	for i, e := range got {
		same = same && e.ID == want[i].ID && bytes.Equal(e.Value, want[i].Value)
		clear(e.Value)
	}
	if !same {
		return because(ErrBlock, "reads back differently")
	}
	return nil
}

func (v *Vault) collectAll() error {
	keys, err := v.blobs.List(blobRoot)
	if err != nil {
		return ioFault("list blobs", err)
	}
	names, err := parseBlobs(keys, v.secrets.at.vault)
	if err != nil {
		return err
	}
	return collect(v.blobs, v.secrets, names)
}
