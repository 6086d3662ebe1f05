package replica

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

func sized(bytes int) *record.Submitted {
	return &record.Submitted{Leaves: [][]byte{make([]byte, bytes)}}
}

// TestQueueIsFair: a member that fills its share does not keep others out, and they
// do not wait behind what it has queued.
func TestQueueIsFair(t *testing.T) {
	q := newQueue(func() int { return 4 })
	flood := 0
	for q.add("flood", sized(100), false) {
		flood++
	}
	if flood != queueLen/4-queueLen/32 {
		t.Fatalf("%d of the flood are in", flood)
	}
	quiet, stop := sized(1), sized(2)
	if !q.add("quiet", quiet, false) || !q.add("flood", stop, true) {
		t.Fatal("the flood keeps others, or what is urgent, out")
	}
	if got := q.next(); got != stop { // urgent before the same member's bulk
		t.Error("bulk before what is urgent")
	}
	if got := q.next(); got != quiet {
		t.Error("the quiet member waits for the flood")
	}
	for range flood {
		if q.next() == nil {
			t.Fatal("something is lost")
		}
	}
	if q.next() != nil || len(q.lines) != 0 || len(q.turn) != 0 {
		t.Error("something is left")
	}
	if !q.add("flood", sized(100), false) {
		t.Error("no room after everything was taken")
	}
}

func TestQueueBoundsBytes(t *testing.T) {
	q := newQueue(func() int { return 4 })
	big := record.MaxEntry / 2
	n := 0
	for q.add("big", sized(big), false) {
		n++
	}
	if n == 0 || n*big > queueBytes/4 || n > queueLen/8 {
		t.Fatalf("%d submissions of %d bytes", n, big)
	}
	q.clear()
	if q.next() != nil || !q.add("big", sized(big), false) {
		t.Error("clear leaves something")
	}
}

// TestQueueWakes: what was added while the leader was away is not slept over, and
// neither is what it leaves.
func TestQueueWakes(t *testing.T) {
	q := newQueue(func() int { return 2 })
	for range 3 {
		q.add("a", sized(1), false)
		q.add("b", sized(1), true)
	}
	for n := range 6 {
		select {
		case <-q.ready:
		default:
			t.Fatalf("asleep with %d waiting", 6-n)
		}
		q.next()
	}
}

// TestQueueFills by bytes or by what submissions take in a seal, and is empty again
// when all is taken out.
func TestQueueFills(t *testing.T) {
	for what, leaf := range map[string]int{"many small": 1, "few large": 60 << 10} {
		q := newQueue(func() int { return 1 })
		n := 0
		for !q.fills() && n < record.MaxBatchSubs {
			q.add("a", sized(leaf), false)
			n++
		}
		if !q.fills() || (leaf == 1) != (n > 100) {
			t.Errorf("%s: %d submissions, fills %v", what, n, q.fills())
		}
		for range n {
			q.next()
		}
		if q.fills() || q.total != 0 || q.list != 0 {
			t.Errorf("%s: %d and %d bytes when nothing waits", what, q.total, q.list)
		}
	}
}
