package vault

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/akashi-ledger/akashi/internal/machine"
)

// Where the system allows it, refs and pending values are locked in memory.
func TestMemoryIsLocked(t *testing.T) {
	var limit syscall.Rlimit
	const memlock = 8 // RLIMIT_MEMLOCK
	if err := syscall.Getrlimit(memlock, &limit); err != nil || limit.Cur < 64<<20 && os.Geteuid() != 0 {
		machine.Lacks(t, "the system lets %d bytes be locked: %v", limit.Cur, err)
	}
	v, err := Open(&MemorySlot{}, &MemoryBlobs{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "b", Value: []byte("two")})
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, Entry{ID: "a", Value: []byte("one")})
	refs := unsafe.Pointer(v.tree.ref(v.tree.bucketOf("b")))
	for what, at := range map[string]unsafe.Pointer{"root key": unsafe.Pointer(&v.tree.at), "refs": refs,
		"pending value": unsafe.Pointer(&v.tree.pending["a"].value[0])} {
		if locked, err := isLocked(uintptr(at)); err != nil || !locked {
			t.Errorf("%s: locked %t, %v", what, locked, err)
		}
	}
	v.Close()
	if locked, err := isLocked(uintptr(refs)); err != nil || locked {
		t.Errorf("control: closed, the refs are locked %t, %v", locked, err)
	}
}

// isLocked asks smaps (proc(5)) for the flag "lo" of the mapping with an address.
func isLocked(at uintptr) (bool, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return false, err
	}
	defer f.Close()
	in := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var begin, end uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &begin, &end); n == 2 {
			in = begin <= at && at < end
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && in {
			return strings.Contains(flags+" ", " lo "), nil
		}
	}
	return false, fmt.Errorf("no mapping with %x", at)
}
