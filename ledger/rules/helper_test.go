package rules_test

import (
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A city is a consortium with one service of a-sha and its usual terms: scope 0
// to b-sha, scope 1 to the category consortium for at most a year.
type city struct {
	*ledgertest.Consortium
	t     *testing.T
	terms record.Digest
	hana  sign.Key // a handle that is not open yet
}

func newCity(t *testing.T) *city {
	c := ledgertest.New(t, ledgertest.Options{})
	return &city{c, t, c.Offer("a-sha", "portal"), c.Person("hana").Handle("portal", 0)}
}

// grant turns scope 0 on for hana.
func (c *city) grant() { c.t.Helper(); c.Must("a-sha", c.Grant(c.hana, c.terms, 0)) }

// give returns a provision of hana's items under scope 0.
func (c *city) give(to string) *record.Record { return c.Provision(c.hana.Public(), 1, 0, to) }

// want posts a record and wants a code, "" for accepted. A refused record must
// leave no trace but the sequence window, the head and the end of the batch.
func (c *city) want(what string, code record.Code, issuer string, r *record.Record) {
	c.t.Helper()
	if got := c.Post(issuer, r)[0]; got != code {
		c.t.Errorf("%s: %q, want %q", what, got, code)
	}
	if n := len(c.Last().Writes); code != "" && n > 3 {
		c.t.Errorf("%s: a refused record left %d writes", what, n-3)
	}
}

// voids wants an entry to be void with a code.
func (c *city) voids(what string, code record.Code, e *record.Entry) {
	c.t.Helper()
	before := *c.Last()
	if r := c.Apply(e); r.Void == nil || r.Void.Code != code || len(r.Writes)+len(r.Leaves)+len(r.Outcomes) != 0 {
		c.t.Errorf("%s: %v, want %s", what, r.Void, code)
	}
	if c.Last().Height != before.Height {
		c.t.Errorf("%s: a void batch left something behind", what)
	}
}
