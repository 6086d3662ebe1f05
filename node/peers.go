package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/peer"
)

// # Who belongs to the network
//
// The members of a policy epoch do, from the moment at which the end that begins
// the epoch is final: admission and Raft's voters follow from the register alone,
// so every node comes to the same, in whatever order it learns and however often
// it is killed. Who leaves is heard for leaveGrace more, so that it learns that
// its leaving is final. (Not until the new epoch goes on: a leader that leaves and
// will not go would then hold the log for ever.)
//
// A node that derives its state anew knows the founders only, and Raft delivers
// nothing until the leader reaches it. So the newest members are kept in the file
// "members" beside the state. It says whom to talk to, and nothing else.

// leaveGrace is how long a member that left is still heard.
const leaveGrace = 3 * time.Second

// Seat is where a member is found on the network.
type Seat struct {
	Member  string `json:"member" cbor:"1,keyasint"`
	Key     []byte `json:"key" cbor:"2,keyasint"`     // identity on the network, Ed25519
	Address string `json:"address" cbor:"3,keyasint"` // host:port
}

// peers maps members to their identities on the network. It is never changed.
type peers struct {
	epoch   uint64 // policy epoch
	seats   []Seat // of that epoch's members
	ids     map[string]peer.ID
	members map[peer.ID]string // with those that leave
	servers map[string]raft.ServerID
}

// seating is what follows the register.
type seating struct {
	mu       sync.Mutex
	closings []closing  // that are not final yet, ascending
	work     sync.Mutex // one change at a time
}

// closing is an end after which a policy epoch begins.
type closing struct {
	height uint64
	next   *rules.Policy
}

// seatsOf returns the seats of a policy's members: as they joined, the founders as
// they founded.
func (n *Node) seatsOf(v rules.View, p *rules.Policy) ([]Seat, error) {
	var list []Seat
	for _, m := range p.Members {
		party, err := rules.Load[rules.Party](v, rules.KeyParty(m.ID))
		if err != nil {
			return nil, err
		}
		s := Seat{Member: m.ID}
		if party != nil && len(party.Peer) == sign.PublicKeySize {
			s.Key, s.Address = party.Peer, party.Addr
		} else if i := slices.IndexFunc(n.Founding.Members, func(f record.MemberInfo) bool { return f.ID == m.ID }); i >= 0 {
			s.Key, s.Address = n.Founding.Members[i].Peer[:], n.Founding.Members[i].Addr
		} else {
			return nil, fmt.Errorf("%w: member %s has no place on the network", store.ErrDamaged, m.ID)
		}
		if slices.ContainsFunc(list, func(o Seat) bool { return string(o.Key) == string(s.Key) }) {
			n.Log.Error("two members with one key on the network: the second takes no part there", "member", m.ID)
			continue // voters saw to it that this is nobody else's; see Node.Candidate
		}
		list = append(list, s)
	}
	return list, nil
}

// peersOf makes the map; leaving are still heard.
func peersOf(epoch uint64, seats, leaving []Seat) (*peers, error) {
	p := &peers{epoch: epoch, seats: seats, ids: map[string]peer.ID{}, members: map[peer.ID]string{}, servers: map[string]raft.ServerID{}}
	for _, s := range leaving {
		id, err := transport.PeerID(s.Key)
		if err != nil {
			return nil, err
		}
		p.ids[s.Member], p.members[id] = id, s.Member
	}
	for _, s := range seats {
		id, err := transport.PeerID(s.Key)
		if err != nil {
			return nil, err
		}
		p.ids[s.Member], p.members[id], p.servers[s.Member] = id, s.Member, raftName(id)
	}
	return p, nil
}

// addresses is where the host finds everyone; a member whose address is none is
// heard when it calls.
func (n *Node) addresses(seats []Seat) []transport.Peer {
	var list []transport.Peer
	for _, s := range seats {
		if a, ok := n.Settings.Peers[s.Member]; ok {
			s.Address = a
		}
		if err := transport.CheckAddr(s.Address); err != nil {
			n.Log.Warn("a member's address is none", "member", s.Member, "err", err)
			continue
		}
		list = append(list, transport.Peer{Name: s.Member, PublicKey: s.Key, Addr: s.Address})
	}
	return list
}

// seatAtStart begins with the epoch that the newest derived end is in, since what
// came before it is final, or with the file where that is newer.
func (n *Node) seatAtStart() error {
	st := n.ledger.State()
	policy, err := rules.PolicyAt(st, st.Height)
	if err != nil {
		return err
	}
	seats, err := n.seatsOf(st, policy)
	if err != nil {
		return err
	}
	kept, err := loadMembers(n.Dir)
	if err != nil {
		return err
	}
	epoch := policy.Epoch
	switch {
	case kept != nil && kept.Epoch > epoch:
		epoch, seats = kept.Epoch, kept.Members
	case epoch > 0 && (kept == nil || kept.Epoch < epoch): // killed before it could be written
		if err := SaveMembers(n.Dir, epoch, seats); err != nil {
			return err
		}
	}
	p, err := peersOf(epoch, seats, nil)
	if err != nil {
		return err
	}
	n.peers.Store(p)
	now, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err == nil && now.Epoch != policy.Epoch {
		n.seating.closings = []closing{{st.Height, now}}
	}
	return err
}

// epochBegins hears of an end after which another policy counts.
func (n *Node) epochBegins(height uint64, next *rules.Policy) {
	n.seating.mu.Lock()
	defer n.seating.mu.Unlock()
	n.seating.closings = append(n.seating.closings, closing{height, next})
}

// epochsFinal hears of every final end.
func (n *Node) epochsFinal(f *cosign.Final) {
	n.seating.mu.Lock()
	defer n.seating.mu.Unlock()
	var next *rules.Policy
	for len(n.seating.closings) > 0 && n.seating.closings[0].height <= f.End.Height {
		next, n.seating.closings = n.seating.closings[0].next, n.seating.closings[1:]
	}
	if next != nil {
		n.background(func() {
			if err := n.reseat(next); err != nil {
				n.stop(fmt.Errorf("follow the members of policy epoch %d: %w", next.Epoch, err))
			}
		})
	}
}

// reseat takes up the members of an epoch that begins on a final end.
func (n *Node) reseat(p *rules.Policy) error {
	n.seating.work.Lock()
	defer n.seating.work.Unlock()
	old := n.peers.Load()
	if p.Epoch < old.epoch {
		return nil
	}
	seats, err := n.seatsOf(n.ledger.State(), p)
	if err != nil {
		return err
	}
	here := func(s Seat) bool { // or the id has another node by now: two epochs may become final at once
		return slices.ContainsFunc(seats, func(o Seat) bool { return string(o.Key) == string(s.Key) || o.Member == s.Member })
	}
	leaving := slices.DeleteFunc(slices.Clone(old.seats), here)
	if err := n.seat(p.Epoch, seats, leaving); err != nil {
		return err
	}
	if !slices.ContainsFunc(p.Members, func(m rules.Cosigner) bool { return m.ID == n.Settings.Member }) {
		n.Log.Warn("this member has left the consortium: its node can be read, and takes no part", "epoch", p.Epoch)
	}
	if len(leaving) > 0 {
		n.background(func() { n.cutOff(p.Epoch) })
	}
	return nil
}

// seat makes a set of members everything that follows from it. The file comes
// first: after it, a crash leaves a node that the others can reach.
func (n *Node) seat(epoch uint64, seats, leaving []Seat) error {
	p, err := peersOf(epoch, seats, leaving)
	if err != nil {
		return err
	}
	if err := SaveMembers(n.Dir, epoch, seats); err != nil {
		return err
	}
	n.peers.Store(p)
	if err := n.host.SetPeers(n.addresses(append(slices.Clone(seats), leaving...))); err != nil && !errors.Is(err, transport.ErrClosed) {
		return err
	}
	n.Log.Info("the members of the network", "epoch", epoch, "members", len(seats), "leaving", len(leaving))
	return nil
}

// cutOff ends the grace of those who left.
func (n *Node) cutOff(epoch uint64) {
	select {
	case <-n.closing:
		return
	case <-time.After(leaveGrace):
	}
	n.seating.work.Lock()
	defer n.seating.work.Unlock()
	now := n.peers.Load()
	if now.epoch != epoch {
		return // a later epoch has seen to it
	}
	if err := n.seat(epoch, now.seats, nil); err != nil {
		n.stop(fmt.Errorf("cut off who left: %w", err))
	}
}

// membersFile is the file "members".
type membersFile struct {
	Format  string `json:"format"`
	Epoch   uint64 `json:"epoch"`
	Members []Seat `json:"members"`
}

const membersFormat = "akashi-members/v1"

// SaveMembers writes the members of a policy epoch to a data directory.
func SaveMembers(dir string, epoch uint64, seats []Seat) error {
	b, err := json.MarshalIndent(membersFile{membersFormat, epoch, seats}, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "members"), append(b, '\n'), 0o600)
}

// loadMembers reads the file, nil where there is none.
func loadMembers(dir string) (*membersFile, error) {
	path := filepath.Join(dir, "members")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := new(membersFile)
	if err := json.Unmarshal(b, f); err != nil || f.Format != membersFormat {
		return nil, fmt.Errorf("%s is not a file of members of this program: remove it where this node's state is whole", path)
	}
	return f, nil
}

func raftName(id peer.ID) raft.ServerID { return raft.ServerID(id.String()) }

// founders returns who begins the Raft cluster, none for a node that joins one.
func (n *Node) founders() (map[string]raft.ServerID, error) {
	out := map[string]raft.ServerID{}
	if n.Settings.Joined > 0 {
		return out, nil
	}
	for _, m := range n.Founding.Members {
		id, err := transport.PeerID(m.Peer[:])
		if err != nil {
			return nil, err
		}
		out[m.ID] = raftName(id)
	}
	return out, nil
}

// Seats returns the members of the network.
func (n *Node) Seats() []Seat { return n.peers.Load().seats }

// servers returns who belongs to the cluster, nil while the newest change of
// members is not final here, or not derived.
func (n *Node) servers() map[string]raft.ServerID {
	p := n.peers.Load()
	now, err := rules.Load[rules.Policy](n.ledger.State(), rules.KeyPolicy)
	if err != nil || now == nil || now.Epoch != p.epoch {
		return nil
	}
	return p.servers
}

// nameOf returns the member of a name in Raft, "" for none.
func (n *Node) nameOf(s raft.ServerID) string {
	id, err := peer.Decode(string(s))
	if err != nil {
		return ""
	}
	return n.peers.Load().members[id]
}

// serveHeight tells how far this node has derived the log.
func (n *Node) serveHeight(context.Context, string, []byte) ([]byte, error) {
	return canon.Must(n.ledger.State().Height), nil
}

// heightOf asks another member how far it has derived the log.
func (n *Node) heightOf(ctx context.Context, member string) (height uint64, err error) {
	id, ok := n.peers.Load().ids[member]
	if !ok {
		return 0, fmt.Errorf("%q is not on the network", member)
	}
	b, err := n.host.Call(ctx, id, callHeight, nil)
	if err == nil {
		err = canon.Unmarshal(b, &height)
	}
	return height, err
}
