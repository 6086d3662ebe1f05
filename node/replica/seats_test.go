package replica

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestNextSeat: a leader's next step from a cluster to the members of the register.
func TestNextSeat(t *testing.T) {
	voter := func(id raft.ServerID) raft.Server { return raft.Server{Suffrage: raft.Voter, ID: id} }
	follower := func(id raft.ServerID) raft.Server { return raft.Server{Suffrage: raft.Nonvoter, ID: id} }
	ab, b := map[string]raft.ServerID{"a-sha": "a", "b-sha": "b"}, map[string]raft.ServerID{"b-sha": "b"}
	for name, c := range map[string]struct {
		now    []raft.Server
		want   map[string]raft.ServerID
		behind bool
		step   seatStep
		id     raft.ServerID
	}{
		"as it should be":   {[]raft.Server{voter("a"), voter("b")}, ab, false, stepNone, ""},
		"b joins":           {[]raft.Server{voter("a")}, ab, false, stepAdd, "b"},
		"b has caught up":   {[]raft.Server{voter("a"), follower("b")}, ab, false, stepVote, "b"},
		"b is behind":       {[]raft.Server{voter("a"), follower("b")}, ab, true, stepNone, ""},
		"c has left":        {[]raft.Server{voter("a"), voter("b"), voter("c")}, ab, false, stepRemove, "c"},
		"the leader leaves": {[]raft.Server{voter("a"), voter("b")}, b, false, stepHandOn, "a"},
		"the leader leaves, who stays has no vote": {[]raft.Server{voter("a"), follower("b")}, b, false, stepVote, "b"},
		"and is behind":    {[]raft.Server{voter("a"), follower("b")}, b, true, stepNone, ""},
		"and is not there": {[]raft.Server{voter("a")}, b, false, stepAdd, "b"},
	} {
		if step, id, _ := nextSeat(c.now, c.want, "a", func(string) bool { return !c.behind }); step != c.step || id != c.id {
			t.Errorf("%s: step %d for %q, want %d for %q", name, step, id, c.step, c.id)
		}
	}
}
