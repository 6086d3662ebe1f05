package audit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

func newLog(t testing.TB) (*ledgertest.Consortium, map[string]*record.Record) {
	c := ledgertest.New(t, ledgertest.Options{})
	return c, history(t, c)
}

func TestHonestLog(t *testing.T) {
	c, _ := newLog(t)
	r := run(t, c, logOf(c), audit.Options{})
	if !r.OK || len(r.Findings) != 0 || r.LostAt != nil {
		t.Fatal(r.Text(false))
	}
	records := len(c.Leaves) - len(c.Heights)
	for name, want := range map[string]audit.Check{
		audit.CheckCheckpoint: {Holds: 1}, audit.CheckPolicy: {Holds: 1}, audit.CheckRoot: {Holds: 1},
		audit.CheckSeal: {Holds: len(c.Heights)}, audit.CheckRules: {Holds: records},
		audit.CheckHeader: {Holds: len(c.Heights) - 1}, audit.CheckCosignature: {Holds: 3 * (len(c.Heights) - 1)},
		audit.CheckSubmission: {Holds: len(c.Heights) - 1}, audit.CheckRefusal: {Unchecked: 1},
		audit.CheckIntent: {Holds: 1, Waiting: 3}, audit.CheckSealed: {Unchecked: 11}, audit.CheckTiles: {},
	} {
		want.Name = name
		if got := check(r, name); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if r.Provisions != (audit.Provisions{Attested: 1, Unopened: 3}) {
		t.Errorf("%+v", r.Provisions)
	}
	if i := slices.IndexFunc(r.Members, func(m audit.MemberCount) bool { return m.ID == "a-sha" }); r.Members[i] !=
		(audit.MemberCount{ID: "a-sha", Records: 11, Refused: 1, Submissions: 8, Batches: len(c.Heights) - 1}) {
		t.Errorf("%+v", r.Members)
	}
	if !slices.Contains(r.Kinds, audit.Count{Name: "provision", Count: 3}) || !slices.Equal(r.Refusals, []audit.Count{{Name: "revoked", Count: 1}}) {
		t.Errorf("%v %v", r.Kinds, r.Refusals)
	}
	if said := r.Text(false); !strings.Contains(said, "the content of 1 refused record is not in the log") || !strings.Contains(said, "not opened: 11 sealed parts") {
		t.Errorf("what was not checked: %s", said)
	}
	if again := run(t, c, logOf(c), audit.Options{}); !bytes.Equal(again.JSON(), r.JSON()) {
		t.Error("two audits differ")
	}
	if ja := r.Text(true); !strings.Contains(ja, "破れはありません") || !strings.Contains(ja, "断られた記録1件") {
		t.Error(ja)
	}
}

// TestLastBatch: the time of the last batch is the founding's where nothing followed
// it, and none where nothing could be read.
func TestLastBatch(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	if r := run(t, c, logOf(c), audit.Options{}); !r.OK || r.LastMs != c.Founding.CreatedMs {
		t.Errorf("a log that was only founded: last batch at %d, want %d", r.LastMs, c.Founding.CreatedMs)
	}
	history(t, c)
	if r := run(t, c, logOf(c), audit.Options{}); r.LastMs != c.Last().TimeMs {
		t.Errorf("last batch at %d, want %d", r.LastMs, c.Last().TimeMs)
	}
	if said := run(t, c, &log{logOf(c).note, nil}, audit.Options{}).Text(false); strings.Contains(said, "1970") {
		t.Error(said)
	}
}

func TestOverdueByName(t *testing.T) {
	c, recs := newLog(t)
	c.Pass(400 * 86400_000)
	c.Must("pf", c.Tick())
	r := run(t, c, logOf(c), audit.Options{})
	index, _ := c.Find(recs["two"].ID)
	if len(r.Overdue) != 3 || r.Overdue[0].Index != index || r.Overdue[0].To != "b-sha" || r.Overdue[0].From != "a-sha" || !r.OK {
		t.Errorf("%+v", r.Overdue)
	}
	if !strings.Contains(r.Text(true), "期限切れ：a-shaからb-shaへ") {
		t.Error(r.Text(true))
	}
	hana := c.Person("hana").Handle("a-portal", 0)
	c.Must("a-sha", c.HandleClose(hana.Public()))
	if r := run(t, c, logOf(c), audit.Options{}); len(r.Overdue) != 0 || check(r, audit.CheckIntent) != (audit.Check{Name: "intent", Holds: 4}) {
		t.Errorf("after the handle's end: %+v", r.Overdue)
	}
}

// hashesOf returns the leaf hashes of a log.
func hashesOf(leaves [][]byte) []merkle.Hash {
	var out []merkle.Hash
	for _, l := range leaves {
		out = append(out, merkle.LeafHash(l))
	}
	return out
}

// Every leaf in turn is changed, dropped or swapped in a stored log whose
// checkpoint is honest: found, and with hash tiles found exactly.
func TestStoredLogTampered(t *testing.T) {
	c, _ := newLog(t)
	hashes := hashesOf(c.Leaves)
	batchOf := func(i uint64) (first, size uint64) {
		for _, h := range c.Heights {
			if i < h.Size {
				return h.First, h.Size
			}
		}
		return 0, 0
	}
	for i := range uint64(len(c.Leaves)) {
		if testing.Short() && i%4 != 0 {
			continue
		}
		for _, tt := range []struct {
			name, code string
			do         func(leaves [][]byte) [][]byte
		}{
			{"changed", "leaf.changed", func(l [][]byte) [][]byte {
				l[i] = bytes.Clone(l[i])
				l[i][len(l[i])/2] ^= 1
				return l
			}},
			{"dropped", "leaf.dropped", func(l [][]byte) [][]byte { return slices.Delete(l, int(i), int(i)+1) }},
			{"swapped", "leaf.swapped", func(l [][]byte) [][]byte {
				if int(i)+1 < len(l) {
					l[i], l[i+1] = l[i+1], l[i]
				}
				return l
			}},
		} {
			src := logOf(c)
			src.leaves = tt.do(src.leaves)
			if slices.EqualFunc(src.leaves, c.Leaves, bytes.Equal) {
				continue
			}
			plain := run(t, c, src, audit.Options{})
			if plain.OK {
				t.Fatalf("leaf %d %s: not found", i, tt.name)
			}
			first, size := batchOf(i)
			if at := plain.Findings[0].Index; at < first || at > size {
				t.Errorf("leaf %d %s: found at %d, its batch is %d to %d\n%s", i, tt.name, at, first, size, plain.Text(false))
			}
			r := run(t, c, &tiled{src, hashes}, audit.Options{})
			if tt.name == "dropped" && i == uint64(len(hashes))-1 {
				finds(t, r, "log.short", i)
				continue
			}
			finds(t, r, tt.code, i)
		}
	}
}

func TestTilesOfAnotherLog(t *testing.T) {
	c, _ := newLog(t)
	hashes := hashesOf(c.Leaves)
	if r := run(t, c, &tiled{logOf(c), hashes}, audit.Options{}); !r.OK || check(r, audit.CheckTiles).Holds != len(hashes) {
		t.Error(r.Text(false))
	}
	hashes[3][0] ^= 1
	r := run(t, c, &tiled{logOf(c), hashes}, audit.Options{})
	finds(t, r, "tiles.root", uint64(len(hashes))-1)
	if len(r.Findings) != 1 || check(r, audit.CheckRules).Unchecked != 0 {
		t.Error(r.Text(false))
	}
}

// A leader with every key makes a log that all cosign.
func TestCheatingLeader(t *testing.T) {
	tick := func(l *cheat) record.Submitted { return l.Submit("pf", l.Consortium.Tick()) }
	for _, tt := range []struct {
		name, code, member string
		offset             uint64 // of the finding within the batch
		whole              bool   // the audit goes on with the rules
		do                 func(l *cheat)
	}{
		{"forged register root", "register.root", "a-sha", 1, true, func(l *cheat) {
			l.batch(nil, func(leaves [][]byte, s *record.Seal) [][]byte { s.Register[0] ^= 1; return leaves }, tick(l))
		}},
		{"forged cosignature", "batch.cited", "b-sha", 1, false, func(l *cheat) {
			l.batch(func(e *record.Entry) { e.Header.Cited.Sigs[1].Sig[9] ^= 1; l.Sign(e) }, nil, tick(l))
		}},
		{"too few cosignatures", "batch.cited", "a-sha", 1, false, func(l *cheat) {
			l.batch(func(e *record.Entry) { e.Header.Cited.Sigs = e.Header.Cited.Sigs[:2]; l.Sign(e) }, nil, tick(l))
		}},
		{"header without the leader's signature", "batch.header", "a-sha", 1, false, func(l *cheat) {
			l.batch(func(e *record.Entry) { e.Header.Sig[3] ^= 1 }, nil, tick(l))
		}},
		{"batch that does not follow", "batch.previous", "a-sha", 1, false, func(l *cheat) {
			l.batch(func(e *record.Entry) { e.Header.Prev[3] ^= 1; l.Sign(e) }, nil, tick(l))
		}},
		{"time that goes back", "batch.time", "a-sha", 1, false, func(l *cheat) {
			l.batch(func(e *record.Entry) { e.Header.TimeMs = ledgertest.FoundedMs; l.Sign(e) }, nil, tick(l))
		}},
		{"record that breaks a rule", "revoked", "a-sha", 1, false, func(l *cheat) {
			hana := l.Person("hana").Handle("a-portal", 0)
			sub := l.Submit("a-sha", l.Consortium.Tick(), l.Provision(hana.Public(), 1, 0, "b-sha"))
			l.batch(nil, func(leaves [][]byte, s *record.Seal) [][]byte {
				s.Refusals = nil
				return append(slices.Clone(leaves), sub.Leaves[1])
			}, sub)
		}},
		{"record with a forged subject's signature", "signature.invalid", "a-sha", 0, false, func(l *cheat) {
			g := l.Revoke(l.Person("hana").Handle("a-portal", 0), l.terms(), 0)
			g.Body.(*record.Revocation).Sig[5] ^= 1
			sub := l.Submit("a-sha", g)
			l.batch(nil, func(_ [][]byte, s *record.Seal) [][]byte { s.Refusals = nil; return sub.Leaves }, sub)
		}},
		{"submission that its issuer did not sign", "signature.invalid", "c-sha", 0, false, func(l *cheat) {
			sub := l.Submit("c-sha", l.Consortium.Tick())
			sub.Submission.Sig[7] ^= 1
			l.batch(nil, func(_ [][]byte, s *record.Seal) [][]byte { s.Refusals = nil; return sub.Leaves }, sub)
		}},
		{"record put into a submission", "submission.root", "pf", 0, false, func(l *cheat) {
			other := l.Submit("pf", l.Consortium.Tick())
			l.batch(nil, func([][]byte, *record.Seal) [][]byte { return other.Leaves }, tick(l))
		}},
		{"record left out", "batch.leaves", "", 0, false, func(l *cheat) {
			l.batch(nil, func(leaves [][]byte, _ *record.Seal) [][]byte { return leaves[:1] },
				l.Submit("pf", l.Consortium.Tick(), l.Consortium.Tick()))
		}},
		{"refusal for no reason", "seal.mismatch", "a-sha", 0, false, func(l *cheat) {
			l.batch(nil, func(_ [][]byte, s *record.Seal) [][]byte {
				s.Refusals = []record.Refused{{All: true, Code: record.CodeSubmissionExpired}}
				return nil
			}, tick(l))
		}},
		{"seal of another height", "seal.height", "", 1, false, func(l *cheat) {
			l.batch(nil, func(leaves [][]byte, s *record.Seal) [][]byte { s.Height += 2; return leaves }, tick(l))
		}},
		{"another version of the rules", "seal.mismatch", "a-sha", 1, false, func(l *cheat) {
			l.batch(nil, func(leaves [][]byte, s *record.Seal) [][]byte { s.Rules++; return leaves }, tick(l))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newLog(t)
			l := cheating(t, c)
			at := uint64(len(l.leaves))
			tt.do(l)
			height := uint64(len(l.ends)) - 1
			if tt.whole { // a batch that builds on it holds
				l.batch(nil, nil, tick(l))
			}
			r := run(t, c, l.log(), audit.Options{})
			f := finds(t, r, tt.code, at+tt.offset)
			if f.Height != height || f.Member != tt.member || f.Detail.Ja == "" || f.Detail.En == "" {
				t.Errorf("%+v, want height %d and %q", f, height, tt.member)
			}
			if (r.LostAt == nil) != tt.whole || len(r.Findings) != 1 {
				t.Error(r.Text(false))
			}
			if check(r, audit.CheckRoot).Holds != 1 {
				t.Error("the root is that of the checkpoint")
			}
		})
	}
}

// terms is the hash of the only terms.
func (l *cheat) terms() record.Digest {
	r, hash := l.Terms(l.Screen("a-portal", "1"))
	_ = r
	return hash
}

// After a broken batch the audit goes on with what needs no register.
func TestGoesOnAfterABrokenBatch(t *testing.T) {
	c, recs := newLog(t)
	src := logOf(c)
	first, _ := c.Find(recs["provision"].ID)
	last, _ := c.Find(recs["tick"].ID)
	for _, i := range []uint64{first, last} {
		src.leaves[i] = bytes.Clone(src.leaves[i])
		src.leaves[i][20] ^= 1 // in the id
	}
	r := run(t, c, src, audit.Options{})
	finds(t, r, "submission.root", first)
	finds(t, r, "submission.root", last)
	finds(t, r, "log.diverged", first+1)
	finds(t, r, "root.mismatch", uint64(len(src.leaves))-1)
	if len(r.Findings) != 4 || r.LostAt == nil || check(r, audit.CheckRules).Unchecked < 10 {
		t.Error(r.Text(false))
	}
	if !strings.Contains(r.Text(true), "状態を導けない") {
		t.Error(r.Text(true))
	}
}

func TestCheckpointThatDoesNotCount(t *testing.T) {
	c, _ := newLog(t)
	n := uint64(len(c.Leaves))
	r := run(t, c, &log{[]byte("no note"), c.Leaves}, audit.Options{})
	finds(t, r, "checkpoint.malformed", 0)

	src := logOf(c)
	src.note = src.note[:bytes.LastIndexByte(src.note[:len(src.note)-1], '\n')+1] // one cosignature fewer
	r = run(t, c, src, audit.Options{})
	finds(t, r, "checkpoint.not-final", n-1)
	if len(r.Findings) != 1 || check(r, audit.CheckRules).Broken != 0 {
		t.Error(r.Text(false))
	}

	strict := *c.Policy()
	strict.K = 2
	rep, err := audit.Run(t.Context(), logOf(c), []*sign.Policy{&strict}, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	finds(t, rep, "policy.other", n-1)
}

func TestOddLogs(t *testing.T) {
	c, _ := newLog(t)
	n := uint64(len(c.Leaves))
	for name, tt := range map[string]struct {
		leaves [][]byte
		code   string
		index  uint64
	}{
		"empty":       {nil, "log.short", 0},
		"short":       {c.Leaves[:n-1], "batch.unsealed", n - 2},
		"no seals":    {slices.DeleteFunc(slices.Clone(c.Leaves), record.IsSeal), "batch.unsealed", 0},
		"bytes":       {slices.Repeat([][]byte{[]byte("no record")}, int(n)), "batch.unsealed", 0},
		"empty leaf":  {append([][]byte{{}}, c.Leaves[1:]...), "genesis", 0},
		"no genesis":  {c.Leaves[2:], "seal.height", 2},
		"seals only":  {slices.Repeat([][]byte{c.Leaves[1]}, int(n)), "seal.height", 1},
		"one too few": {c.Leaves[1:], "log.short", n - 1},
	} {
		r := run(t, c, &log{logOf(c).note, tt.leaves}, audit.Options{})
		t.Run(name, func(t *testing.T) { finds(t, r, tt.code, tt.index) })
	}
	r := run(t, c, &log{logOf(c).note, slices.Repeat([][]byte{c.Leaves[1]}, int(n))}, audit.Options{MaxFindings: 2})
	if len(r.Findings) != 2 || r.MoreFindings == 0 {
		t.Errorf("%d findings, %d more", len(r.Findings), r.MoreFindings)
	}
}
