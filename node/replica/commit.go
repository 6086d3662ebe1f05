package replica

import (
	"github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/hashicorp/raft"
)

// maxCommits is how many bytes of commits to trees the leader has proposed and
// not seen applied.
const maxCommits = 4 << 20

// Commit puts a commit to a commitment tree into the Raft log; this node must
// lead. It does not wait for anything, and promises nothing. What no member would
// take is a *record.Refusal.
func (r *Replica) Commit(entry []byte) error {
	if _, err := forest.Parse(entry); err != nil {
		return err
	}
	if r.raft.State() != raft.Leader {
		return ErrNotLeader
	}
	size := int64(len(entry))
	if r.commits.Add(size) > maxCommits {
		r.commits.Add(-size)
		return ErrBusy
	}
	future := r.raft.Apply(entry, applyTimeout)
	go func() {
		defer r.commits.Add(-size)
		if err := future.Error(); err != nil {
			r.Log.Debug("a commit to a tree was not applied", "err", err)
		}
	}()
	return nil
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
