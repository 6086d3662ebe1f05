package receipt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Kinds of evidence.
const (
	EvidenceHeader     = "header"     // a leader signed two headers for one place
	EvidenceCheckpoint = "checkpoint" // members cosigned two checkpoints that contradict each other
	EvidenceFork       = "fork"       // the same, and no member cosigned both: it names nobody
	EvidenceDerivation = "derivation" // members cosigned a batch that does not follow from the rules
	EvidenceAdvance    = "advance"    // the owner of a commitment tree anchored two roots that no one tree has
)

// evidence is an akashi-evidence/v1. Which parts there are depends on the kind.
type evidence struct {
	Format      string   `json:"format"`
	Kind        string   `json:"kind"`
	Human       Human    `json:"human"`
	Signers     []string `json:"signers"`               // member ids, ascending
	Headers     [][]byte `json:"headers,omitempty"`     // header: canonical bytes, ascending
	Checkpoints []string `json:"checkpoints,omitempty"` // checkpoint, fork: notes, ascending by size and root; derivation: one
	Receipts    []*file  `json:"receipts,omitempty"`    // advance: of two tree.advance records, ascending by size
	Past        *past    `json:"past,omitempty"`        // where sizes differ: what the larger says of the smaller
	ExtraPast   *past    `json:"extraPast,omitempty"`   // advance: the same of the tree over extra data, in its place
	Previous    *before  `json:"previous,omitempty"`    // derivation: the log before the batch
	Entry       []byte   `json:"entry,omitempty"`       // derivation: the batch as Raft had it
	Seal        []byte   `json:"seal,omitempty"`        // derivation: the checkpoint's last leaf
	State       *proven  `json:"state,omitempty"`       // header: seal that is the last leaf of a final checkpoint
	Register    []fact   `json:"register,omitempty"`    // header: the signer's key; derivation: what the rules read and write
	Neighbours  [][]byte `json:"neighbours,omitempty"`  // derivation: further register proofs, of leaves beside deleted ones
}

// past is the beginning of a log as a later checkpoint has it.
type past struct {
	Size uint64   `json:"size"`
	Edge [][]byte `json:"edge"` // roots of the perfect subtrees at that size, largest first
	Path [][]byte `json:"path"` // RFC 9162 §2.1.4 consistency proof to the later size
}

// before is the end of a batch: what must be known of the log to go on with it.
type before struct {
	Size uint64   `json:"size"`
	Edge [][]byte `json:"edge"` // as past has it
	Leaf []byte   `json:"leaf"` // the seal
	Path [][]byte `json:"path"` // RFC 9162 §2.1.3, of the seal at that size
}

// Evidence is what a file of evidence shows.
type Evidence struct {
	Kind    string   `json:"kind"`
	Signers []string `json:"signers"` // whom it proves to have signed what nobody honest signs
	Sizes   []uint64 `json:"sizes,omitempty"`
	// Claim names the contradiction: the same for every file that shows it of
	// the same signers, whoever made it and whenever.
	Claim record.Digest `json:"-"`
}

// Cosigned is a checkpoint with what members signed under it.
type Cosigned struct {
	sign.Checkpoint
	Sigs []sign.Cosignature
}

// A Past tells how a log began, as its tree at the larger of two sizes has it
// (merkle.View.Edge and ConsistencyProof).
type Past func(size, laterSize uint64) (merkle.Edge, []merkle.Hash, error)

// BuildHeaders makes evidence of two headers for one place. The source proves
// the signer's key.
func BuildHeaders(src Source, a, b *record.Header) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	last, err := s.proven(s.checkpoint.Size - 1)
	if err != nil {
		return nil, err
	}
	f := &evidence{Format: FormatEvidence, Kind: EvidenceHeader, Signers: []string{a.Leader}, State: last,
		Headers: [][]byte{canon.Must(a), canon.Must(b)}, Human: headersHuman(a)}
	slices.SortFunc(f.Headers, bytes.Compare)
	if _, err := must[rules.Party](s.asking(&f.Register), rules.KeyParty(a.Leader)); err != nil {
		return nil, err
	}
	return render(f)
}

// BuildCheckpoints makes evidence of two checkpoints that contradict each other.
// It names the members who cosigned both; where nobody did it shows a fork. Of
// different sizes it asks past, by the log of the larger one.
func BuildCheckpoints(policy *sign.Policy, a, b Cosigned, before Past) ([]byte, error) {
	if a.Size > b.Size || a.Size == b.Size && bytes.Compare(a.Root[:], b.Root[:]) > 0 {
		a, b = b, a
	}
	f := &evidence{Format: FormatEvidence, Signers: bothSigned(policy, a.Sigs, b.Sigs)}
	for _, c := range []Cosigned{a, b} {
		note, err := policy.FormatCosigned(c.Checkpoint, c.Sigs)
		if err != nil {
			return nil, err
		}
		f.Checkpoints = append(f.Checkpoints, string(note))
	}
	if a.Size != b.Size {
		edge, path, err := before(a.Size, b.Size)
		if err != nil {
			return nil, err
		}
		f.Past = &past{edge.Size, hashBytes(edge.Roots), hashBytes(path)}
	}
	f.Kind = kindOf(f.Signers)
	f.Human = checkpointsHuman(f.Signers, a.Checkpoint, b.Checkpoint)
	return render(f)
}

func kindOf(signers []string) string {
	if len(signers) == 0 {
		return EvidenceFork
	}
	return EvidenceCheckpoint
}

// bothSigned returns the ids of the members whose cosignatures are in both.
func bothSigned(p *sign.Policy, a, b []sign.Cosignature) []string {
	has := func(sigs []sign.Cosignature, name string) bool {
		return slices.ContainsFunc(sigs, func(s sign.Cosignature) bool { return s.Signer == name })
	}
	ids := []string{}
	for _, m := range p.Members {
		if has(a, m.Signer) && has(b, m.Signer) {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func hashBytes(hashes []merkle.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func hashesOf(list [][]byte) ([]merkle.Hash, error) {
	out := make([]merkle.Hash, len(list))
	for i, h := range list {
		if len(h) != merkle.HashSize || i > 2*maxPath {
			return nil, errors.New("malformed list of hashes")
		}
		out[i] = merkle.Hash(h)
	}
	return out, nil
}

// root checks the beginning against the root of a later checkpoint, and returns
// its root.
func (p *past) root(at sign.Checkpoint) (merkle.Hash, error) {
	roots, err := hashesOf(p.Edge)
	if err != nil {
		return merkle.Hash{}, err
	}
	path, err := hashesOf(p.Path)
	if err != nil {
		return merkle.Hash{}, err
	}
	edge := merkle.Edge{Size: p.Size, Roots: roots}
	if !edge.Fits() || p.Size == 0 || p.Size >= at.Size {
		return merkle.Hash{}, fmt.Errorf("%d subtrees make no log of %d leaves before %d", len(roots), p.Size, at.Size)
	}
	root := edge.Root()
	return root, merkle.VerifyConsistency(p.Size, at.Size, path, root, merkle.Hash(at.Root))
}

func headersHuman(h *record.Header) Human {
	l := &lines{}
	l.add(fmt.Sprintf("%s は、一つの場所に、二つの異なる見出しへ署名しました。", h.Leader),
		fmt.Sprintf("%s signed two different headers for one place.", h.Leader))
	l.add(fmt.Sprintf("場所：期 %d、ターム %d、直前のまとまり %x", h.Epoch, h.Term, h.Prev),
		fmt.Sprintf("The place: epoch %d, term %d, after the batch %x", h.Epoch, h.Term, h.Prev))
	return l.Human
}

func checkpointsHuman(signers []string, a, b sign.Checkpoint) Human {
	l := &lines{}
	if len(signers) > 0 {
		l.add(strings.Join(signers, "、")+" は、互いに食い違う二つの台帳に署名しました。",
			strings.Join(signers, ", ")+" cosigned two logs that contradict each other.")
	} else {
		l.add("加盟企業が、互いに食い違う二つの台帳に署名しました。両方に署名した企業はなく、だれの誤りかは分かりません。",
			"Members cosigned two logs that contradict each other. Nobody cosigned both: it does not show whose fault it is.")
	}
	for _, c := range []sign.Checkpoint{a, b} {
		l.add(fmt.Sprintf("記録 %d 件、根 %x", c.Size, c.Root), fmt.Sprintf("%d leaves, root %x", c.Size, c.Root))
	}
	return l.Human
}
