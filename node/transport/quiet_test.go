package transport

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// wire takes what a pipeline sends.
type wire struct {
	raft.AppendPipeline
	sent []*raft.AppendEntriesRequest
	err  error
}

type sentFuture struct {
	raft.AppendFuture
	req *raft.AppendEntriesRequest
}

func (f sentFuture) Request() *raft.AppendEntriesRequest { return f.req }

func (w *wire) AppendEntries(req *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if w.err != nil {
		return nil, w.err
	}
	w.sent = append(w.sent, req)
	return sentFuture{req: req}, nil
}

// TestQuietPipeline: everything that is news to a follower is sent at once, what is
// none only now and then, and an error stays one.
func TestQuietPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		p := &quietPipeline{AppendPipeline: w}
		req := raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 10, PrevLogTerm: 2, LeaderCommitIndex: 9}
		send := func(what string, want bool) {
			t.Helper()
			before, r := len(w.sent), req
			f, err := p.AppendEntries(&r, new(raft.AppendEntriesResponse))
			if sent := len(w.sent) > before; err != nil || sent != want || f.Request() != w.sent[len(w.sent)-1] {
				t.Errorf("%s: sent %v, want %v; %v", what, sent, want, err)
			}
		}
		send("the first", true)
		send("the same", false)
		for what, change := range map[string]func(){
			"a commit":         func() { req.LeaderCommitIndex++ },
			"a term":           func() { req.Term++ },
			"an earlier place": func() { req.PrevLogEntry-- },
			"another's place":  func() { req.PrevLogTerm++ },
			"two entries":      func() { req.Entries = []*raft.Log{{Index: 10, Term: 3}, {Index: 11, Term: 4}} },
		} {
			change()
			send(what, true)
			if req.Entries != nil {
				send("entries a second time", true)
				req.PrevLogEntry, req.PrevLogTerm, req.Entries = 11, 4, nil
			}
			send(what+", again", false)
		}
		time.Sleep(sayAgain - 1)
		send("before its time", false)
		time.Sleep(1)
		send("after it", true)
		w.err = errors.New("broken")
		req.LeaderCommitIndex++
		for range 2 {
			if _, err := p.AppendEntries(&req, new(raft.AppendEntriesResponse)); err == nil {
				t.Error("what was not sent is taken for sent")
			}
		}
	})
}
