package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/merkle"
)

// logFiles are the files of a log in the tlog-tiles layout: those of a node, of
// a mirror, or of a directory.
type logFiles interface {
	// LogFile reads a file such as "checkpoint"; absent ones are errAbsent.
	LogFile(ctx context.Context, path string, limit int64) ([]byte, error)
	treeFiles
}

// errAbsent says that a file of the log is not there.
var errAbsent = errors.New("this part of the log is not there")

// isURL reports whether a log is somewhere else than in a directory.
func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// openLog opens the log of a node, a mirror or a directory.
func openLog(where, token string) (logFiles, error) {
	if isURL(where) {
		c, err := client.New(where, client.Options{Token: token})
		if err != nil {
			return nil, wrongUse(err)
		}
		return remoteLog{c}, nil
	}
	if info, err := os.Stat(where); err != nil || !info.IsDir() {
		return nil, wrongUse(fmt.Errorf("%s is neither a URL nor a directory", where),
			"give the address of a node or mirror (https://…), or the directory that akashi export wrote")
	}
	return dirLog(where), nil
}

type remoteLog struct{ c *client.Client }

// LogFile implements logFiles.
func (l remoteLog) LogFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	b, err := l.c.LogFile(ctx, path, limit)
	if err == nil {
		return b, nil
	}
	var p *client.Problem
	switch {
	case client.Absent(err):
		return nil, fmt.Errorf("%s: %w", path, errAbsent)
	case errors.As(err, &p) && (p.Status == 401 || p.Status == 403):
		return nil, wrongUse(fmt.Errorf("%s: %w", path, err), "entries need the token of a member or an auditor: --token")
	case errors.As(err, &p):
		return nil, notPossible(fmt.Errorf("%s: %w", path, err))
	}
	return nil, notPossible(err, "is the node running? akashi status "+l.c.URL())
}

// dirLog is an exported log.
type dirLog string

// LogFile implements logFiles.
func (l dirLog) LogFile(_ context.Context, path string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(l), filepath.FromSlash(path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, errAbsent)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

// logSource is a log as the audit reads it (audit.Source, audit.Tiles and
// audit.Trees).
type logSource struct {
	logFiles
	note []byte
	seen func(leaves uint64) // progress
}

// Note implements audit.Source.
func (s *logSource) Note(context.Context) ([]byte, error) { return s.note, nil }

// Leaves implements audit.Source.
func (s *logSource) Leaves(ctx context.Context, start, end uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for start < end {
			index, skip := start/merkle.TileWidth, int(start%merkle.TileWidth)
			leaves, err := s.bundle(ctx, index, int(min(end-index*merkle.TileWidth, merkle.TileWidth)))
			if err == nil && skip >= len(leaves) {
				return // fewer than asked for: the audit says so
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, leaf := range leaves[skip:] {
				if !yield(leaf, nil) {
					return
				}
				if start++; start == end {
					return
				}
			}
			if s.seen != nil {
				s.seen(start)
			}
			if len(leaves) < merkle.TileWidth {
				return
			}
		}
	}
}

// bundle reads the first width entries of a bundle: from the partial bundle of
// that width, or from the full one, since partial ones may be gone once it is
// there (tlog-tiles).
func (s *logSource) bundle(ctx context.Context, index uint64, width int) ([][]byte, error) {
	b, err := s.either(ctx, merkle.EntriesPath(index, width), merkle.EntriesPath(index, merkle.TileWidth), client.MaxBundleBytes)
	if err != nil {
		return nil, err
	}
	leaves, err := merkle.SplitBundle(b)
	if err != nil {
		return nil, notLog(fmt.Errorf("%s: %w", merkle.EntriesPath(index, width), err))
	}
	return leaves[:min(len(leaves), width)], nil
}

// Tile implements audit.Tiles.
func (s *logSource) Tile(ctx context.Context, id merkle.TileID, width int) ([]byte, error) {
	b, err := s.either(ctx, merkle.TilePath(id, width), merkle.TilePath(id, merkle.TileWidth), client.MaxTileBytes)
	if err == nil && len(b) < width*merkle.HashSize {
		err = notLog(fmt.Errorf("%s has %d bytes, want %d", merkle.TilePath(id, width), len(b), width*merkle.HashSize))
	}
	if err != nil {
		return nil, err
	}
	return b[:width*merkle.HashSize], nil
}

// notLog says that a file of the log cannot be one: whoever keeps it changed it.
func notLog(err error) error {
	return unmet(err, "this file was changed; ask another member, or a mirror, for it")
}

func (s *logSource) either(ctx context.Context, partial, full string, limit int64) ([]byte, error) {
	b, err := s.LogFile(ctx, partial, limit)
	if errors.Is(err, errAbsent) && partial != full {
		return s.LogFile(ctx, full, limit)
	}
	return b, err
}
