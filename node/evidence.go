package node

import (
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/akashi-ledger/akashi/node/store"
)

// Evidence returns what this node keeps against members.
func (n *Node) Evidence() *evidence.Store { return n.kept }

// keepEvidence makes a file durable.
func (n *Node) keepEvidence(file []byte) {
	policies, err := n.policies()
	if err == nil {
		_, err = n.kept.Keep(file, policies...)
	}
	if err != nil {
		n.Log.Error("evidence is not kept", "err", err)
	}
}

// onTwice makes evidence of two headers for one place. The signer's key is proven
// at a final checkpoint; until there is one (after a start) the headers wait.
func (n *Node) onTwice(a, b *record.Header) {
	n.Log.Error("a leader signed two headers for one place", "leader", a.Leader, "term", a.Term)
	n.background(func() {
		for {
			changed := n.FinalChanged()
			if src, ok := n.finalSource(); ok {
				file, err := receipt.BuildHeaders(src, a, b)
				if err == nil {
					n.keepEvidence(file)
					return
				}
				n.Log.Error("evidence of two headers is not made", "err", err) // a newer state may do
			}
			select {
			case <-changed:
			case <-time.After(time.Minute):
			case <-n.closing:
				return
			}
		}
	})
}

// background runs f beside the node, which waits for it when it closes.
func (n *Node) background(f func()) {
	select {
	case <-n.closing:
	default:
		n.wg.Go(f)
	}
}

// finalSource is the log at a final checkpoint (receipt.Source).
type finalSource struct {
	*store.State
	final *cosign.Final
}

// Note implements receipt.Source.
func (s finalSource) Note() ([]byte, error) { return s.final.Note(), nil }

// Path implements receipt.Source.
func (s finalSource) Path(index uint64) ([]merkle.Hash, error) {
	return s.Inclusion(index, s.Size)
}

func (n *Node) finalSource() (finalSource, bool) {
	f := n.Final()
	if f == nil {
		return finalSource{}, false
	}
	st, ok := n.ledger.At(f.End.Height)
	return finalSource{st, f}, ok
}

// policies returns the policy of every epoch so far.
func (n *Node) policies() ([]*sign.Policy, error) {
	st := n.ledger.State()
	now, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err != nil {
		return nil, err
	}
	all := []*sign.Policy{now.Sign()}
	for e := range now.Epoch {
		past, err := rules.Load[rules.Past](st, rules.KeyPast(e))
		if err != nil {
			return nil, err
		}
		all = append(all, past.Policy.Sign())
	}
	return all, nil
}
