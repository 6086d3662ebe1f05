package receipt_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// anchored is a commitment tree of size leaves that an advance anchors.
func anchored(t testing.TB, c *ledgertest.Consortium, size int, extra bool) (leaf func(i int) *receipt.Committed) {
	t.Helper()
	tree := &record.Record{Kind: record.KindTree, ID: c.ID(), Issuer: "a-sha", Body: &record.Tree{Name: "log", Type: record.TreeLog}}
	id := rules.TreeID(record.Digest(merkle.LeafHash(c.Leaf(tree))))
	c.Must("a-sha", tree)
	var values, extras []merkle.Hash
	data := func(i int) []byte {
		if extra {
			return fmt.Appendf(nil, "extra %d", i)
		}
		return nil
	}
	for i := range size {
		values, extras = append(values, merkle.LeafHash(fmt.Appendf(nil, "leaf %d", i))), append(extras, merkle.LeafHash(data(i)))
	}
	at := uint64(len(c.Leaves))
	c.Must("a-sha", &record.Record{Kind: record.KindTreeAdvance, Body: forest.Advance(id, uint64(size), merkle.RootOf(values), merkle.RootOf(extras))})
	return func(i int) *receipt.Committed {
		return &receipt.Committed{Tree: id, Index: uint64(i), Value: fmt.Appendf(nil, "leaf %d", i), Extra: data(i),
			Path: merkle.PathOf(values, i), ExtraPath: merkle.PathOf(extras, i), LogIndex: at}
	}
}

// TestCommitted: every leaf's proof verifies, with and without extra data, and
// each changed byte is refused.
func TestCommitted(t *testing.T) {
	c := ledgertest.New(t, ledgertest.Options{})
	for _, extra := range []bool{false, true} {
		for _, size := range []int{1, 2, 7} {
			leaf := anchored(t, c, size, extra)
			for i := range size {
				b, err := receipt.BuildCommitted(newest(c), leaf(i))
				if err != nil {
					t.Fatal(err)
				}
				v, err := receipt.Verify(b, c.Policy())
				if err != nil || v.Format != receipt.FormatCommitted || v.Origin != c.Origin || v.FinalMs == 0 ||
					v.Committed.Index != uint64(i) || string(v.Committed.Value) != fmt.Sprintf("leaf %d", i) || v.Committed.TreeSize != uint64(size) ||
					!slices.ContainsFunc(v.NotChecked, func(t record.Text) bool { return strings.HasPrefix(t.En, "whether the anchor is true") }) {
					t.Fatalf("leaf %d of %d: %+v %v", i, size, v, err)
				}
				if _, err := receipt.Verify(b); code(t, err) != "committed.proof" {
					t.Errorf("without a policy: %v", err)
				}
			}
		}
	}
	leaf := anchored(t, c, 5, true)
	b, err := receipt.BuildCommitted(newest(c), leaf(3))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := receipt.Verify(bad, c.Policy()); err == nil {
			t.Fatalf("byte %d of %d may change", i, len(b))
		}
	}
	for what, lie := range map[string]struct {
		change func(l *receipt.Committed)
		code   string
	}{
		"another value": {func(l *receipt.Committed) { l.Value = []byte("x") }, "committed.path"},
		"another index": {func(l *receipt.Committed) { l.Index = 2 }, "committed.path"},
		"another path":  {func(l *receipt.Committed) { l.Path = leaf(2).Path }, "committed.path"},
		"a long path":   {func(l *receipt.Committed) { l.Path = make([]merkle.Hash, 64) }, "committed.path"},
		"other extra":   {func(l *receipt.Committed) { l.Extra = nil }, "committed.extra"},
		"another tree":  {func(l *receipt.Committed) { l.Tree++ }, "committed.tree"},
	} {
		l := leaf(3)
		lie.change(l)
		b, err := receipt.BuildCommitted(newest(c), l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Verify(b, c.Policy()); code(t, err) != lie.code {
			t.Errorf("%s: %v, want %s", what, err, lie.code)
		}
	}
	l := leaf(3)
	l.LogIndex++ // the seal
	if _, err := receipt.BuildCommitted(newest(c), l); err == nil {
		t.Error("a seal anchors a tree")
	}
}

// TestCommittedVector: the vector verifies here, and step by step with code that
// shares nothing with this ledger's.
func TestCommittedVector(t *testing.T) {
	const name = "committed.akashi.json"
	if *update {
		s := newStory(t, ledgertest.Options{Origin: "vector.example/log", Seed: "vector"})
		leaf := anchored(t, s.c, 5, true)
		b, err := receipt.BuildCommitted(newest(s.c), leaf(3))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(vectors, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, policyText := vector(t, name), vector(t, "receipt-consent.policy")
	policy, err := sign.ParsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Verify(b, policy); err != nil {
		t.Fatal(err)
	}
	tw, err := torchwood.ParsePolicy(policyText)
	if err != nil {
		t.Fatal(err)
	}
	f := fields(t, b)
	advance := unbase64(t, f["leaf"])
	if err := torchwood.VerifyProof(tw, tlog.RecordHash(advance), []byte(f["proof"].(string))); err != nil {
		t.Fatal(err)
	}
	// In the advance's CBOR, the root stands behind {1: tree, 2: 5, 3: h'…', 4: h'…'}.
	at := bytes.Index(advance, []byte{0x02, 0x05, 0x03, 0x58, 0x20})
	if at < 0 {
		t.Fatal("no root in the advance")
	}
	for _, p := range []struct {
		data, path string
		root       []byte
	}{{"value", "path", advance[at+5 : at+37]}, {"extra", "extraPath", advance[at+40 : at+72]}} {
		var path tlog.RecordProof
		for _, h := range f[p.path].([]any) {
			path = append(path, tlog.Hash(unbase64(t, h)))
		}
		if err := tlog.CheckRecord(path, 5, tlog.Hash(p.root), 3, tlog.RecordHash(unbase64(t, f[p.data]))); err != nil {
			t.Errorf("%s: %v", p.data, err)
		}
	}
}

func unbase64(t *testing.T, v any) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
