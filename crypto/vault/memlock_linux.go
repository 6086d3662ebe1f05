package vault

import (
	"syscall"
	"unsafe"
)

// lock keeps keys out of the swap where the process may (see RLIMIT_MEMLOCK); it
// works without.
func lock[T any](s []T) { syscall.Mlock(bytesOf(s)) }

// unlock ends lock.
func unlock[T any](s []T) { syscall.Munlock(bytesOf(s)) }

func bytesOf[T any](s []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(one)))
}
