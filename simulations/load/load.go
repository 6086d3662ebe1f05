// Package load is the load generator behind docs/performance.md: closed-loop
// clients that post records to the nodes of a running consortium and count what
// became final.
//
// # What is measured
//
// Every client posts one batch, waits until it is final, and posts the next.
// Records are those of a consortium's day: hand-overs under consent (90 % by
// default) and new consents, each signed by a handle of its own. Records are
// built inside the clock: the generator shares the machine with the nodes, so
// its own work counts against the figures. Nothing is sealed: openings would
// stay with the clients.
//
// A record that is refused, or a request that fails, is counted and shown;
// neither counts as final.
package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Options shape a run.
type Options struct {
	Members  []Target      // nodes that clients post to, in turn
	Origin   string        // the log's name
	Clients  int           // at once
	Batch    int           // records a request, 1 to 1000
	Duration time.Duration // of the measured part
	Records  int           // ends the run earlier, after this many final records; 0: no bound
	Consents int           // per cent of records that are consents; the rest are hand-overs
	Handles  int           // handles with a consent that hand-overs draw from, a member
	Progress func(done int, elapsed time.Duration)
}

// Target is one node.
type Target struct {
	Member string // id
	URL    string // http://host:port
	Token  string // of role app
}

// Report is what a run measured.
type Report struct {
	Clients   int           `json:"clients"`
	Batch     int           `json:"batch"`
	Consents  int           `json:"consentsPercent"`
	Elapsed   time.Duration `json:"elapsedNs"`
	Records   int           `json:"finalRecords"`
	Refused   int           `json:"refused"`
	Failed    int           `json:"failedRequests"`
	PerSecond float64       `json:"finalRecordsPerSecond"`
	P50       time.Duration `json:"p50Ns"`
	P90       time.Duration `json:"p90Ns"`
	P99       time.Duration `json:"p99Ns"`
	Max       time.Duration `json:"maxNs"`
	FirstErr  string        `json:"firstError,omitempty"`
}

// Check says what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case len(o.Members) == 0:
		return errors.New("load: no nodes to post to")
	case o.Clients < 1 || o.Clients > 4096:
		return fmt.Errorf("load: %d clients, 1 to 4096", o.Clients)
	case o.Batch < 1 || o.Batch > record.MaxRecords:
		return fmt.Errorf("load: %d records a request, 1 to %d", o.Batch, record.MaxRecords)
	case o.Consents < 0 || o.Consents > 100:
		return fmt.Errorf("load: %d per cent consents, 0 to 100", o.Consents)
	case o.Handles < 1:
		return fmt.Errorf("load: %d handles, at least 1", o.Handles)
	case o.Duration <= 0:
		return fmt.Errorf("load: a duration of %v", o.Duration)
	case o.Records < 0:
		return fmt.Errorf("load: %d records", o.Records)
	}
	return nil
}

// Run prepares a service and consented handles at each node, then measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	posters := make([]*poster, len(o.Members))
	for i, t := range o.Members {
		p, err := newPoster(ctx, t, o)
		if err != nil {
			return nil, fmt.Errorf("load: prepare %s: %w", t.Member, err)
		}
		posters[i] = p
	}
	r := &run{Options: o, begin: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	r.cancel = cancel
	var wg sync.WaitGroup
	for i := range o.Clients {
		wg.Go(func() { r.client(ctx, posters[i%len(posters)]) })
	}
	stop := make(chan struct{})
	go r.progress(stop)
	wg.Wait()
	close(stop)
	return r.report(), nil
}

// run collects what clients measure.
type run struct {
	Options
	cancel context.CancelFunc
	begin  time.Time

	mu       sync.Mutex
	times    []time.Duration
	records  int
	refused  int
	failed   int
	firstErr string
}

// client posts in a closed loop until the time is over.
func (r *run) client(ctx context.Context, p *poster) {
	for ctx.Err() == nil {
		began := time.Now()
		leaves, err := p.build(r.Batch, r.Consents)
		var final, refused int
		if err == nil {
			final, refused, err = p.post(ctx, leaves)
		}
		if ctx.Err() != nil {
			return // cut off by the end: neither final nor failed
		}
		r.add(time.Since(began), final, refused, err)
		if err != nil {
			pause(ctx, 20*time.Millisecond)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (r *run) add(d time.Duration, final, refused int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed++
		if r.firstErr == "" {
			r.firstErr = err.Error()
		}
		return
	}
	r.times = append(r.times, d)
	r.records += final
	r.refused += refused
	if r.Options.Records > 0 && r.records >= r.Options.Records {
		r.cancel()
	}
}

func (r *run) progress(stop chan struct{}) {
	if r.Progress == nil {
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			r.mu.Lock()
			n := r.records
			r.mu.Unlock()
			r.Progress(n, time.Since(r.begin))
		}
	}
}

func (r *run) report() *Report {
	elapsed := time.Since(r.begin)
	rep := &Report{Clients: r.Clients, Batch: r.Batch, Consents: r.Consents, Elapsed: elapsed, Records: r.records,
		Refused: r.refused, Failed: r.failed, PerSecond: float64(r.records) / elapsed.Seconds(), FirstErr: r.firstErr}
	if len(r.times) > 0 {
		slices.Sort(r.times)
		at := func(q float64) time.Duration { return r.times[min(len(r.times)-1, int(q*float64(len(r.times))))] }
		rep.P50, rep.P90, rep.P99, rep.Max = at(0.50), at(0.90), at(0.99), r.times[len(r.times)-1]
	}
	return rep
}

func newID() record.ID {
	var id record.ID
	if _, err := rand.Read(id[:]); err != nil {
		panic("load: no randomness: " + err.Error())
	}
	return id
}
