package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// # The first start after a restore
//
// The vault of a restored directory is empty. Before the desk opens, the node
// catches up with the ledger, so that it knows who was erased, and fetches the keys
// from every custodian. Until that is done it derives and cosigns like any other, and
// serves nobody. Order of effects: entries into the vault, the vault mended, the desk
// opened, the mark removed; a crash before the last repeats all of it, and what is
// there already is left alone.

// Bounds of a recovery.
const (
	recoverEvery = 200 * time.Millisecond
	recoverStuck = 2 * time.Minute // without a new height, or without an answer of any custodian
)

func (n *Node) restored() (bool, error) {
	_, err := os.Lstat(filepath.Join(n.Dir, RestoredFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openDeskUnlessRestored opens the desk where the vault is what it was.
func (n *Node) openDeskUnlessRestored(genesis []byte) error {
	restored, err := n.restored()
	if err != nil || restored {
		return err
	}
	err = n.openDesk(genesis)
	n.deskOpen.Store(err == nil)
	return err
}

func (n *Node) openDeskIfRestored(genesis []byte) error {
	restored, err := n.restored()
	if err != nil || !restored {
		return err
	}
	err = n.recover(genesis)
	n.deskOpen.Store(err == nil)
	return err
}

// recover brings the keys back, and opens the desk.
func (n *Node) recover(genesis []byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.background(func() {
		select {
		case <-n.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	if err := n.catchUp(ctx); err != nil {
		return err
	}
	if err := n.fetchKeys(ctx); err != nil {
		return err
	}
	if err := custody.Mend(n.vault); err != nil {
		return err
	}
	if err := n.openDesk(genesis); err != nil {
		return err
	}
	if err := n.desk.AfterLoss(); err != nil {
		return err
	}
	return os.Remove(filepath.Join(n.Dir, RestoredFile))
}

// catchUp waits until the newest final checkpoint is of our own membership, and
// fresh: then every tombstone is known that a custodian could have acted on.
func (n *Node) catchUp(ctx context.Context) error {
	n.Log.Info("restored: catching up with the ledger before any key is fetched")
	again := time.NewTicker(recoverEvery)
	defer again.Stop()
	last, since := uint64(0), time.Now()
	for {
		if st := n.FinalState(); st != nil {
			policy, err := rules.Load[rules.Policy](st, rules.KeyPolicy) // of the next batch
			if err != nil {
				return err
			}
			if policy.Epoch >= n.Settings.Joined && n.Refresh(ctx) == nil {
				return nil
			}
		}
		if h := n.ledger.State().Height; h != last {
			last, since = h, time.Now()
		}
		if time.Since(since) > recoverStuck {
			return fmt.Errorf("no new batch within %v: the other members are not reached", recoverStuck)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetchKeys asks every custodian that holds copies. It is enough that one answers,
// if the others do not within recoverStuck.
func (n *Node) fetchKeys(ctx context.Context) error {
	custody, err := rules.Load[rules.Custody](n.FinalState(), rules.KeyCustody(n.Settings.Member))
	if err != nil {
		return err
	}
	var open []string
	if custody != nil {
		for i := range custody.Custodians {
			if c := &custody.Custodians[i]; c.Holds() {
				open = append(open, c.ID)
			}
		}
	}
	if len(open) == 0 {
		n.Log.Error("restored: nobody keeps copies of this member's keys: the data of everybody is lost")
		return nil
	}
	answered := 0
	for end := time.Now().Add(recoverStuck); len(open) > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		var waiting []string
		for _, id := range open {
			got, err := n.escrow.sender.Fetch(ctx, id)
			if err != nil {
				n.Log.Warn("restored: a custodian has not given the keys back yet", "custodian", id, "err", err)
				waiting = append(waiting, id)
				continue
			}
			answered++
			n.Log.Info("restored: keys are back", "custodian", id, "keys", got.Entries, "erased meanwhile", got.Erased)
		}
		if open = waiting; len(open) > 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case answered == 0:
		return errors.New("no custodian gives the keys back: start again when one is reached")
	case len(open) > 0:
		n.Log.Error("restored: custodians were not reached: what they alone have is lost", "custodians", open)
	}
	return nil
}
