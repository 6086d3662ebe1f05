package node_test

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestRestoreGoesOnTelling: the issuer of an erasure loses its disk after one of its
// custodians attested, and before a recipient that was down has heard of it. Restored,
// it goes on from the plan that the custodian kept, and the certificate gets complete.
func TestRestoreGoesOnTelling(t *testing.T) {
	c := newPlundered(t)
	c.enter(0)
	b := c.backup("a-sha")
	c.everyKeyCopied()
	c.stop("b-sha")
	id := c.eraseAt("a-sha", "many-000")
	erasure := func() (e *rules.Erasure, err error) {
		return rules.Load[rules.Erasure](c.nodes["pf"].FinalState(), rules.KeyErasure(id))
	}
	c.eventually("pf attests", func() error {
		e, err := erasure()
		if err == nil && (e == nil || !attestedBy(e, "a-sha", "pf")) {
			err = fmt.Errorf("%+v", e)
		}
		return err
	})
	if e, err := erasure(); err != nil || len(e.Pending) != 1 || e.Pending[0] != "b-sha" {
		t.Fatalf("%+v, %v", e, err)
	}
	c.lose("a-sha")
	c.start("b-sha")
	c.eventually("b-sha is ready", c.nodes["b-sha"].Ready)
	c.comeBack("a-sha", b, c.key)
	c.attestedByAll(id)
	e, err := erasure()
	must(t, err)
	if len(e.Done) != 2 || c.nodes["b-sha"].Desk().People(t.Context()) != 0 {
		t.Errorf("%+v", e)
	}
}

func attestedBy(e *rules.Erasure, member, custodian string) bool {
	for _, k := range e.Copies {
		if k.Member == member && k.Custodian == custodian && k.TimeMs != 0 {
			return true
		}
	}
	return false
}
