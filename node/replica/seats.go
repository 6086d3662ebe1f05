package replica

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// # Who votes in Raft
//
// The leader makes the cluster what the register says (Servers), one step at a
// time: who has left is removed first, who has joined is added without a vote, and
// gets the vote when its node has derived the log almost up to ours, so that a
// node that is not there yet costs the others nothing. Each step compares the
// cluster with the register again. Nothing is remembered between steps: any later
// leader goes on where one was killed. A leader that has left hands leadership on;
// the next one removes it.

// Bounds.
const (
	seatEvery  = 250 * time.Millisecond
	seatWithin = 5 * time.Second // for a step to be taken up
	seatBehind = 64              // batches that a node may lack when it gets its vote
)

func (r *Replica) seatAll() {
	defer close(r.seated)
	var passed uint64 // term in which everything committed before was seen applied
	tick := time.NewTicker(seatEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stopped:
			return
		case <-tick.C:
		}
		if r.raft.State() != raft.Leader || r.Servers() == nil {
			continue
		}
		if term := r.raft.CurrentTerm(); term != passed { // a register that is behind is not followed
			if r.raft.Barrier(seatWithin).Error() != nil {
				continue
			}
			passed = term
		}
		if what, err := r.seatNext(); err != nil {
			r.Log.Warn("a change of Raft's members is not done yet", "step", what, "err", err)
		} else if what != "" {
			r.Log.Info("Raft's members", "step", what)
		}
	}
}

// seatNext takes the next step towards what the register says, and says which.
func (r *Replica) seatNext() (what string, err error) {
	f := r.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return "read", err
	}
	want := r.Servers()
	if want == nil {
		return "", nil
	}
	step, id, member := nextSeat(f.Configuration().Servers, want, r.Local, r.caughtUp)
	switch step {
	case stepRemove:
		return "remove " + string(id), r.raft.RemoveServer(id, f.Index(), seatWithin).Error()
	case stepHandOn:
		return "hand leadership on: this member has left", r.transfer()
	case stepAdd:
		return "add " + member, r.raft.AddNonvoter(id, raft.ServerAddress(id), f.Index(), seatWithin).Error()
	case stepVote:
		return "vote of " + member, r.raft.AddVoter(id, raft.ServerAddress(id), f.Index(), seatWithin).Error()
	}
	return "", nil
}

// A seatStep is one step towards the cluster that the register wants.
type seatStep int

const (
	stepNone seatStep = iota
	stepRemove
	stepHandOn // this leader has left, and another voter stays
	stepAdd
	stepVote
)

// nextSeat says what a leader does next, and for whom. One that has left makes a
// voter of another first where it is the only one: nobody else could lead.
func nextSeat(now []raft.Server, want map[string]raft.ServerID, local raft.ServerID, caughtUp func(member string) bool) (seatStep, raft.ServerID, string) {
	wanted := map[raft.ServerID]string{}
	for member, id := range want {
		wanted[id] = member
	}
	there := map[raft.ServerID]bool{}
	heir := false
	for _, s := range now {
		there[s.ID] = true
		_, stays := wanted[s.ID]
		if !stays && s.ID != local {
			return stepRemove, s.ID, ""
		}
		heir = heir || stays && s.ID != local && s.Suffrage == raft.Voter
	}
	if _, stays := wanted[local]; !stays && heir {
		return stepHandOn, local, ""
	}
	for _, member := range slices.Sorted(maps.Keys(want)) {
		if id := want[member]; !there[id] {
			return stepAdd, id, member
		}
	}
	for _, s := range now {
		if member := wanted[s.ID]; s.Suffrage == raft.Nonvoter && caughtUp(member) {
			return stepVote, s.ID, member
		}
	}
	return stepNone, "", ""
}

// caughtUp asks a member whether its node has derived the log almost up to ours.
func (r *Replica) caughtUp(member string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), seatWithin)
	defer cancel()
	ours := r.Ledger.State().Height
	height, err := r.Height(ctx, member)
	return err == nil && height+seatBehind >= ours
}

// Voters returns the members whose nodes vote in Raft and those whose nodes follow
// only, each ascending.
func (r *Replica) Voters() (vote, follow []string) {
	f := r.raft.GetConfiguration()
	if f.Error() != nil {
		return nil, nil
	}
	for _, s := range f.Configuration().Servers {
		list := &follow
		if s.Suffrage == raft.Voter {
			list = &vote
		}
		if member := r.Name(s.ID); member != "" {
			*list = append(*list, member)
		}
	}
	slices.Sort(vote)
	slices.Sort(follow)
	return vote, follow
}
