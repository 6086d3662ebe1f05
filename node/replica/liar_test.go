package replica_test

import (
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/replica"
)

func (cl *cluster) leader() string {
	cl.t.Helper()
	leader := ""
	cl.eventually("leader", func() bool {
		for _, m := range cl.nodes {
			leader = m.replica.Load().Leader()
		}
		return leader != ""
	})
	return leader
}

// TestMalformedSubmissionIsNotProposed: a member that sends the leader what no
// entry may hold does not make it sign a void batch.
func TestMalformedSubmissionIsNotProposed(t *testing.T) {
	cl := newCluster(t)
	cl.submit("pf", cl.c.Tick())
	large := make([]byte, record.MaxLeafBytes)
	for name, change := range map[string]func(*record.Submitted){
		"no records":        func(s *record.Submitted) { s.Leaves, s.Submission.Count = nil, 0 },
		"fewer than signed": func(s *record.Submitted) { s.Submission.Count++ },
		"too many":          func(s *record.Submitted) { s.Leaves, s.Submission.Count = make([][]byte, 1001), 1001 },
		"no issuer":         func(s *record.Submitted) { s.Submission.Issuer = "" },
		"larger than a batch": func(s *record.Submitted) {
			s.Leaves, s.Submission.Count = [][]byte{large, large, large, large, large, large, large, large, large}, 9
		},
	} {
		bad := cl.c.Submit("pf", cl.c.Tick())
		change(&bad)
		cl.eventually(name, func() bool {
			err := cl.nodes[cl.leader()].replica.Load().Submit(&bad, true)
			if err == nil {
				t.Fatalf("%s: queued", name)
			}
			var refusal *record.Refusal
			return errors.As(err, &refusal)
		})
	}
	cl.submit("pf", cl.c.Tick())
	cl.same()
}

// TestQueueIsBoundedInBytes: the leader's memory does not depend on what others
// send.
func TestQueueIsBoundedInBytes(t *testing.T) {
	cl := newCluster(t)
	cl.submit("pf", cl.c.Tick())
	leader := cl.leader()
	for id := range cl.ids {
		if id != leader {
			cl.stop(id) // nothing is proposed any more
			break
		}
	}
	leaf := make([]byte, 60<<10)
	big := cl.c.SubmitLeaves("pf", leaf, leaf, leaf, leaf, leaf, leaf, leaf, leaf)
	for range 400 { // 187 MiB where all were queued at once
		err := cl.nodes[leader].replica.Load().Submit(&big, false)
		if errors.Is(err, replica.ErrBusy) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("everything was queued")
}

// TestLeaderWithAFastClock: members do not vouch for its time, so it cannot
// propose; somebody else must lead.
func TestLeaderWithAFastClock(t *testing.T) {
	cl := newCluster(t)
	cl.submit("pf", cl.c.Tick())
	leader := cl.leader()
	cl.ahead[leader].Store(int64(time.Hour))
	tick := cl.c.Tick()
	cl.c.NowMs = uint64(time.Now().UnixMilli())
	sub := cl.c.Submit("pf", tick)
	sent := time.Time{}
	cl.eventually("final under another leader", func() bool {
		if time.Since(sent) > 500*time.Millisecond {
			sent = time.Now()
			for _, m := range cl.nodes {
				m.replica.Load().Submit(&sub, false)
			}
		}
		for id, m := range cl.nodes {
			f := m.cosign.Current()
			if id == leader || f == nil {
				continue
			}
			if st, ok := m.ledger.At(f.End.Height); ok {
				if _, found, _ := st.IndexOf(tick.ID); found {
					return true
				}
			}
		}
		return false
	})
}
