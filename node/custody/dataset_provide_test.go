package custody

import (
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Items of a dataset are handed over under a consent like those that are registered,
// until its deadline, and without one not at all.
func TestProvideDataset(t *testing.T) {
	w := newWorld(t)
	a, b := w.members["a-sha"], w.members["b-sha"]
	ref := w.standard()
	seen, err := a.Collect(ctx, Call{}, Collection{Person: ref, Service: "a-portal", Purpose: "service", Retention: "P7D",
		Items: map[string]string{"name": "as it was seen"}})
	noErr(t, err)
	r := provideRequest(ref)
	r.Items, r.Dataset = []string{"name"}, seen.ID
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, record.CodeNoConsent)
	w.consent(ref, "service")
	r.Dataset = "00112233445566778899aabbccddeeff"
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeDatasetUnknown)
	r.Dataset = seen.ID
	r.Items = []string{"name", "user-id"} // which is registered, and not in the dataset
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeItemAbsent)
	r.Items = []string{"name"}
	done, err := a.Provide(ctx, Call{}, r)
	noErr(t, err)
	w.duties()
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "同意"})
	noErr(t, err)
	wantHeld(t, b, "a-portal", map[string]string{"name": "as it was seen"})
	w.set(func() { w.c.NowMs = uint64(seen.Until.Add(time.Second).UnixMilli()) })
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeRetention)
}
