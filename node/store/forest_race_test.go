package store

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// onLog calls f with everything that is logged.
type onLog struct {
	slog.Handler
	f func()
}

func (h onLog) Enabled(context.Context, slog.Level) bool { return true }

func (h onLog) Handle(context.Context, slog.Record) error { h.f(); return nil }

// TestForestReadWhileWritten: who reads while a batch is taken over meets the trees
// before it or after it, and never takes what is new for damage.
func TestForestReadWhileWritten(t *testing.T) {
	g := newGrove(t)
	for i := range 200 {
		g.commit(forest.Leaf{Value: fmt.Append(nil, i)})
	}
	g.batch(g.advance(200))
	g.l.OnDamage(func(err error) { t.Error("the node would stop:", err) })
	read := 0
	log := g.l.log
	g.l.log = slog.New(onLog{log.Handler(), func() {
		read++
		r := g.reader()
		if _, err := r.Inclusion(7, 200); err != nil {
			t.Error(err)
		}
		if root, err := r.RootAt(200); err != nil || root != g.roots(200).Leaves {
			t.Error("another root at 200:", err)
		}
		if _, ok := g.l.GrowingLeaf(g.id, 299); !ok && r.Size < 300 {
			t.Error("a leaf that was committed is nowhere")
		}
	}})
	for i := range 100 {
		g.commit(forest.Leaf{Value: fmt.Append(nil, 200+i)})
	}
	g.batch(&record.Record{Kind: record.KindTreeAdvance, Body: &record.TreeAdvance{Tree: g.id, Size: 300, Root: record.Digest{1}}}) // false, and so it is logged
	g.l.log = log
	if read == 0 {
		t.Fatal("nothing was read meanwhile")
	}
	g.check()
}
