package register

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
)

func testWrites(from, n int) []Write {
	writes := make([]Write, n)
	for i := range writes {
		writes[i] = Write{Key: fmt.Appendf(nil, "k%d", from+i), Value: fmt.Appendf(nil, "a value of some forty bytes, number %d", from+i)}
	}
	return writes
}

func mustUpdate(t testing.TB, tree *Tree, l Leaves, writes []Write) *Tree {
	t.Helper()
	next, err := tree.Update(l, writes)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestLastWriteWins(t *testing.T) {
	k := []byte("k")
	for _, c := range []struct {
		writes []Write
		want   Naive
	}{
		{[]Write{{k, []byte("a")}, {k, []byte("b")}}, Naive{"k": []byte("b")}},
		{[]Write{{k, []byte("a")}, {k, nil}}, Naive{}},
		{[]Write{{k, nil}, {k, []byte{}}}, Naive{"k": {}}},
		{[]Write{{nil, []byte("v")}, {k, nil}}, Naive{"": []byte("v")}},
	} {
		mem := MemLeaves()
		tree := mustUpdate(t, Empty(Options{}), mem, c.writes)
		mem.Apply(c.writes)
		if tree.Root() != c.want.Root() || mem.Len() != len(c.want) {
			t.Errorf("%v: other root", c.writes)
		}
	}
}

func TestEmptyValueIsPresent(t *testing.T) {
	mem, writes := MemLeaves(), []Write{{Key: []byte("k"), Value: []byte{}}}
	tree := mustUpdate(t, Empty(Options{}), mem, writes)
	mem.Apply(writes)
	p, err := tree.Prove(mem, []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	p.Leaf.Value = nil // says the same
	value, present, err := Verify(tree.Root(), []byte("k"), p)
	if err != nil || !present || value == nil || len(value) != 0 {
		t.Errorf("got %v %t %v", value, present, err)
	}
}

func TestUnchangedSharesEverything(t *testing.T) {
	mem, writes := MemLeaves(), testWrites(0, 1000)
	tree := mustUpdate(t, Empty(Options{}), mem, writes)
	mem.Apply(writes)
	same := append(writes[10:20:20], Write{Key: []byte("never there")})
	if next := mustUpdate(t, tree, mem, same); next.root != tree.root {
		t.Error("writes without effect made new nodes")
	}
}

func TestValueTooLong(t *testing.T) {
	writes := []Write{{Key: []byte("k"), Value: make([]byte, MaxValueSize+1)}}
	if _, err := Empty(Options{}).Update(MemLeaves(), writes); !errors.Is(err, ErrValueSize) {
		t.Errorf("update: %v", err)
	}
	mem := MemLeaves()
	mem.Apply(writes)
	if _, err := Build(mem, Options{}); !errors.Is(err, ErrValueSize) {
		t.Errorf("build: %v", err)
	}
	writes[0].Value = writes[0].Value[1:]
	mem.Apply(writes)
	tree, err := Build(mem, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tree.Prove(mem, writes[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := p.MarshalBinary(); err != nil || len(data) > MaxProofSize {
		t.Errorf("longest value: %d bytes, %v", len(data), err)
	}
}

// TestWrongLeavesRefused: leaves of another height, damaged or out of order
// never get into a root or a proof.
func TestWrongLeavesRefused(t *testing.T) {
	mem, writes := MemLeaves(), testWrites(0, 500)
	tree := mustUpdate(t, Empty(Options{CacheKeys: -1}), mem, writes)
	mem.Apply(writes)
	refused := func(what string, l Leaves, key []byte) {
		t.Helper()
		if _, err := tree.Prove(l, key); !errors.Is(err, ErrLeaves) {
			t.Errorf("prove, %s: %v", what, err)
		}
		if _, err := tree.Update(l, []Write{{Key: key, Value: []byte("new")}}); !errors.Is(err, ErrLeaves) {
			t.Errorf("update, %s: %v", what, err)
		}
	}
	for i := range 20 {
		key := writes[i].Key
		changed, missing, more := memOf(mem.list()), memOf(mem.list()), memOf(mem.list())
		changed.Apply([]Write{{Key: key, Value: []byte("other")}})
		missing.Apply([]Write{{Key: key}})
		near := HashKey(key)
		near[31] ^= 1
		more.put(near, []byte{})
		refused("one changed", changed, key)
		refused("one missing", missing, key)
		refused("one more", more, key)
		refused("none", MemLeaves(), key)
	}
	refused("twice", twice{mem}, writes[0].Key)
	if _, err := Build(twice{mem}, Options{}); !errors.Is(err, ErrLeaves) {
		t.Errorf("build, twice: %v", err)
	}
	cached := mustUpdate(t, Empty(Options{}), MemLeaves(), writes)
	if _, err := cached.Prove(MemLeaves(), writes[0].Key); !errors.Is(err, ErrLeaves) {
		t.Errorf("prove from cache, no value: %v", err)
	}
}

// twice is a store that gives each leaf of a scan twice.
type twice struct{ *Mem }

func (s twice) Scan(prefix KeyHash, bits int, fn func(KeyHash, []byte) error) error {
	return s.Mem.Scan(prefix, bits, func(kh KeyHash, value []byte) error {
		if err := fn(kh, value); err != nil {
			return err
		}
		return fn(kh, value)
	})
}

type broken struct{ err error }

func (b broken) Get(KeyHash) ([]byte, bool, error)                          { return nil, false, b.err }
func (b broken) Scan(KeyHash, int, func(KeyHash, []byte) error) (err error) { return b.err }

func TestStoreErrors(t *testing.T) {
	lost := errors.New("disk gone")
	writes := testWrites(0, 100)
	bare := mustUpdate(t, Empty(Options{CacheKeys: -1}), MemLeaves(), writes)
	cached := mustUpdate(t, Empty(Options{}), MemLeaves(), writes)
	before := bare.Root()
	_, update := bare.Update(broken{lost}, writes)
	_, prove := bare.Prove(broken{lost}, writes[0].Key)
	_, get := cached.Prove(broken{lost}, writes[0].Key)
	_, build := Build(broken{lost}, Options{})
	for what, err := range map[string]error{"update": update, "prove": prove, "get": get, "build": build} {
		if !errors.Is(err, lost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if bare.Root() != before {
		t.Error("failed update changed the tree")
	}
}

// failing is a store whose scans fail when none are left.
type failing struct {
	*Mem
	left *atomic.Int64 // scans are made at the same time
	err  error
}

func (f failing) Scan(prefix KeyHash, bits int, fn func(KeyHash, []byte) error) error {
	if f.left.Add(-1) < 0 {
		return f.err
	}
	return f.Mem.Scan(prefix, bits, fn)
}

// TestEveryScanMayFail deletes down to few leaves, so that groups are joined
// which no write touched, with a store that fails at the first, second … scan.
func TestEveryScanMayFail(t *testing.T) {
	lost := errors.New("disk gone")
	mem, writes := MemLeaves(), testWrites(0, 40)
	mem.Apply(writes)
	tree, err := Build(mem, Options{CacheKeys: -1})
	if err != nil {
		t.Fatal(err)
	}
	var gone []Write
	for _, l := range mem.list() { // spare the five first in order
		for _, w := range writes {
			if HashKey(w.Key) == l.KeyHash {
				gone = append(gone, Write{Key: w.Key})
			}
		}
	}
	gone = gone[5:]
	update := func(l Leaves) (*Tree, error) { return tree.Update(l, gone) }
	build := func(l Leaves) (*Tree, error) { return Build(l, Options{CacheKeys: -1}) }
	after := memOf(mem.list())
	after.Apply(gone)
	for what, c := range map[string]struct {
		run  func(Leaves) (*Tree, error)
		want merkle.Hash
	}{"update": {update, naiveSubtree(after.list(), 0)}, "build": {build, tree.Root()}} {
		for scans := 0; ; scans++ {
			var left atomic.Int64
			left.Store(int64(scans))
			got, err := c.run(failing{mem, &left, lost})
			if err == nil {
				if got.Root() != c.want || scans < 3 {
					t.Errorf("%s with %d scans: other root", what, scans)
				}
				break
			}
			if !errors.Is(err, lost) {
				t.Fatalf("%s failing after %d scans: %v", what, scans, err)
			}
		}
	}
}

// TestManyKeys compares an updated tree with one built anew and the naive
// twin, at a size where the tree has depth, with and without a cache.
func TestManyKeys(t *testing.T) {
	const total = 20_000
	for _, cacheKeys := range []int{-1, 500, 0} {
		rng := rand.New(rand.NewPCG(1, 2))
		tree, mem, naive := Empty(Options{CacheKeys: cacheKeys}), MemLeaves(), Naive{}
		for from := 0; from < total; from += 5000 {
			writes := testWrites(from, 5000)
			for range 2000 {
				writes = append(writes, Write{Key: fmt.Appendf(nil, "k%d", rng.IntN(total))})
			}
			tree = mustUpdate(t, tree, mem, writes)
			mem.Apply(writes)
			naive.Apply(writes)
			if tree.Root() != naive.Root() || tree.Len() != len(naive) {
				t.Fatalf("cache %d, from %d: other root", cacheKeys, from)
			}
			checkArena(t, tree.arena)
		}
		built, err := Build(mem, Options{CacheKeys: cacheKeys})
		if err != nil || built.Root() != tree.Root() {
			t.Fatalf("built: %v", err)
		}
	}
}

// TestProveWhileUpdating is for the race detector: an old tree proves from its
// own leaves while newer ones are made and the cache turns over.
func TestProveWhileUpdating(t *testing.T) {
	mem, writes := MemLeaves(), testWrites(0, 2000)
	old := mustUpdate(t, Empty(Options{CacheKeys: 600}), mem, writes)
	mem.Apply(writes)
	frozen := memOf(mem.list())
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			for i := range 1000 {
				key := writes[(i*7+r)%len(writes)].Key
				p, err := old.Prove(frozen, key)
				if err == nil {
					_, _, err = Verify(old.Root(), key, p)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	tree := old
	for i := range 50 {
		batch := testWrites(i*40, 60)
		for j := range batch {
			batch[j].Value = append(batch[j].Value, byte(i))
		}
		tree = mustUpdate(t, tree, mem, batch)
		mem.Apply(batch)
	}
	readers.Wait()
	checkArena(t, tree.arena)
}

// benchTree is n keys in memory with their tree.
func benchTree(b *testing.B, n int, opts Options) (*Tree, *Mem) {
	b.Helper()
	mem := MemLeaves()
	mem.Apply(testWrites(0, n))
	tree, err := Build(mem, opts)
	if err != nil {
		b.Fatal(err)
	}
	return tree, mem
}

func BenchmarkUpdate512(b *testing.B) {
	for _, c := range []struct {
		name    string
		n, keys int
	}{{"100k/cached", 100_000, 0}, {"100k/bare", 100_000, -1}, {"1M/cached", 1_000_000, 0}, {"1M/half", 1_000_000, 500_000}, {"1M/bare", 1_000_000, -1}} {
		b.Run(c.name, func(b *testing.B) {
			tree, mem := benchTree(b, c.n, Options{CacheKeys: c.keys})
			rng := rand.New(rand.NewPCG(3, 4))
			batch := make([]Write, 512)
			round := 0
			for b.Loop() {
				round++
				for i := range batch {
					batch[i] = Write{Key: fmt.Appendf(nil, "k%d", rng.IntN(c.n)), Value: fmt.Appendf(nil, "a value of some forty bytes, round %d", round)}
				}
				tree = mustUpdate(b, tree, mem, batch)
				b.StopTimer()
				mem.Apply(batch)
				b.StartTimer()
			}
			b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

func BenchmarkBuild1M(b *testing.B) {
	_, mem := benchTree(b, 1_000_000, Options{CacheKeys: -1})
	for _, keys := range []int{-1, 0} {
		b.Run(fmt.Sprintf("cache=%d", keys), func(b *testing.B) {
			var tree *Tree
			var before, after runtime.MemStats
			for b.Loop() {
				tree = nil
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				var err error
				if tree, err = Build(mem, Options{CacheKeys: keys}); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(tree.Len()), "live-B/key")
		})
	}
}

func BenchmarkProve(b *testing.B) {
	for name, keys := range map[string]int{"cached": 0, "bare": -1} {
		b.Run(name, func(b *testing.B) {
			tree, mem := benchTree(b, 1_000_000, Options{CacheKeys: keys})
			var p Proof
			for i := 0; b.Loop(); i++ {
				var err error
				if p, err = tree.Prove(mem, fmt.Appendf(nil, "k%d", i%1_000_000)); err != nil {
					b.Fatal(err)
				}
			}
			data, err := p.MarshalBinary()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(data)), "proof-B")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	tree, mem := benchTree(b, 100_000, Options{})
	key := []byte("k7")
	p, err := tree.Prove(mem, key)
	if err != nil {
		b.Fatal(err)
	}
	root := tree.Root()
	for b.Loop() {
		if _, _, err := Verify(root, key, p); err != nil {
			b.Fatal(err)
		}
	}
}
