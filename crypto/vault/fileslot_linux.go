package vault

import (
	"fmt"
	"os"
	"syscall"
)

// fileSystemClass says what an overwrite means here, by the magic of statfs(2).
func fileSystemClass(file *os.File) string {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(file.Fd()), &st); err != nil {
		return "unknown"
	}
	switch magic := uint32(st.Type); magic {
	case 0xef53:
		return "ext4-overwrite" // ext2 and ext3 have the same magic and habit
	case 0x58465342:
		return "xfs-overwrite"
	case 0x01021994:
		return "tmpfs"
	case 0x9123683e:
		return "btrfs-copy-on-write"
	case 0x2fc12fc1:
		return "zfs-copy-on-write"
	case 0x794c7630:
		return "overlayfs"
	default:
		return fmt.Sprintf("unknown-%08x", magic)
	}
}
