package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData returns the next part of a file from an offset on that is no hole:
// logs set space aside that nothing has been written to. At the end it returns
// io.EOF.
func nextData(f *os.File, from int64) (begin, end int64, err error) {
	if begin, err = f.Seek(from, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
		return 0, 0, io.EOF
	}
	if err == nil {
		end, err = f.Seek(begin, unix.SEEK_HOLE)
	}
	return begin, end, err
}

// noCoreDumps keeps the memory of this process, which holds keys, out of files and
// from other processes of the same user. See prctl(2), PR_SET_DUMPABLE.
func noCoreDumps() error {
	return errors.Join(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
