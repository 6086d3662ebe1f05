package escrow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Bounds of Ensure.
const (
	ensureWithin = 10 * time.Second       // a custodian that answered when it was last asked
	ensureFailed = 2 * time.Second        // one that did not
	ensureOthers = 250 * time.Millisecond // the others, when one has the copies
	ensureAtOnce = 50                     // entries of one parcel: well within maxBatchBytes
)

// Ensure sends copies of these entries at once, before all that waits, and returns when
// a custodian has them durably; the others have had as long as the first, and a moment
// more. What they lack waits for Duty. An error says that no custodian has them all; a
// member that named no custodian chose so, and gets none.
func (s *Sender) Ensure(ctx context.Context, ids ...string) error {
	custody, err := s.custody()
	if err != nil || custody == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureWithin)
	defer cancel()
	var wg sync.WaitGroup
	failed := make([]error, len(custody.Custodians))
	asked, lacking := 0, 0
	for i := range custody.Custodians {
		c := &custody.Custodians[i]
		if !c.Holds() || c.Ending {
			continue
		}
		asked++
		wg.Go(func() {
			if failed[i] = s.ensureAt(ctx, c, ids); failed[i] == nil {
				time.AfterFunc(ensureOthers, cancel)
			}
		})
	}
	wg.Wait()
	for i, err := range failed {
		if err != nil {
			lacking++
			failed[i] = fmt.Errorf("%s: %w", custody.Custodians[i].ID, err)
		}
	}
	if lacking < asked {
		return nil
	}
	return errors.Join(failed...)
}

// errNotTaken says that a custodian has no place for a copy.
var errNotTaken = errors.New("it does not take all of the copies")

func (s *Sender) ensureAt(ctx context.Context, c *rules.Custodian, ids []string) error {
	q, lacks, within := s.lacks(c, ids)
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for some := range slices.Chunk(lacks, ensureAtOnce) {
		refused, err := s.sendSome(limited, c.ID, q, some)
		if err == nil && refused > 0 {
			return errNotTaken
		}
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) { // else another was quicker, or nobody waits
			s.mu.Lock()
			q.ended(err)
			s.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lacks returns which of these entries a custodian may not have, and how long it is
// worth waiting for.
func (s *Sender) lacks(c *rules.Custodian, ids []string) (q *queue, out []taken, within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q = s.queue(c)
	for _, id := range ids {
		w, waits := q.waiting[id]
		if waits || !q.known() || s.serving[c.ID] {
			out = append(out, taken{id, w})
		}
	}
	if q.failed != nil {
		return q, out, ensureFailed
	}
	return q, out, ensureWithin
}
