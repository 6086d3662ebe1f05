package ledgertest

import (
	"maps"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Submit signs records as the issuer's next submission. It draws an id for a
// record that has none, and fills the issuer in where it is empty.
func (c *Consortium) Submit(issuer string, recs ...*record.Record) record.Submitted {
	c.t.Helper()
	leaves := make([][]byte, len(recs))
	for i, r := range recs {
		if r.ID == (record.ID{}) {
			r.ID = c.ID()
		}
		if r.Issuer == "" {
			r.Issuer = issuer
		}
		leaves[i] = c.Leaf(r)
	}
	return c.SubmitLeaves(issuer, leaves...)
}

// SubmitLeaves is Submit for leaves of any bytes.
func (c *Consortium) SubmitLeaves(issuer string, leaves ...[]byte) record.Submitted {
	c.seqs[issuer]++
	return c.SubmitAs(issuer, c.seqs[issuer], c.NowMs+60_000, leaves...)
}

// SubmitAs signs leaves under a sequence number and not_after of choice.
func (c *Consortium) SubmitAs(issuer string, seq, notAfterMs uint64, leaves ...[]byte) record.Submitted {
	c.t.Helper()
	key, ok := c.Keys[issuer]
	if !ok {
		c.t.Fatalf("no key of %q", issuer)
	}
	return record.Submitted{Submission: record.NewSubmission(key, c.Origin, issuer, seq, notAfterMs, leaves), Leaves: leaves}
}

// Cite returns the final checkpoint of a height, cosigned by the first k
// members at the clock's time.
func (c *Consortium) Cite(height uint64) record.Cited {
	h := &c.Heights[height]
	cited := record.Cited{Height: height, Size: h.Size, Root: record.Digest(h.Root)}
	for _, s := range c.Cosign(height, c.PolicyAt(height).K) {
		cited.Sigs = append(cited.Sigs, record.CitedSig{Member: s.id, Time: s.Time, Sig: s.Sig})
	}
	return cited
}

// Entry returns the next batch of submissions, signed by the leader at the
// clock's time, or a millisecond after the last batch if the clock stands.
func (c *Consortium) Entry(subs ...record.Submitted) *record.Entry {
	head := c.Head()
	c.NowMs = max(c.NowMs, head.TimeMs+1)
	e := &record.Entry{Submissions: subs, Header: record.Header{Leader: c.Members[c.Leader].ID, Epoch: head.Epoch,
		Term: c.Term, Prev: head.Header, TimeMs: c.NowMs, Cited: c.Cite(head.Height)}}
	c.Sign(e)
	return e
}

// Sign brings a changed entry's root of submissions and signature up to date.
func (c *Consortium) Sign(e *record.Entry) {
	list := make([]record.Submission, len(e.Submissions))
	for i := range e.Submissions {
		list[i] = e.Submissions[i].Submission
	}
	e.Header.Submissions = record.SubmissionsRoot(list)
	e.Header.Sig = c.Keys[e.Header.Leader].Sign(sign.DomainHeader, c.Origin, e.Header.Signed())
}

// Judge runs the rules over an entry and changes nothing.
func (c *Consortium) Judge(entry []byte) *rules.Result {
	c.t.Helper()
	r, err := rules.Apply(c, c.Prev(), entry)
	if err != nil {
		c.t.Fatalf("apply: %v", err)
	}
	return r
}

// Apply runs the rules over an entry and, unless it is void, takes their effect.
func (c *Consortium) Apply(e *record.Entry) *rules.Result {
	c.t.Helper()
	r := c.Judge(canon.Must(e))
	if r.Void == nil {
		c.commit(r, c.Last().Register)
	}
	return r
}

// Batch makes and applies a batch that must not be void.
func (c *Consortium) Batch(subs ...record.Submitted) *rules.Result {
	c.t.Helper()
	r := c.Apply(c.Entry(subs...))
	if r.Void != nil {
		c.t.Fatalf("batch is void: %v", r.Void)
	}
	return r
}

// Post applies a batch of one submission and returns each record's code, "" for
// an accepted one.
func (c *Consortium) Post(issuer string, recs ...*record.Record) []record.Code {
	c.t.Helper()
	return Codes(c.Batch(c.Submit(issuer, recs...)).Outcomes[0])
}

// Must is Post for records that must all be accepted.
func (c *Consortium) Must(issuer string, recs ...*record.Record) {
	c.t.Helper()
	out := c.Batch(c.Submit(issuer, recs...)).Outcomes[0]
	for i, code := range Codes(out) {
		if code != "" {
			c.t.Fatalf("%v of %s is refused: %v", recs[i].Kind, issuer, refusal(out, i))
		}
	}
}

func refusal(o rules.Outcome, i int) error {
	if r, ok := o.Refused[i]; ok {
		return &r
	}
	return &record.Refusal{Code: o.All}
}

// Codes returns the code of each record of a submission.
func Codes(o rules.Outcome) []record.Code {
	codes := make([]record.Code, o.Records)
	for i := range codes {
		codes[i] = o.All
	}
	for i, r := range o.Refused {
		codes[i] = r.Code
	}
	return codes
}

// commit takes the effect of a batch: register, log, tiles, history, keys.
func (c *Consortium) commit(r *rules.Result, before *register.Tree) {
	c.t.Helper()
	after, err := before.Update(c.mem, r.Writes)
	if err != nil {
		c.t.Fatalf("update the register: %v", err)
	}
	c.mem.Apply(r.Writes)
	first := uint64(len(c.Leaves))
	leaves := append(append([][]byte(nil), r.Leaves...), r.SealLeaf(after.Root()))
	for _, leaf := range leaves {
		for _, full := range c.tree.Append(merkle.LeafHash(leaf)) {
			c.tiles[full.ID] = full.Data
		}
	}
	c.Leaves = append(c.Leaves, leaves...)
	c.Heights = append(c.Heights, Height{Height: r.Height, TimeMs: r.TimeMs, First: first,
		Size: c.tree.Size(), Root: c.tree.Root(), Register: after, Writes: r.Writes, view: c.tree.View()})
	c.learnKeys(r.Leaves)
}

// learnKeys follows key changes and new parties whose keys were made here.
func (c *Consortium) learnKeys(leaves [][]byte) {
	for _, leaf := range leaves {
		rec, err := record.Parse(leaf)
		if err != nil {
			c.t.Fatalf("accepted leaf: %v", err)
		}
		switch body := rec.Body.(type) {
		case *record.Party:
			c.learnKey(body.ID, body.Key)
		case *record.KeyChange:
			c.learnKey(rec.Issuer, body.Key)
		case *record.MemberChange:
			if k := body.Key(record.RoleRecord); k != nil {
				c.Keys[body.Member] = c.next[*k]
			}
		}
	}
}

func (c *Consortium) learnKey(id string, pub sign.PublicKey) {
	for _, name := range []string{"sign/" + id, "next/" + id, "then/" + id} {
		if k := c.Key(name); k.Public() == pub {
			c.Keys[id] = k
		}
	}
}

// Clone returns a consortium that goes its own way from here and reports to t.
func (c *Consortium) Clone(t testing.TB) *Consortium {
	n := *c
	n.t = t
	n.Keys, n.seqs, n.tiles = maps.Clone(c.Keys), maps.Clone(c.seqs), maps.Clone(c.tiles)
	n.next = maps.Clone(c.next)
	n.Members = c.Members[:len(c.Members):len(c.Members)]
	n.Openings, n.Items = maps.Clone(c.Openings), maps.Clone(c.Items)
	n.Leaves = c.Leaves[:len(c.Leaves):len(c.Leaves)]
	n.Heights = c.Heights[:len(c.Heights):len(c.Heights)]
	n.tree, n.mem = c.tree.Clone(), register.MemLeaves()
	for _, h := range c.Heights {
		n.mem.Apply(h.Writes)
	}
	return &n
}
