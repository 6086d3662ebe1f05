package store

import (
	"encoding/binary"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/register"
)

// TestHotIsBoundedInBytes: values can be large, so their number is no bound.
func TestHotIsBoundedInBytes(t *testing.T) {
	h := newHot()
	for i := range 8000 {
		var kh register.KeyHash
		binary.BigEndian.PutUint32(kh[:], uint32(i))
		h.put(kh, make([]byte, 16<<10))
		if v, ok := h.get(kh); !ok || len(v) != 16<<10 {
			t.Fatal("what was put is not there")
		}
	}
	if n := len(h.young) + len(h.old); n*16<<10 > 2*hotBytes+32<<10 {
		t.Errorf("%d MiB are kept", n*16>>10)
	}
}
