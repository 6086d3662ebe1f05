package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

func (r record) deltaAD(sequence uint64, chain [32]byte) []byte {
	b := append([]byte("akashi/vault/delta/v2\n"), r.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, r.root.generation)
	b = append(b, r.root.id[:]...)
	b = binary.BigEndian.AppendUint64(b, sequence)
	return append(b, chain[:]...)
}

// putDelta appends sorted entries to the vault as one delta.
func putDelta(blobs Blobs, t *tree, beside []Blob, entries []Entry) error {
	sequence := t.deltas + 1
	value := sealBlob(&t.at.root.key, t.at.deltaAD(sequence, t.chain), encodePage(entries))
	if err := blobs.Put(append(slices.Clip(beside), Blob{Key: t.at.deltaKey(sequence), Value: value})...); err != nil {
		return ioFault("put delta", err)
	}
	t.deltas, t.chain = sequence, sha256.Sum256(value)
	return nil
}

// readDeltas applies the count deltas of the generation to t. With dropTail a
// last delta that is damaged is left out. Errors: ErrDelta; else I/O.
func readDeltas(blobs Blobs, t *tree, count uint64, dropTail bool) error {
	for sequence := uint64(1); sequence <= count; sequence++ {
		value, err := blobs.Get(t.at.deltaKey(sequence))
		if err != nil && !errors.Is(err, ErrNoBlob) {
			return ioFault("get delta", err)
		}
		if err == nil {
			err = t.applyDelta(sequence, value)
		}
		if err != nil && dropTail && sequence == count {
			return nil
		}
		if err != nil {
			return because(ErrDelta, "delta %d of %d: %w", sequence, count, err)
		}
	}
	return nil
}

func (t *tree) applyDelta(sequence uint64, value []byte) error {
	plaintext, err := openBlob(&t.at.root.key, t.at.deltaAD(sequence, t.chain), value)
	if err != nil {
		return err
	}
	defer giveBack(plaintext)
	entries, err := decodePage(plaintext)
	if err != nil {
		return err
	}
	t.setAll(entries)
	t.deltas, t.chain = sequence, sha256.Sum256(value)
	return nil
}
