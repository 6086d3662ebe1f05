package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// TestCustodian: who names, agrees, ends; and only then copies count.
func TestCustodian(t *testing.T) {
	c := newCity(t)
	ended := func(issuerGeneration uint64) *record.Record {
		r := c.Custodian("a-sha", "b-sha", issuerGeneration)
		r.Body.(*record.Custodian).End = true
		return r
	}
	c.Must("a-sha", c.Party("shop", "retail", "shop"))
	c.want("not a member", record.CodeMemberNotActive, "a-sha", c.Custodian("a-sha", "shop", 0))
	c.want("nobody", record.CodePartyUnknown, "a-sha", c.Custodian("a-sha", "nobody", 0))
	c.want("named by another", record.CodeNotAuthorised, "c-sha", c.Custodian("a-sha", "b-sha", 0))
	c.want("not named", record.CodeCustodianUnknown, "b-sha", c.Custodian("a-sha", "b-sha", 3))
	c.want("ended before it began", record.CodeCustodianUnknown, "a-sha", ended(0))
	c.want("named", "", "a-sha", c.Custodian("a-sha", "b-sha", 0))
	c.want("named twice", record.CodeDuplicate, "a-sha", c.Custodian("a-sha", "b-sha", 0))
	c.want("an owner speaks for it", record.CodeNotAuthorised, "a-sha", c.Custodian("a-sha", "b-sha", 3))
	c.want("lost before it agreed", record.CodeCustodianUnknown, "a-sha", c.CustodianLost("a-sha", "b-sha", record.LostDestroyed))

	c.want("an erasure before it agreed", "", "a-sha", c.Erasure([]record.KeyNumber{{1}}, "a-sha"))
	c.want("it agrees", "", "b-sha", c.Custodian("a-sha", "b-sha", 3))
	e := c.Erasure([]record.KeyNumber{{2}}, "a-sha", "c-sha")
	c.want("an erasure", "", "a-sha", e)
	if got := ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(e.ID)).Copies; len(got) != 1 || got[0] != (rules.CopyErase{Member: "a-sha", Custodian: "b-sha"}) {
		t.Errorf("copies of the erasure: %+v", got)
	}

	c.want("destroyed unasked", record.CodeNotAuthorised, "b-sha", ended(4))
	c.want("ended", "", "a-sha", ended(0))
	c.want("ended twice", record.CodeDuplicate, "a-sha", ended(0))
	c.want("a new vault after the end", record.CodeNotAuthorised, "b-sha", c.Custodian("a-sha", "b-sha", 4))
	late := c.Erasure([]record.KeyNumber{{3}}, "a-sha")
	c.want("an erasure while it still holds copies", "", "a-sha", late)
	c.want("destroyed", "", "b-sha", ended(4))
	after := c.Erasure([]record.KeyNumber{{4}}, "a-sha")
	c.want("an erasure after it", "", "a-sha", after)
	for id, want := range map[record.ID]int{late.ID: 1, after.ID: 0} {
		if got := ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(id)).Copies; len(got) != want {
			t.Errorf("copies: %+v, want %d", got, want)
		}
	}
	c.want("named anew", "", "a-sha", c.Custodian("a-sha", "b-sha", 0))
}

// TestCustodianAttests: after the member itself, once, and never below the
// generation that it attested.
func TestCustodianAttests(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Custodian("a-sha", "b-sha", 0))
	c.Must("b-sha", c.Custodian("a-sha", "b-sha", 3))
	e, next := c.Erasure([]record.KeyNumber{{1}}, "a-sha", "c-sha"), c.Erasure([]record.KeyNumber{{2}}, "a-sha")
	c.Must("a-sha", e, next)
	c.want("before the owner", record.CodeAttestationEarly, "b-sha", c.AttestCopies(e.ID, "a-sha", 5))
	c.Must("a-sha", c.Attestation(e.ID), c.Attestation(next.ID))
	c.want("another", record.CodeNotAuthorised, "c-sha", c.AttestCopies(e.ID, "a-sha", 5))
	c.want("copies of another", record.CodeNotAuthorised, "b-sha", c.AttestCopies(e.ID, "c-sha", 5))
	c.want("the custodian", "", "b-sha", c.AttestCopies(e.ID, "a-sha", 5))
	c.want("twice", record.CodeDuplicate, "b-sha", c.AttestCopies(e.ID, "a-sha", 6))
	c.want("with an older vault", record.CodeCustodianStale, "b-sha", c.AttestCopies(next.ID, "a-sha", 4))
	c.want("its word on a new vault", "", "b-sha", c.Custodian("a-sha", "b-sha", 2))
	c.want("with that", "", "b-sha", c.AttestCopies(next.ID, "a-sha", 4))
	got := ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(e.ID))
	if len(got.Copies) != 1 || got.Copies[0].Generation != 5 || got.Copies[0].TimeMs == 0 || len(got.Pending) != 1 {
		t.Errorf("erasure: %+v", got)
	}
	if k := ledgertest.Value[rules.Custody](c.Consortium, rules.KeyCustody("a-sha")).Of("b-sha"); k.Generation != 4 {
		t.Errorf("custodian: %+v", k)
	}
}

// TestCustodianLost: a loss closes the erasures before it by name, and none after.
func TestCustodianLost(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Custodian("a-sha", "b-sha", 0), c.Custodian("a-sha", "c-sha", 0))
	c.Must("b-sha", c.Custodian("a-sha", "b-sha", 3))
	c.Must("c-sha", c.Custodian("a-sha", "c-sha", 3))
	before := c.Erasure([]record.KeyNumber{{1}}, "a-sha")
	c.Must("a-sha", before)
	c.Must("a-sha", c.Attestation(before.ID))
	c.Must("c-sha", c.AttestCopies(before.ID, "a-sha", 4))
	c.want("said by who has no part in it", record.CodeNotAuthorised, "c-sha", c.CustodianLost("a-sha", "b-sha", record.LostStolen))
	c.want("lost", "", "a-sha", c.CustodianLost("a-sha", "b-sha", record.LostStolen))
	c.want("lost twice", record.CodeCustodianUnknown, "b-sha", c.CustodianLost("a-sha", "b-sha", record.LostDestroyed))
	c.want("its word afterwards", record.CodeCustodianUnknown, "b-sha", c.Custodian("a-sha", "b-sha", 9))
	c.want("named anew", "", "a-sha", c.Custodian("a-sha", "b-sha", 0))
	c.want("agrees anew", "", "b-sha", c.Custodian("a-sha", "b-sha", 1))
	after := c.Erasure([]record.KeyNumber{{2}}, "a-sha")
	c.Must("a-sha", after)

	custody := ledgertest.Value[rules.Custody](c.Consortium, rules.KeyCustody("a-sha"))
	for _, want := range []struct {
		id     record.ID
		of     string
		reason string
	}{{before.ID, "b-sha", record.LostStolen}, {before.ID, "c-sha", ""}, {after.ID, "b-sha", ""}} {
		e := ledgertest.Value[rules.Erasure](c.Consortium, rules.KeyErasure(want.id))
		for _, copy := range e.Copies {
			if copy.Custodian != want.of {
				continue
			}
			got := ""
			if l := e.Lost(copy, custody); l != nil {
				got = l.Reason
			}
			if got != want.reason {
				t.Errorf("copy of %s: lost %q, want %q", want.of, got, want.reason)
			}
		}
	}
}
