package replica_test

import (
	"errors"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
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
			err := cl.nodes[cl.leader()].replica.Load().Submit("pf", &bad, true)
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
		err := cl.nodes[leader].replica.Load().Submit("pf", &big, false)
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
				m.replica.Load().Submit("pf", &sub, false)
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

// TestLeaderSignsTwice: a leader that puts two batches for one place into the
// Raft log is named by every member. The second has no effect, nobody stops, and
// the log goes on.
func TestLeaderSignsTwice(t *testing.T) {
	cl := newCluster(t)
	cl.submit("pf", cl.c.Tick())
	leader := cl.leader()
	liar := cl.nodes[leader]
	head, err := rules.Load[rules.Head](liar.ledger.State(), rules.KeyHead)
	if err != nil {
		t.Fatal(err)
	}
	cl.c.NowMs = uint64(time.Now().UnixMilli())
	sub := cl.c.Submit("pf", cl.c.Tick())
	e := &record.Entry{Submissions: []record.Submitted{sub}, Header: record.Header{Leader: leader, Epoch: head.Epoch,
		Term: 77, Prev: head.Header, TimeMs: max(cl.c.NowMs, head.TimeMs+1), Cited: liar.cosign.Current().Cited()}}
	for range 2 {
		e.Header.TimeMs++
		cl.c.Sign(e)
		if err := liar.replica.Load().Propose(canon.Must(e)); err != nil {
			t.Fatal(err)
		}
	}
	for id, m := range cl.nodes {
		cl.eventually("the liar is named by "+id, func() bool { return m.twice.Load() == 1 && *m.liar.Load() == leader })
	}
	tick := cl.c.Tick()
	cl.c.NowMs = uint64(time.Now().UnixMilli())
	again := cl.c.Submit("pf", tick)
	sent := time.Time{}
	cl.eventually("final after it", func() bool { // the leader's own chain is broken: it resigns first
		if time.Since(sent) > 500*time.Millisecond {
			sent = time.Now()
			for _, m := range cl.nodes {
				m.replica.Load().Submit("pf", &again, false)
			}
		}
		for _, m := range cl.nodes {
			f := m.cosign.Current()
			st, ok := m.ledger.At(f.End.Height)
			if !ok {
				return false
			}
			if _, found, _ := st.IndexOf(tick.ID); !found {
				return false
			}
		}
		return true
	})
	cl.same()
}
