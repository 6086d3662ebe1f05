package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// instant is a leader whose batches are applied and final when they are sent.
type instant struct {
	mu     sync.Mutex
	height uint64
	size   uint64
	subs   int
	o      *Outbox
}

func (l *instant) Send(_ context.Context, sub *record.Submitted, _ bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.height++
	l.subs++
	n := len(sub.Leaves)
	b := &store.Batch{Result: &rules.Result{Height: l.height,
		Outcomes: []rules.Outcome{{Issuer: sub.Submission.Issuer, Seq: sub.Submission.Seq, Records: n}},
		Seal:     record.Seal{Submissions: []record.Submission{sub.Submission}}}}
	b.End = store.End{Height: l.height, First: l.size, TimeMs: l.height}
	l.size += uint64(n) + 1
	l.o.Applied(b)
	l.o.Final(l.height, l.height)
	return nil
}

type noView struct{ View }

func (noView) Get([]byte) ([]byte, error) { return nil, nil }

// BenchmarkSubmit is the outbox alone: leaves, hashes, signature, idempotency,
// answers; the leader is instant.
func BenchmarkSubmit(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		for _, disk := range []string{"memory", "badger"} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, disk), func(b *testing.B) { benchmark(b, callers, disk == "badger") })
		}
	}
}

func benchmark(b *testing.B, callers int, disk bool) {
	quiet := slog.New(slog.DiscardHandler)
	key := sign.NewKey()
	lead := &instant{}
	var blobs Blobs = newMemory()
	if disk {
		s, err := store.OpenBlobs(b.TempDir(), quiet, store.WithMinFree(0))
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		blobs = s
	}
	o, err := Open(Config{Origin: "bench.example/log", Blobs: blobs, Leader: lead, NowMs: func() uint64 { return 1 },
		State: func() View { return noView{} }, Tick: func() {}, Stop: func(err error) { b.Error(err) }, Log: quiet,
		Key: func(string) (sign.Key, bool) { return key, true }})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	lead.o = o
	var next atomic.Uint64
	work := make(chan struct{}, callers)
	var group sync.WaitGroup
	b.ReportAllocs()
	for range callers {
		group.Go(func() {
			for range work {
				n := next.Add(1)
				commitment := record.Digest{byte(n)}
				rec := &record.Record{Kind: record.KindProvision, Issuer: "a-sha", Commitment: &commitment,
					Body: &record.Provision{Handle: sign.PublicKey{1}, Terms: 1, Scope: 1, To: "b-sha", DeadlineMs: 3600_000}}
				for i := range 8 {
					rec.ID[i] = byte(n >> (8 * i))
				}
				rec.ID[15] = 1
				if _, err := o.Submit(b.Context(), Request{Issuer: "a-sha", Client: "app", Key: fmt.Sprint(n), Records: []*record.Record{rec}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(lead.subs), "records/submission")
}
