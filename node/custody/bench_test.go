package custody

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
)

// All checks, seals and openings of one hand-over, up to the submission.
func BenchmarkPrepareProvision(b *testing.B) {
	w := newWorld(b, "a-sha", "b-sha")
	a := w.members["a-sha"]
	w.consent(w.standard(), "service")
	st := w.state()
	s, err := a.service(st, "a-portal")
	noErr(b, err)
	for b.Loop() {
		h := &handOver{ProvideRequest: provideRequest(refMarker), from: "a-sha", service: s}
		if _, err := a.prepare(ctx, st, h); err != nil {
			b.Fatal(err)
		}
		h.release()
	}
}

// A full vault: reading it back at the start, and one person's erasure. Once is
// enough: -benchtime 1x.
func BenchmarkFullVault(b *testing.B) {
	w := newWorld(b, "a-sha")
	a := w.members["a-sha"]
	identity, err := seal.NewIdentity()
	noErr(b, err)
	var entries []vault.Entry
	for i := range 19_000 {
		ref := Ref(fmt.Sprintf("p%05d", i))
		value := append(identity.Marshal(), make([]byte, 16)...)
		rand.Read(value[95:])
		h := make([]byte, 32)
		rand.Read(h)
		entries = append(entries, vault.Entry{ID: "p/" + string(ref) + "/ks", Value: make([]byte, 33)},
			vault.Entry{ID: "p/" + string(ref) + "/c/a-portal", Value: value},
			vault.Entry{ID: "h/" + string(h), Value: canon.Must(&knownHandle{ref, "a-portal"})},
			vault.Entry{ID: fmt.Sprintf("l/phone/%011d", i), Value: []byte(ref)})
		if len(entries) >= 2000 {
			noErr(b, a.vault.Put(entries...))
			entries = nil
		}
	}
	noErr(b, a.vault.Put(entries...))
	ref := w.standard()
	w.consent(ref, "service")
	start := time.Now()
	w.reopen(a)
	opened := time.Since(start)
	start = time.Now()
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(b, err)
	erased := time.Since(start)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(opened.Milliseconds()), "ms/start")
	b.ReportMetric(float64(erased.Milliseconds()), "ms/erase")
	b.ReportMetric(float64(a.People(ctx)), "people")
}

func BenchmarkRegister(b *testing.B) {
	w := newWorld(b, "a-sha")
	w.standard()
	i := 0
	for b.Loop() {
		i++
		_, err := w.members["a-sha"].Register(ctx, Call{}, Registration{Person: Ref(fmt.Sprintf("p%07d", i)), Service: "a-portal", Source: "self",
			Items: map[string]string{"name": nameMarker}, Lookup: map[string]string{"phone": fmt.Sprint(i)}})
		noErr(b, err)
	}
}
