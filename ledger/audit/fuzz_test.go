package audit_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
)

// FuzzRun edits a stored log, three bytes an edit: which leaf, what to do, where
// or with what. Nothing panics, and every log but the honest one is broken.
func FuzzRun(f *testing.F) {
	c := ledgertest.New(f, ledgertest.Options{})
	history(f, c)
	good, policies := logOf(c), []*sign.Policy{c.Policy()}
	hashes := hashesOf(c.Leaves)
	f.Add([]byte{})
	f.Add([]byte{1, 0, 7})
	f.Add([]byte{3, 1, 0, 9, 2, 4})
	f.Add([]byte{20, 3, 200, 28, 4, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, edits []byte) {
		l := &log{good.note, slices.Clone(good.leaves)}
		for ; len(edits) >= 3 && len(l.leaves) > 0; edits = edits[3:] {
			i, arg := int(edits[0])%len(l.leaves), int(edits[2])
			j := arg % len(l.leaves)
			switch leaf := bytes.Clone(l.leaves[i]); edits[1] % 5 {
			case 0: // one byte near the beginning, where structure is
				if len(leaf) > 0 {
					leaf[arg%len(leaf)] ^= byte(1 << (edits[1] / 5 % 8))
				}
				l.leaves[i] = leaf
			case 1:
				l.leaves = slices.Delete(l.leaves, i, i+1)
			case 2:
				l.leaves[i], l.leaves[j] = l.leaves[j], l.leaves[i]
			case 3:
				l.leaves = slices.Insert(l.leaves, i, l.leaves[j])
			case 4:
				l.leaves[i] = leaf[:len(leaf)*arg/255]
			}
		}
		same := slices.EqualFunc(l.leaves[:min(len(l.leaves), len(good.leaves))], good.leaves, bytes.Equal)
		for _, src := range []audit.Source{l, &tiled{l, hashes}} {
			r, err := audit.Run(context.Background(), src, policies, audit.Options{Openings: &openings{c, nil}})
			if err != nil {
				t.Fatal(err)
			}
			if r.OK != same {
				t.Fatalf("ok %v, but the log is honest: %v\n%s", r.OK, same, r.Text(false))
			}
			r.JSON()
		}
	})
}
