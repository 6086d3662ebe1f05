package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/transport"
)

// SlotFile and CopiesSlotFile are the slots of a data directory: of the member's own
// vault, and of its vault of other members' copies. Neither is ever in a backup.
const (
	SlotFile       = "vault.slot"
	CopiesSlotFile = "copies.slot"
)

const callEscrow = "escrow"

// custodian is a node's part in custody, at both ends.
type custodian struct {
	sender *escrow.Sender
	keeper *escrow.Keeper // nil where this member keeps nobody's copies
	copies *vault.Vault   // the keeper's

	keeping atomic.Bool // a pass of the keeper's duties is under way
}

func (n *Node) openEscrow([]byte) error {
	key, err := escrow.LoadKey(n.Dir, n.Settings.Member)
	if err != nil {
		return err
	}
	n.escrow.sender, err = escrow.NewSender(escrow.SenderConfig{Self: n.Settings.Member, Key: key, Vault: n.vault,
		State: n.FinalState, Network: escrowLink{n}, Log: n.Log,
		NumberOf: func(id string, value []byte) (seal.Number, bool) { return n.desk.NumberOf(id, value) }})
	if err != nil {
		return err
	}
	path := filepath.Join(n.Dir, CopiesSlotFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && len(n.Settings.EscrowFor) == 0 {
		return nil
	}
	slot, err := vault.OpenFileSlot(path)
	if err != nil {
		return err
	}
	if n.escrow.copies, err = vault.Open(slot, vaultBlobs{n.blobs, copiesPrefix}, vault.Options{OnStop: n.stop}); err != nil {
		return err
	}
	n.escrow.keeper, err = escrow.NewKeeper(escrow.KeeperConfig{Self: n.Settings.Member, Vault: n.escrow.copies, State: n.FinalState,
		Newest: n.ledger.State(), Poster: n.outbox, Log: n.Log,
		Accepts: func(owner string) bool { return slices.Contains(n.Settings.EscrowFor, owner) }})
	return err
}

// escrowDuties starts what is due of custody. A custodian that does not answer holds up
// neither the others nor the next call.
func (n *Node) escrowDuties() {
	n.escrowDuty(n.escrow.sender.Duty)
	if n.escrow.keeper == nil || !n.escrow.keeping.CompareAndSwap(false, true) {
		return
	}
	n.escrowDuty(func(ctx context.Context) {
		defer n.escrow.keeping.Store(false)
		err := n.escrow.keeper.Duty(ctx)
		switch {
		case errors.Is(err, vault.ErrStopped):
			n.stop(err)
		case err != nil && ctx.Err() == nil:
			n.Log.Info("custody of other members' keys does not go on", "err", err)
		}
	})
}

// escrowDuty runs a duty beside everything else, until the node closes.
func (n *Node) escrowDuty(duty func(context.Context)) {
	n.wg.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n.wg.Go(func() {
			select {
			case <-n.closing:
				cancel()
			case <-ctx.Done():
			}
		})
		duty(ctx)
	})
}

func (n *Node) serveEscrow(ctx context.Context, member string, req []byte) ([]byte, error) {
	if n.escrow.keeper == nil {
		return nil, &transport.RemoteError{Code: string(record.CodeCustodianUnknown)}
	}
	b, err := n.escrow.keeper.Handle(ctx, member, req)
	var refusal *record.Refusal
	if errors.As(err, &refusal) {
		return nil, &transport.RemoteError{Code: string(refusal.Code), Message: refusal.Detail}
	}
	if errors.Is(err, vault.ErrStopped) {
		n.stop(err)
	}
	return b, err
}

// escrowLink reaches the keepers of other members.
type escrowLink struct{ n *Node }

// Ask implements escrow.Network.
func (l escrowLink) Ask(ctx context.Context, member string, req []byte) ([]byte, error) {
	id, ok := l.n.peers.Load().ids[member]
	if !ok {
		return nil, record.Refuse(record.CodePartyUnknown, "%q is not a member", member)
	}
	b, err := l.n.host.Call(ctx, id, callEscrow, req)
	var remote *transport.RemoteError
	if errors.As(err, &remote) && record.ValidCode(record.Code(remote.Code)) && !strings.HasPrefix(remote.Code, "transport.") {
		return nil, &record.Refusal{Code: record.Code(remote.Code), Detail: remote.Message}
	}
	return b, err
}

// Custodians returns how far the copies of this member's keys are.
func (n *Node) Custodians() []escrow.CustodianStatus { return n.escrow.sender.Status() }

// KeyLag returns which of this member's keys are at no custodian.
func (n *Node) KeyLag() escrow.Lag { return n.escrow.sender.Lag() }

// KeepsFor returns the members whose copies this node keeps now, ascending.
func (n *Node) KeepsFor() ([]string, error) {
	st := n.FinalState()
	if st == nil {
		return nil, nil
	}
	policy, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range policy.Members {
		custody, err := rules.Load[rules.Custody](st, rules.KeyCustody(m.ID))
		if err != nil {
			return nil, err
		}
		if c := custody.Of(n.Settings.Member); c != nil && c.Holds() {
			out = append(out, m.ID)
		}
	}
	return out, nil
}

var _ escrow.Poster = (*outbox.Outbox)(nil)
