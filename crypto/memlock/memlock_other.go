//go:build !linux

package memlock

// Lock does nothing here.
func Lock[T any]([]T) {}

// Unlock does nothing here.
func Unlock[T any]([]T) {}
