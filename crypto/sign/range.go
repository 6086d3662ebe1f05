package sign

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A Range is the part of a log in which a policy counts: one policy epoch. In a
// policy file it stands in three comment lines, which other readers pass over:
//
//	# policy epoch 1 of example.org/log
//	# first: height 41, size 120, root 5f0c…
//	# closing: height 99, size 560, root 9a3b…
//
// with "open" in place of the closing end while the epoch runs. All three stand
// there, each once and in this order, or none.
type Range struct {
	Epoch   uint64
	First   RangeEnd // the first end that counts; here and below, a zero root is not known
	Closing RangeEnd // the last; size 0 while the epoch runs
}

// RangeEnd is the log at the end of a batch.
type RangeEnd struct {
	Height uint64
	Size   uint64
	Root   [32]byte
}

// ErrRange says that a checkpoint lies outside the policy's epoch, or is not the
// end that the epoch begins or closes with.
var ErrRange = errors.New("the checkpoint lies outside the policy's epoch")

// Holds reports ErrRange for a checkpoint that does not count.
func (r *Range) Holds(c Checkpoint) error {
	switch {
	case c.Size < r.First.Size || r.Closing.Size > 0 && c.Size > r.Closing.Size:
	case c.Size == r.First.Size && r.First.Root != [32]byte{} && c.Root != r.First.Root:
	case c.Size == r.Closing.Size && r.Closing.Root != [32]byte{} && c.Root != r.Closing.Root:
	default:
		return nil
	}
	if r.Closing.Size == 0 {
		return fmt.Errorf("%w %d: size %d, it begins at %d", ErrRange, r.Epoch, c.Size, r.First.Size)
	}
	return fmt.Errorf("%w %d: size %d, it is from %d to %d", ErrRange, r.Epoch, c.Size, r.First.Size, r.Closing.Size)
}

// FormatRange is Format with the policy's range, where it has one, before it.
func (p Policy) FormatRange() []byte {
	if p.Range == nil {
		return p.Format()
	}
	return append(p.rangeLines(), p.Format()...)
}

func (p Policy) rangeLines() []byte {
	closing := "open"
	if p.Range.Closing.Size > 0 {
		closing = p.Range.Closing.String()
	}
	return fmt.Appendf(nil, "# policy epoch %d of %s\n# first: %s\n# closing: %s\n", p.Range.Epoch, p.Origin, p.Range.First, closing)
}

// String returns the end as it stands in a policy file.
func (e RangeEnd) String() string {
	return fmt.Sprintf("height %d, size %d, root %x", e.Height, e.Size, e.Root[:])
}

// parseRange reads the range of a policy file, nil where it has none. What looks
// like a part of one must be one: a range that is passed over restricts nothing.
func parseRange(text, origin string) (*Range, error) {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		for _, word := range []string{"# policy epoch", "# first:", "# closing:"} {
			if strings.HasPrefix(line, word) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	bad := errors.New("malformed lines about the policy's epoch")
	if len(lines) != 3 {
		return nil, bad
	}
	r := new(Range)
	if n, err := fmt.Sscanf(lines[0], "# policy epoch %d of ", &r.Epoch); n != 1 || err != nil {
		return nil, bad
	}
	var ok bool
	if r.First, ok = parseEnd(strings.TrimPrefix(lines[1], "# first: ")); !ok {
		return nil, bad
	}
	if s := strings.TrimPrefix(lines[2], "# closing: "); s != "open" {
		if r.Closing, ok = parseEnd(s); !ok || r.Closing.Size < r.First.Size {
			return nil, bad
		}
	}
	if p := (Policy{Origin: origin, Range: r}); string(p.rangeLines()) != strings.Join(lines, "\n")+"\n" {
		return nil, bad
	}
	return r, nil
}

func parseEnd(s string) (e RangeEnd, ok bool) {
	var root string
	n, err := fmt.Sscanf(s, "height %d, size %d, root %s", &e.Height, &e.Size, &root)
	b, hexErr := hex.DecodeString(root)
	if n != 3 || err != nil || hexErr != nil || len(b) != len(e.Root) || e.Size == 0 {
		return e, false
	}
	e.Root = [32]byte(b)
	return e, true
}
