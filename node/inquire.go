package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/transport"
)

// Members whose logs differ ask each other for the seal under the cosigned root.
// It tells whose fault it is: a seal with another header for the same place is
// the leader's; one with the same header that does not follow from the rules is
// the member's.

// Bounds of asking.
const (
	askTries  = 3
	askPause  = time.Second
	forkGrace = 5 * time.Second // between a fork and the stop: others ask for our seal, as we for theirs
)

// sealQuestion asks for the seal that ends the log at a size.
type sealQuestion struct {
	Size uint64 `cbor:"1,keyasint"`
}

// serveSeal answers from the newest derived state, final or not.
func (n *Node) serveSeal(_ context.Context, _ string, req []byte) ([]byte, error) {
	var q sealQuestion
	if err := canon.Unmarshal(req, &q); err != nil {
		return nil, &transport.RemoteError{Code: "malformed"}
	}
	st := n.ledger.State()
	if q.Size == 0 || q.Size > st.Size {
		return nil, &transport.RemoteError{Code: "beyond"}
	}
	leaf, err := st.Leaf(q.Size - 1)
	if err != nil {
		return nil, err
	}
	if !record.IsSeal(leaf) {
		return nil, &transport.RemoteError{Code: "beyond"}
	}
	return leaf, nil
}

// stopCosigning stops the node. After a fork it first waits a little.
func (n *Node) stopCosigning(reason error) {
	if !errors.Is(reason, cosign.ErrForked) {
		n.stop(reason)
		return
	}
	n.Log.Error("the log has forked: this node cosigns nothing any more, and stops", "why", reason.Error(), "evidence", n.kept.Dir())
	go func() {
		select {
		case <-time.After(forkGrace):
		case <-n.closing:
		}
		n.stop(reason)
	}()
}

// onDiffers hears of a checkpoint of another log that a member cosigned.
func (n *Node) onDiffers(policy *sign.Policy, member string, theirs receipt.Cosigned) {
	n.background(func() {
		leaf, err := n.askSeal(member, theirs.Size)
		if err == nil {
			err = n.blame(policy, theirs, leaf)
		}
		if err != nil {
			n.Log.Warn("nobody can be named for another log", "member", member, "size", theirs.Size, "err", err)
		}
	})
}

func (n *Node) askSeal(member string, size uint64) (leaf []byte, err error) {
	id, ok := n.peers.Load().ids[member]
	if !ok {
		return nil, fmt.Errorf("%q is not a member", member)
	}
	for range askTries {
		ctx, cancel := context.WithTimeout(context.Background(), forkGrace)
		leaf, err = n.host.Call(ctx, id, callSeal, canon.Must(&sealQuestion{size}))
		cancel()
		if err == nil {
			return leaf, nil
		}
		select {
		case <-time.After(askPause):
		case <-n.closing:
			return nil, err
		}
	}
	return nil, err
}

// blame makes evidence of a seal under another root than ours.
func (n *Node) blame(policy *sign.Policy, theirs receipt.Cosigned, leaf []byte) error {
	seal, err := record.ParseSeal(leaf)
	if err != nil {
		return err
	}
	st := n.ledger.State()
	if seal.Header == nil || seal.Height > st.Height {
		return fmt.Errorf("its seal is of height %d, ours is %d", seal.Height, st.Height)
	}
	ours, err := sealOf(st, seal.Height)
	if err != nil {
		return err
	}
	switch {
	case bytes.Equal(canon.Must(ours.Header), canon.Must(seal.Header)):
		return n.blameMember(policy, theirs, seal.Height, leaf)
	case ours.Header.SamePlace(seal.Header):
		return n.blameLeader(st, ours.Header, seal.Header)
	}
	return errors.New("its log has parted from ours before")
}

// blameLeader shows that a leader signed two headers. Who told us of the other
// may have made it up.
func (n *Node) blameLeader(st *store.State, ours, theirs *record.Header) error {
	signed, err := replica.SignedByLeader(st, n.Founding.Origin, theirs)
	if err == nil && !signed {
		err = fmt.Errorf("its header of term %d lacks the leader's signature", theirs.Term)
	}
	if err == nil {
		n.onTwice(ours, theirs)
	}
	return err
}

// blameMember shows that the same batch was judged differently.
func (n *Node) blameMember(policy *sign.Policy, theirs receipt.Cosigned, height uint64, leaf []byte) error {
	st, ok := n.ledger.At(height - 1)
	entry := n.recent.at(height)
	if !ok || entry == nil {
		return fmt.Errorf("the state before height %d, or the batch, is not kept any more", height)
	}
	d := &receipt.Derivation{Policy: policy, Theirs: theirs, Seal: leaf, Entry: entry, Prove: st.Prove,
		Beside: st.Neighbour}
	var err error
	if d.Edge, err = st.Tree().Edge(st.Size, st); err != nil {
		return err
	}
	if d.Previous, err = st.Leaf(st.Size - 1); err != nil {
		return err
	}
	if d.Path, err = st.Inclusion(st.Size-1, st.Size); err != nil {
		return err
	}
	file, err := receipt.BuildDerivation(d)
	if err == nil {
		n.keepEvidence(file)
	}
	return err
}

func sealOf(st *store.State, height uint64) (*record.Seal, error) {
	end, err := st.EndOf(height)
	if err != nil {
		return nil, err
	}
	leaf, err := st.Leaf(end.Size - 1)
	if err != nil {
		return nil, err
	}
	return record.ParseSeal(leaf)
}

// recentEntries are the batches of the last heights, as Raft delivered them.
type recentEntries struct {
	mu    sync.Mutex
	list  [][]byte // ascending by height, without gaps
	last  uint64   // height
	bytes int
}

// maxRecent bounds the bytes of recent entries.
const maxRecent = 8 << 20

func (r *recentEntries) add(height uint64, entry []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if height != r.last+1 {
		r.list, r.bytes = nil, 0
	}
	r.list, r.last, r.bytes = append(r.list, bytes.Clone(entry)), height, r.bytes+len(entry)
	for len(r.list) > record.CitedWindow+8 || r.bytes > maxRecent {
		r.bytes -= len(r.list[0])
		r.list = r.list[1:]
	}
}

// at returns the entry of a height, nil where it is not kept.
func (r *recentEntries) at(height uint64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	back := r.last - height
	if height > r.last || back >= uint64(len(r.list)) {
		return nil
	}
	return r.list[len(r.list)-1-int(back)]
}
