package custody

import (
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// erasures is the erasures under way, in memory.
type erasures struct {
	mu      sync.Mutex
	jobs    map[record.ID]*erasureJob
	handles map[sign.PublicKey]bool // that will be closed
}

type erasureJob struct {
	id    record.ID
	plan  *erasurePlan              // changed under the erasure's lock and erasures.mu
	told  map[string]time.Time      // holders that have answered, and when last
	later map[sign.PublicKey]uint64 // closings that were missed: when they are due instead
	ended map[sign.PublicKey]bool   // handles that are closed, with nothing open under them

	pieces  []string // vault entries with the plan's copy
	sinceMs uint64   // when the plan was read back; 0: it was made by this desk
}

func (e *erasures) add(p *erasurePlan, pieces ...string) *erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs == nil {
		e.jobs, e.handles = map[record.ID]*erasureJob{}, map[sign.PublicKey]bool{}
	}
	if e.jobs[p.Erasure] == nil {
		e.jobs[p.Erasure] = &erasureJob{id: p.Erasure, plan: p, pieces: pieces, told: map[string]time.Time{}, later: map[sign.PublicKey]uint64{}, ended: map[sign.PublicKey]bool{}}
	}
	for _, c := range p.Close {
		e.handles[c.Handle] = true
	}
	return e.jobs[p.Erasure]
}

func (e *erasures) remove(p *erasurePlan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.jobs, p.Erasure)
	for _, c := range p.Close {
		delete(e.handles, c.Handle)
	}
}

func (e *erasures) job(id record.ID) *erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs[id]
}

func (e *erasures) all() []*erasureJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	var jobs []*erasureJob
	for _, j := range e.jobs {
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b *erasureJob) int { return slices.Compare(a.id[:], b.id[:]) })
	return jobs
}

// closes reports whether a handle is about to be closed.
func (e *erasures) closes(k sign.PublicKey) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handles[k]
}

// until returns the last days of the record identities that an erasure under way
// leaves.
func (e *erasures) until(id record.ID) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j := e.jobs[id]; j != nil {
		return j.plan.Until
	}
	return nil
}

// replace puts another plan in the place of a job's.
func (e *erasures) replace(j *erasureJob, next *erasurePlan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j.plan = next
}
