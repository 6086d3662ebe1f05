package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// RaftTransport is Raft's own transport, except that a leader does not say again what
// it has just said.
//
// Followers hear of a commit with the next request only, so the leader's CommitTimeout
// is short (decision 0002), and at each of its ends Raft sends every follower a request,
// with or without news: three hundred a second to each, which cost four idle nodes 30 %
// of a core. Without news it is left out here. Heartbeats, from which leader and
// followers know of each other, go another way and are untouched.
type RaftTransport struct{ *raft.NetworkTransport }

// AppendEntriesPipeline implements raft.Transport.
func (t *RaftTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return &quietPipeline{AppendPipeline: p}, nil
}

// sayAgain is after how long a request without news is sent all the same: then a
// connection that broke in silence is found.
const sayAgain = 50 * time.Millisecond

// quietPipeline is used by one goroutine, as raft.AppendPipeline is.
type quietPipeline struct {
	raft.AppendPipeline
	last raft.AppendFuture // the request that was sent last
	sent time.Time
}

// AppendEntries sends a request, or leaves it out and returns the one before, whose
// answer is this one's, too. A request that is left out has no answer of its own, so
// nobody takes it for a sign of life.
func (p *quietPipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	now := time.Now()
	if p.last != nil && now.Sub(p.sent) < sayAgain && saysNothing(p.last.Request(), req) {
		return p.last, nil
	}
	future, err := p.AppendPipeline.AppendEntries(req, resp)
	p.last, p.sent = future, now
	return future, err
}

// saysNothing reports whether a request without entries has no news for who has the
// one before.
func saysNothing(before, req *raft.AppendEntriesRequest) bool {
	end, term := before.PrevLogEntry, before.PrevLogTerm
	if n := len(before.Entries); n > 0 {
		end, term = before.Entries[n-1].Index, before.Entries[n-1].Term
	}
	return len(req.Entries) == 0 && req.Term == before.Term && req.LeaderCommitIndex == before.LeaderCommitIndex &&
		req.PrevLogEntry == end && req.PrevLogTerm == term
}
