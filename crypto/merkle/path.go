package merkle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxEntrySize is the longest entry in bytes that an entry bundle can hold.
const MaxEntrySize = 1<<16 - 1

// maxPathLevel is the highest level that a tile path can name.
const maxPathLevel = 63

var (
	// ErrPath: a path that C2SP tlog-tiles does not allow.
	ErrPath = errors.New("merkle: malformed tile path")
	// ErrBundle: an entry bundle that is cut short or holds over 256 entries.
	ErrBundle = errors.New("merkle: malformed entry bundle")
	// ErrEntrySize: an entry longer than [MaxEntrySize].
	ErrEntrySize = errors.New("merkle: entry too long")
)

// TilePath returns the path of the first width hashes of a tile. It panics
// unless width is in 1..256 and the level at most 63.
func TilePath(id TileID, width int) string {
	if id.Level > maxPathLevel {
		panic(fmt.Sprintf("merkle: path of tile level %d", id.Level))
	}
	return "tile/" + strconv.Itoa(int(id.Level)) + "/" + indexPath(id.Index, width)
}

// EntriesPath returns the path of the first width entries of an entry bundle.
// It panics unless width is in 1..256.
func EntriesPath(index uint64, width int) string {
	return "tile/entries/" + indexPath(index, width)
}

func indexPath(index uint64, width int) string {
	if width < 1 || width > TileWidth {
		panic(fmt.Sprintf("merkle: path of tile width %d", width))
	}
	out := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		out = fmt.Sprintf("x%03d/%s", index%1000, out)
	}
	if width < TileWidth {
		out += ".p/" + strconv.Itoa(width)
	}
	return out
}

// ParseTilePath is the strict inverse of [TilePath]; it fails with [ErrPath].
func ParseTilePath(path string) (id TileID, width int, err error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	level, index, found := strings.Cut(rest, "/")
	n, okLevel := parseSmall(level, maxPathLevel)
	if !ok || !found || !okLevel {
		return TileID{}, 0, badPath(path)
	}
	id.Level = uint8(n)
	if id.Index, width, ok = parseIndex(index); !ok {
		return TileID{}, 0, badPath(path)
	}
	return id, width, nil
}

// ParseEntriesPath is the strict inverse of [EntriesPath]; it fails with
// [ErrPath].
func ParseEntriesPath(path string) (index uint64, width int, err error) {
	rest, ok := strings.CutPrefix(path, "tile/entries/")
	if ok {
		index, width, ok = parseIndex(rest)
	}
	if !ok {
		return 0, 0, badPath(path)
	}
	return index, width, nil
}

func badPath(path string) error {
	const shown = 80
	if len(path) > shown {
		path = path[:shown]
	}
	return fmt.Errorf("%w: %q", ErrPath, path)
}

// parseIndex reads "x001/x234/067" with or without ".p/<W>".
func parseIndex(s string) (index uint64, width int, ok bool) {
	width = TileWidth
	digits, partial, isPartial := strings.Cut(s, ".p/")
	if isPartial {
		if width, ok = parseSmall(partial, TileWidth-1); !ok || width == 0 {
			return 0, 0, false
		}
	}
	const longest = len("x018/x446/x744/x073/x709/x551/615")
	if len(digits) > longest {
		return 0, 0, false
	}
	plain := strings.NewReplacer("/", "", "x", "").Replace(digits)
	index, err := strconv.ParseUint(plain, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	return index, width, indexPath(index, TileWidth) == digits
}

// parseSmall reads a decimal of one spelling from 0 to limit.
func parseSmall(s string, limit int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n <= limit && strconv.Itoa(n) == s
}

// AppendEntry appends one entry to a bundle. It fails with [ErrEntrySize].
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntrySize {
		return nil, fmt.Errorf("%w: %d bytes", ErrEntrySize, len(entry))
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...), nil
}

// SplitBundle returns the entries of a bundle, 0 to 256, as parts of its
// bytes. It fails with [ErrBundle] unless they fill the bundle exactly. How
// many there must be, the caller knows from the path.
func SplitBundle(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	for rest := bundle; len(rest) > 0; {
		if len(entries) == TileWidth {
			return nil, fmt.Errorf("%w: over %d entries", ErrBundle, TileWidth)
		}
		if len(rest) < 2 {
			return nil, fmt.Errorf("%w: entry %d has no length", ErrBundle, len(entries))
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < end {
			return nil, fmt.Errorf("%w: entry %d is cut short", ErrBundle, len(entries))
		}
		entries = append(entries, rest[2:end:end])
		rest = rest[end:]
	}
	return entries, nil
}
