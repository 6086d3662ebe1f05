package register

import "slices"

// Mem is [Leaves] in memory, for audits and tests: sorted slices by the first
// 16 bits of the key hash, good for tens of millions of leaves. Reads may run
// concurrently, writes may not. The zero Mem is empty and ready.
type Mem struct {
	rows [256]*[256][]Leaf
	size int
}

var _ Leaves = (*Mem)(nil)

// MemLeaves returns an empty store.
func MemLeaves() *Mem { return &Mem{} }

// Len returns the number of leaves.
func (m *Mem) Len() int { return m.size }

// Apply does the writes in order, and copies the values.
func (m *Mem) Apply(writes []Write) {
	for _, w := range writes {
		if w.Value == nil {
			m.remove(HashKey(w.Key))
		} else {
			m.put(HashKey(w.Key), append([]byte{}, w.Value...))
		}
	}
}

func (m *Mem) put(kh KeyHash, value []byte) {
	row := m.rows[kh[0]]
	if row == nil {
		row = new([256][]Leaf)
		m.rows[kh[0]] = row
	}
	at, found := find(row[kh[1]], &kh)
	if found {
		row[kh[1]][at].Value = value
		return
	}
	row[kh[1]] = slices.Insert(row[kh[1]], at, Leaf{KeyHash: kh, Value: value})
	m.size++
}

func (m *Mem) remove(kh KeyHash) {
	bucket := m.bucket(kh[0], kh[1])
	if at, found := find(bucket, &kh); found {
		m.rows[kh[0]][kh[1]] = slices.Delete(bucket, at, at+1)
		m.size--
	}
}

func (m *Mem) bucket(hi, lo byte) []Leaf {
	if row := m.rows[hi]; row != nil {
		return row[lo]
	}
	return nil
}

func find(bucket []Leaf, kh *KeyHash) (int, bool) {
	return slices.BinarySearchFunc(bucket, kh, func(l Leaf, kh *KeyHash) int { return l.KeyHash.compare(kh) })
}

// Get returns the value of one leaf. The caller does not change it.
func (m *Mem) Get(kh KeyHash) ([]byte, bool, error) {
	bucket := m.bucket(kh[0], kh[1])
	at, found := find(bucket, &kh)
	if !found {
		return nil, false, nil
	}
	return bucket[at].Value, true, nil
}

// Scan calls fn for the leaves that share the first bits bits of prefix, in
// ascending order. fn does not write to m.
func (m *Mem) Scan(prefix KeyHash, bits int, fn func(kh KeyHash, value []byte) error) error {
	first := int(prefix[0])<<8 | int(prefix[1])
	span := 1 << (16 - min(bits, 16))
	first &^= span - 1
	for b := first; b < first+span; b++ {
		if m.rows[b>>8] == nil {
			b |= 0xff
			continue
		}
		bucket := m.rows[b>>8][b&0xff]
		at := 0
		if bits > 16 {
			at, _ = find(bucket, &prefix)
		}
		for _, leaf := range bucket[at:] {
			if !leaf.KeyHash.shares(&prefix, bits) {
				break
			}
			if err := fn(leaf.KeyHash, leaf.Value); err != nil {
				return err
			}
		}
	}
	return nil
}
