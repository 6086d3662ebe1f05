// Package cosign makes checkpoints final: it signs the ends of batches that
// this member derived itself, and collects the cosignatures of the others.
//
// # Invariants
//
//   - A member cosigns only ends of its own re-derivation, in order, and only
//     what extends the last end that it ever cosigned. Before a cosignature
//     leaves, the end is in the mark file, synced; the mark is never lowered.
//   - Its times never decrease. Age is never a reason not to cosign.
//   - A checkpoint is final here when k members' cosignatures over it verify, this
//     member derived the same end, and enough of the witnesses that the policy
//     requires cosigned it. The final height never goes back.
//   - An end counts under the policy of its own epoch: the one that closes an
//     epoch under the old policy, the next under the new. Keys of all epochs are
//     kept, and which one signs follows from the end alone, so a crash on either
//     side of a change leaves nothing to repair. (That an epoch begins on a final
//     end of the one before is the rules' work: see rules.Policy.)
//   - A cosignature is verified before it is kept: one bad line breaks a note.
//   - Every cosignature is judged by the size that is signed in it: at once, or
//     when this member has derived as much. What contradicts our log, or another
//     cosignature of the same member, becomes evidence before a stop that follows
//     from it. As many liars as the consortium tolerates stop nobody.
//
// # Flow
//
// Derived takes each end from the applying goroutine. The signer goroutine signs
// all ends at hand under one sync and sends them to the leader, which collects
// and sends the k of them back. Where finality lags, everyone sends to everyone,
// so a stalled leader costs time only. Every ten seconds each member cosigns its
// newest end again with a new time (a heartbeat): the k-th newest time says how
// fresh the log is.
//
// The package neither judges batches nor talks to a network itself.
package cosign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Bounds.
const (
	Heartbeat   = 10 * time.Second
	lagBefore   = 300 * time.Millisecond // of finality before everyone sends to everyone
	askAfter    = time.Second            // of lag before the others are asked
	tick        = 100 * time.Millisecond
	maxKept     = 4096 // cosignatures of one member that are kept
	maxEntries  = 1024 // cosignatures in one message
	maxOdd      = 16   // cosignatures of one member over another log that are kept
	maxEnds     = 4096 // derived ends that are not final here: more only where a long log is derived anew
	keepRecent  = 64   // roots of final ends that late cosignatures are compared with
	sendTimeout = 5 * time.Second
)

// Config is what a Cosigner needs; every field but the witnesses is required.
type Config struct {
	Self   string            // member id
	Since  uint64            // policy epoch in which this membership began: who held the id before had other keys
	Keys   func() []sign.Key // every cosigner key of this member: in force, prepared, replaced
	LogKey sign.Key
	Origin string
	Dir    string // of the mark file
	State  func() *store.State
	Now    func() time.Time                                     // the consortium's clock
	Leader func() string                                        // member id of the Raft leader, "" for none
	Send   func(ctx context.Context, to string, m []byte) error // a message for another member's Receive
	Final  func(*Final)                                         // called in order, from one goroutine at a time; must not block
	// Evidence makes a file of evidence durable before it returns.
	Evidence func(file []byte)
	// Differs hears once of each checkpoint of another log that a member cosigned;
	// it must not block.
	Differs func(policy *sign.Policy, member string, theirs receipt.Cosigned)
	Stop    func(error) // this node must halt
	Log     *slog.Logger
	Fresh   bool // nothing was ever cosigned with this key: the mark may be made

	Witnesses []record.Witness // whose cosignatures TakeWitness knows: the policy's, and others
	// Offer is called in order with what k members cosigned, and with who takes
	// what witnesses return; it must not block. Nil for none.
	Offer func(*Cosigner, *Final)
}

// entry is one cosignature on its way.
type entry struct {
	Member string         `cbor:"1,keyasint"`
	Height uint64         `cbor:"2,keyasint"` // not signed: for people only
	Size   uint64         `cbor:"3,keyasint"`
	Root   record.Digest  `cbor:"4,keyasint"`
	Time   uint64         `cbor:"5,keyasint"`
	Sig    sign.Signature `cbor:"6,keyasint"`

	key sign.PublicKey // under which it was verified here; not sent
}

// Message is what members send each other.
type message struct {
	Entries []entry `cbor:"1,keyasint"`
	Beat    bool    `cbor:"2,keyasint,omitempty"` // please cosign your newest end again, and send it to everyone
}

// A Cosigner signs and collects for one member.
type Cosigner struct {
	Config
	mark   *markFile
	marked uint64                // height of the mark at the start
	floor  uint64                // size of the mark at the start: nothing below it is shown as final
	final  atomic.Pointer[Final] // k members cosigned it
	shown  atomic.Pointer[Final] // final under the policy, witnesses included
	halted atomic.Bool           // Stop was called: nothing becomes final any more
	ready  chan struct{}         // signals the signer

	changed atomic.Pointer[chan struct{}] // see Changed

	epochMu sync.RWMutex
	epochs  []epoch // ascending; never empty

	mu        sync.Mutex
	pending   []store.End                 // derived, not signed
	ends      map[uint64]store.End        // derived and not below final, by size
	sigs      map[uint64]map[string]entry // verified, by size and member
	kept      map[string]int              // of sigs, by member
	recent    map[uint64]record.Digest    // roots of ends that are final, by size
	agreed    map[era]entry               // each member's largest over our own log, in each policy epoch
	odd       map[string][]*oddEntry      // verified, over another log than ours, by member
	pairs     [][2]entry                  // of one member, for one size: evidence to be
	matched   bool                        // the state was compared with the mark; only the signer asks
	lagSince  time.Time                   // since when finality has not advanced, by the machine's clock
	lagSent   time.Time
	beat      bool
	newest    store.End
	outMu     sync.Mutex
	out       map[string]*outbox // by member: of the newest epoch, and of the one before while that goes on
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	finalMu   sync.Mutex                             // orders calls of Final
	offered   []*Final                               // under finalMu: ascending, of the shown end and those that wait for witnesses
	witnessed map[uint64]map[string]sign.Cosignature // under finalMu: verified, by size and name
}

// New opens the mark file, checks it against the state, and starts. The mark
// may be created only where nothing but genesis was derived.
func New(c Config) (*Cosigner, error) {
	if c.Keys == nil || c.Origin == "" || c.State == nil || c.Now == nil || c.Leader == nil || c.Send == nil || c.Final == nil || c.Evidence == nil || c.Differs == nil || c.Stop == nil || c.Log == nil {
		return nil, errors.New("cosign: every field of Config is required")
	}
	st := c.State()
	s := &Cosigner{Config: c, ready: make(chan struct{}, 1), ends: map[uint64]store.End{},
		sigs: map[uint64]map[string]entry{}, kept: map[string]int{}, recent: map[uint64]record.Digest{}, agreed: map[era]entry{}, odd: map[string][]*oddEntry{}, out: map[string]*outbox{}, witnessed: map[uint64]map[string]sign.Cosignature{}}
	changed := make(chan struct{})
	s.changed.Store(&changed)
	var err error
	if s.epochs, err = epochsOf(st); err != nil {
		return nil, err
	}
	_, key, err := s.own(st.Size + 1) // in the epoch of the next batch
	if errors.Is(err, ErrNoSeat) {    // who joins later has no other key yet
		key, err = c.Keys()[0], nil
	}
	if err != nil {
		return nil, err
	}
	if s.mark, err = openMark(c.Dir, c.Keys(), c.Origin, c.Fresh && st.Height == 0, key); err != nil {
		return nil, err
	}
	s.marked, s.floor = s.mark.mark.Height, s.mark.mark.Size
	if err := s.checkMark(st); err != nil {
		s.mark.f.Close()
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.address(s.of(st.Size))
	s.address(s.of(st.Size + 1))
	s.newest, s.ends[st.Size] = st.End, st.End
	s.pending = []store.End{st.End}
	s.wg.Go(s.run)
	s.Beat() // whoever is up sends us what is final
	return s, nil
}

// ErrForked says that our state contradicts what we cosigned.
var ErrForked = errors.New("the derived log contradicts a cosigned checkpoint")

// checkMark compares the state with the last end that was ever cosigned. A
// state below the mark is caught up by Raft; until then nothing is signed.
func (s *Cosigner) checkMark(st *store.State) error {
	mk := s.mark.mark
	if mk.Size > st.Size {
		return nil
	}
	s.matched = true
	if mk.Size == 0 {
		return nil
	}
	root, err := st.Tree().RootAt(mk.Size, st)
	if err != nil {
		return err
	}
	if record.Digest(root) != mk.Root {
		return fmt.Errorf("%w: size %d", ErrForked, mk.Size)
	}
	return nil
}

// Close stops the goroutines.
func (s *Cosigner) Close() error {
	s.cancel()
	s.wg.Wait()
	return s.mark.f.Close()
}

// Marked returns the height of the last end that this member cosigned before it
// started, 0 for none but genesis.
func (s *Cosigner) Marked() uint64 { return s.marked }

// Derived takes the end of a batch that was just applied and, where the batch
// closes a policy epoch, the policy of the next. It does not block.
func (s *Cosigner) Derived(e store.End, next *rules.Policy) {
	if next != nil {
		s.begins(next, e)
	}
	s.mu.Lock()
	s.pending = append(s.pending, e)
	if s.ends[e.Size] = e; len(s.ends) > maxEnds {
		keepLargest(s.ends, maxEnds/2)
	}
	s.newest = e
	s.mu.Unlock()
	s.wake()
}

// Beat asks every member to cosign its newest end again now: a leader that
// wants to propose after a long silence needs fresh times.
func (s *Cosigner) Beat() {
	s.mu.Lock()
	s.beat = true
	s.mu.Unlock()
	for _, o := range s.addressed() {
		o.add(nil, true)
	}
	s.wake()
}

func (s *Cosigner) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// run is the signer.
func (s *Cosigner) run() {
	beat, lag := time.NewTicker(Heartbeat), time.NewTicker(tick)
	defer beat.Stop()
	defer lag.Stop()
	for {
		again := false
		select {
		case <-s.ctx.Done():
			return
		case <-s.ready:
		case <-beat.C:
			again = true
		case <-lag.C:
			s.checkLag()
			continue
		}
		err := s.sign(again)
		if err == nil {
			err = s.judge()
		}
		if err != nil {
			s.halted.Store(true)
			s.Stop(err)
			return
		}
	}
}

// sign cosigns every end at hand that is not final, and with again (or asked by
// another member) the newest end a second time.
func (s *Cosigner) sign(again bool) error {
	s.mu.Lock()
	ends, newest := s.pending, s.newest
	again = again || s.beat
	s.pending, s.beat = nil, false
	s.mu.Unlock()
	f := s.final.Load()
	mk := s.mark.mark
	kept := ends[:0]
	for _, e := range ends {
		if (f == nil || e.Height > f.End.Height) && e.Size >= mk.Size && s.seated(e.Size) {
			kept = append(kept, e)
		}
	}
	if again && newest.Size >= mk.Size && s.seated(newest.Size) && (len(kept) == 0 || kept[len(kept)-1].Height != newest.Height) {
		kept = append(kept, newest)
	}
	if len(kept) == 0 {
		return nil
	}
	if !s.matched { // the state was below the mark, and may have come by it on another way
		if err := s.checkMark(s.State()); err != nil {
			return err
		}
	}
	now := max(uint64(s.Now().Unix()), mk.Time)
	last := kept[len(kept)-1]
	_, key, err := s.own(last.Size)
	if err != nil {
		return err
	}
	if err := s.mark.write(Mark{Height: last.Height, Size: last.Size, Root: last.Root, Time: now}, key); err != nil {
		return err
	}
	entries := make([]entry, len(kept))
	for i, e := range kept {
		name, key, err := s.own(e.Size)
		if err != nil {
			return err
		}
		cs := key.Cosign(name, e.Checkpoint(s.Origin), now)
		entries[i] = entry{s.Self, e.Height, e.Size, e.Root, now, cs.Sig, key.Public()}
	}
	s.spread(entries, again)
	s.mu.Lock()
	for _, e := range entries {
		s.keep(e)
		s.agree(e)
	}
	s.mu.Unlock()
	s.collect()
	return nil
}

// spread sends our own cosignatures to the leader, or to everyone.
func (s *Cosigner) spread(entries []entry, everyone bool) {
	leader := s.Leader()
	for id, o := range s.addressed() {
		if everyone || leader == "" || id == leader {
			o.add(entries, false)
		}
	}
}

// keep stores a verified cosignature. The newest time of a member counts. What
// it stands under is signed (the height is not), so that nobody can displace
func encode(m *message) []byte { return canon.Must(m) }
