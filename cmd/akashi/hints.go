package main

import (
	"errors"

	"github.com/akashi-ledger/akashi/crypto/vault"
)

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
		vault.ErrVersion.Code:  "start the version of akashi that made it",
	}[v.Code]
	if !ok {
		hint = "look at the disk, then start again"
	}
	return []string{string(v.Code) + ": " + hint}
}
