package vault

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// SlotBytes is the size of one slot.
const SlotBytes = 4096

// Slot is the effaceable storage of the root key: two slots, numbered 0 and 1.
// Each storage class is one implementation.
type Slot interface {
	// Class names the means by which Write effaces, for attestations, such as
	// "file.two-slot/ext4-overwrite".
	Class() string
	// Read returns the content of slot i; zeros if it was never written.
	Read(i int) ([SlotBytes]byte, error)
	// Write overwrites slot i in place. When it returns nil the new content is
	// durable and the old one effaced. After an error every later call fails.
	Write(i int, content [SlotBytes]byte) error
	// Close gives up the exclusive hold on the slots.
	Close() error
}

const (
	slotMagic      = "AKVAULT\x01"
	slotCheckStart = SlotBytes - sha256.Size
)

// record is the content of a slot. It contains the root key: never print it.
type record struct {
	generation uint64
	vault      [16]byte
	key        [32]byte
	block      [16]byte
	pages      uint32
	hash       [32]byte
}

// next draws the key and block id of the generation after r.
func (r record) next() record {
	n := record{generation: r.generation + 1, vault: r.vault, hash: emptyBlockHash}
	rand.Read(n.key[:])
	rand.Read(n.block[:])
	return n
}

func newRecord() record {
	var r record
	rand.Read(r.vault[:])
	return r.next()
}

func (r record) encode() (b [SlotBytes]byte) {
	copy(b[:], slotMagic)
	binary.BigEndian.PutUint64(b[8:], r.generation)
	copy(b[16:], r.vault[:])
	copy(b[32:], r.key[:])
	copy(b[64:], r.block[:])
	binary.BigEndian.PutUint32(b[80:], r.pages)
	copy(b[88:], r.hash[:])
	sum := sha256.Sum256(b[:slotCheckStart])
	copy(b[slotCheckStart:], sum[:])
	return b
}

var (
	errBlank    = errors.New("blank")
	errChecksum = errors.New("checksum differs")
	errFormat   = errors.New("format is not known")
)

func decodeRecord(b [SlotBytes]byte) (record, error) {
	if b == [SlotBytes]byte{} {
		return record{}, errBlank
	}
	if sum := sha256.Sum256(b[:slotCheckStart]); !bytes.Equal(sum[:], b[slotCheckStart:]) {
		return record{}, errChecksum
	}
	r := record{
		generation: binary.BigEndian.Uint64(b[8:]),
		vault:      [16]byte(b[16:]),
		key:        [32]byte(b[32:]),
		block:      [16]byte(b[64:]),
		pages:      binary.BigEndian.Uint32(b[80:]),
		hash:       [32]byte(b[88:]),
	}
	if r.generation == 0 || r.pages > maxPages || r.encode() != b {
		return record{}, errFormat
	}
	return r, nil
}

// writeSlot writes r to slot i and reads it back.
func writeSlot(slot Slot, i int, r record) error {
	content := r.encode()
	defer clear(content[:])
	if err := slot.Write(i, content); err != nil {
		return ioFault("write slot", err)
	}
	got, err := slot.Read(i)
	defer clear(got[:])
	if err != nil {
		return ioFault("read slot back", err)
	}
	if got != content {
		return because(ErrSlot, "slot %d reads back differently", i)
	}
	return nil
}
