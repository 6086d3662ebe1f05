package replica

import (
	"sync"

	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/hashicorp/raft"
)

// maxCommits is how many bytes of commits to trees the leader has proposed and
// not seen applied, of all members.
const maxCommits = 4 << 20

// Commit puts a member's commit to a commitment tree into the Raft log; this node
// must lead. It does not wait for anything, and promises nothing. What no member
// would take is a *record.Refusal. A member waits behind its own commits only, and
// nothing is proposed for which there is no room before the next batch: the Raft log
// would keep it for nothing.
func (r *Replica) Commit(from string, entry []byte) error {
	if _, err := forest.Parse(entry); err != nil {
		return err
	}
	if r.raft.State() != raft.Leader {
		return ErrNotLeader
	}
	if r.Ledger.Pending()+len(entry) > forest.MaxPending || !r.commits.take(from, len(entry), max(maxCommits/max(r.Members(), 1), forest.MaxCommitBytes+1)) {
		return ErrBusy
	}
	future := r.raft.Apply(entry, applyTimeout)
	go func() {
		defer r.commits.give(from, len(entry))
		if err := future.Error(); err != nil {
			r.Log.Debug("a commit to a tree was not applied", "err", err)
		}
	}()
	return nil
}

// shares counts bytes that are under way, by member.
type shares struct {
	mu    sync.Mutex
	bytes map[string]int
}

func (s *shares) take(of string, n, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes[of]+n > most {
		return false
	}
	if s.bytes == nil {
		s.bytes = map[string]int{}
	}
	s.bytes[of] += n
	return true
}

func (s *shares) give(of string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes[of] -= n; s.bytes[of] <= 0 {
		delete(s.bytes, of)
	}
}

// applyCommit is called by Raft for a committed entry that is a commit to a tree.
func (f fsm) applyCommit(l *raft.Log) any {
	res, err := f.r.Ledger.Commit(l.Index, l.Data)
	if err != nil {
		f.r.Stop(err)
		return err
	}
	f.r.Committed(l.Data, res)
	return nil
}
