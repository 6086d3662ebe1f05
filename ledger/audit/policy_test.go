package audit_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// rotated is a log of three policy epochs, and the policies of each.
func rotated(t *testing.T) (*ledgertest.Consortium, []*sign.Policy) {
	c, _ := newLog(t)
	all := []*sign.Policy{c.Policy()}
	for _, member := range []string{"b-sha", "c-sha"} {
		c.Must("pf", c.Rotate(member, []string{record.RoleCosigner, record.RoleRecord}, "a-sha", "b-sha", "pf"))
		all = append(all, c.Policy())
		c.Must(member, c.Tick())
	}
	return c, all
}

// holdsUnder wants the log to hold with the policy of each epoch alone.
func holdsUnder(t *testing.T, c *ledgertest.Consortium, all []*sign.Policy) {
	t.Helper()
	for epoch, p := range all {
		r, err := audit.Run(t.Context(), logOf(c), []*sign.Policy{p}, audit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || check(r, audit.CheckPolicy).Holds != 1 || check(r, audit.CheckCheckpoint).Holds != 1 {
			t.Errorf("with the policy of epoch %d:\n%s", epoch, r.Text(false))
		}
	}
}

// TestAuditFollowsPolicyEpochs: the policy of any epoch is enough, and none that
// is of no epoch.
func TestAuditFollowsPolicyEpochs(t *testing.T) {
	c, all := rotated(t)
	holdsUnder(t, c, all)
	other := ledgertest.New(t, ledgertest.Options{Seed: "other"}).Policy()
	r, err := audit.Run(t.Context(), logOf(c), []*sign.Policy{other}, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	finds(t, r, "policy.other", c.Last().Size-1)
	finds(t, r, "checkpoint.not-final", c.Last().Size-1)
}

// TestAuditRefusesRetiredKeys: the newest checkpoint under the keys of the
// founding is not final, even to who holds only their policy.
func TestAuditRefusesRetiredKeys(t *testing.T) {
	c, all := rotated(t)
	h := c.Last().Height
	keys, sigs := map[string]sign.PublicKey{}, []sign.Cosignature{}
	for i, m := range all[0].Members[:3] {
		keys[m.Signer], sigs = m.Key, append(sigs, c.Members[i].Cosign.Cosign(m.Signer, c.Checkpoint(h), c.NowMs/1000))
	}
	note, err := sign.FormatNote(c.Checkpoint(h), c.Log, sigs, keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Open(note); err != nil {
		t.Fatalf("the note does not show what this test is about: %v", err)
	}
	src := logOf(c)
	src.note = note
	r, err := audit.Run(t.Context(), src, all[:1], audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	finds(t, r, "checkpoint.not-final", c.Last().Size-1)
}

// TestAuditBrokenLogOfEpochs: after a break the structure of later epochs is
// still checked under their own keys.
func TestAuditBrokenLogOfEpochs(t *testing.T) {
	c, all := rotated(t)
	src := logOf(c)
	at := c.Heights[c.Last().Height].First
	src.leaves[at] = append([]byte(nil), src.leaves[at]...)
	src.leaves[at][20] ^= 1
	r, err := audit.Run(t.Context(), src, all[:1], audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.OK || check(r, audit.CheckCosignature).Broken != 0 || check(r, audit.CheckHeader).Broken != 0 || check(r, audit.CheckCheckpoint).Broken != 0 {
		t.Errorf("%s", r.Text(false))
	}
}

// TestAuditFollowsMembers: through epochs with other members and another k.
func TestAuditFollowsMembers(t *testing.T) {
	c, recs := newLog(t)
	all := []*sign.Policy{c.Policy()}
	step := func(r *record.Record, then string) {
		c.Must("pf", r)
		all = append(all, c.Policy())
		c.Must(then, c.Tick())
	}
	open := c.Provision(recs["consent"].Body.(*record.Consent).Handle, 1, 0, "b-sha")
	step(c.Join("d-sha", "a-sha", "b-sha", "pf"), "d-sha")
	step(c.Join("e-sha", "a-sha", "b-sha", "d-sha", "pf"), "e-sha")
	grant := c.Grant(c.Person("hana").Handle("a-portal", 0), recs["consent"].Body.(*record.Consent).Terms, 0)
	c.Must("a-sha", grant)
	c.Must("a-sha", open)
	step(c.Remove("b-sha", "a-sha", "d-sha", "e-sha", "pf"), "d-sha")
	holdsUnder(t, c, all)
	r, err := audit.Run(t.Context(), logOf(c), all[:1], audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Overdue) != 4 { // that of now and those of the log before
		t.Errorf("%+v", r.Overdue)
	}
	for _, o := range r.Overdue {
		if o.To != "b-sha" || !o.Left || o.DeadlineMs < r.LastMs || o.Words().En != "recipient has left" {
			t.Errorf("%+v", o)
		}
	}
}
