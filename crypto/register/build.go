package register

import (
	"errors"
	"sync"
)

// chunkBits: [Build] makes the subtrees of this depth one after the other, so
// that it never holds the entries of more than one for each of its scans besides
// the cache.
const chunkBits = 12

// scanBits: Build scans the parts below this depth at the same time.
const scanBits = 2

// Build reads every leaf once and returns their tree, as at the start of a
// node; about a second per million keys and core. It scans several parts of l at
// the same time. Compare the root with a trusted one. It fails with [ErrLeaves]
// where a scan is out of order, or the error of l.
func Build(l Leaves, opts Options) (*Tree, error) {
	e := &edit{arena: newArena(opts), leaves: l}
	row, err := e.buildChunks()
	if err != nil {
		return nil, err
	}
	e.edits.Lock()
	defer e.edits.Unlock()
	for depth := chunkBits - 1; depth >= 0; depth-- {
		for i := range 1 << depth {
			if row[i], err = e.join(row[2*i], row[2*i+1], chunkPrefix(i, depth), depth); err != nil {
				return nil, err
			}
		}
	}
	return e.done(row[0]), nil
}

// buildChunks returns the subtrees at depth chunkBits, from left to right.
func (e *edit) buildChunks() ([]ref, error) {
	row := make([]ref, 1<<chunkBits)
	var scans sync.WaitGroup
	problems := make([]error, 1<<scanBits)
	for i := range problems {
		scans.Go(func() { problems[i] = e.buildPart(chunkPrefix(i, scanBits), row) })
	}
	scans.Wait()
	return row, errors.Join(problems...)
}

// buildPart makes the subtrees whose first scanBits bits are those of part.
func (e *edit) buildPart(part KeyHash, row []ref) error {
	var pending []entry
	flush := func() {
		if len(pending) > 0 {
			row[chunkOf(&pending[0].kh)] = e.buildChunk(pending)
			pending = pending[:0]
		}
	}
	err := scan(e.leaves, part, scanBits, func(en entry) error {
		if len(pending) > 0 && chunkOf(&pending[0].kh) != chunkOf(&en.kh) {
			flush()
		}
		pending = append(pending, en)
		return nil
	})
	flush()
	return err
}

// buildChunk makes one of these subtrees.
func (e *edit) buildChunk(entries []entry) ref {
	e.edits.Lock()
	defer e.edits.Unlock()
	first := len(e.fresh)
	r := e.build(entries, chunkBits)
	e.look.Lock()
	defer e.look.Unlock()
	for _, r := range e.fresh[first:] {
		e.admit(r)
	}
	return r
}

// chunkOf returns the first chunkBits bits as a number.
func chunkOf(kh *KeyHash) int { return (int(kh[0])<<8 | int(kh[1])) >> (16 - chunkBits) }

// chunkPrefix returns subtree i of a depth up to chunkBits as a prefix.
func chunkPrefix(i, depth int) KeyHash {
	i <<= 16 - depth
	return KeyHash{byte(i >> 8), byte(i)}
}
