package machine

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// The ports of tests lie below those that the system gives to whoever dials (from 32768
// on, Linux's ip_local_port_range) and above those that akashi demo looks for: another
// program would be given one before a test listens on it, or while a node that the test
// starts again is down. They come in blocks. Whoever listens on the first port of a
// block has all of it until the process ends, so that packages that are tested beside
// each other do not give out the same ones.
const (
	firstPort  = 20_000
	blockPorts = 250
	blocks     = 48
)

// ports is what this process gives out.
type ports struct {
	mu     sync.Mutex
	guards []net.Listener
	next   int          // to be tried
	given  map[int]bool // to tests that have not ended
}

var own = &ports{given: map[int]bool{}}

// FreeAddr returns an address of this machine on which nobody listens, and nobody else
// is given while the test runs.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePorts(t, 1))
}

// FreePorts returns the first of n ports in a row, fewer than 250, as FreeAddr does.
func FreePorts(t testing.TB, n int) int {
	t.Helper()
	first, err := own.take(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.giveBack(first, n) })
	return first
}

func (p *ports) take(n int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 1 || n >= blockPorts {
		return 0, fmt.Errorf("%d ports in a row", n)
	}
	for {
		for _, g := range p.guards {
			if first, ok := p.in(g.Addr().(*net.TCPAddr).Port, n); ok {
				return first, nil
			}
		}
		g, err := guard()
		if err != nil {
			return 0, err
		}
		p.guards = append(p.guards, g)
	}
}

// in looks for n ports in a row in a block, beginning with those that were given out
// longest ago.
func (p *ports) in(block, n int) (int, bool) {
	places := blockPorts - n
	for i := range places {
		first := block + 1 + (p.next+i)%places
		if !p.free(first, n) {
			continue
		}
		for port := first; port < first+n; port++ {
			p.given[port] = true
		}
		p.next = first - block - 1 + n
		return first, true
	}
	return 0, false
}

func (p *ports) free(first, n int) bool {
	for port := first; port < first+n; port++ {
		if p.given[port] {
			return false
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func (p *ports) giveBack(first, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port := first; port < first+n; port++ {
		delete(p.given, port)
	}
}

// guard takes a block that nobody has.
func guard() (net.Listener, error) {
	for _, b := range rand.Perm(blocks) {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+b*blockPorts)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("every block of ports from %d on is taken", firstPort)
}
