package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// memory is a store in memory whose writes can be made to fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	writes int
	fail   map[int]failure      // by number of the write, from 1
	until  map[string]time.Time // when an entry goes by itself
	broken bool
	after  func() // every write
}

type failure int

const (
	refused   failure = iota + 1 // nothing was written
	lost                         // outcome unknown: nothing was written
	persisted                    // outcome unknown: it was written
)

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, until: map[string]time.Time{}, fail: map[int]failure{}}
}

// copy is what a restart after a crash at this moment finds.
func (m *memory) copy() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := newMemory()
	n.values, n.until = maps.Clone(m.values), maps.Clone(m.until)
	return n
}

func (m *memory) write(fn func()) error {
	if m.after != nil {
		defer m.after()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return store.ErrStopped
	}
	m.writes++
	f := m.fail[m.writes]
	if f != refused && f != lost {
		fn()
	}
	if f == refused {
		return store.ErrDiskFull
	}
	if f != 0 {
		m.broken = true
		return fmt.Errorf("%w: injected", store.ErrStopped)
	}
	return nil
}

func (m *memory) PutMany(entries []store.KV) error {
	return m.write(func() {
		for _, e := range entries {
			m.values[string(e.Key)] = bytes.Clone(e.Value)
			if delete(m.until, string(e.Key)); e.TTL > 0 {
				m.until[string(e.Key)] = time.Now().Add(e.TTL)
			}
		}
	})
}

func (m *memory) Delete(keys ...[]byte) error {
	return m.write(func() {
		for _, k := range keys {
			delete(m.values, string(k))
		}
	})
}

// expire drops what is over. The lock is held.
func (m *memory) expire() {
	for k, at := range m.until {
		if !time.Now().Before(at) {
			delete(m.values, k)
			delete(m.until, k)
		}
	}
}

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	v, ok := m.values[string(key)]
	return bytes.Clone(v), ok, nil
}

func (m *memory) Scan(prefix []byte, fn func(key, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.values)) {
		if !bytes.HasPrefix([]byte(k), prefix) {
			continue
		}
		if err := fn([]byte(k), m.values[k]); errors.Is(err, fs.SkipAll) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) count(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for k := range m.values {
		if bytes.HasPrefix([]byte(k), []byte(prefix)) {
			n++
		}
	}
	return n
}

// world is a consortium's ledger with a leader that a test steers.
type world struct {
	t     *testing.T
	begin time.Time

	mu     sync.Mutex
	c      *ledgertest.Consortium
	sent   []record.Submitted // every copy, in order
	urgent []bool
	queue  []record.Submitted // not yet in a batch
	err    error              // of Send
	held   bool               // Send queues only
	silent bool               // batches are not final
	deaf   bool               // the outbox hears nothing of batches
	ticks  int
	stops  []error
	skip   uint64 // milliseconds that the clock is ahead
	o      *Outbox
}

func newWorld(t *testing.T) *world {
	return &world{t: t, begin: time.Now(), c: ledgertest.New(t, ledgertest.Options{})}
}

func (w *world) nowMs() uint64 {
	return w.c.Founding.CreatedMs + 1000 + uint64(time.Since(w.begin).Milliseconds()) + w.skip
}

func (w *world) Send(ctx context.Context, sub *record.Submitted, urgent bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	w.sent = append(w.sent, *sub)
	w.urgent = append(w.urgent, urgent)
	if w.err != nil {
		return w.err
	}
	w.queue = append(w.queue, *sub)
	if !w.held {
		w.batch()
	}
	return nil
}

// copies returns every copy sent so far.
func (w *world) copies() []record.Submitted {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// last returns the newest batch.
func (w *world) last() ledgertest.Height {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.c.Last()
}

// ticked returns how often a tick was asked for.
func (w *world) ticked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ticks
}

// batch applies what is queued. The lock is held.
func (w *world) batch() {
	subs := w.queue
	w.queue = nil
	w.c.NowMs = max(w.c.NowMs, w.nowMs())
	r := w.c.Batch(subs...)
	if w.deaf {
		return
	}
	last := w.c.Last()
	w.o.Applied(&store.Batch{Result: r, End: end(last)})
	if !w.silent {
		w.o.Final(last.Height, last.TimeMs)
	}
}

func end(h *ledgertest.Height) store.End {
	return store.End{Height: h.Height, Size: h.Size, Root: record.Digest(h.Root), TimeMs: h.TimeMs, First: h.First}
}

// locked runs fn with the world's lock.
func (w *world) locked(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

func (w *world) tick() {
	w.locked(func() {
		w.ticks++
		w.queue = append(w.queue, w.c.Submit("b-sha", w.c.Tick()))
		w.batch()
	})
}

// open starts an outbox on blobs and stops it at the end of the test.
func (w *world) open(b Blobs, change func(*Config)) *Outbox {
	w.t.Helper()
	c := Config{Origin: w.c.Origin, Blobs: b, Leader: w, Key: w.key, NowMs: func() uint64 { w.mu.Lock(); defer w.mu.Unlock(); return w.nowMs() },
		State: func() View { return ledgerView{w} }, Tick: w.tick, Log: slog.New(slog.DiscardHandler),
		Stop: func(err error) { w.locked(func() { w.stops = append(w.stops, err) }) }}
	if change != nil {
		change(&c)
	}
	o, err := Open(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.locked(func() { w.o = o })
	w.t.Cleanup(func() { o.Close() })
	return o
}

func (w *world) key(issuer string) (sign.Key, bool) {
	if issuer != "a-sha" && issuer != "pf" {
		return sign.Key{}, false
	}
	k, ok := w.c.Keys[issuer]
	return k, ok
}

// ledgerView reads the world's ledger.
type ledgerView struct{ w *world }

func (v ledgerView) Get(key []byte) ([]byte, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.c.Get(key)
}

func (v ledgerView) IndexOf(id record.ID) (uint64, bool, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	for i, leaf := range v.w.c.Leaves {
		if got, ok := record.PeekID(leaf); ok && got == id && !record.IsSeal(leaf) {
			return uint64(i), true, nil
		}
	}
	return 0, false, nil
}

func (v ledgerView) EndOf(height uint64) (*store.End, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if height >= uint64(len(v.w.c.Heights)) {
		return nil, fmt.Errorf("no height %d", height)
	}
	e := end(&v.w.c.Heights[height])
	return &e, nil
}

func (v ledgerView) EndWith(index uint64) (*store.End, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	for i := range v.w.c.Heights {
		if h := &v.w.c.Heights[i]; index < h.Size {
			e := end(h)
			return &e, nil
		}
	}
	return nil, fmt.Errorf("no leaf %d", index)
}

func (v ledgerView) Leaf(index uint64) ([]byte, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.c.Leaves[index], nil
}

// times returns how often a record is in the ledger.
func (w *world) times(id record.ID) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, leaf := range w.c.Leaves {
		if got, ok := record.PeekID(leaf); ok && got == id && !record.IsSeal(leaf) {
			n++
		}
	}
	return n
}

// good returns a record that is accepted.
func (w *world) good() *record.Record { return w.recordOf(w.c.Tick) }

// bad returns a record that is refused with handle.unknown.
func (w *world) bad() *record.Record {
	return w.recordOf(func() *record.Record { return w.c.HandleClose(w.c.Key("nobody").Public()) })
}

func (w *world) recordOf(draw func() *record.Record) *record.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := draw()
	r.Issuer = "a-sha"
	return r
}

func request(key string, recs ...*record.Record) Request {
	return Request{Issuer: "a-sha", Client: "app", Key: key, Body: [32]byte{1}, Records: recs}
}

// answer is a Submit under way.
type answer struct {
	result *Result
	err    error
	done   chan struct{}
}

func submit(ctx context.Context, o *Outbox, req Request) *answer {
	a := &answer{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.result, a.err = o.Submit(ctx, req)
	}()
	return a
}

func (a *answer) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// accepted waits for a result with every record accepted, and checks it against
// the ledger.
func (w *world) accepted(a *answer, recs ...*record.Record) {
	w.t.Helper()
	<-a.done
	if a.err != nil {
		w.t.Fatal(a.err)
	}
	if !a.result.Final || len(a.result.Outcomes) != len(recs) {
		w.t.Fatalf("result %+v", a.result)
	}
	for i, out := range a.result.Outcomes {
		if out.Refused != nil {
			w.t.Fatalf("record %d is refused: %v", i, out.Refused)
		}
		w.matches(out, recs[i])
	}
}

func (w *world) matches(out Outcome, r *record.Record) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	leaf := w.c.Leaf(r)
	if out.ID != r.ID || out.LeafHash != record.Digest(merkle.LeafHash(leaf)) {
		w.t.Fatalf("outcome %x of record %x", out.ID, r.ID)
	}
	if out.Refused != nil {
		return
	}
	if !bytes.Equal(w.c.Leaves[out.Index], leaf) {
		w.t.Fatalf("leaf %d is another", out.Index)
	}
	if h := w.c.Heights[out.Height]; out.Index < h.First || out.Index >= h.Size || out.TimeMs != h.TimeMs {
		w.t.Fatalf("leaf %d is not in batch %d, or not at %d", out.Index, out.Height, out.TimeMs)
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, newWorld(t)) })
}
