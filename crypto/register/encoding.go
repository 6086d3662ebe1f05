package register

import (
	"encoding"
	"encoding/binary"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// MaxProofSize is the length in bytes of the longest proof.
const MaxProofSize = 1 + 2 + keyBits/8 + keyBits*merkle.HashSize + len(KeyHash{}) + 4 + MaxValueSize

const proofHeaderSize = 1 + 2

var (
	_ encoding.BinaryMarshaler   = Proof{}
	_ encoding.BinaryUnmarshaler = (*Proof)(nil)
)

// MarshalBinary returns the one spelling of the proof, at most [MaxProofSize]
// bytes. It fails with [ErrProof] for a form that no proof has.
func (p Proof) MarshalBinary() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	n := len(p.Siblings)
	out := make([]byte, proofHeaderSize+(n+7)/8, proofHeaderSize+(n+7)/8+n*merkle.HashSize+64)
	binary.BigEndian.PutUint16(out[1:], uint16(n))
	for i, sibling := range p.Siblings {
		if sibling != (merkle.Hash{}) {
			out[proofHeaderSize+i/8] |= 1 << (7 - i%8)
			out = append(out, sibling[:]...)
		}
	}
	if p.Leaf == nil {
		return out, nil
	}
	out[0] = 1
	out = append(out, p.Leaf.KeyHash[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(p.Leaf.Value)))
	return append(out, p.Leaf.Value...), nil
}

// UnmarshalBinary reads a proof and accepts only what [Proof.MarshalBinary]
// writes, else it fails with [ErrProof] and leaves p alone. The proof shares
// no memory with data.
func (p *Proof) UnmarshalBinary(data []byte) error {
	if len(data) > MaxProofSize {
		return fmt.Errorf("%w: %d bytes", ErrProof, len(data))
	}
	r := reader{rest: data}
	header := r.take(proofHeaderSize)
	if r.short || header[0] > 1 {
		return fmt.Errorf("%w: malformed header", ErrProof)
	}
	q := Proof{}
	if err := q.readSiblings(&r, int(binary.BigEndian.Uint16(header[1:]))); err != nil {
		return err
	}
	if header[0] == 1 {
		q.Leaf = r.leaf()
	}
	if r.short || len(r.rest) > 0 {
		return fmt.Errorf("%w: cut short or with trailing bytes", ErrProof)
	}
	if err := q.check(); err != nil {
		return err
	}
	*p = q
	return nil
}

func (p *Proof) readSiblings(r *reader, n int) error {
	if n > keyBits {
		return fmt.Errorf("%w: %d siblings", ErrProof, n)
	}
	bitmap := r.take((n + 7) / 8)
	if r.short {
		return fmt.Errorf("%w: cut short", ErrProof)
	}
	if n%8 != 0 && bitmap[n/8]<<(n%8) != 0 {
		return fmt.Errorf("%w: spare bits set", ErrProof)
	}
	p.Siblings = make([]merkle.Hash, n)
	for i := range p.Siblings {
		if bitmap[i/8]>>(7-i%8)&1 == 0 {
			continue
		}
		copy(p.Siblings[i][:], r.take(merkle.HashSize))
		if p.Siblings[i] == (merkle.Hash{}) {
			return fmt.Errorf("%w: sibling %d cut short or sent as zeros", ErrProof, i)
		}
	}
	return nil
}

// reader cuts bytes from the front, and remembers when there were too few.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if r.short || len(r.rest) < n {
		r.short = true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) leaf() *Leaf {
	leaf := &Leaf{}
	copy(leaf.KeyHash[:], r.take(len(leaf.KeyHash)))
	length := r.take(4)
	if r.short {
		return leaf
	}
	leaf.Value = append([]byte{}, r.take(int(binary.BigEndian.Uint32(length)))...)
	return leaf
}
