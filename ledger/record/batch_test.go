package record_test

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// entryAndSeal returns a batch of two submissions with refusals of both sorts.
func entryAndSeal(t testing.TB) (entry, seal []byte) {
	t.Helper()
	c := ledgertest.New(t, ledgertest.Options{})
	c.Offer("a-sha", "s")
	late := c.SubmitAs("b-sha", 9, c.NowMs-1, c.Leaf(samples(t)[record.KindTick]))
	e := c.Entry(c.Submit("a-sha", c.Tick(), c.Provision(c.Person("p").Handle("s", 0).Public(), 1, 0, "b-sha")), late)
	if r := c.Apply(e); r.Void != nil {
		t.Fatal(r.Void)
	}
	return canon.Must(e), c.Leaves[len(c.Leaves)-1]
}

func TestEntryAndSealComeBack(t *testing.T) {
	entry, sealLeaf := entryAndSeal(t)
	e, err := record.ParseEntry(entry)
	if err != nil || !bytes.Equal(canon.Must(e), entry) {
		t.Errorf("entry: %v", err)
	}
	s, err := record.ParseSeal(sealLeaf)
	if err != nil || !bytes.Equal(s.Leaf(), sealLeaf) || !record.IsSeal(sealLeaf) {
		t.Errorf("seal: %v", err)
	}
	if len(s.Refusals) != 2 || s.Refusals[0].All || !s.Refusals[1].All {
		t.Errorf("refusals: %+v", s.Refusals)
	}
	if _, err := record.Parse(sealLeaf); err == nil {
		t.Error("a seal is read as a record")
	}
}

func TestSubmissionSigns(t *testing.T) {
	k, err := sign.KeyFromSeed(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	leaves := [][]byte{{1}, {2}, {3}}
	s := record.NewSubmission(k, "log", "a-sha", 7, 9, leaves)
	want := merkle.NodeHash(merkle.NodeHash(merkle.LeafHash(leaves[0]), merkle.LeafHash(leaves[1])), merkle.LeafHash(leaves[2]))
	if s.Root != record.Digest(want) || s.Count != 3 {
		t.Errorf("root %x of %d", s.Root, s.Count)
	}
	// {1: "a-sha", 2: 7, 3: 9, 4: 3, 5: root}
	payload := append([]byte("\xa5\x01\x65a-sha\x02\x07\x03\x09\x04\x03\x05\x58\x20"), want[:]...)
	if err := sign.Verify(k.Public(), sign.DomainSubmission, "log", payload, s.Sig); err != nil {
		t.Error(err)
	}
}

func TestHeaderHashCoversAllButTheSignature(t *testing.T) {
	e := entryOf(t)
	h := e.Header
	if h.Hash() != sha256.Sum256(h.Signed()) {
		t.Error("the hash is not that of what is signed")
	}
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		changed := h
		f := reflect.ValueOf(&changed).Elem().Field(i)
		f.SetZero()
		if same, name := changed.Hash() == h.Hash(), v.Type().Field(i).Name; same != (name == "Sig" || v.Field(i).IsZero()) {
			t.Errorf("%s: hash the same: %v", name, same)
		}
	}
}

func entryOf(t testing.TB) *record.Entry {
	t.Helper()
	b, _ := entryAndSeal(t)
	e, err := record.ParseEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestParseEntryRefuses(t *testing.T) {
	const form = record.CodeBatchForm
	many := func(n int) []record.Submitted { return make([]record.Submitted, n) }
	for name, c := range map[string]struct {
		change func(*record.Entry)
		want   record.Code
	}{
		"no submissions":      {func(e *record.Entry) { e.Submissions = nil }, form},
		"401 submissions":     {func(e *record.Entry) { e.Submissions = many(401) }, form},
		"no records":          {func(e *record.Entry) { e.Submissions[1].Leaves = nil }, form},
		"count 0, no records": {func(e *record.Entry) { e.Submissions[1].Leaves, e.Submissions[1].Submission.Count = nil, 0 }, form},
		"another count":       {func(e *record.Entry) { e.Submissions[1].Submission.Count++ }, form},
		"1001 records": {func(e *record.Entry) {
			e.Submissions[1].Leaves, e.Submissions[1].Submission.Count = make([][]byte, 1001), 1001
		}, form},
		"issuer":          {func(e *record.Entry) { e.Submissions[0].Submission.Issuer = "A" }, form},
		"leader":          {func(e *record.Entry) { e.Header.Leader = "" }, form},
		"33 cosignatures": {func(e *record.Entry) { e.Header.Cited.Sigs = make([]record.CitedSig, 33) }, form},
		"beyond time":     {func(e *record.Entry) { e.Header.TimeMs = record.MaxTimeMs + 1 }, form},
		"oversize":        {func(e *record.Entry) { e.Submissions[0].Leaves[0] = make([]byte, record.MaxEntry) }, canon.CodeOversize},
	} {
		e := entryOf(t)
		c.change(e)
		got, err := record.ParseEntry(canon.Must(e))
		if code(t, err) != c.want || got != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	b, _ := entryAndSeal(t)
	if _, err := record.ParseEntry(append(b, 0)); code(t, err) != canon.CodeMalformed {
		t.Errorf("a byte behind the entry: %v", err)
	}
}

func TestParseSealRefuses(t *testing.T) {
	leaf := make([]byte, 32)
	_, b := entryAndSeal(t)
	for name, change := range map[string]func(*record.Seal){
		"version":             func(s *record.Seal) { s.Version = 2 },
		"kind":                func(s *record.Seal) { s.Kind = record.KindTick },
		"no header":           func(s *record.Seal) { s.Header = nil },
		"height 0":            func(s *record.Seal) { s.Height = 0 },
		"header's time":       func(s *record.Seal) { s.Header.TimeMs = record.MaxTimeMs + 1 },
		"no submissions":      func(s *record.Seal) { s.Submissions, s.Refusals = nil, nil },
		"401 submissions":     func(s *record.Seal) { s.Submissions = make([]record.Submission, 401) },
		"submission of none":  func(s *record.Seal) { s.Submissions[1].Count = 0 },
		"submission of 1001":  func(s *record.Seal) { s.Submissions[1].Count = 1001 },
		"issuer":              func(s *record.Seal) { s.Submissions[1].Issuer = "" },
		"no such submission":  func(s *record.Seal) { s.Refusals[1].Sub = 2 },
		"code":                func(s *record.Seal) { s.Refusals[1].Code = "" },
		"whole with a leaf":   func(s *record.Seal) { s.Refusals[1].Leaf = leaf },
		"whole at a position": func(s *record.Seal) { s.Refusals[1].Pos = 1 },
		"record without leaf": func(s *record.Seal) { s.Refusals[0].Leaf = nil },
		"short leaf hash":     func(s *record.Seal) { s.Refusals[0].Leaf = leaf[:31] },
		"no such record":      func(s *record.Seal) { s.Refusals[0].Pos = 2 },
		"out of order":        func(s *record.Seal) { s.Refusals[0], s.Refusals[1] = s.Refusals[1], s.Refusals[0] },
		"twice":               func(s *record.Seal) { s.Refusals = append(s.Refusals[:1], s.Refusals...) },
		"whole, then record":  func(s *record.Seal) { s.Refusals = []record.Refused{{Sub: 0, All: true, Code: "x"}, s.Refusals[0]} },
		"record, then whole":  func(s *record.Seal) { s.Refusals[1].Sub = 0 },
	} {
		s, err := record.ParseSeal(b)
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		if _, err := record.ParseSeal(s.Leaf()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := record.ParseSeal(append(b, 0)); err == nil {
		t.Error("a byte behind the seal")
	}
	if _, err := record.ParseSeal(make([]byte, record.MaxSealBytes+1)); code(t, err) != canon.CodeOversize {
		t.Error(err)
	}
}

// TestListBytes: the sum that a leader keeps below MaxListBytes.
func TestListBytes(t *testing.T) {
	e := entryOf(t)
	subs := []record.Submission{e.Submissions[0].Submission, e.Submissions[1].Submission}
	want := len(canon.Must(&e.Header)) + len(canon.Must(&subs[0])) + len(canon.Must(&subs[1]))
	if got := record.ListBytes(&e.Header, subs); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

func FuzzParseEntry(f *testing.F) {
	entry, seal := entryAndSeal(f)
	f.Add(entry)
	f.Add(seal)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := record.ParseEntry(b)
		if err != nil {
			code(t, err)
			return
		}
		if !bytes.Equal(canon.Must(e), b) {
			t.Fatalf("%x comes back as %x", b, canon.Must(e))
		}
	})
}

func FuzzParseSeal(f *testing.F) {
	entry, seal := entryAndSeal(f)
	f.Add(entry)
	f.Add(seal)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := record.ParseSeal(b)
		if err != nil {
			code(t, err)
			return
		}
		if !bytes.Equal(s.Leaf(), b) || !record.IsSeal(b) {
			t.Fatalf("%x comes back as %x", b, s.Leaf())
		}
	})
}
