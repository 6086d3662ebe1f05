package escrow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Network reaches custodians. The transport authenticates both ends.
type Network interface {
	// Ask asks the keeper of another member. A refusal comes back as a
	// *record.Refusal.
	Ask(ctx context.Context, member string, request []byte) ([]byte, error)
}

// SenderConfig is what a Sender needs; everything is required.
type SenderConfig struct {
	Self    string
	Key     *Key
	Vault   *vault.Vault        // the member's own
	State   func() *store.State // the newest final state, nil before the first
	Network Network
	Log     *slog.Logger
	// NumberOf returns the number by whose tombstone the copy of a vault entry dies,
	// false where the entry is not copied, or is about to be shredded.
	NumberOf func(id string, value []byte) (Number, bool)
}

// Sender copies a member's keys to its custodians. Its methods may be called from
// several goroutines.
type Sender struct {
	SenderConfig
	mu      sync.Mutex
	queues  map[string]*queue
	serving map[string]bool // custodians that a Duty is sending to

	within, others time.Duration // ensureWithin, ensureOthers
}

// Bounds of a sender.
const (
	maxWaiting   = 100_000 // entries; beyond, the custodian's copies are compared with the vault instead
	compareEvery = 24 * time.Hour
	pause        = 5 * time.Second // after a failed attempt
)

// NewSender returns a sender. It compares each custodian's copies with the vault
// before it sends anything new.
func NewSender(c SenderConfig) (*Sender, error) {
	if c.Self == "" || c.Key == nil || c.Vault == nil || c.State == nil || c.Network == nil || c.NumberOf == nil || c.Log == nil {
		return nil, errors.New("escrow: the sender's config is not whole")
	}
	return &Sender{SenderConfig: c, queues: map[string]*queue{}, serving: map[string]bool{}, within: ensureWithin, others: ensureOthers}, nil
}

// Changed hears of entries that were put into the vault. It returns at once.
func (s *Sender) Changed(ids ...string) {
	s.each(ids, func(q *queue, id string) { q.add(id) })
}

// Gone hears of entries that went from the vault without a tombstone, and under which
// number their copies are. It returns at once.
func (s *Sender) Gone(n Number, ids ...string) {
	s.each(ids, func(q *queue, id string) {
		if q.add(id); !q.compare {
			w := q.waiting[id]
			w.drop, w.number = true, n
			q.waiting[id] = w
		}
	})
}

func (s *Sender) each(ids []string, f func(q *queue, id string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		for _, id := range ids {
			f(q, id)
		}
	}
}

// CustodianStatus is how far the copies at one custodian are.
type CustodianStatus struct {
	Custodian  string    `json:"custodian"`
	Class      string    `json:"class,omitempty"` // of its vault; "": it has not agreed
	Generation uint64    `json:"generation,omitempty"`
	Gone       bool      `json:"gone,omitempty"`     // ended, or lost its copies
	Complete   bool      `json:"complete"`           // it has a copy of every key
	Waiting    int       `json:"waiting"`            // keys that it has no copy of
	Refused    int       `json:"refused,omitempty"`  // of these, those that it does not take; the others are copied all the same
	Oldest     time.Time `json:"oldest,omitzero"`    // since when the first of them waits
	Compared   time.Time `json:"compared,omitzero"`  // when its copies were last compared with the vault
	Failed     string    `json:"failed,omitempty"`   // why the last attempt did
	Comparing  bool      `json:"comparing,omitzero"` // how many wait is not known before they are compared
}

// Status returns how far the copies are, for each custodian of the register.
func (s *Sender) Status() []CustodianStatus {
	custody, err := s.custody()
	if err != nil || custody == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []CustodianStatus
	for i := range custody.Custodians {
		c := &custody.Custodians[i]
		st := CustodianStatus{Custodian: c.ID, Class: c.Class, Generation: c.Generation, Gone: c.Gone}
		if q := s.queues[c.ID]; q != nil && c.Holds() {
			st.Waiting, st.Compared, st.Comparing = len(q.waiting), q.compared, q.compare
			for _, w := range q.waiting {
				st.Oldest = earlier(st.Oldest, w.since)
				if w.refused {
					st.Refused++
				}
			}
			if q.failed != nil {
				st.Failed = q.failed.Error()
			}
			st.Complete = q.known() && st.Waiting == 0
		}
		out = append(out, st)
	}
	return out
}

func (s *Sender) custody() (*rules.Custody, error) {
	st := s.State()
	if st == nil {
		return nil, nil
	}
	return rules.Load[rules.Custody](st, rules.KeyCustody(s.Self))
}

// Duty sends what waits to each custodian that is not being sent to. It is called every
// second or so, also while an earlier call waits for a custodian that does not answer.
func (s *Sender) Duty(ctx context.Context) {
	custody, err := s.custody()
	if err != nil || custody == nil {
		return
	}
	var wg sync.WaitGroup
	for _, c := range custody.Custodians {
		q := s.queueOf(&c)
		if q == nil {
			continue
		}
		wg.Go(func() {
			err := s.serve(ctx, c.ID, q)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.serving, c.ID)
			if q.ended(err); err != nil {
				s.Log.Info("keys are not copied to a custodian yet", "custodian", c.ID, "err", err)
			}
		})
	}
	wg.Wait()
}

// queueOf returns a custodian's queue where something is to be sent now. One that
// began anew, or went on with an older vault, is compared first.
func (s *Sender) queueOf(c *rules.Custodian) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Holds() || c.Ending {
		delete(s.queues, c.ID)
		return nil
	}
	q := s.queue(c)
	if !q.compare && time.Since(q.compared) > compareEvery {
		q.compare, q.began = true, time.Now()
	}
	if s.serving[c.ID] || time.Now().Before(q.notBefore) || !q.compare && len(q.waiting) == 0 {
		return nil
	}
	s.serving[c.ID] = true
	return q
}

// queue returns the queue of a custodian that holds copies. s.mu is held.
func (s *Sender) queue(c *rules.Custodian) *queue {
	q := s.queues[c.ID]
	if q == nil || q.sinceMs != c.SinceMs || c.Generation < q.generation {
		q = &queue{sinceMs: c.SinceMs, waiting: map[string]waiting{}, most: maxWaiting, compare: true, began: time.Now()}
		s.queues[c.ID] = q
	}
	q.generation = c.Generation
	return q
}

// Compare makes the next Duty compare every custodian's copies with the vault:
// what the vault has no more is dropped there.
func (s *Sender) Compare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		q.compare, q.began = true, time.Now()
	}
}

func (s *Sender) serve(ctx context.Context, custodian string, q *queue) error {
	s.mu.Lock()
	compare := q.compare
	if compare { // what comes from now on waits in the queue
		q.compare = false
	}
	s.mu.Unlock()
	if compare {
		if err := s.compareWith(ctx, custodian, q); err != nil {
			s.mu.Lock()
			q.compare = true
			s.mu.Unlock()
			return fmt.Errorf("compare the copies: %w", err)
		}
		s.mu.Lock()
		q.compared = time.Now()
		s.mu.Unlock()
	}
	for ctx.Err() == nil {
		taken := s.some(q)
		if len(taken) == 0 {
			return nil
		}
		if _, err := s.sendSome(ctx, custodian, q, taken); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sendSome sends these entries, or as many as fit one parcel. What a custodian does
// not take holds nothing else up; it returns which of them that are.
func (s *Sender) sendSome(ctx context.Context, custodian string, q *queue, some []taken) (refused map[string]bool, err error) {
	var copies []sealedCopy
	var gone []Label
	refused = map[string]bool{}
	ids, size := map[Label]string{}, 0
	for i, t := range some {
		if size > maxBatchBytes {
			some = some[:i]
			break
		}
		if t.drop {
			gone = append(gone, Label{Number: t.number, Copy: s.Key.name(t.id)})
		}
		c, there, copied, err := s.copyNow(t.id)
		if err != nil {
			return nil, err
		}
		switch {
		case !there && !t.drop: // shredded; copies with a number die by its tombstone
			gone = append(gone, Label{Copy: s.Key.name(t.id)})
		case copied && len(c.Sealed) > vault.MaxValueBytes:
			refused[t.id] = true
		case copied:
			copies, size, ids[c.Label] = append(copies, c), size+len(c.Sealed), t.id
		}
	}
	if err := s.drop(ctx, custodian, gone); err != nil {
		return nil, err
	}
	if len(copies) > 0 {
		untaken, err := s.put(ctx, custodian, copies)
		if err != nil {
			return nil, err
		}
		for _, l := range untaken {
			refused[ids[l]] = true
		}
	}
	if len(refused) > 0 {
		s.Log.Warn("a custodian does not take some copies", "custodian", custodian, "copies", len(refused))
	}
	s.sent(q, some, refused)
	return refused, nil
}

// copyNow makes the copy of an entry, where it is there and is copied.
func (s *Sender) copyNow(id string) (c sealedCopy, there, copied bool, err error) {
	value, err := s.Vault.Get(id)
	if errors.Is(err, vault.ErrNotFound) {
		return c, false, false, nil
	}
	if err != nil {
		return c, false, false, err
	}
	c, copied, err = s.copyOf(id, value)
	clear(value)
	if err != nil {
		return c, false, false, err
	}
	// Shredded between the two: the number may be that of another life.
	still, err := s.Vault.Has(id)
	return c, true, still && copied, err
}

func (s *Sender) copyOf(id string, value []byte) (sealedCopy, bool, error) {
	n, ok := s.NumberOf(id, value)
	if !ok {
		return sealedCopy{}, false, nil
	}
	l := Label{Number: n, Copy: s.Key.name(id)}
	b, err := s.Key.seal(l, id, value)
	return sealedCopy{Label: l, Sealed: b}, true, err
}

// put sends copies, and returns those that the custodian does not take.
func (s *Sender) put(ctx context.Context, custodian string, copies []sealedCopy) ([]Label, error) {
	var o offerAnswer
	if err := s.ask(ctx, custodian, callOffer, nil, &o); err != nil {
		return nil, err
	}
	file, err := packed(o.Offer, s.Self, custodian, copies, o.Recipient)
	if err != nil {
		return nil, err
	}
	var answer putAnswer
	if err := s.ask(ctx, custodian, callPut, &putRequest{Offer: o.Offer, Parcel: file}, &answer); err != nil {
		return nil, err
	}
	if answer.Buried > 0 {
		s.Log.Info("a custodian took no copies of what is erased", "custodian", custodian, "copies", answer.Buried)
	}
	untaken, ok := labelsOf(answer.Untaken, maxCopies)
	if !ok || slices.ContainsFunc(untaken, func(l Label) bool {
		return !slices.ContainsFunc(copies, func(c sealedCopy) bool { return c.Label == l })
	}) {
		return nil, errors.New("an answer about other copies")
	}
	return untaken, nil
}

func (s *Sender) ask(ctx context.Context, custodian, what string, req, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	m := message{What: what}
	if req != nil {
		m.Body = canon.Must(req)
	}
	got, err := s.Network.Ask(ctx, custodian, canon.Must(&m))
	if err != nil || answer == nil {
		return err
	}
	return canon.UnmarshalMax(got, MaxResponse, answer)
}

// compareWith queues what a custodian lacks, and drops what the vault has no more.
// Copies that come while it runs are in the queue; so they are sent once too often
// rather than never.
func (s *Sender) compareWith(ctx context.Context, custodian string, q *queue) error {
	theirs, err := s.labels(ctx, custodian)
	if err != nil {
		return err
	}
	seen := make([]bool, len(theirs))
	var missing []string
	for bucket := range s.Vault.Buckets() {
		entries, err := s.in(bucket)
		if err != nil {
			return err
		}
		for _, e := range entries {
			n, ok := s.NumberOf(e.ID, e.Value)
			clear(e.Value)
			if !ok {
				continue
			}
			if i, ok := slices.BinarySearchFunc(theirs, Label{Number: n, Copy: s.Key.name(e.ID)}, compareLabels); ok {
				seen[i] = true
			} else {
				missing = append(missing, e.ID)
			}
		}
	}
	s.mu.Lock()
	for _, id := range missing {
		q.await(id)
	}
	q.most = len(q.waiting) + maxWaiting
	s.mu.Unlock()
	var gone []Label
	for i, l := range theirs {
		if !seen[i] {
			gone = append(gone, l)
		}
	}
	return s.drop(ctx, custodian, gone)
}

// drop has a custodian destroy copies.
func (s *Sender) drop(ctx context.Context, custodian string, gone []Label) error {
	for part := range slices.Chunk(gone, maxCopies) {
		var labels []byte
		for _, l := range part {
			b := l.bytes()
			labels = append(labels, b[:]...)
		}
		if err := s.ask(ctx, custodian, callDrop, &dropRequest{Labels: labels}, nil); err != nil {
			return err
		}
	}
	return nil
}

// in returns copies of the entries of one bucket.
func (s *Sender) in(bucket int) (out []vault.Entry, err error) {
	err = s.Vault.EachIn(bucket, func(id string, value []byte) error {
		out = append(out, vault.Entry{ID: id, Value: bytes.Clone(value)})
		return nil
	})
	return out, err
}

// labels returns what a custodian keeps, ascending.
func (s *Sender) labels(ctx context.Context, custodian string) ([]Label, error) {
	var out []Label
	for more := true; more; {
		var r listRequest
		if len(out) > 0 {
			b := out[len(out)-1].bytes()
			r.After = b[:]
		}
		var a listAnswer
		if err := s.ask(ctx, custodian, callList, &r, &a); err != nil {
			return nil, err
		}
		page, ok := labelsOf(a.Labels, maxLabels)
		if !ok || a.More && len(page) == 0 {
			return nil, errors.New("a list that is none")
		}
		for _, l := range page {
			if len(out) > 0 && compareLabels(out[len(out)-1], l) >= 0 {
				return nil, errors.New("a list out of order")
			}
			out = append(out, l)
		}
		more = a.More
	}
	return out, nil
}
