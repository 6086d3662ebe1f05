package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/witness"
)

// Pauses between requests to one witness. Finality waits for one that is
// required, so it is asked sooner, also after it was down.
const (
	witnessPause, witnessLongest   = time.Second, 5 * time.Minute
	requiredPause, requiredLongest = 100 * time.Millisecond, 5 * time.Second
)

// WitnessSetting is a further external witness of this node, or another address
// of one of the founding.
type WitnessSetting struct {
	Vkey string `json:"vkey"` // C2SP signed-note verifier key, type 0x04
	URL  string `json:"url"`  // submission prefix (C2SP tlog-witness)
}

func (w WitnessSetting) check() error {
	if _, _, err := sign.ParseCosignerKey(w.Vkey); err != nil {
		return fmt.Errorf("witnesses: %w", err)
	}
	if !record.ValidURL(w.URL) {
		return fmt.Errorf("witnesses: %q is no URL", w.URL)
	}
	return nil
}

// witnessesOf joins the policy's witnesses and those of the settings.
func witnessesOf(p *rules.Policy, more []WitnessSetting) ([]record.Witness, error) {
	names, keys := map[string]int{}, map[sign.PublicKey]string{p.LogKey: p.Origin}
	for _, m := range p.Members {
		names[m.Name], keys[m.Key] = -1, m.Name
	}
	out := append([]record.Witness(nil), p.Witnesses...)
	for i, w := range out {
		names[w.Name], keys[w.Key] = i, w.Name
	}
	for _, s := range more {
		name, key, err := sign.ParseCosignerKey(s.Vkey)
		if err != nil {
			return nil, err
		}
		i, named := names[name]
		owner, held := keys[key]
		switch {
		case named && i >= 0 && owner == name:
			out[i].URL = s.URL
		case named || held || name == p.Origin:
			return nil, fmt.Errorf("witness %s: its name or key is another's in the policy, or in these settings", name)
		default:
			names[name], keys[key] = len(out), name
			out = append(out, record.Witness{Name: name, Key: key, URL: s.URL})
		}
	}
	return out, nil
}

// openWitnesses starts a client for each external witness.
func (n *Node) openWitnesses([]byte) error {
	policy, err := rules.Load[rules.Policy](n.ledger.State(), rules.KeyPolicy)
	if err != nil || policy == nil {
		return errors.Join(errors.New("no policy in the register"), err)
	}
	list, err := witnessesOf(policy, n.Settings.Witnesses)
	if err != nil {
		return err
	}
	for _, w := range list {
		c := witness.Config{Witness: w, Pause: witnessPause, Longest: witnessLongest, Prove: n.prove, Log: n.Log}
		if w.Required {
			c.Pause, c.Longest = requiredPause, requiredLongest
		}
		client, err := witness.New(c)
		if err != nil {
			return err
		}
		n.witnesses = append(n.witnesses, client)
	}
	return nil
}

// prove shows that the log at one size is the beginning of itself at another.
func (n *Node) prove(from, to uint64) ([]merkle.Hash, error) {
	st := n.ledger.State()
	return st.Tree().ConsistencyProof(from, to, st)
}

// offer hands a checkpoint that k members cosigned to the witnesses.
func (n *Node) offer(s *cosign.Cosigner, f *cosign.Final) {
	for _, w := range n.witnesses {
		w.Offer(witness.Offer{Checkpoint: f.End.Checkpoint(f.Policy.Origin), Note: f.Note(),
			Take: func(cs sign.Cosignature) error { return s.TakeWitness(f.End.Size, cs) }})
	}
}

// Witnesses returns how the external witnesses stand.
func (n *Node) Witnesses() []witness.Status {
	out := make([]witness.Status, len(n.witnesses))
	for i, w := range n.witnesses {
		out[i] = w.Status()
	}
	return out
}

func (n *Node) watched() (list []record.Witness) {
	for _, w := range n.witnesses {
		list = append(list, w.Witness)
	}
	return list
}
