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
	slotMagic      = "AKVAULT"
	slotVersion    = 0x03
	slotCheckStart = SlotBytes - sha256.Size
)

// record is the content of a slot. It contains the root key: never print it.
type record struct {
	vault [16]byte
	root  ref // with no entries and bytes; with no id and hash where no root block was written yet
}

func newRecord() record {
	r := record{root: ref{generation: 1}}
	rand.Read(r.vault[:])
	rand.Read(r.root.key[:])
	return r
}

// planted reports whether there is a root block.
func (r record) planted() bool { return r.root.hash != [32]byte{} }

func (r record) encode() (b [SlotBytes]byte) {
	copy(b[:], slotMagic)
	b[7] = slotVersion
	binary.BigEndian.PutUint64(b[8:], r.root.generation)
	copy(b[16:], r.vault[:])
	copy(b[32:], r.root.key[:])
	copy(b[64:], r.root.id[:])
	copy(b[80:], r.root.hash[:])
	sum := sha256.Sum256(b[:slotCheckStart])
	copy(b[slotCheckStart:], sum[:])
	return b
}

var (
	errBlank    = errors.New("blank")
	errChecksum = errors.New("checksum differs")
	errVersion  = errors.New("format of another version")
	errFormat   = errors.New("format is not known")
)

func decodeRecord(b [SlotBytes]byte) (record, error) {
	if b == [SlotBytes]byte{} {
		return record{}, errBlank
	}
	if sum := sha256.Sum256(b[:slotCheckStart]); !bytes.Equal(sum[:], b[slotCheckStart:]) {
		return record{}, errChecksum
	}
	if string(b[:7]) == slotMagic && b[7] != slotVersion {
		return record{}, errVersion
	}
	r := record{vault: [16]byte(b[16:]), root: ref{
		generation: binary.BigEndian.Uint64(b[8:]),
		key:        [32]byte(b[32:]),
		id:         [16]byte(b[64:]),
		hash:       [32]byte(b[80:]),
	}}
	if r.root.generation == 0 || r.planted() != (r.root.generation > 1) || r.encode() != b {
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

// checkSlots compares both slots with r.
func checkSlots(slot Slot, r record) error {
	want := r.encode()
	defer clear(want[:])
	for i := range 2 {
		got, err := slot.Read(i)
		same := got == want
		clear(got[:])
		if err != nil {
			return ioFault("read slot", err)
		}
		if !same {
			return because(ErrSlot, "slot %d is not what was written", i)
		}
	}
	return nil
}
