package seal

import (
	"encoding/binary"
	"math/bits"
)

const (
	minClassBytes   = 64
	powerClassBytes = 4096
)

// sizeClass returns the padded length of n bytes (n includes the length field).
// The package comment defines it.
func sizeClass(n int) int {
	if n <= minClassBytes {
		return minClassBytes
	}
	if n <= powerClassBytes {
		return 1 << bits.Len(uint(n-1))
	}
	step := 1 << (bits.Len(uint(n)) - 1 - 3)
	return (n + step - 1) / step * step
}

// pad appends length, plaintext and zeros to dst. The plaintext has at most
// MaxPlaintextBytes, so its length fits.
func pad(dst, plaintext []byte) []byte {
	start := len(dst)
	class := sizeClass(4 + len(plaintext))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(plaintext)))
	dst = append(dst, plaintext...)
	return append(dst, make([]byte, class-(len(dst)-start))...)
}

// unpad returns the plaintext inside padded (not copied), and false where the
// padding is not the one that pad writes.
func unpad(padded []byte) ([]byte, bool) {
	if len(padded) < minClassBytes {
		return nil, false
	}
	length := uint64(binary.BigEndian.Uint32(padded))
	if length > uint64(len(padded)-4) || sizeClass(4+int(length)) != len(padded) {
		return nil, false
	}
	plaintext, rest := padded[4:4+length], padded[4+length:]
	var residue byte
	for _, b := range rest {
		residue |= b
	}
	return plaintext, residue == 0
}
