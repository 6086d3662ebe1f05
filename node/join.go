package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/transport"
	"github.com/libp2p/go-libp2p/core/peer"
)

// # How a node joins
//
// A candidate signs a request (Keys.Request), and the members vote on it. When the
// batch of that vote is final, their nodes admit the candidate's network key. Join
// then asks any of them for what is not in the genesis: the log's own key, and who
// the members are now. That ends what is special about the node: Raft's leader
// sends it the log from the first entry on, and it judges each batch as every node
// does. What it was told is believed of nothing but the network.
//
// Join writes keys, members and genesis first and the settings last: before these
// say that the node has joined, everything is asked and written again.

// Request is a candidate's signed wish to join, as a record without votes: every
// key of the info proves its possession. The epoch is the policy epoch that the
// joining ends.
func (k *Keys) Request(info record.MemberInfo, origin string, epoch uint64) (record.ID, *record.MemberChange) {
	id := NewID()
	b := &record.MemberChange{Action: record.ActionAdd, Epoch: epoch, Member: info.ID, Info: &info}
	own := []sign.Key{k.Approver, k.Cosigner, k.Peer, k.Record}
	for i, role := range []string{record.RoleApprover, record.RoleCosigner, record.RoleNetwork, record.RoleRecord} {
		b.Keys = append(b.Keys, record.NewKey{Role: role, Key: own[i].Public()})
	}
	ballot := b.Ballot(id)
	for i := range b.Keys {
		b.Keys[i].Proof = own[i].Sign(sign.DomainGovernance, origin, ballot)
	}
	return id, b
}

// CheckCandidate refuses what the rules cannot know of who asks to join: that a
// founder has its network key (that is in the genesis, not in the register), that a
// witness of this node has its cosigner's name or key (two lines of a note would
// stand under one name), or that its address is none.
func (n *Node) CheckCandidate(m *record.MemberInfo) error {
	if slices.ContainsFunc(n.Founding.Members, func(f record.MemberInfo) bool { return f.Peer == m.Peer }) {
		return record.Refuse(record.CodeKeyTaken, "the network key is a founder's")
	}
	if slices.ContainsFunc(n.watched(), func(w record.Witness) bool { return w.Name == m.Cosigner || w.Key == m.CosignKey }) {
		return record.Refuse(record.CodeKeyTaken, "the cosigner's name or key is a witness's")
	}
	if err := transport.CheckAddr(m.Addr); err != nil {
		return record.Refuse(record.CodeRecordMalformed, "%v", err)
	}
	return nil
}

// welcome is what a new member's node is told.
type welcome struct {
	LogKey []byte `cbor:"1,keyasint"` // seed
	Since  uint64 `cbor:"2,keyasint"` // policy epoch in which its membership began
	Epoch  uint64 `cbor:"3,keyasint"` // of Seats
	Seats  []Seat `cbor:"4,keyasint"`
}

var welcomeLimits = transport.Limits{MaxRequest: 1, MaxResponse: 64 << 10, Concurrency: 2}

// serveWelcome answers a member: the transport admits nobody else.
func (n *Node) serveWelcome(_ context.Context, from string, _ []byte) ([]byte, error) {
	st, now := n.ledger.State(), n.peers.Load()
	p, err := rules.Load[rules.Party](st, rules.KeyParty(from))
	if err != nil {
		return nil, err
	}
	if p == nil || !p.Member || !p.Active() {
		return nil, &transport.RemoteError{Code: "left"}
	}
	first, err := rules.PolicyAt(st, p.Joined+1)
	if err != nil {
		return nil, err
	}
	return canon.Must(&welcome{n.keys.Log.Seed(), first.Epoch, now.epoch, now.seats}), nil
}

// Pause between rounds of asking: it doubles, since members log each refused
// connection.
const joinFirst, joinLongest = time.Second, 8 * time.Second

// Join waits until the members have admitted the node of a data directory, and
// completes the directory with what they tell. The genesis is checked already.
// Further seats are tried beside the founders'. Where the node has joined before,
// nothing is done.
func Join(ctx context.Context, dir string, genesis []byte, further []Seat, log *slog.Logger) error {
	j, err := newJoining(dir, genesis, further, log)
	if err != nil || j.settings.Joined > 0 {
		return err
	}
	host, err := transport.New(transport.Config{Key: j.keys.Peer.Private(), Listen: j.settings.P2P, Log: log,
		Peers: j.peers, Admit: func(id peer.ID) bool { return slices.Contains(j.ids, id) }})
	if err != nil {
		return err
	}
	w, err := j.ask(ctx, host)
	return errors.Join(err, host.Close(), j.complete(w))
}

// joining is a candidate's directory on its way.
type joining struct {
	dir      string
	genesis  []byte
	founding *record.Founding
	settings *Settings
	keys     *Keys
	peers    []transport.Peer
	ids      []peer.ID
	log      *slog.Logger
}

func newJoining(dir string, genesis []byte, further []Seat, log *slog.Logger) (*joining, error) {
	rec, err := record.Parse(genesis)
	if err != nil {
		return nil, err
	}
	g, ok := rec.Body.(*record.Genesis)
	if !ok {
		return nil, errors.New("not a genesis")
	}
	j := &joining{dir: dir, genesis: genesis, founding: &g.Founding, log: log}
	if j.settings, err = LoadSettings(dir); err != nil {
		return nil, err
	}
	if j.keys, err = LoadKeys(dir); err != nil {
		return nil, err
	}
	seats := slices.Clone(further)
	for _, m := range j.founding.Members {
		if !slices.ContainsFunc(further, func(s Seat) bool { return s.Member == m.ID }) {
			seats = append(seats, Seat{m.ID, m.Peer[:], m.Addr})
		}
	}
	for _, s := range seats {
		if a, ok := j.settings.Peers[s.Member]; ok {
			s.Address = a
		}
		id, err := transport.PeerID(s.Key)
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", s.Member, err)
		}
		if s.Member != j.settings.Member {
			j.peers, j.ids = append(j.peers, transport.Peer{Name: s.Member, PublicKey: s.Key, Addr: s.Address}), append(j.ids, id)
		}
	}
	return j, nil
}

// ask asks one member after the other, again and again.
func (j *joining) ask(ctx context.Context, host *transport.Host) (*welcome, error) {
	pause := joinFirst
	for told := false; ; told = true {
		for i, id := range j.ids {
			b, err := host.Call(ctx, id, callWelcome, nil)
			if err != nil {
				j.log.Debug("no welcome", "member", j.peers[i].Name, "err", err)
				continue
			}
			w := new(welcome)
			if err := errors.Join(canon.UnmarshalMax(b, welcomeLimits.MaxResponse, w), j.check(w)); err != nil {
				j.log.Warn("a welcome that is none", "member", j.peers[i].Name, "err", err)
				continue
			}
			j.log.Info("admitted", "by", j.peers[i].Name, "epoch", w.Epoch, "members", len(w.Seats))
			return w, nil
		}
		if !told {
			j.log.Info("waiting to be admitted: the members' votes are not final yet, or none of them can be reached")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("not admitted yet: %w", ctx.Err())
		case <-time.After(pause):
			pause = min(2*pause, joinLongest)
		}
	}
}

// check compares what was told with the genesis and our own keys.
func (j *joining) check(w *welcome) error {
	log, err := sign.KeyFromSeed(w.LogKey)
	if err != nil {
		return err
	}
	own := j.keys.Peer.Public()
	switch {
	case log.Public() != j.founding.LogKey:
		return errors.New("not the log's own key")
	case w.Since == 0 || w.Epoch < w.Since:
		return errors.New("a membership that begins with no epoch")
	case !slices.ContainsFunc(w.Seats, func(s Seat) bool { return s.Member == j.settings.Member && string(s.Key) == string(own[:]) }):
		return errors.New("we are not among the members")
	}
	return nil
}

func (j *joining) complete(w *welcome) error {
	if w == nil {
		return nil
	}
	log, err := sign.KeyFromSeed(w.LogKey)
	if err != nil {
		return err
	}
	j.keys.Log, j.settings.Joined = log, w.Since
	for _, step := range []func() error{
		func() error { return j.keys.Save(j.dir) },
		func() error { return SaveMembers(j.dir, w.Epoch, w.Seats) },
		func() error { return SaveGenesis(j.dir, j.genesis) },
		func() error { return j.settings.Save(j.dir) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
