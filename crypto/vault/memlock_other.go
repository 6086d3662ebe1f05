//go:build !linux

package vault

func lock[T any]([]T)   {}
func unlock[T any]([]T) {}
