package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/spf13/cobra"
)

func repairCommand(e *env) *cobra.Command {
	var dir string
	var giveUp bool
	cmd := &cobra.Command{
		Use:     "repair --dir DIR [--give-up]",
		Short:   "Check the vaults of a node that does not run, and give up what is damaged",
		GroupID: groupRun,
		Args:    args(cobra.NoArgs),
		Long: `repair reads every part of the vault in a data directory whose node is stopped, and
of the vault of copies that it keeps for other members. It exits 1 where a part is
damaged: the people whose keys lie there can be neither read nor erased. Bring the
blob back from any copy of blobs/ made since it was last written. Where there is
none, --give-up destroys the damaged parts for good, so that erasures wait no
longer; what lay there may come from another custodian, or from its owner.`,
		RunE: func(*cobra.Command, []string) error { return repair(e, dir, giveUp) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of a member")
	cmd.Flags().BoolVar(&giveUp, "give-up", false, "destroy the damaged parts")
	return cmd
}

func repair(e *env, dir string, giveUp bool) (err error) {
	if err := needDir(dir); err != nil {
		return err
	}
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"), logTo(e.stderr, false))
	if errors.Is(err, store.ErrLocked) {
		return notPossible(err, "stop the node first")
	}
	if err != nil {
		return notPossible(err)
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	damaged := 0
	for _, part := range vaultsOf {
		n, err := part.repair(e, dir, blobs, giveUp)
		if err != nil {
			return err
		}
		damaged += n
	}
	if damaged > 0 && !giveUp {
		return unmet(errors.New("some keys cannot be read"), "bring back blobs/ from a copy, or give them up: akashi repair --give-up --dir "+dir)
	}
	return nil
}

// A vaultOf is one of the vaults in a data directory.
type vaultOf struct {
	name, slot string
	blobs      func(*store.Blobs) vault.Blobs
	again      string // what becomes of what was given up
}

var vaultsOf = []vaultOf{
	{"the vault", node.SlotFile, node.VaultBlobs, "Custodians may have copies: start the node."},
	{"the copies kept for other members", node.CopiesSlotFile, node.CopiesBlobs, "Their owners send them again when the node runs."},
}

// repair counts the damaged parts of a vault, and gives them up where that is asked
// for. A node that keeps no copies has no vault of them.
func (p vaultOf) repair(e *env, dir string, blobs *store.Blobs, giveUp bool) (damaged int, err error) {
	path := filepath.Join(dir, p.slot)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		left, err := p.blobs(blobs).List("vault/")
		if err != nil {
			return 0, notPossible(err)
		}
		if len(left) > 0 {
			return 0, notPossible(fmt.Errorf("%s: there is no %s: %w", p.name, p.slot, vault.ErrSlotLost), vaultHints(vault.ErrSlotLost)...)
		}
		return 0, nil
	}
	slot, err := vault.OpenFileSlot(path)
	if err != nil {
		return 0, p.impossible(err)
	}
	v, err := vault.Open(slot, p.blobs(blobs), vault.Options{})
	if err != nil {
		return 0, p.impossible(err)
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	for bucket := range v.Buckets() {
		err := v.EachIn(bucket, func(string, []byte) error { return nil })
		if errors.Is(err, vault.ErrBlock) {
			damaged++
		} else if err != nil {
			return 0, p.impossible(err)
		}
	}
	fmt.Fprintf(e.stdout, "%d of %d parts of %s are damaged.\n", damaged, v.Buckets(), p.name)
	if damaged == 0 || !giveUp {
		return damaged, nil
	}
	entries, err := v.GiveUp()
	if err != nil {
		return 0, p.impossible(err)
	}
	fmt.Fprintf(e.stdout, "Gave up %d entries of them; nothing opens any copy of these. %s\n", entries, p.again)
	return damaged, nil
}

func (p vaultOf) impossible(err error) error {
	return notPossible(fmt.Errorf("%s (%s): %w", p.name, p.slot, err), vaultHints(err)...)
}
