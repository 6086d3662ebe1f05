package vault

import "github.com/akashi-ledger/akashi/crypto/memlock"

// Plaintext lies in buffers that are locked in memory where the system allows it
// (package memlock), zeroed when given back, and used again: two sizes, of which so many are
// kept. What does not fit, or comes when all are in use, is made for the once.
const (
	smallScratch = 64 << 10 // a bucket at a million people
	keepSmall    = 16
	keepLarge    = 3
)

var (
	smallScratches = make(chan []byte, keepSmall)
	largeScratches = make(chan []byte, keepLarge)
)

// scratch returns an empty buffer with room for so many bytes, at most MaxBlobBytes,
// all zero.
func scratch(bytes int) []byte {
	from, size := smallScratches, smallScratch
	if bytes > smallScratch {
		from, size = largeScratches, MaxBlobBytes
	}
	select {
	case b := <-from:
		return b
	default:
		b := make([]byte, 0, size)
		memlock.Lock(b[:size])
		return b
	}
}

// giveBack wipes what scratch returned. Nothing else may use it any more.
func giveBack(b []byte) {
	b = b[:cap(b)]
	clear(b)
	to := smallScratches
	switch len(b) {
	case smallScratch:
	case MaxBlobBytes:
		to = largeScratches
	default:
		return
	}
	select {
	case to <- b[:0]:
	default:
		memlock.Unlock(b)
	}
}

// arena holds pending values until all go.
type arena struct{ chunks [][]byte }

// add returns a copy of a value.
func (a *arena) add(value []byte) []byte {
	n := len(a.chunks) - 1
	if n < 0 || cap(a.chunks[n])-len(a.chunks[n]) < len(value) {
		a.chunks, n = append(a.chunks, scratch(len(value))), n+1
	}
	begin := len(a.chunks[n])
	a.chunks[n] = append(a.chunks[n], value...)
	return a.chunks[n][begin:len(a.chunks[n]):len(a.chunks[n])]
}

func (a *arena) wipe() {
	for _, b := range a.chunks {
		giveBack(b)
	}
	a.chunks = nil
}
