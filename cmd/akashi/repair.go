package main

import (
	"errors"
	"fmt"
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
		Short:   "Check the vault of a node that does not run, and give up what is damaged",
		GroupID: groupRun,
		Args:    args(cobra.NoArgs),
		Long: `repair reads every part of the vault in a data directory whose node is stopped. It
exits 1 where a part is damaged: the people whose keys lie there can be neither
read nor erased. Bring the blob back from any copy of blobs/ made since it was
last written. Where there is none, --give-up destroys the damaged parts for good,
so that erasures wait no longer; what lay there may come from another custodian.`,
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
	slot, err := vault.OpenFileSlot(filepath.Join(dir, node.SlotFile))
	if err != nil {
		return notPossible(err, vaultHints(err)...)
	}
	v, err := vault.Open(slot, node.VaultBlobs(blobs), vault.Options{})
	if err != nil {
		return notPossible(err, vaultHints(err)...)
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	damaged := 0
	for bucket := range v.Buckets() {
		err := v.EachIn(bucket, func(string, []byte) error { return nil })
		if errors.Is(err, vault.ErrBlock) {
			damaged++
		} else if err != nil {
			return notPossible(err, vaultHints(err)...)
		}
	}
	fmt.Fprintf(e.stdout, "%d of %d parts of the vault are damaged.\n", damaged, v.Buckets())
	if damaged == 0 {
		return nil
	}
	if !giveUp {
		return unmet(errors.New("some keys cannot be read"), "bring back blobs/ from a copy, or give them up: akashi repair --give-up --dir "+dir)
	}
	entries, err := v.GiveUp()
	if err != nil {
		return notPossible(err, vaultHints(err)...)
	}
	fmt.Fprintf(e.stdout, "Gave up %d entries of them; nothing opens any copy of these.\n", entries)
	return nil
}
