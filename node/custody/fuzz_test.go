package custody

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// FuzzHandle: whatever another member sends to a desk is answered or refused
// with a code, and a member that has no part in a hand-over gets nothing back.
func FuzzHandle(f *testing.F) {
	w := newWorld(f, "a-sha", "b-sha", "c-sha")
	a := w.members["a-sha"]
	w.consent(w.standard(), "service")
	done, err := a.Provide(ctx, Call{}, provideRequest(refMarker))
	if err != nil {
		f.Fatal(err)
	}
	intent, err := parseID(done.Records[0].ID)
	if err != nil {
		f.Fatal(err)
	}
	calls := []string{callOpening, callOnward, callOffer, callDeliver, callErase, "other"}
	for i, good := range []any{&openingRequest{ID: intent, Party: "b-sha"}, &onwardRequest{Intent: intent, To: "c-sha", Party: "b-sha"},
		&offerRequest{Intent: intent}, &deliverRequest{Intent: intent, Parcel: []byte("age")},
		&eraseRequest{Erasure: intent, Handles: make([]sign.PublicKey, 2)}} {
		for to := range 2 {
			f.Add(uint8(i), to == 0, canon.Must(good))
		}
	}
	f.Fuzz(func(t *testing.T, call uint8, atOwner bool, req []byte) {
		to := w.members["b-sha"]
		if atOwner {
			to = a
		}
		answer, err := to.Handle(ctx, "c-sha", calls[int(call)%len(calls)], req)
		var refusal *record.Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("no refusal: %v", err)
		}
		if len(answer) > 0 {
			t.Errorf("a member that has no part in it got %d bytes", len(answer))
		}
	})
}
