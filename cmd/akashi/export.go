package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/spf13/cobra"
)

func exportCommand(e *env) *cobra.Command {
	var token string
	var policies []string
	cmd := &cobra.Command{
		Use:     "export URL DIR [--token TOKEN] [--policy FILE]",
		Short:   "Copy a log into static files (tlog-tiles)",
		GroupID: groupCheck,
		Long: `export writes the log of a node into DIR in the layout of C2SP tlog-tiles:
checkpoint, hash tiles and entry bundles, and beside them the node's policy and the
leaves of commitment trees (trees/). Any web server can serve the directory, and
akashi audit reads it.

An interrupted export goes on where it stopped, and leaves no half file under a
name of the log. The hash tiles are computed from the entries; the checkpoint is
written last, and only if the entries lead to its root and extend what an earlier
run left. Without --policy the checkpoint's signatures are checked under the node's
own word on whose count.`,
		Example: "  akashi export https://node.example log --token $(cat token) --policy policy",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, where []string) error {
			if !isURL(where[0]) {
				return wrongUse(fmt.Errorf("%q is no URL", where[0]), "such as http://127.0.0.1:8080")
			}
			log, err := openLog(where[0], token)
			if err != nil {
				return err
			}
			x := &export{log: &logSource{logFiles: log}, dir: where[1]}
			if len(policies) > 0 {
				if x.policies, err = readPolicies(policies); err != nil {
					return err
				}
			}
			s := e.screen()
			w := s.wait("export " + where[0])
			err = x.run(cmd.Context())
			took := w.end()
			if err != nil {
				return err
			}
			s.line("%s %s  %s, root %x…", s.tick(true), where[1], counted(x.at.Size, "leaf", "leaves"), x.at.Root[:6])
			s.line("  %s fetched, %d already there, %s", counted(x.fetched, "bundle", "bundles"), x.kept, seconds(took))
			return nil
		},
	}
	tokenFlag(cmd, &token, "`TOKEN` of a member or an auditor (or AKASHI_TOKEN)")
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "policy `FILE` (tlog-policy); may be repeated")
	return cmd
}

// export copies a log into a directory.
//
// Order of effects: every file is written whole (the one temporary file, synced,
// then renamed) before the next is asked for; the checkpoint comes last. So
// after a crash the directory has an older checkpoint, or none, with everything
// that it needs, full bundles that the next run keeps, and at most that
// temporary file, which the next run writes over. Partial tiles of other sizes
// stay; they are part of the log, too.
//
// Where a directory holds another log, or an earlier state that the log no longer
// extends, nothing of it is overwritten: it is the evidence.
type export struct {
	log      *logSource
	dir      string
	policies []*sign.Policy

	at            *sign.OpenedNote // what is exported
	had           *sign.OpenedNote // what an earlier run left, nil for nothing
	fetched, kept int
	anew          bool // believe nothing that is in the directory
	dry           bool // write nothing
}

const (
	exportTemp = ".akashi-export.tmp" // the file that is being written
	chainFile  = "policy-chain.json"
)

func (x *export) run(ctx context.Context) error {
	policy, err := x.log.LogFile(ctx, "policy", 1<<20)
	if err != nil && !errors.Is(err, errAbsent) {
		return err
	}
	chain, err := x.trust(ctx, policy)
	if err != nil {
		return err
	}
	note, err := x.log.LogFile(ctx, "checkpoint", 1<<20)
	if err != nil {
		return err
	}
	if x.at, err = client.OpenCheckpoint(note, x.policies); err != nil {
		return unmet(err)
	}
	if err := x.earlier(ctx); err != nil {
		return err
	}
	tree, err := x.entries(ctx)
	if x.kept > 0 && (errors.Is(err, errNotExtended) || err == nil && tree.Root() != merkle.Hash(x.at.Root)) {
		tree, err = x.again(ctx) // what was there is damaged, or of another log
	}
	if errors.Is(err, errNotExtended) {
		return unmet(err, "both checkpoints are signed: keep "+x.dir+" and the node's checkpoint, and show them to the other members")
	}
	if err != nil {
		return err
	}
	if tree.Root() != merkle.Hash(x.at.Root) {
		return unmet(errors.New("the entries do not lead to the signed root"),
			"what was fetched is in "+x.dir+", without its checkpoint; ask another member")
	}
	if err := x.edge(tree); err != nil {
		return err
	}
	if policy != nil {
		if err := x.write("policy", policy); err != nil {
			return err
		}
	}
	if chain != nil {
		if err := x.write(chainFile, chain); err != nil {
			return err
		}
	}
	if err := x.forest(ctx); err != nil {
		return err
	}
	return x.write("checkpoint", note)
}

// trust completes the policies: without any, the node's word on the first; and
// from those that there are, what the policy chain leads to. It returns the
// chain, where it led on.
func (x *export) trust(ctx context.Context, policy []byte) (chain []byte, err error) {
	if x.policies == nil {
		if first, err := x.log.LogFile(ctx, "policy/0", 1<<20); err == nil {
			policy = first
		}
		p, err := sign.ParsePolicy(policy)
		if err != nil {
			return nil, wrongUse(err, "--policy FILE says whose signatures count")
		}
		x.policies = []*sign.Policy{p}
	}
	if chain, err = x.log.LogFile(ctx, "policy/chain", receipt.MaxChainBytes); err != nil {
		chain, err = x.log.LogFile(ctx, chainFile, receipt.MaxChainBytes) // of an export
	}
	if err != nil {
		return nil, nil // a mirror, or a node of an earlier version: the policies given must do
	}
	followed, err := receipt.FollowChain(chain, x.policies)
	if err != nil {
		return nil, nil
	}
	x.policies = followed
	return chain, nil
}

// earlier looks at the checkpoint that an earlier run left.
func (x *export) earlier(ctx context.Context) error {
	note, err := dirLog(x.dir).LogFile(ctx, "checkpoint", 1<<20)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if err != nil {
		return wrongUse(err)
	}
	if x.had, err = client.OpenCheckpoint(note, x.policies); err != nil {
		return wrongUse(fmt.Errorf("%s holds something else: %w", x.dir, err), "choose a new directory, or the policy of the epoch")
	}
	if x.had.Size > x.at.Size {
		return notPossible(fmt.Errorf("the node shows %d leaves, and %s has %d already", x.at.Size, x.dir, x.had.Size),
			"the node is behind: ask another member, or wait")
	}
	return nil
}

// again takes every entry from the log. Before anything of an earlier run is
// overwritten, a first pass shows that the log extends it.
func (x *export) again(ctx context.Context) (*merkle.Tree, error) {
	x.anew = true
	if x.had != nil {
		x.dry = true
		if _, err := x.entries(ctx); err != nil {
			return nil, err
		}
		x.dry = false
	}
	x.fetched, x.kept = 0, 0
	return x.entries(ctx)
}

// extend appends leaves, and stops where the log does not extend what an earlier
// run left.
func (x *export) extend(tree *merkle.Tree, hashes []merkle.Hash) ([]merkle.FullTile, error) {
	if x.had == nil || x.had.Size <= tree.Size() || x.had.Size > tree.Size()+uint64(len(hashes)) {
		return tree.Append(hashes...), nil
	}
	n := x.had.Size - tree.Size()
	full := tree.Append(hashes[:n]...)
	if tree.Root() != merkle.Hash(x.had.Root) {
		return nil, errNotExtended
	}
	return append(full, tree.Append(hashes[n:]...)...), nil
}

// errNotExtended says that an earlier checkpoint is no prefix of this log.
var errNotExtended = errors.New("the log does not extend what was exported earlier")

// entries takes all entries and writes the full tiles over them.
func (x *export) entries(ctx context.Context) (*merkle.Tree, error) {
	tree := merkle.New()
	for tree.Size() < x.at.Size {
		if err := x.bundle(ctx, tree); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// bundle takes the next bundle, from the directory or from the log.
func (x *export) bundle(ctx context.Context, tree *merkle.Tree) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	index := tree.Size() / merkle.TileWidth
	width := int(min(x.at.Size-tree.Size(), merkle.TileWidth))
	path := merkle.EntriesPath(index, width)
	here := &logSource{logFiles: dirLog(x.dir)}
	leaves, err := here.bundle(ctx, index, width)
	if x.anew || err != nil || len(leaves) != width {
		if leaves, err = x.log.bundle(ctx, index, width); err != nil {
			return err
		}
		if len(leaves) != width {
			return fmt.Errorf("%s has %d entries, want %d", path, len(leaves), width)
		}
		x.fetched++
	} else {
		x.kept++
	}
	var bundle []byte
	hashes := make([]merkle.Hash, width)
	for i, leaf := range leaves {
		hashes[i] = merkle.LeafHash(leaf)
		if bundle, err = merkle.AppendEntry(bundle, leaf); err != nil {
			return err
		}
	}
	full, err := x.extend(tree, hashes)
	if err != nil {
		return err
	}
	if err := x.write(path, bundle); err != nil {
		return err
	}
	for _, t := range full {
		if err := x.write(merkle.TilePath(t.ID, merkle.TileWidth), t.Data); err != nil {
			return err
		}
	}
	return nil
}

// edge writes the partial tiles of the log's size.
func (x *export) edge(tree *merkle.Tree) error {
	for level, n := uint8(0), x.at.Size; n > 0; level, n = level+1, n/merkle.TileWidth {
		width := int(n % merkle.TileWidth)
		if width == 0 {
			continue
		}
		id := merkle.TileID{Level: level, Index: n / merkle.TileWidth}
		b, err := tree.View().Tile(id, width, nil)
		if err != nil {
			return err
		}
		if err := x.write(merkle.TilePath(id, width), b); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file whole; one with the same content stays.
func (x *export) write(path string, b []byte) error {
	if x.dry {
		return nil
	}
	name := filepath.Join(x.dir, filepath.FromSlash(path))
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return wrongUse(err)
	}
	tmp := filepath.Join(x.dir, exportTemp)
	if err := writeSynced(tmp, b); err != nil {
		return wrongUse(err)
	}
	return os.Rename(tmp, name)
}

// writeSynced writes a file whole: after a power cut a renamed file is not empty.
func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	return err
}
