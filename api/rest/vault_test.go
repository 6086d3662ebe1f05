package rest

import (
	"fmt"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
)

// TestVaultErrors: what stops the vault is told as trouble of the node's storage, not
// as a mistake of the program; a full vault and a closing one have codes of their own.
func TestVaultErrors(t *testing.T) {
	for err, want := range map[error]string{
		vault.ErrStopped: codeStorage, vault.ErrBlock: codeStorage, vault.ErrIO: codeStorage, vault.ErrDiskFull: codeDiskFull,
		vault.ErrReadOnly: codeStorage, vault.ErrSlot: codeStorage, vault.ErrDelta: codeStorage,
		vault.ErrFull: codeFull, vault.ErrClosed: codeStopping,
	} {
		if got := codeOf(fmt.Errorf("a call: %w", err)); got.code != want {
			t.Errorf("%v: %s, want %s", err, got.code, want)
		}
	}
}
