package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestClusterTwoEpochsAtOnce: a node that was down while another member was removed
// and came back under its id hears of both when both are final.
func TestClusterTwoEpochsAtOnce(t *testing.T) {
	c := found(t, false)
	c.start(c.ids...)
	c.ready()
	tick := func() *record.Record { return &record.Record{Kind: record.KindTick, Body: &record.Tick{}} }
	c.post("pf", tick())
	c.stop("c-sha")
	if r := c.change("pf", c.removal("b-sha", "a-sha", "b-sha", "pf")); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.ids = []string{"a-sha", "c-sha", "pf"}
	c.eventually("b is out of Raft", func() error { return c.votes("b-sha", false) })
	c.stop("b-sha")
	c.post("pf", tick())
	info := c.candidate("b-sha")
	if r := c.change("pf", c.request(info, "a-sha", "pf")); r.Refused != nil {
		t.Fatalf("refused: %v", r.Refused)
	}
	c.join("b-sha")
	c.eventually("b is ready", c.nodes["b-sha"].Ready)
	c.post("b-sha", tick())
	c.start("c-sha")
	c.eventually("c has caught up", func() error {
		select {
		case <-c.nodes["c-sha"].Done():
			return fmt.Errorf("it stopped: %v", c.nodes["c-sha"].Wait())
		default:
		}
		return c.nodes["c-sha"].Ready()
	})
	c.cosigned("c-sha", 4)
	c.post("c-sha", tick())
	c.settle()

	c.stop("c-sha") // as if it had been killed before it wrote who the members are
	file := filepath.Join(c.dirs["c-sha"], "members")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.start("c-sha")
	if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte(`"epoch": 2`)) {
		t.Errorf("%s %v", b, err)
	}
}
