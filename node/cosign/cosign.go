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
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
// another member's.
func (s *Cosigner) keep(e entry) {
	if f := s.final.Load(); f != nil && e.Size < f.End.Size {
		return
	}
	m := s.sigs[e.Size]
	old, have := m[e.Member]
	switch {
	case have && old.Time >= e.Time && old.key == e.key:
		return
	case !have && s.kept[e.Member] >= maxKept && e.Member != s.Self:
		return
	case !have:
		s.kept[e.Member]++
	}
	if m == nil {
		m = map[string]entry{}
		s.sigs[e.Size] = m
	}
	m[e.Member] = e
}

// ErrMessage says that a message of another member is malformed.
var ErrMessage = errors.New("malformed cosignature message")

// errEarly says that a cosignature over an end that is not derived yet does not
// verify: perhaps it lies in a policy epoch that this member has not reached. It
// says nothing of the rest of the message.
var errEarly = errors.New("not under a key that is known yet")

// Receive takes another member's message.
func (s *Cosigner) Receive(b []byte) error {
	var m message
	if err := canon.Unmarshal(b, &m); err != nil || len(m.Entries) > maxEntries {
		return ErrMessage
	}
	var early error
	for _, e := range m.Entries {
		err := s.receive(e)
		if err != nil && !errors.Is(err, errEarly) {
			return err
		}
		early = cmp.Or(early, err)
	}
	s.collect()
	if m.Beat {
		s.mu.Lock()
		s.beat = true
		s.mu.Unlock()
		s.wake()
	}
	return early
}

func (s *Cosigner) receive(e entry) error {
	m := member(s.of(e.Size), e.Member)
	if m == nil && e.Size > s.State().Size { // perhaps one that joins
		return fmt.Errorf("%w: member %q: %w", ErrMessage, e.Member, errEarly)
	}
	if m == nil || e.Size == 0 || e.Time > record.MaxTimeMs/1000 {
		return fmt.Errorf("%w: member %q", ErrMessage, e.Member)
	}
	s.mu.Lock()
	old, have := s.sigs[e.Size][e.Member]
	root, late := s.recent[e.Size]
	s.mu.Unlock()
	if have && old.Root == e.Root && old.Time >= e.Time && old.key == m.Key || late && root == e.Root {
		return nil
	}
	cp := sign.Checkpoint{Origin: s.Origin, Size: e.Size, Root: e.Root}
	cs := sign.Cosignature{Signer: m.Name, Time: e.Time, Sig: e.Sig}
	st := s.State()
	if err := cs.Verify(m.Key, cp); err != nil {
		if e.Size > st.Size { // it is sent again
			err = errEarly
		}
		return fmt.Errorf("%w: member %s: %w", ErrMessage, e.Member, err)
	}
	e.key = m.Key
	root, derived, err := s.rootAt(e.Size)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case derived && root != e.Root:
		s.differs(e)
		s.wake()
	case !derived && have && old.Root != e.Root:
		s.pairs = append(s.pairs[:min(len(s.pairs), maxOdd)], [2]entry{old, e})
		s.wake()
	default:
		s.keep(e)
		if derived && s.agree(e) {
			s.wake()
		}
	}
	return nil
}

// collect looks for the highest end that k members of its epoch cosigned and that
// is ours.
func (s *Cosigner) collect() {
	s.finalMu.Lock()
	defer s.finalMu.Unlock()
	if s.halted.Load() {
		return
	}
	s.mu.Lock()
	cur := s.final.Load()
	var best *Final
	for size, sigs := range s.sigs {
		end, derived := s.ends[size]
		if !derived || end.Size < s.floor || best != nil && size <= best.End.Size || cur != nil && size < cur.End.Size {
			continue
		}
		f := s.assemble(end, sigs)
		if f != nil && (cur == nil || size > cur.End.Size || f.newer(cur)) {
			best = f
		}
	}
	if best != nil {
		if cur == nil || best.End.Height > cur.End.Height {
			s.lagSince = time.Now()
			s.lagSent = s.lagSince
		}
		s.final.Store(best)
		if cur != nil && cur.Policy.Epoch != best.Policy.Epoch {
			s.forsake()
		}
		for size, sigs := range s.sigs {
			if size < best.End.Size {
				for member, e := range sigs {
					s.kept[member]--
					if e.Root == s.ends[size].Root {
						s.agree(e)
					}
				}
				delete(s.sigs, size)
			}
		}
		for size, end := range s.ends {
			if size < best.End.Size {
				s.recent[size] = end.Root
				delete(s.ends, size)
			}
		}
		s.forget()
	}
	s.mu.Unlock()
	if best == nil {
		return
	}
	s.promote(best)
	if s.Leader() == s.Self && (cur == nil || best.End.Height > cur.End.Height) {
		s.announce(best)
	}
}

// checkLag makes up for a leader that does not collect.
func (s *Cosigner) checkLag() {
	f := s.final.Load()
	s.mu.Lock()
	newest := s.newest
	lagging := f == nil || f.End.Height < newest.Height
	now := time.Now()
	if !lagging || s.lagSince.IsZero() {
		s.lagSince, s.lagSent = now, now
	}
	due := lagging && now.Sub(s.lagSent) > lagBefore
	long := lagging && now.Sub(s.lagSince) > askAfter
	var mine []entry
	ahead := map[string]bool{} // members that have cosigned beyond what we have derived
	for size, sigs := range s.sigs {
		for id := range sigs {
			if size > newest.Size {
				ahead[id] = true
			}
		}
	}
	if due {
		s.lagSent = now
		if long {
			s.lagSince = now
		}
		for _, sigs := range s.sigs {
			for _, e := range sigs {
				if len(mine) < maxEntries && (e.Size == newest.Size || e.Member == s.Self) {
					mine = append(mine, e)
				}
			}
		}
	}
	s.mu.Unlock()
	if len(mine) > 0 {
		s.spread(mine, true)
	}
	// We may have missed what the others know; while we derive what k of them have
	// left behind there is nothing to ask for.
	if due && (long || len(mine) == 0) && len(ahead) < s.of(newest.Size).K {
		s.Beat()
	}
}

// encode returns a message's bytes.
func encode(m *message) []byte { return canon.Must(m) }

// sortedEntries orders entries so that equal sets have equal bytes.
func sortedEntries(m map[string]entry) []entry {
	out := make([]entry, 0, len(m))
	for _, e := range m {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int {
		if a.Size != b.Size {
			return cmp.Compare(a.Size, b.Size)
		}
		return bytes.Compare([]byte(a.Member), []byte(b.Member))
	})
	return out
}
