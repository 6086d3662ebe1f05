package audit_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// log is a source in memory.
type log struct {
	note   []byte
	leaves [][]byte
}

func (l *log) Note(context.Context) ([]byte, error) { return l.note, nil }

func (l *log) Leaves(_ context.Context, start, end uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, leaf := range l.leaves[start:min(end, uint64(len(l.leaves)))] {
			if !yield(leaf, nil) {
				return
			}
		}
	}
}

// tiled is a log with hash tiles of the leaves that were signed.
type tiled struct {
	*log
	hashes []merkle.Hash
}

func (l *tiled) Tile(_ context.Context, id merkle.TileID, width int) ([]byte, error) {
	if id.Level != 0 {
		return nil, errors.New("only level 0 is needed")
	}
	var b []byte
	for _, h := range l.hashes[id.Index*256:][:width] {
		b = append(b, h[:]...)
	}
	return b, nil
}

// logOf returns a consortium's log.
func logOf(c *ledgertest.Consortium) *log {
	return &log{c.Note(c.Last().Height), slices.Clone(c.Leaves)}
}

// run audits a source under the consortium's policy.
func run(t testing.TB, c *ledgertest.Consortium, src audit.Source, o audit.Options) *audit.Report {
	t.Helper()
	r, err := audit.Run(context.Background(), src, []*sign.Policy{c.Policy()}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check returns one total of a report.
func check(r *audit.Report, name string) audit.Check {
	i := slices.IndexFunc(r.Checks, func(c audit.Check) bool { return c.Name == name })
	return r.Checks[i]
}

// finds wants a finding at a leaf.
func finds(t *testing.T, r *audit.Report, code string, index uint64) audit.Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f audit.Finding) bool { return f.Code == code && f.Index == index })
	if i < 0 {
		t.Fatalf("no finding %s at leaf %d in\n%s", code, index, r.Text(false))
	}
	if r.OK {
		t.Error("findings, but the report says that all is well")
	}
	return r.Findings[i]
}

// history posts a small story and returns handles and records by name.
func history(t testing.TB, c *ledgertest.Consortium) map[string]*record.Record {
	terms := c.Offer("a-sha", "a-portal")
	hana := c.Person("hana").Handle("a-portal", 0)
	recs := map[string]*record.Record{}
	post := func(name, issuer string, rs ...*record.Record) {
		c.Must(issuer, rs...)
		recs[name] = rs[0]
		c.Pass(1000)
	}
	post("consent", "a-sha", c.Grant(hana, terms, 0))
	p := c.Provision(hana.Public(), 1, 0, "b-sha")
	post("provision", "a-sha", p)
	post("received", "b-sha", c.Received(p))
	post("two", "a-sha", c.Provision(hana.Public(), 1, 0, "b-sha"), c.Provision(hana.Public(), 1, 0, "b-sha"), c.Tick())
	post("filing", "a-sha", c.Filing("f-1", c.NowMs, "name", "user-id"))
	post("optout", "a-sha", c.OptOut(hana.Public(), "f-1", "b-sha"))
	post("exception", "a-sha", c.Exception(hana.Public(), c.Member("a-sha").Approver))
	post("key", "pf", c.Rotate("b-sha", []string{record.RoleRecord}, "a-sha", "c-sha", "pf"))
	post("revocation", "b-sha", c.Revoke(hana, terms, 0))
	if got := c.Post("a-sha", c.Tick(), c.Provision(hana.Public(), 1, 0, "b-sha"))[1]; got != record.CodeRevoked {
		t.Fatalf("provision after the revocation: %q", got)
	}
	post("tick", "pf", c.Tick())
	return recs
}

// cheat is a leader that has every member's key and does not keep the rules:
// it makes its own log, and all cosign it.
type cheat struct {
	*ledgertest.Consortium
	t      testing.TB
	leaves [][]byte
	tree   *merkle.Tree
	mem    *register.Mem
	reg    *register.Tree
	ends   []sign.Checkpoint
}

func (l *cheat) Get(key []byte) ([]byte, error) {
	v, _, err := l.mem.Get(register.HashKey(key))
	return v, err
}

// cheating begins a log of its own with the batches that the consortium has.
func cheating(t testing.TB, c *ledgertest.Consortium) *cheat {
	l := &cheat{Consortium: c, t: t, tree: merkle.New(), mem: register.MemLeaves(), reg: c.Last().Register}
	for i := range c.Heights {
		h := &c.Heights[i]
		l.mem.Apply(h.Writes)
		l.append(c.Leaves[h.First:h.Size]...)
	}
	return l
}

func (l *cheat) append(leaves ...[]byte) {
	for _, leaf := range leaves {
		l.leaves = append(l.leaves, leaf)
		l.tree.Append(merkle.LeafHash(leaf))
	}
	l.ends = append(l.ends, sign.Checkpoint{Origin: l.Origin, Size: l.tree.Size(), Root: l.tree.Root()})
}

func (l *cheat) cosign(c sign.Checkpoint) (out []sign.Cosignature, keys map[string]sign.PublicKey) {
	keys = map[string]sign.PublicKey{}
	for i, m := range l.Members[:sign.Quorum(len(l.Members))] {
		name := l.Founding.Members[i].Cosigner
		out = append(out, m.Cosign.Cosign(name, c, l.NowMs/1000))
		keys[name] = m.Cosign.Public()
	}
	return out, keys
}

// batch appends a batch; tamper changes the entry before it is judged, forge
// the accepted leaves and the seal before they are cosigned.
func (l *cheat) batch(tamper func(*record.Entry), forge func(leaves [][]byte, s *record.Seal) [][]byte, subs ...record.Submitted) {
	l.t.Helper()
	head, err := rules.Load[rules.Head](l, rules.KeyHead)
	if err != nil {
		l.t.Fatal(err)
	}
	last := l.ends[len(l.ends)-1]
	cited := record.Cited{Height: head.Height, Size: last.Size, Root: last.Root}
	sigs, _ := l.cosign(last)
	for i, s := range sigs {
		cited.Sigs = append(cited.Sigs, record.CitedSig{Member: l.Members[i].ID, Time: s.Time, Sig: s.Sig})
	}
	l.NowMs = max(l.NowMs, head.TimeMs+1)
	e := &record.Entry{Submissions: subs, Header: record.Header{Leader: l.Members[0].ID, Epoch: head.Epoch, Term: 9,
		Prev: head.Header, TimeMs: l.NowMs, Cited: cited}}
	l.Sign(e)
	r, err := rules.Apply(l, rules.Prev{Size: last.Size, Root: last.Root}, canon.Must(e))
	if err != nil || r.Void != nil {
		l.t.Fatalf("apply: %v %v", err, r)
	}
	if l.reg, err = l.reg.Update(l.mem, r.Writes); err != nil {
		l.t.Fatal(err)
	}
	l.mem.Apply(r.Writes)
	if tamper != nil {
		tamper(e)
		r.Seal.Header = &e.Header
	}
	r.Seal.Register = record.Digest(l.reg.Root())
	leaves := r.Leaves
	if forge != nil {
		leaves = forge(leaves, &r.Seal)
	}
	l.append(append(slices.Clone(leaves), r.Seal.Leaf())...)
}

func (l *cheat) log() *log {
	last := l.ends[len(l.ends)-1]
	sigs, keys := l.cosign(last)
	note, err := sign.FormatNote(last, l.Log, sigs, keys)
	if err != nil {
		l.t.Fatal(err)
	}
	return &log{note, l.leaves}
}

// openings are those that a consortium made.
type openings struct {
	*ledgertest.Consortium
	erased map[record.ID]bool
}

func (o *openings) Open(id record.ID) (audit.Opened, error) {
	if o.erased[id] {
		return audit.Opened{Erased: true}, nil
	}
	var out audit.Opened
	if p, ok := o.Openings[id]; ok {
		out.Part = &p
	}
	if p, ok := o.Items[id]; ok {
		out.Items = &p
	}
	return out, nil
}
