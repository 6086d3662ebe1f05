package custody

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Items of a dataset are handed over under no consent: its deadline and its erasure
// would not reach the recipient.
func TestProvideDataset(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	seen, err := a.Collect(ctx, Call{}, Collection{Person: ref, Service: "a-portal", Purpose: "service", Retention: "P7D",
		Items: map[string]string{"name": "as it was seen"}})
	noErr(t, err)
	r := provideRequest(ref)
	r.Items, r.Dataset = []string{"name"}, seen.ID
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, record.CodeNoConsent)
	w.consent(ref, "service")
	_, err = a.Provide(ctx, Call{}, r)
	wantCode(t, err, CodeDatasetGround)
	r.Dataset = ""
	_, err = a.Provide(ctx, Call{}, r)
	noErr(t, err)
}
