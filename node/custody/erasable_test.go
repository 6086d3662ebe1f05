package custody

import (
	"crypto/rand"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
)

// TestErasableWhole: nobody gets more identities than the record of an erasure names.
func TestErasableWhole(t *testing.T) {
	w := newWorld(t)
	a := w.members["a-sha"]
	ref := w.standard()
	q, release, err := a.use(ref)
	noErr(t, err)
	for q.numbered() < maxNumbered {
		var k sign.PublicKey
		rand.Read(k[:])
		noErr(t, a.put(handleEntry(k, ref, "a-portal")))
	}
	release()
	collect := Collection{Person: ref, Service: "a-portal", Purpose: "service", Retention: "P7D", Items: map[string]string{"name": "x"}}
	_, err = a.Collect(ctx, Call{}, collect)
	wantCode(t, err, CodeDatasetsFull)
	_, err = a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-portal", Source: "self", Items: map[string]string{"name": "changed"}})
	noErr(t, err)
	view, _, err := a.Erase(ctx, Call{Client: "app", Key: "erase"}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	w.duties()
	if _, err := a.Disclose(ctx, ref); err == nil {
		t.Errorf("still there: %+v", view)
	}
}
