package machine

import (
	"fmt"
	"net"
	"testing"
)

// TestPorts: ports that were given out are nobody else's while a test runs, whether or
// not anybody listens on them, in this process or in another; afterwards they come round
// again.
func TestPorts(t *testing.T) {
	a, b := &ports{given: map[int]bool{}}, &ports{given: map[int]bool{}}
	defer closeAll(a, b)
	seen := map[int]bool{}
	take := func(p *ports, n int) int {
		first, err := p.take(n)
		if err != nil {
			t.Fatal(err)
		}
		for port := first; port < first+n; port++ {
			if seen[port] {
				t.Fatalf("port %d is given out twice", port)
			}
			seen[port] = true
		}
		return first
	}
	for range 10 {
		take(a, 40)
		take(b, 40)
		take(a, 1)
	}
	if len(a.guards) < 2 {
		t.Errorf("%d blocks for %d ports", len(a.guards), len(a.given))
	}
	first := take(b, 3)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.giveBack(first, 3)
	for range 2 * blockPorts { // all the way round: the one that is listened on is left out
		at, err := b.take(1)
		if err != nil || at == first {
			t.Fatalf("%d, %v", at, err)
		}
		b.giveBack(at, 1)
	}
	for _, n := range []int{0, -1, blockPorts} {
		if _, err := a.take(n); err == nil {
			t.Errorf("%d ports in a row", n)
		}
	}
}

func closeAll(all ...*ports) {
	for _, p := range all {
		for _, g := range p.guards {
			g.Close()
		}
	}
}

// TestFreePorts: who is given ports has them until the test ends.
func TestFreePorts(t *testing.T) {
	var first int
	t.Run("test", func(t *testing.T) {
		first = FreePorts(t, 5)
		if own.free(first, 5) || FreeAddr(t) == fmt.Sprintf("127.0.0.1:%d", first) {
			t.Error("given out again")
		}
	})
	if !own.free(first, 5) {
		t.Error("not given back")
	}
}
