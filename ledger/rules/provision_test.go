package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

func leafHash(leaf []byte) record.Digest { return record.Digest(merkle.LeafHash(leaf)) }

func TestProvisionRefusals(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	c.want("no consent", record.CodeNoConsent, "a-sha", c.give("b-sha"))
	c.grant()
	c.want("unknown recipient", record.CodeMemberNotActive, "a-sha", c.give("nobody"))
	c.want("to oneself", record.CodeNotAuthorised, "a-sha", c.give("a-sha"))
	c.want("not on the list", record.CodeRecipientNotListed, "a-sha", c.give("c-sha"))
	c.want("scope that is off", record.CodeNoConsent, "a-sha", c.Provision(h, 1, 1, "b-sha"))
	c.want("version that is not there", record.CodeNoConsent, "a-sha", c.Provision(h, 2, 0, "b-sha"))
	c.want("another handle", record.CodeNoConsent, "a-sha", c.Provision(c.Person("taro").Handle("portal", 0).Public(), 1, 0, "b-sha"))
	c.want("another's service", record.CodeServiceOwner, "c-sha", c.give("b-sha"))
	past, far := c.give("b-sha"), c.give("b-sha")
	past.Body.(*record.Provision).DeadlineMs = c.NowMs / record.HourMs * record.HourMs
	far.Body.(*record.Provision).DeadlineMs = (c.NowMs/record.HourMs + 367*24) * record.HourMs
	c.Pass(1)
	c.want("deadline past", record.CodeIntentDeadline, "a-sha", past)
	c.want("deadline in 367 days", record.CodeIntentDeadline, "a-sha", far)
	p := c.give("b-sha")
	c.want("", "", "a-sha", p)
	c.want("the id again", record.CodeRecordDuplicate, "a-sha", p)
	in := ledgertest.Value[rules.Intent](c.Consortium, rules.KeyIntent(p.ID))
	if in == nil || in.From != "a-sha" || in.To != "b-sha" || in.Handle != h {
		t.Errorf("intent: %+v", in)
	}
}

// Test002_22_RecipientPassesOnWithinTheScope: who is on the list may hand over
// to others on it, and to nobody else.
func Test002_22_RecipientPassesOnWithinTheScope(t *testing.T) {
	c := newCity(t)
	c.Must("a-sha", c.Grant(c.hana, c.terms, 1, ledgertest.Day("2027-06-01")))
	c.Must("pf", c.Party("shop", "retail"))
	on := func(to string) *record.Record { return c.Provision(c.hana.Public(), 1, 1, to) }
	c.want("listed to listed", "", "c-sha", on("b-sha"))
	c.want("listed to others", record.CodeRecipientNotListed, "c-sha", on("shop"))
	c.want("others to listed", record.CodeServiceOwner, "shop", on("b-sha"))
}

// TestNothingAfterARevocation: in the same second, in the same batch, in the
// same submission.
func TestNothingAfterARevocation(t *testing.T) {
	for _, by := range []func(c *city) *record.Record{
		func(c *city) *record.Record { return c.Revoke(c.hana, c.terms, 0) },
		func(c *city) *record.Record { return c.Stop(c.hana.Public(), c.terms, 0) },
		func(c *city) *record.Record { return c.StopAll(c.hana.Public()) },
	} {
		c := newCity(t)
		c.grant()
		got := c.Post("a-sha", c.give("b-sha"), by(c), c.give("b-sha"))
		if got[0] != "" || got[1] != "" || got[2] != record.CodeRevoked {
			t.Errorf("in one submission: %q", got)
		}
		c = newCity(t)
		c.grant()
		r := c.Batch(c.Submit("pf", by(c)), c.Submit("a-sha", c.give("b-sha")))
		if codes := ledgertest.Codes(r.Outcomes[1]); codes[0] != record.CodeRevoked {
			t.Errorf("in one batch: %q", codes)
		}
		c = newCity(t)
		c.grant()
		r = c.Batch(c.Submit("a-sha", c.give("b-sha")), c.Submit("pf", by(c)))
		if codes := ledgertest.Codes(r.Outcomes[0]); codes[0] != "" {
			t.Errorf("before it in one batch: %q", codes)
		}
	}
}

// TestExpiryAtMidnight: the last day ends at 24:00 in Japan, to the millisecond.
func TestExpiryAtMidnight(t *testing.T) {
	last := ledgertest.Day("2027-06-30")
	for ms, want := range map[uint64]record.Code{
		ledgertest.Ms("2027-06-30 23:59:59") + 998: "",
		ledgertest.Ms("2027-06-30 23:59:59") + 999: "",
		ledgertest.Ms("2027-07-01"):                record.CodeExpired,
		ledgertest.Ms("2027-07-01") + 1:            record.CodeExpired,
	} {
		c := newCity(t)
		c.Must("a-sha", c.Grant(c.hana, c.terms, 0, last))
		c.NowMs = ms
		before := c.Last().Register.Root()
		c.want("provision", want, "a-sha", c.give("b-sha"))
		if c.TimeMs() != ms {
			t.Fatalf("batch at %d, want %d", c.TimeMs(), ms)
		}
		if want != "" && before == c.Last().Register.Root() {
			t.Error("the head does not move")
		}
	}
}

// TimeMs returns the time of the last batch.
func (c *city) TimeMs() uint64 { return c.Last().TimeMs }

// Test002_18_JoinerIsNotCovered: who joins after the consent, in whatever way,
// is not on the list that it pinned.
func Test002_18_JoinerIsNotCovered(t *testing.T) {
	screen := func(c *city) (*record.Record, record.Digest) {
		return c.Terms(c.Screen("portal", "2", record.Scope{Purpose: "platform", Required: []string{"name"},
			Recipients: []string{"shop"}, Categories: []string{"retail"}}))
	}
	start := func() (*city, record.Digest) {
		c := newCity(t)
		r, hash := screen(c)
		c.Must("a-sha", r)
		return c, hash
	}
	give := func(c *city, to string) *record.Record { return c.Provision(c.hana.Public(), 2, 0, to) }

	c, hash := start()
	c.Must("pf", c.Party("shop"), c.Party("cafe", "retail"))
	c.Must("a-sha", c.Grant(c.hana, hash, 0))
	c.want("named, was there", "", "a-sha", give(c, "shop"))
	c.want("by category, was there", "", "a-sha", give(c, "cafe"))
	c.Must("pf", c.Party("bakery", "retail"))
	c.want("joined after", record.CodeRecipientNotListed, "a-sha", give(c, "bakery"))

	c.Must("pf", c.Leave("shop"))
	c.want("left", record.CodeMemberNotActive, "a-sha", give(c, "shop"))
	c.Must("pf", c.Party("shop", "retail"))
	c.want("left and came back", record.CodeRecipientNotListed, "a-sha", give(c, "shop"))
	c.Must("a-sha", c.Grant(c.hana, hash, 0))
	c.want("after a new consent", "", "a-sha", give(c, "shop"))
	c.want("after a new consent", "", "a-sha", give(c, "bakery"))

	c, hash = start()
	c.Batch(c.Submit("pf", c.Party("shop")), c.Submit("a-sha", c.Grant(c.hana, hash, 0)))
	c.want("joined in one batch, before", record.CodeRecipientNotListed, "a-sha", give(c, "shop"))
	c, hash = start()
	c.Batch(c.Submit("a-sha", c.Grant(c.hana, hash, 0)), c.Submit("pf", c.Party("shop")))
	c.want("joined in one batch, after", record.CodeRecipientNotListed, "a-sha", give(c, "shop"))
}

func TestReceiving(t *testing.T) {
	c := newCity(t)
	c.grant()
	p := c.give("b-sha")
	p.Issuer = "a-sha"
	c.want("nothing was given", record.CodeReceiveWithout, "b-sha", c.Received(p))
	c.Must("a-sha", p)
	c.want("by another", record.CodeReceiveWithout, "c-sha", c.Received(p))
	c.want("by the giver", record.CodeReceiveWithout, "a-sha", c.Received(p))
	other := c.Received(p)
	other.Body.(*record.Received).Items[0] ^= 1
	c.want("other items", record.CodeIntentItems, "b-sha", other)
	c.Must("pf", c.Revoke(c.hana, c.terms, 0))
	c.Pass(40 * 86400_000)
	c.want("late, and after a revocation", "", "b-sha", c.Received(p))
	c.want("again", record.CodeReceiveWithout, "b-sha", c.Received(p))

	c = newCity(t)
	c.grant()
	p = c.give("b-sha")
	c.Must("a-sha", p)
	c.want("not taken, says another", record.CodeReceiveWithout, "c-sha", c.Undelivered(p))
	c.want("not taken", "", "b-sha", c.Undelivered(p))
	c.want("not taken again", record.CodeReceiveWithout, "b-sha", c.Undelivered(p))
	c.want("taken after all", record.CodeReceiveWithout, "b-sha", c.Received(p))
}

// TestIntentOfOneBatch opens and closes between two heights.
func TestIntentOfOneBatch(t *testing.T) {
	c := newCity(t)
	c.grant()
	p := c.give("b-sha")
	p.Issuer = "a-sha"
	r := c.Batch(c.Submit("a-sha", p), c.Submit("b-sha", c.Received(p)))
	if len(r.Leaves) != 2 || ledgertest.Value[rules.Intent](c.Consortium, rules.KeyIntent(p.ID)) != nil || c.State(c.hana.Public()).Events != 3 {
		t.Errorf("%d leaves", len(r.Leaves))
	}
}

// Test001_11_OptOutNeedsAFiling and Test001_14 below: APPI Art. 27(2).
func Test001_11_OptOutNeedsAFiling(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	give := func() *record.Record { return c.OptOut(h, "f-1", "b-sha") }
	c.want("handle unknown", record.CodeHandleUnknown, "a-sha", give())
	c.Must("a-sha", c.HandleOpen(h, "portal"))
	c.want("not filed", record.CodeOptOutNotFiled, "a-sha", give())
	c.want("end of none", record.CodeOptOutNotFiled, "a-sha", c.FilingEnd("f-1"))
	c.want("unknown item", record.CodeItemUnknown, "a-sha", c.Filing("f-1", 0, "shoe-size"))
	from := c.NowMs + 86400_000
	c.want("", "", "a-sha", c.Filing("f-1", from, "name"))
	c.want("not in force", record.CodeOptOutNotFiled, "a-sha", give())
	c.NowMs = from - 1
	c.want("a millisecond early", record.CodeOptOutNotFiled, "a-sha", give())
	c.want("in force", "", "a-sha", give())
	c.want("another's filing", record.CodeOptOutNotFiled, "b-sha", c.OptOut(h, "f-1", "c-sha"))
	c.Must("b-sha", c.Filing("f-1", from, "name"))
	c.want("another's person", record.CodeServiceOwner, "b-sha", c.OptOut(h, "f-1", "c-sha"))
	c.want("unknown recipient", record.CodeMemberNotActive, "a-sha", c.OptOut(h, "f-1", "nobody"))
	in := give()
	in.Issuer = "a-sha"
	c.Must("a-sha", in)
	c.want("the recipient's record", "", "b-sha", c.Received(in))
	c.want("", "", "a-sha", c.FilingEnd("f-1"))
	c.want("filing ended", record.CodeOptOutNotFiled, "a-sha", give())
}

func Test001_14_OptOutStops(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	c.Must("a-sha", c.HandleOpen(h, "portal"), c.Filing("f-1", c.NowMs, "name"))
	c.want("", "", "a-sha", c.OptOut(h, "f-1", "b-sha"))
	c.Must("pf", c.StopAll(h))
	c.want("after the stop", record.CodeOptedOut, "a-sha", c.OptOut(h, "f-1", "b-sha"))
	c.grant()
	c.want("a consent to one scope", "", "a-sha", c.give("b-sha"))
	c.want("does not end the stop", record.CodeOptedOut, "a-sha", c.OptOut(h, "f-1", "b-sha"))
	next := c.Person("hana").Handle("portal", 1)
	c.Must("pf", c.HandleMove(c.hana, next))
	c.want("nor does a move", record.CodeOptedOut, "a-sha", c.OptOut(next.Public(), "f-1", "b-sha"))
}

func Test001_33_ExceptionNeedsASecondApprover(t *testing.T) {
	c := newCity(t)
	h := c.hana.Public()
	good := c.Member("a-sha").Approver
	c.want("handle unknown", record.CodeHandleUnknown, "a-sha", c.Exception(h, good))
	c.Must("a-sha", c.HandleOpen(h, "portal"))
	c.want("approved by oneself", record.CodeSignature, "a-sha", c.Exception(h, c.Member("a-sha").Key))
	c.want("another member's approver", record.CodeSignature, "a-sha", c.Exception(h, c.Member("b-sha").Approver))
	c.want("another's person", record.CodeServiceOwner, "b-sha", c.Exception(h, c.Member("b-sha").Approver))
	c.Must("a-sha", c.Party("shop"))
	c.want("a party has no approver", record.CodeApprover, "shop", c.Exception(h, good))
	c.want("", "", "a-sha", c.Exception(h, good))
	c.want("denial, handle unknown", record.CodeHandleUnknown, "b-sha", c.Denial(c.Person("x").Handle("y", 0).Public(), record.CodeRevoked))
	c.want("denial", "", "b-sha", c.Denial(h, record.CodeRevoked))
}
