package memlock

import (
	"syscall"
	"unsafe"
)

// Lock keeps the pages that s lies in out of the swap where the process may (see
// RLIMIT_MEMLOCK); it works without.
func Lock[T any](s []T) { syscall.Mlock(bytesOf(s)) }

// Unlock ends Lock, for all of these pages.
func Unlock[T any](s []T) { syscall.Munlock(bytesOf(s)) }

func bytesOf[T any](s []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(one)))
}
