//go:build !unix

package main

import (
	"os"
	"syscall"
)

// terminal reports false: output is plain where terminals are not known.
func terminal(*os.File) (columns int, ok bool) { return 0, false }

func ownGroup() *syscall.SysProcAttr { return nil }
