//go:build !linux

package vault

import "os"

func syncContent(file *os.File) error { return file.Sync() }
