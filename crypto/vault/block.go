package vault

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The root block: salt, where the next fold begins, the carried page, and the
// middle blocks. A middle block: its buckets.
const rootHeadBytes = 32 + 8 + refBytes

func (t *tree) encodeRoot() []byte {
	b := scratch(rootHeadBytes + t.fan()*refBytes)
	b = append(b, t.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.fold))
	b = t.carry.append(b)
	return appendRefs(b, t.middles)
}

func appendRefs(b []byte, refs []ref) []byte {
	for i := range refs {
		b = refs[i].append(b)
	}
	return b
}

// decodeRefs reads refs into out. A ref is of zeros, or has entries and is no
// later than the block that it stands in.
func decodeRefs(b []byte, out []ref, latest uint64) error {
	for i := range out {
		r := decodeRef(b[i*refBytes:])
		if r != (ref{}) && (r.entries == 0 || r.generation == 0 || r.generation > latest) {
			return errRefs
		}
		out[i] = r
	}
	return nil
}

var errRefs = errors.New("not a block of refs")

// readRoot reads the root block into t. Errors: ErrBlock; else I/O.
func (t *tree) readRoot(blobs Blobs) error {
	plaintext, err := t.rootPlace().open(blobs, &t.at.root)
	if err != nil {
		return err
	}
	defer giveBack(plaintext)
	if len(plaintext) != rootHeadBytes+t.fan()*refBytes || binary.BigEndian.Uint64(plaintext[32:]) >= uint64(t.fan()) {
		return t.rootPlace().damaged(errRefs)
	}
	t.salt, t.fold = [32]byte(plaintext), int(binary.BigEndian.Uint64(plaintext[32:]))
	carry := make([]ref, 1)
	err = decodeRefs(plaintext[40:], carry, t.at.root.generation)
	if err == nil {
		err = decodeRefs(plaintext[rootHeadBytes:], t.middles, t.at.root.generation)
	}
	if err != nil {
		return t.rootPlace().damaged(err)
	}
	t.carry = carry[0]
	clear(carry)
	return nil
}

// below returns the refs of the buckets of a middle block.
func (t *tree) below(m int) []ref { return t.under[m] }

// readMiddle reads a middle block into t. Errors: ErrBlock; else I/O.
func (t *tree) readMiddle(blobs Blobs, m int) error {
	if t.middles[m].entries == 0 {
		return nil
	}
	return t.openMiddle(blobs, m, t.own(m))
}

// openMiddle reads a middle block, which there is, into refs. Errors: as readMiddle.
func (t *tree) openMiddle(blobs Blobs, m int, refs []ref) error {
	r := &t.middles[m]
	plaintext, err := t.middle(m).open(blobs, r)
	if err != nil {
		return err
	}
	defer giveBack(plaintext)
	if len(plaintext) != t.fan()*refBytes {
		return t.middle(m).damaged(errRefs)
	}
	if err := decodeRefs(plaintext, refs, r.generation); err != nil {
		return t.middle(m).damaged(err)
	}
	if entries, bytes := total(refs); entries != int(r.entries) || bytes != int(r.bytes) {
		return t.middle(m).damaged(errors.New("counts differ"))
	}
	return nil
}

func total(refs []ref) (entries, bytes int) {
	for i := range refs {
		entries, bytes = entries+int(refs[i].entries), bytes+int(refs[i].bytes)
	}
	return entries, bytes
}

// readTree reads root block, middle blocks and carried page of at.
// Errors: ErrBlock; else I/O.
func readTree(blobs Blobs, at record, fan int) (*tree, error) {
	t := newTree(at, fan)
	if !at.planted() {
		return t, nil
	}
	err := t.readRoot(blobs)
	for m := 0; err == nil && m < fan; m++ {
		err = t.readMiddle(blobs, m)
	}
	if err == nil {
		err = t.readCarry(blobs)
	}
	if err != nil {
		t.wipe()
		return nil, err
	}
	return t, nil
}

func (t *tree) readCarry(blobs Blobs) error {
	p, err := t.carryPlace().openPage(blobs, &t.carry)
	if err != nil {
		return err
	}
	defer p.wipe()
	t.setAll(p.entries)
	return nil
}

// checkFresh reads the buckets that the newest rotation wrote. Errors: ErrBlock;
// else I/O.
func (t *tree) checkFresh(blobs Blobs) error {
	for b := range t.count() {
		if t.at.planted() && t.ref(b).generation == t.at.root.generation {
			if err := t.checkBucket(blobs, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBucket reads a bucket and sees that its entries belong there. Errors:
// ErrBlock; else I/O.
func (t *tree) checkBucket(blobs Blobs, b int) error {
	p, err := t.openBucket(blobs, b)
	if err != nil {
		return err
	}
	defer p.wipe()
	bucketOf := t.sorter()
	if slices.ContainsFunc(p.entries, func(e Entry) bool { return bucketOf(e.ID) != b }) {
		return t.bucket(b).damaged(errors.New("an entry of another bucket"))
	}
	return nil
}

// checkBuckets does so for the buckets of a middle block.
func (t *tree) checkBuckets(blobs Blobs, m int) error {
	for i := range t.fan() {
		if err := t.checkBucket(blobs, m*t.fan()+i); err != nil {
			return err
		}
	}
	return nil
}
