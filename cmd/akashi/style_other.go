//go:build !unix

package main

import "os"

// terminal reports false: output is plain where terminals are not known.
func terminal(*os.File) (columns int, ok bool) { return 0, false }
