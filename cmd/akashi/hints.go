package main

import (
	"errors"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node/cosign"
	"github.com/akashi-ledger/akashi/node/replica"
	"github.com/akashi-ledger/akashi/node/store"
)

// stopHints says, with a stable code, what to do where a node does not start or had to
// stop, as far as that is known.
func stopHints(err error) []string {
	switch {
	case errors.Is(err, store.ErrDiskFull), errors.Is(err, vault.ErrDiskFull):
		return []string{"storage.full: make room on the disk that the data directory is on, then start again; nothing was lost, and what was begun goes on"}
	case errors.Is(err, store.ErrLocked):
		return []string{"storage.locked: another akashi serves this directory: end it first"}
	case errors.Is(err, store.ErrReadOnly):
		return []string{"storage.read-only: mount the file system for writing, and let this user write to the data directory"}
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrCorrupt):
		return []string{"storage.damaged: state/ is derived again from the Raft log, or by removing it: start again. Where it is blobs/, bring it back from a copy, or make the member anew (akashi restore)"}
	case errors.Is(err, cosign.ErrMarkLost):
		return []string{"mark.lost: put cosigned.mark back if it was moved, never from a backup: with an older one the member could sign a fork. Where it is gone the member comes back with new keys (docs/guide/joining.md, the way back)"}
	case errors.Is(err, replica.ErrLogLost):
		return []string{"raft.lost: put raft/ back whole if it was moved, never from a backup. Where it is gone the member comes back with new keys (docs/guide/joining.md, the way back)"}
	}
	return vaultHints(err)
}

// vaultHints says, with the stable code, what to do where the vault does not open.
func vaultHints(err error) []string {
	var v *vault.Error
	if !errors.As(err, &v) {
		return nil
	}
	hint, ok := map[vault.Code]string{
		vault.ErrLocked.Code:   "another akashi serves this directory: end it first",
		vault.ErrReadOnly.Code: "mount the file system for writing",
		vault.ErrDiskFull.Code: "make room on the disk; nothing was lost",
		vault.ErrSlot.Code:     "nothing was changed. Look at vault.slot: 8192 bytes, mode 0600, both halves equal. If it is lost, so are this vault's keys: fetch them from another custodian",
		vault.ErrSlotLost.Code: "nothing was changed. Put vault.slot back, from where it was moved to, not from a backup",
		vault.ErrStale.Code:    "nothing was changed. vault.slot is an older copy, or another node's: put back the one that belongs here",
		vault.ErrBlock.Code:    "nothing was changed. Bring back the blob from any copy of blobs/ made since it was last written",
		vault.ErrDelta.Code:    "nothing was changed. Bring back the blob from any copy of blobs/ made since it was last written",
		vault.ErrVersion.Code:  "nothing was changed. Start the version of akashi that made this vault; or, to go on with this version, make the member anew (akashi restore, akashi join): its keys come from the other custodians",
	}[v.Code]
	if !ok {
		hint = "look at the disk, then start again"
	}
	return []string{string(v.Code) + ": " + hint}
}
