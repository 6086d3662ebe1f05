package store

import "github.com/akashi-ledger/akashi/crypto/register"

// hotKeys is how many register values each half of the cache holds.
const hotKeys = 1 << 15

// hotBytes is how many bytes of values it may hold.
const hotBytes = 24 << 20

// hot keeps register values that were used lately, as they stand at the newest
// height, so that a handle which is written again and again is not looked up in
// Badger each time. Only the applying goroutine uses it. Two maps age in turn: a
// value that is not used while the young half fills is forgotten.
type hot struct {
	young, old map[register.KeyHash][]byte
	bytes      int // put into young
}

func newHot() *hot { return &hot{young: map[register.KeyHash][]byte{}} }

func (h *hot) get(kh register.KeyHash) ([]byte, bool) {
	v, ok := h.young[kh]
	if !ok {
		if v, ok = h.old[kh]; ok {
			h.put(kh, v)
		}
	}
	return v, ok
}

// put keeps a value; it must not be changed afterwards.
func (h *hot) put(kh register.KeyHash, value []byte) {
	if len(h.young) >= hotKeys || h.bytes >= hotBytes {
		h.old, h.young, h.bytes = h.young, make(map[register.KeyHash][]byte, hotKeys), 0
	}
	h.bytes += len(value) - len(h.young[kh])
	h.young[kh] = value
}

func (h *hot) drop(kh register.KeyHash) {
	h.bytes -= len(h.young[kh])
	delete(h.young, kh)
	delete(h.old, kh)
}

// written brings the cache to the height after writes.
func (h *hot) written(writes []register.Write) {
	for _, w := range writes {
		kh := register.HashKey(w.Key)
		if _, ok := h.get(kh); !ok && len(w.Value) < 64 { // small and never read: ends, tombstones
			continue
		}
		if w.Value == nil {
			h.drop(kh)
		} else {
			h.put(kh, w.Value)
		}
	}
}

// applyView reads the register at the newest height through the cache, and asks
// Badger only for keys that may be there: most keys of new records are not.
type applyView struct {
	*View
	hot *hot
	reg *register.Tree
}

// Get implements rules.View.
func (v applyView) Get(key []byte) ([]byte, error) {
	kh := register.HashKey(key)
	if b, ok := v.hot.get(kh); ok {
		return b, nil
	}
	if v.reg.Lacks(kh) {
		return nil, nil
	}
	b, err := v.View.Get(key)
	if err == nil && b != nil {
		v.hot.put(kh, b)
	}
	return b, err
}
