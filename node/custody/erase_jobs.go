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
	handles map[sign.PublicKey]int // that will be closed: by how many
}

type erasureJob struct {
	id    record.ID
	plan  *erasurePlan              // changed under the erasure's lock and erasures.mu
	told  map[string]time.Time      // holders that have answered, and when last
	later map[sign.PublicKey]uint64 // closings that were missed: when they are due instead
	ended map[sign.PublicKey]bool   // handles that are closed, with nothing open under them

	pieces  []string // vault entries with the plan's copy
	sinceMs uint64   // since when its erasure may never come (neverRecorded); 0: it does
}

// add takes a plan up, with the vault entries of its copy. One that was read back, or may
// be without its erasure, says since when.
func (e *erasures) add(p *erasurePlan, sinceMs uint64, pieces ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs == nil {
		e.jobs, e.handles = map[record.ID]*erasureJob{}, map[sign.PublicKey]int{}
	}
	if e.jobs[p.Erasure] != nil {
		return
	}
	e.jobs[p.Erasure] = &erasureJob{id: p.Erasure, plan: p, sinceMs: sinceMs, pieces: pieces,
		told: map[string]time.Time{}, later: map[sign.PublicKey]uint64{}, ended: map[sign.PublicKey]bool{}}
	for _, c := range p.Close { // which no later plan of it changes
		e.handles[c.Handle]++
	}
}

// remove forgets a plan. What another one closes, too, goes on to be closed.
func (e *erasures) remove(p *erasurePlan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs[p.Erasure] == nil {
		return
	}
	delete(e.jobs, p.Erasure)
	for _, c := range p.Close {
		if e.handles[c.Handle]--; e.handles[c.Handle] == 0 {
			delete(e.handles, c.Handle)
		}
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
	return e.handles[k] > 0
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
