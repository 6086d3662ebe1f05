package escrow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Bounds of Ensure.
const (
	ensureWithin = 3 * time.Second        // a custodian that answered when it was last asked; one that did not, two thirds of it
	ensureOthers = 250 * time.Millisecond // the others, when one has the copies
	ensureAtOnce = 50                     // entries of one parcel: well within maxBatchBytes
)

// round is what goes to one custodian at once, before all that waits. One is on its way
// at a time; who comes meanwhile joins the next. It does not end with who asked for it:
// a custodian is judged by the time that it had, not by the callers' patience.
type round struct {
	ids     []string
	done    chan struct{}
	refused map[string]bool // of each that was sent, whether the custodian did not take it; when done
	err     error           // why the others were not sent; when done
}

// request is the part of a round that one caller waits for.
type request struct {
	custodian string
	ids       []string
	round     *round // nil: the custodian has them all
	doubted   bool   // it did not answer when it was last asked
	within    time.Duration
}

// Ensure sends copies of these entries at once, before all that waits, and returns when
// a custodian has them durably; the others have had as long as the first, and a moment
// more, unless they did not answer when last asked. What they lack waits for Duty. An
// error says that no custodian has them all, or that none of those named holds copies; a
// member that named no custodian chose so, and gets none.
func (s *Sender) Ensure(ctx context.Context, ids ...string) error {
	custody, err := s.custody()
	if err != nil || custody == nil || len(custody.Custodians) == 0 {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		doubted bool
		err     error
	}
	asked := s.request(ctx, custody, ids)
	answers, trusted := make(chan answer, len(asked)), 0
	for _, r := range asked {
		if !r.doubted {
			trusted++
		}
		go func() { answers <- answer{r.doubted, r.wait(ctx)} }()
	}
	var moment <-chan time.Time
	failed := []error{errors.New("no custodian has them")}
	for range asked {
		select {
		case a := <-answers:
			if !a.doubted {
				trusted--
			}
			if a.err == nil && moment == nil {
				moment = time.After(s.others)
			}
			if moment != nil && trusted == 0 {
				return nil
			}
			failed = append(failed, a.err)
		case <-moment:
			return nil
		}
	}
	return errors.Join(failed...)
}

// request has every custodian that holds copies sent what it lacks.
func (s *Sender) request(ctx context.Context, custody *rules.Custody, ids []string) (out []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range custody.Custodians {
		if c := &custody.Custodians[i]; c.Holds() && !c.Ending {
			out = append(out, s.join(ctx, c, ids))
		}
	}
	return out
}

// join puts what a custodian lacks into its next round, and has that sent. s.mu is held.
func (s *Sender) join(ctx context.Context, c *rules.Custodian, ids []string) *request {
	q := s.queue(c)
	r := &request{custodian: c.ID, doubted: q.failed != nil, within: s.patience(q)}
	for _, t := range s.lacks(c.ID, q, ids) {
		r.ids = append(r.ids, t.id)
	}
	if len(r.ids) == 0 {
		return r
	}
	if q.next == nil {
		q.next = &round{done: make(chan struct{}), refused: map[string]bool{}}
	}
	r.round = q.next
	r.round.ids = append(r.round.ids, r.ids...)
	if !q.hurries {
		q.hurries = true
		go s.hurry(context.WithoutCancel(ctx), c.ID, q)
	}
	return r
}

// errNotTaken says that a custodian has no place for a copy.
var errNotTaken = errors.New("it does not take all of the copies")

func (r *request) wait(ctx context.Context) error {
	if r.round == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", r.custodian, ctx.Err())
	case <-r.round.done:
	}
	for _, id := range r.ids {
		switch refused, sent := r.round.refused[id]; {
		case !sent:
			return fmt.Errorf("%s: %w", r.custodian, r.round.err)
		case refused:
			return fmt.Errorf("%s: %w", r.custodian, errNotTaken)
		}
	}
	return nil
}

// hurry sends a custodian's rounds until there is no next one.
func (s *Sender) hurry(ctx context.Context, custodian string, q *queue) {
	for {
		s.mu.Lock()
		p := q.next
		q.next, q.hurries = nil, p != nil
		s.mu.Unlock()
		if p == nil {
			return
		}
		p.ids = slices.Compact(slices.Sorted(slices.Values(p.ids)))
		p.err = s.sendRound(ctx, custodian, q, p)
		s.mu.Lock()
		// What does not wait any more, somebody else has sent meanwhile. What waits is
		// Duty's, which ends the failure; its pace is its own.
		if p.err == nil || len(s.lacks(custodian, q, p.ids)) > 0 {
			q.failed = p.err
		}
		s.mu.Unlock()
		close(p.done)
	}
}

func (s *Sender) sendRound(ctx context.Context, custodian string, q *queue, p *round) error {
	s.mu.Lock()
	lacks, within := s.lacks(custodian, q, p.ids), s.patience(q)
	s.mu.Unlock()
	for _, id := range p.ids {
		if !slices.ContainsFunc(lacks, func(t taken) bool { return t.id == id }) {
			p.refused[id] = false // by Duty
		}
	}
	for some := range slices.Chunk(lacks, ensureAtOnce) {
		limited, cancel := context.WithTimeout(ctx, within)
		refused, err := s.sendSome(limited, custodian, q, some)
		cancel()
		if err != nil {
			return err
		}
		for _, t := range some {
			p.refused[t.id] = refused[t.id]
		}
	}
	return nil
}

// lacks returns which of these entries a custodian may not have. s.mu is held.
func (s *Sender) lacks(custodian string, q *queue, ids []string) (out []taken) {
	for _, id := range ids {
		w, waits := q.waiting[id]
		if waits || !q.known() || s.serving[custodian] {
			out = append(out, taken{id, w})
		}
	}
	return out
}

// patience returns how long it is worth waiting for a custodian. s.mu is held.
func (s *Sender) patience(q *queue) time.Duration {
	if q.failed != nil {
		return s.within * 2 / 3
	}
	return s.within
}
