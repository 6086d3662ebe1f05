package record_test

import (
	"errors"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Rules Art. 19(2): no bulk record of hand-overs under an opt-out filing. Nor is a
// disclosure on a legal ground part of one, or a series named by anything but an id.
func TestSeriesOnlyOfProvisions(t *testing.T) {
	id := make([]byte, len(record.ID{}))
	for _, c := range []struct {
		kind   record.Kind
		series []byte
		good   bool
	}{
		{record.KindProvision, id, true},
		{record.KindProvision, nil, true},
		{record.KindProvision, id[:15], false},
		{record.KindOptOut, id, false},
		{record.KindOptOut, nil, true},
		{record.KindException, id, false},
	} {
		_, err := record.DecodePart(c.kind, canon.Must(&record.HandOverPart{Person: "p", Purpose: "service", Series: c.series}))
		var r *record.Refusal
		if c.good != (err == nil) || !c.good && (!errors.As(err, &r) || r.Code != record.CodeRecordMalformed) {
			t.Errorf("%v with %d bytes: %v", c.kind, len(c.series), err)
		}
	}
}
