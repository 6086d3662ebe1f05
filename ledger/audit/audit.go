// Package audit re-derives the whole history of a log from its entries alone,
// checks every rule again, and says what it found, what it could not check, and
// where.
//
// # What is checked
//
// The RFC 6962 root over all leaves against the signed checkpoint; batch by
// batch: the founding (rules.Found) or the batch (rules.Replay: header, cited
// cosignatures, submission signatures, subjects' signatures, every public
// rule), the register, and the seal's bytes. With openings also what the rules
// cannot see: see openings.go.
//
// # Invariants
//
//   - Pure: what is not in the Source does not count. Equal sources give equal
//     reports, byte for byte.
//   - Memory is bounded by the register, not by the log: leaves are held for one
//     batch at a time.
//   - A finding never stops the audit. After a batch from which the register can
//     no longer be derived the audit goes on with what does not need it
//     (structure.go), counts the rest as unchecked, and says so.
//   - Nothing that a log contains makes it panic.
//
// Where the Source offers the leaves of commitment trees, every tree.advance is
// compared with them; where not, they are counted as unchecked. It does not fetch
// anything.
package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"filippo.io/torchwood"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// A Source is a log to be audited.
type Source interface {
	// Note returns the signed checkpoint up to which to audit.
	Note(ctx context.Context) ([]byte, error)
	// Leaves returns the leaves start to end-1 in order; each is valid until
	// the next is asked for. Fewer are a finding, an error ends the audit.
	Leaves(ctx context.Context, start, end uint64) iter.Seq2[[]byte, error]
}

// Tiles is what a Source may offer beside: the log's hash tiles (C2SP
// tlog-tiles), by which a changed leaf is found exactly.
type Tiles interface {
	// Tile returns the first width hashes of a tile.
	Tile(ctx context.Context, id merkle.TileID, width int) ([]byte, error)
}

// Options of Run.
type Options struct {
	Openings    Openings // nil: sealed parts are counted as unchecked
	MaxFindings int      // more are counted only; 1,000 where 0
}

// auditor is the state of an audit.
type auditor struct {
	Options
	src    Source
	report *Report
	count  *counts
	tiles  *tileCheck
	forest *treeCheck

	tree   *merkle.Tree
	prev   rules.Prev
	height uint64 // of the next batch

	mem     *register.Mem
	reg     *register.Tree
	lost    bool    // the register cannot be derived any more
	epochs  []epoch // policy epochs, as far as the register was derived
	chain   chain
	open    map[record.ID]*intent
	items   map[sign.PublicKey]map[choice][]string // chosen ones, by handle; with openings only
	answers map[sign.PublicKey]answer              // of passkeys, by handle; with openings only
	err     error                                  // of the openings
}

// Run audits a log under the policies that the caller trusts. An error means
// that the source could not be read; everything else is in the report.
func Run(ctx context.Context, src Source, policies []*sign.Policy, o Options) (*Report, error) {
	if o.MaxFindings == 0 {
		o.MaxFindings = 1000
	}
	note, err := src.Note(ctx)
	if err != nil {
		return nil, fmt.Errorf("signed checkpoint: %w", err)
	}
	a := &auditor{Options: o, src: src, report: newReport(), count: newCounts(), tree: merkle.New(), mem: register.MemLeaves(),
		reg: register.Empty(register.Options{}), open: map[record.ID]*intent{}, items: map[sign.PublicKey]map[choice][]string{},
		answers: map[sign.PublicKey]answer{}}
	c, ok := a.checkpoint(note)
	if !ok {
		return a.finish(c), nil
	}
	a.tiles, a.forest = newTileCheck(src), newTreeCheck(a, src)
	if err := a.walk(ctx, c.Size); err != nil {
		return nil, err
	}
	if a.tree.Size() == c.Size && a.tree.Root() != merkle.Hash(c.Root) {
		a.breaks(CheckRoot, Finding{Code: "root.mismatch", Index: c.Size - 1,
			Detail: text("葉から計算した根が、署名されたチェックポイントと違います", "the root over the leaves is not that of the signed checkpoint")})
	} else if a.tree.Size() == c.Size {
		a.holds(CheckRoot, 1)
	}
	if err := a.tiles.finish(ctx, a, c); err != nil {
		return nil, err
	}
	a.judge(note, c, policies)
	a.intents()
	return a.finish(c), nil
}

// checkpoint reads what the note says; who signed it is judged when the policy
// epochs are known.
func (a *auditor) checkpoint(note []byte) (sign.Checkpoint, bool) {
	head, _, _ := bytes.Cut(note, []byte("\n\n"))
	c, err := torchwood.ParseCheckpoint(string(head) + "\n")
	if err != nil || c.N < 0 {
		a.breaks(CheckCheckpoint, Finding{Code: "checkpoint.malformed", Detail: text("チェックポイントの形が正しくありません", "the checkpoint is malformed")})
		return sign.Checkpoint{}, false
	}
	return sign.Checkpoint{Origin: c.Origin, Size: uint64(c.N), Root: [32]byte(c.Hash)}, true
}

// pending are the leaves of a batch that has no seal yet.
type pending struct {
	first  uint64
	leaves [][]byte
	hashes []merkle.Hash
	bytes  int
}

// maxPending bounds the leaves that a batch can have, in bytes.
const maxPending = record.MaxEntry + record.MaxLeafBytes

func (a *auditor) walk(ctx context.Context, size uint64) error {
	p := &pending{}
	n := uint64(0)
	for leaf, err := range a.src.Leaves(ctx, 0, size) {
		if err != nil {
			return fmt.Errorf("leaf %d: %w", n, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n == size {
			break
		}
		hash := merkle.LeafHash(leaf)
		if err := a.tiles.leaf(ctx, n, size, hash); err != nil {
			return err
		}
		p.hashes = append(p.hashes, hash)
		n++
		if record.IsSeal(leaf) {
			if a.batch(p, leaf); a.err != nil {
				return a.err
			}
			if err := a.forest.check(ctx, false); err != nil {
				return err
			}
			p = &pending{first: n}
			continue
		}
		p.leaves, p.bytes = append(p.leaves, bytes.Clone(leaf)), p.bytes+len(leaf)
		if p.bytes > maxPending {
			a.unsealed(p)
			p = &pending{first: n}
		}
	}
	if len(p.leaves) > 0 {
		a.unsealed(p)
	}
	if err := a.forest.check(ctx, true); err != nil {
		return err
	}
	if n < size {
		a.breaks(CheckRoot, Finding{Code: "log.short", Index: n, Height: a.height,
			Detail: text(fmt.Sprintf("葉が%d個足りません", size-n), fmt.Sprintf("%d leaves are missing at the end", size-n))})
	}
	return nil
}

// unsealed counts leaves that no seal closes.
func (a *auditor) unsealed(p *pending) {
	a.breaks(CheckSeal, Finding{Code: "batch.unsealed", Index: p.first, Height: a.height,
		Detail: text("封印で閉じていない葉があります", "leaves that no seal closes")})
	a.lose()
	a.unchecked(CheckRules, len(p.leaves))
	a.grow(p.hashes)
}

// lose gives the register up.
func (a *auditor) lose() {
	if !a.lost {
		at := a.height
		a.lost, a.report.LostAt = true, &at
	}
}

// grow appends a batch to the tree.
func (a *auditor) grow(hashes []merkle.Hash) {
	a.tree.Append(hashes...)
	a.prev = rules.Prev{Size: a.tree.Size(), Root: a.tree.Root()}
}

// Get implements rules.View.
func (a *auditor) Get(key []byte) ([]byte, error) {
	v, _, err := a.mem.Get(register.HashKey(key))
	return v, err
}

// batch audits one batch; hashes include the seal's.
func (a *auditor) batch(p *pending, sealLeaf []byte) {
	sealAt := p.first + uint64(len(p.leaves))
	a.tally(p.leaves)
	seal, err := record.ParseSeal(sealLeaf)
	if err != nil {
		a.breaks(CheckSeal, Finding{Code: "seal.malformed", Index: sealAt, Height: a.height,
			Detail: text("封印の形が正しくありません："+err.Error(), "the seal is malformed: "+err.Error())})
		a.lose()
		a.unchecked(CheckRules, len(p.leaves))
	} else if a.lost {
		a.structure(p, seal, sealAt)
		a.unchecked(CheckRules, len(p.leaves))
	} else {
		a.derive(p, seal, sealLeaf, sealAt)
	}
	if seal != nil {
		a.tallySeal(seal)
		a.chain.follow(seal, a.height)
	}
	if a.height == 0 {
		a.chain.header = record.Digest(p.hashes[0]) // of genesis: its leaf hash
	}
	a.grow(p.hashes)
	a.chain.end(a.height, a.prev)
	a.height++
	a.report.Batches++
}

// derive replays a batch and takes its effect.
func (a *auditor) derive(p *pending, seal *record.Seal, sealLeaf []byte, sealAt uint64) {
	r, err := a.replay(p, seal)
	if err == nil {
		err = a.effect(p, r, seal, sealLeaf, sealAt)
	}
	if err == nil {
		return
	}
	found := a.structure(p, seal, sealAt)
	if !found {
		a.breaks(CheckRules, a.locate(p, seal, sealAt, err))
	}
	a.lose()
	a.unchecked(CheckRules, len(p.leaves))
}

func (a *auditor) replay(p *pending, seal *record.Seal) (*rules.Result, error) {
	if a.height > 0 {
		return rules.Replay(a, a.prev, seal, p.leaves)
	}
	if len(p.leaves) != 1 {
		return nil, fmt.Errorf("genesis: %d leaves, want 1", len(p.leaves))
	}
	return rules.Found(p.leaves[0])
}

// errSeal says that the rules lead to another seal.
var errSeal = errors.New("the seal is not the one that follows from the batch")

// effect takes a batch's writes and compares its seal. A seal in which only the
// register's root is wrong is a finding, and the audit goes on in full from the
// register that it derived.
func (a *auditor) effect(p *pending, r *rules.Result, seal *record.Seal, sealLeaf []byte, sealAt uint64) error {
	after, err := a.reg.Update(a.mem, r.Writes)
	if err != nil {
		return err
	}
	root := after.Root()
	ours := r.Seal
	ours.Register = seal.Register
	if !bytes.Equal(ours.Leaf(), sealLeaf) {
		return errSeal
	}
	a.mem.Apply(r.Writes)
	a.reg, a.report.LastMs = after, r.TimeMs
	if err := a.follow(p, r); err != nil {
		return err
	}
	a.forest.take(p, a.height)
	a.openIntents(p)
	a.err = a.sealed(p)
	a.closeIntents(p)
	a.holds(CheckRules, len(p.leaves))
	if seal.Header != nil {
		a.holds(CheckHeader, 1)
		a.holds(CheckCosignature, len(seal.Header.Cited.Sigs))
	}
	a.tallySubmissions(seal)
	if root != merkle.Hash(seal.Register) {
		a.breaks(CheckSeal, Finding{Code: "register.root", Index: sealAt, Height: a.height, Member: leader(seal),
			Detail: text("封印にある状態の根が、記録から導いたものと違います", "the register root in the seal is not the one that follows from the records")})
		return nil
	}
	a.holds(CheckSeal, 1)
	return nil
}

func leader(seal *record.Seal) string {
	if seal.Header == nil {
		return ""
	}
	return seal.Header.Leader
}
