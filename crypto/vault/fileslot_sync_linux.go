package vault

import (
	"errors"
	"os"
	"syscall"
)

// syncContent makes durable what was written over content that the file already had
// (fdatasync(2)): of a file whose size and blocks stay, nothing else is needed to read it
// back. An fsync would also wait for the file system's journal to write the file's time,
// and with it for all that others have just written.
func syncContent(file *os.File) error {
	for {
		if err := syscall.Fdatasync(int(file.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
