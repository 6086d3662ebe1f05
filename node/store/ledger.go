package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/dgraph-io/badger/v4"
)

// Keys of the ledger state. Every batch is written at timestamp height+1 (Badger's
// timestamps begin at 1).
//
//	r key-hash          register value (the state itself)
//	k register-key      empty: keys of kinds that are listed (sensors, trees, erasures, filings)
//	e first-index       leaves of one batch, as many as fit a segment; each with its length (uint16)
//	t level index       full hash tile
//	h height            End
//	w height parts part empty: one transaction of a batch that took several (writer.go)
//	d …                 where record ids are (places.go)
//	v …                 where events of handles are (places.go)
//	x span bucket       where leaf hashes are (find.go)
//	m                   Applied
//	T …                 commitment trees (forest.go)
const (
	prefixRegister = 'r'
	prefixListed   = 'k'
	prefixLeaves   = 'e'
	prefixTile     = 't'
	prefixEnd      = 'h'
	prefixPart     = 'w'
	prefixID       = 'd'
	prefixEvent    = 'v'
	prefixSpan     = 'x'
	keyApplied     = "m"
)

// minFreeToApply is the free space below which the node stops rather than write.
const minFreeToApply = 128 << 20

// segmentBytes fills what a builder of Badger allocates for a block of 4 KiB (and 256
// bytes) with one value: a block that outgrows that is copied into one of twice the
// size, and a compaction then takes several times its tables in memory; one that fills
// it less leaves the rest unused.
const segmentBytes = 4280

// keepStates is how many heights back reads at an exact height are served.
const keepStates = record.CitedWindow + 8

// keepFinal is how many of them lie behind the last final height: for who asked
// what is final a moment ago. A tree holds some 0.6 MB that its successor has not.
const keepFinal = 6

// End is the log at the end of one batch.
type End struct {
	Height   uint64        `cbor:"1,keyasint"`
	Size     uint64        `cbor:"2,keyasint"`
	Root     record.Digest `cbor:"3,keyasint"`
	Register record.Digest `cbor:"4,keyasint"`
	TimeMs   uint64        `cbor:"5,keyasint"`
	Header   record.Digest `cbor:"6,keyasint"`
	First    uint64        `cbor:"7,keyasint"` // index of the batch's first leaf
}

// Checkpoint returns the end as the text that members cosign.
func (e End) Checkpoint(origin string) sign.Checkpoint {
	return sign.Checkpoint{Origin: origin, Size: e.Size, Root: e.Root}
}

type applied struct {
	Height    uint64 `cbor:"1,keyasint"`
	RaftIndex uint64 `cbor:"2,keyasint"`
	Layout    uint64 `cbor:"3,keyasint,omitempty"`
}

// layout is the version of the keys above. A state of another is not read: it is
// derived anew from the Raft log.
const layout = 2

// Ledger is a member's copy of the ledger state. One goroutine applies batches;
// any number read.
//
// Order of effects of Apply: rules, register tree, seal, log tree (all in
// memory, on copies), then one Badger transaction or, where that would be too large,
// several (writer.go), then the new state is shown to readers. A crash before the
// last transaction leaves the last batch: what the others wrote is younger than
// anything that is read, and is written again, the same, when Raft delivers the
// entry again. The transactions are not synced: the Raft log is what is durable.
// After a power failure the state may lack some, at the end or (a memtable that was
// rotated is not synced either) in the middle; load looks for that, and the node
// derives a damaged state anew from the Raft log.
type Ledger struct {
	db      *badger.DB
	log     *slog.Logger
	opts    register.Options
	current atomic.Pointer[State]
	raft    uint64 // last applied Raft index
	hot     *hot
	ids     *placeIndex
	events  *placeIndex
	trees   *trees

	falseAdvances atomic.Uint64
	damage        atomic.Pointer[func(error)]

	mu     sync.RWMutex
	states map[uint64]*State // by height, at most the last keepStates
	oldest uint64            // no state below this height is kept
}

// ErrDamaged says that stored state contradicts itself: the node must stop and
// be repaired from its peers.
var ErrDamaged = errors.New("stored ledger state is damaged")

// ErrLayout says that another version of the program stored the state: it must be
// derived anew.
var ErrLayout = errors.New("the ledger state was stored by another version of the program")

// OpenLedger opens the state in db. An empty db is founded with the genesis
// leaf; any other must have been founded with the same.
func OpenLedger(db *badger.DB, genesis []byte, opts register.Options, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{db: db, log: log, opts: opts, states: map[uint64]*State{}, hot: newHot(), trees: newTrees(),
		ids: newPlaceIndex(prefixID, idLag), events: newPlaceIndex(prefixEvent, eventLag)}
	at, err := l.applied()
	if err != nil {
		return nil, err
	}
	if at == nil {
		return l, l.found(genesis)
	}
	if err := l.load(*at); err != nil {
		return nil, err
	}
	leaf, err := l.State().Leaf(0)
	if err != nil {
		return nil, err
	}
	if string(leaf) != string(genesis) {
		return nil, fmt.Errorf("the data directory belongs to another log: its genesis differs")
	}
	return l, nil
}

func (l *Ledger) applied() (*applied, error) {
	txn := l.db.NewTransactionAt(^uint64(0), false)
	defer txn.Discard()
	b, err := get(txn, []byte(keyApplied))
	if err != nil || b == nil {
		return nil, err
	}
	a := new(applied)
	if err := canon.Unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("%w: applied mark: %w", ErrDamaged, err)
	}
	if a.Layout != layout {
		return nil, fmt.Errorf("%w: layout %d, this one writes %d", ErrLayout, a.Layout, layout)
	}
	return a, nil
}

func (l *Ledger) found(genesis []byte) error {
	res, err := rules.Found(genesis)
	if err != nil {
		return err
	}
	before := &State{ledger: l, tree: merkle.New(), view: merkle.New().View(), reg: register.Empty(l.opts), empty: true}
	_, err = l.commit(before, res, 0)
	return err
}

// load rebuilds what lives in memory and checks it against the last seal.
func (l *Ledger) load(at applied) error {
	st := &State{ledger: l, ts: at.Height + 1}
	end, err := st.end(at.Height)
	if err != nil {
		return err
	}
	st.End = *end
	if err := st.whole(); err != nil {
		return err
	}
	tail, err := st.leafHashes(end.Size/merkle.TileWidth*merkle.TileWidth, end.Size)
	if err != nil {
		return err
	}
	if st.tree, err = merkle.Load(end.Size, st, tail); err != nil {
		return fmt.Errorf("%w: log tree: %w", ErrDamaged, err)
	}
	if record.Digest(st.tree.Root()) != end.Root {
		return fmt.Errorf("%w: the leaves at size %d do not give the root that was signed", ErrDamaged, end.Size)
	}
	leaves := st.Leaves()
	defer leaves.Close()
	if st.reg, err = register.Build(leaves, l.opts); err != nil {
		return fmt.Errorf("%w: register: %w", ErrDamaged, err)
	}
	if record.Digest(st.reg.Root()) != end.Register {
		return fmt.Errorf("%w: the register at height %d does not give the root in the seal", ErrDamaged, end.Height)
	}
	st.view = st.tree.View()
	if err := l.loadPlaces(st); err != nil {
		return err
	}
	l.raft, l.oldest = at.RaftIndex, at.Height
	l.show(st)
	return st.FalseAdvances(0, func(*FalseAdvance) error { l.falseAdvances.Add(1); return nil })
}

func (l *Ledger) loadPlaces(st *State) error {
	txn := l.db.NewTransactionAt(st.ts, false)
	defer txn.Discard()
	return errors.Join(l.ids.load(txn, st.Size), l.events.load(txn, st.Size))
}

// State returns the newest state.
func (l *Ledger) State() *State { return l.current.Load() }

// At returns the state at a height: those since the last final one are kept.
func (l *Ledger) At(height uint64) (*State, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	st, ok := l.states[height]
	return st, ok
}

func (l *Ledger) show(st *State) {
	l.mu.Lock()
	l.states[st.Height] = st
	for ; l.oldest+keepStates <= st.Height; l.oldest++ {
		delete(l.states, l.oldest)
	}
	l.mu.Unlock()
	l.current.Store(st)
}

// RaftIndex returns the Raft index of the last applied entry. Only the
// goroutine that applies may ask.
func (l *Ledger) RaftIndex() uint64 { return l.raft }

// Batch is what became of one Raft entry.
type Batch struct {
	Result *rules.Result
	End    End
	Entry  []byte // as Raft delivered it: valid during the call that is given the batch
}

// Apply judges one Raft entry and stores its effect. A void entry returns a
// Batch whose Result says why. An error means that the node must stop.
func (l *Ledger) Apply(raftIndex uint64, entry []byte) (*Batch, error) {
	st := l.State()
	view := st.View()
	res, err := rules.Apply(applyView{view, l.hot, st.reg}, rules.Prev{Size: st.Size, Root: merkle.Hash(st.Root)}, entry)
	view.Close()
	if err != nil {
		return nil, fmt.Errorf("apply Raft entry %d: %w", raftIndex, err)
	}
	if res.Void != nil {
		l.raft = raftIndex
		return &Batch{Result: res}, nil
	}
	next, err := l.commit(st, res, raftIndex)
	if err != nil {
		return nil, fmt.Errorf("apply Raft entry %d: %w", raftIndex, err)
	}
	return &Batch{Result: res, End: next.End, Entry: entry}, nil
}

// commit derives the next state and stores it.
func (l *Ledger) commit(st *State, res *rules.Result, raftIndex uint64) (*State, error) {
	leaves := st.Leaves()
	reg, err := st.reg.Update(leaves, res.Writes)
	leaves.Close()
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	seal := res.SealLeaf(reg.Root())
	all := append(res.Leaves[:len(res.Leaves):len(res.Leaves)], seal)
	hashes := make([]merkle.Hash, len(all))
	for i, leaf := range all {
		hashes[i] = merkle.LeafHash(leaf)
	}
	tree := st.tree.Clone()
	tiles := tree.Append(hashes...)
	next := &State{ledger: l, ts: res.Height + 1, tree: tree, view: tree.View(), reg: reg}
	next.End = End{Height: res.Height, Size: tree.Size(), Root: record.Digest(tree.Root()), Register: record.Digest(reg.Root()),
		TimeMs: res.TimeMs, First: st.Size}
	if res.Seal.Header != nil {
		next.End.Header = res.Seal.Header.Hash()
	}
	h, err := l.harvest(st, res)
	if err != nil {
		return nil, fmt.Errorf("commitment trees: %w", err)
	}
	if err := checkFree(l.db.Opts().Dir, minFreeToApply); err != nil {
		return nil, err // Badger would be killed by the system in the middle of a write
	}
	w := new(writer)
	w.register(res.Writes)
	w.leaves(st.Size, all)
	w.tiles(tiles)
	if err := w.spans(st, next.Size, tiles); err != nil {
		return nil, err
	}
	ids, events := placesOf(st.Size, res)
	idsStored, eventsStored := l.ids.add(w, next.Size, ids), l.events.add(w, next.Size, events)
	w.forest(l.trees, h)
	w.put(endKey(res.Height), canon.Must(&next.End))
	w.put([]byte(keyApplied), canon.Must(&applied{Height: res.Height, RaftIndex: raftIndex, Layout: layout}))
	if err := w.commit(l.db, res.Height); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	l.raft = raftIndex
	idsStored()
	eventsStored()
	l.hot.written(res.Writes)
	l.show(next) // first: who has the tree as it is written now reads at a state that has its tiles
	l.wrote(h)
	return next, nil
}

// Final says that a height is final: trees and versions that are older than what
// reads may still need are let go.
func (l *Ledger) Final(height uint64) {
	if height > keepStates {
		l.db.SetDiscardTs(height - keepStates)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.oldest+keepFinal < height; l.oldest++ {
		delete(l.states, l.oldest)
	}
}

// CountFalseAdvances returns how many advances do not say what their trees have.
func (l *Ledger) CountFalseAdvances() uint64 { return l.falseAdvances.Load() }

// Sync makes everything that was applied durable.
func (l *Ledger) Sync() error { return l.db.Sync() }

// placesOf returns what a batch adds to the indexes of ids and of events.
func placesOf(first uint64, res *rules.Result) (ids, events []place) {
	ids, events = make([]place, 0, len(res.Leaves)), make([]place, 0, len(res.Events))
	for i, leaf := range res.Leaves {
		if id, ok := record.PeekID(leaf); ok {
			ids = append(ids, place{placeKey(id), first + uint64(i)})
		}
	}
	for _, e := range res.Events {
		events = append(events, place{placeKey(e.Handle[:]), first + uint64(e.Leaf)})
	}
	return ids, events
}
