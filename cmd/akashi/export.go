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
checkpoint, hash tiles and entry bundles, and the node's policy beside them. Any
web server can serve the directory, and akashi audit reads it.

An interrupted export goes on where it stopped. The hash tiles are computed from
the entries; the checkpoint is written last, and only if the entries lead to its
root. Without --policy the checkpoint's signatures are checked under the node's
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
			s.line("%s %s  %d leaves, root %x…", s.tick(true), where[1], x.at.Size, x.at.Root[:6])
			s.line("  %d bundles fetched, %d were there, %s", x.fetched, x.kept, seconds(took))
			return nil
		},
	}
	cmd.Flags().StringVar(&token, "token", os.Getenv("AKASHI_TOKEN"), "`TOKEN` of a member or an auditor (or AKASHI_TOKEN)")
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "policy `FILE` (tlog-policy); may be repeated")
	return cmd
}

// export copies a log into a directory.
//
// Order of effects: every bundle and tile is written whole (temporary file, then
// rename) before the next is asked for; the checkpoint comes last. So after a
// crash the directory has an older checkpoint, or none, and full bundles that
// the next run keeps. Partial tiles of other sizes stay; they are part of the
// log, too.
type export struct {
	log      *logSource
	dir      string
	policies []*sign.Policy

	at            *sign.OpenedNote
	fetched, kept int
	anew          bool // believe nothing that is in the directory
}

func (x *export) run(ctx context.Context) error {
	policy, err := x.log.LogFile(ctx, "policy", 1<<20)
	if err != nil && !errors.Is(err, errAbsent) {
		return err
	}
	if x.policies == nil {
		p, err := sign.ParsePolicy(policy)
		if err != nil {
			return wrongUse(err, "--policy FILE says whose signatures count")
		}
		x.policies = []*sign.Policy{p}
	}
	note, err := x.log.LogFile(ctx, "checkpoint", 1<<20)
	if err != nil {
		return err
	}
	if x.at, err = client.OpenCheckpoint(note, x.policies); err != nil {
		return unmet(err)
	}
	tree, err := x.entries(ctx)
	if err == nil && tree.Root() != merkle.Hash(x.at.Root) && x.kept > 0 { // what was there is damaged, or of another log
		x.fetched, x.kept, x.anew = 0, 0, true
		tree, err = x.entries(ctx)
	}
	if err != nil {
		return err
	}
	if tree.Root() != merkle.Hash(x.at.Root) {
		return unmet(errors.New("the entries do not lead to the signed root"),
			"what was fetched is in "+x.dir+", without a checkpoint; ask another member")
	}
	if err := x.edge(tree); err != nil {
		return err
	}
	if policy != nil {
		if err := x.write("policy", policy); err != nil {
			return err
		}
	}
	return x.write("checkpoint", note)
}

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
	if err := x.write(path, bundle); err != nil {
		return err
	}
	for _, t := range tree.Append(hashes...) {
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
	name := filepath.Join(x.dir, filepath.FromSlash(path))
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return wrongUse(err)
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return wrongUse(err)
	}
	return os.Rename(tmp, name)
}
