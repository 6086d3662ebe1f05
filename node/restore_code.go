package node

import (
	"errors"
	"syscall"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// Codes of Restore's refusals, which are *record.Refusal. Each leaves the directory
// as it was and the backup untouched.
const (
	CodeRestoreTarget   record.Code = "restore.target"   // the directory is not empty
	CodeRestoreIdentity record.Code = "restore.identity" // no identity given opens the backup
	CodeRestoreDamaged  record.Code = "restore.damaged"  // cut, changed, or no backup
	CodeRestoreMember   record.Code = "restore.member"   // another member's backup
	CodeRestoreDisk     record.Code = "restore.disk"     // too little room
)

// restoreRefusal gives an error of a restore its code. What is neither the backup's
// fault nor the disk's is left as it is.
func restoreRefusal(err error) error {
	var refusal *record.Refusal
	var none *age.NoIdentityMatchError
	code := CodeRestoreDamaged
	var io syscall.Errno
	switch {
	case err == nil || errors.As(err, &refusal):
		return err
	case errors.As(err, &none):
		code = CodeRestoreIdentity
	case errors.Is(err, store.ErrDiskFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		code = CodeRestoreDisk
	case errors.As(err, &io):
		return err
	}
	return record.Refuse(code, "%v", err)
}
