//go:build !unix

package vault

import (
	"errors"
	"os"
)

const noFollow = 0

func lockFile(*os.File) error {
	return ioFault("lock slot file", errors.ErrUnsupported)
}
