package seal

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A cell of a key that was wiped is zeroed and goes to the next key; copies of the
// first answer nothing, whatever the next one is.
func TestCellsAreUsedAgain(t *testing.T) {
	first := NewDataKey()
	same := first
	at := first.key.get().secret
	item, err := SealItem(first, AAD{Member: "m", Kind: "k"}, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	first.Wipe()
	first.Wipe()
	if *at != (cell{}) {
		t.Error("not zeroed")
	}
	held := map[*cell]DataKey{}
	for range 1 << 20 {
		if _, again := held[at]; again {
			break
		}
		k := NewDataKey()
		if _, twice := held[k.key.get().secret]; twice {
			t.Fatal("a cell is used twice")
		}
		held[k.key.get().secret] = k
	}
	if _, again := held[at]; !again {
		t.Fatal("the cell is not used again")
	}
	if _, err := OpenItem(same, AAD{Member: "m", Kind: "k"}, item); !errors.Is(err, ErrNoKey) {
		t.Errorf("a copy of the first: %v", err)
	}
	same.Wipe()
	if *at == (cell{}) {
		t.Error("wiping a copy of the first wipes the next key")
	}
	for _, k := range held {
		k.Wipe()
	}
}

// A key that nobody wiped is zeroed when it was collected.
func TestForgottenKeyIsZeroed(t *testing.T) {
	at := func() *cell { return NewDataKey().key.get().secret }()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); runtime.Gosched() {
		runtime.GC()
		if isFree(at) {
			if *at != (cell{}) {
				t.Error("not zeroed")
			}
			return
		}
	}
	t.Error("its cell was not given back")
}

func isFree(at *cell) bool {
	cells.Lock()
	defer cells.Unlock()
	return slices.Contains(cells.free, at)
}
