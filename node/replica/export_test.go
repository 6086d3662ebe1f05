package replica

import "time"

// Propose puts an entry into the Raft log as it is, as a leader may that runs
// another program.
func (r *Replica) Propose(entry []byte) error { return r.raft.Apply(entry, 5*time.Second).Error() }
