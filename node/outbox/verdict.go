package outbox

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A verdict is what a batch did with a submission.
type verdict struct {
	height  uint64
	timeMs  uint64
	first   uint64     // index of the leaf of its first accepted record
	full    bool       // refused whole with batch.full, or under a replaced key: no verdict over its records
	refused []position // ascending
}

type position struct {
	pos     int
	refusal record.Refusal
}

// verdictOf reads the outcome of a submission that used its number.
func verdictOf(out *rules.Outcome, end *store.End) *verdict {
	v := &verdict{height: end.Height, timeMs: end.TimeMs, first: end.First + uint64(out.First), full: out.All != ""}
	for pos, r := range out.Refused {
		v.refused = append(v.refused, position{pos, r})
	}
	slices.SortFunc(v.refused, func(a, b position) int { return cmp.Compare(a.pos, b.pos) })
	return v
}

// refuseAll is a verdict over every record of n.
func refuseAll(height, timeMs uint64, n int, code record.Code) *verdict {
	v := &verdict{height: height, timeMs: timeMs, refused: make([]position, n)}
	for i := range v.refused {
		v.refused[i] = position{i, record.Refusal{Code: code}}
	}
	return v
}

// outcomes returns the part of a verdict that is one call's.
func (v *verdict) outcomes(c *call) []Outcome {
	out := make([]Outcome, len(c.leaves))
	for i := range out {
		id, _ := record.PeekID(c.leaves[i])
		out[i] = Outcome{ID: id, LeafHash: record.Digest(c.hashes[i])}
	}
	v.fill(out, c.from)
	return out
}

// fill completes outcomes of the records from a position on.
func (v *verdict) fill(out []Outcome, from int) {
	refused := sort.Search(len(v.refused), func(i int) bool { return v.refused[i].pos >= from })
	for i := range out {
		out[i].Height, out[i].TimeMs = v.height, v.timeMs
		if refused < len(v.refused) && v.refused[refused].pos == from+i {
			out[i].Refused = &v.refused[refused].refusal
			refused++
			continue
		}
		out[i].Index = v.first + uint64(from+i-refused)
	}
}

// find looks for a submission whose number is used in the batches of the
// ledger. It returns nil where no batch has it.
//
// An accepted record leads to its batch by its id. Where all were refused, the
// seals of the time in which the submission could be accepted are read, newest
// first.
func (s *submission) find(view View, head *rules.Head, lifetimeMs uint64) (*verdict, error) {
	for i, leaf := range s.signed.Leaves {
		id, _ := record.PeekID(leaf)
		index, ok, err := view.IndexOf(id)
		if err != nil {
			return nil, fmt.Errorf("find record: %w", err)
		}
		if !ok {
			continue
		}
		end, err := view.EndWith(index)
		if err != nil {
			return nil, fmt.Errorf("find batch of leaf %d: %w", index, err)
		}
		if v, err := s.inBatch(view, end); v != nil || err != nil {
			return v, err
		}
		if i > 0 { // ids of other records: the seals know
			break
		}
	}
	notAfter := s.signed.Submission.NotAfterMs
	earliest := notAfter - min(notAfter, lifetimeMs+clockSkewMs)
	newest, err := lastEndBy(view, head, notAfter)
	for err == nil && newest != nil && newest.TimeMs >= earliest && newest.Height > 0 {
		var v *verdict
		if v, err = s.inBatch(view, newest); v != nil || err != nil {
			return v, err
		}
		newest, err = view.EndOf(newest.Height - 1)
	}
	return nil, err
}

// lastEndBy returns the end of the newest batch that is not later than a time,
// nil where there is none.
func lastEndBy(view View, head *rules.Head, timeMs uint64) (*store.End, error) {
	var failed error
	later := sort.Search(int(head.Height)+1, func(h int) bool {
		end, err := view.EndOf(uint64(h))
		if err != nil {
			failed = err
			return true
		}
		return end.TimeMs > timeMs
	})
	if failed != nil || later == 0 {
		return nil, failed
	}
	return view.EndOf(uint64(later - 1))
}

// inBatch returns the verdict of one batch, nil where the submission did not
// use its number there.
func (s *submission) inBatch(view View, end *store.End) (*verdict, error) {
	leaf, err := view.Leaf(end.Size - 1)
	if err != nil {
		return nil, fmt.Errorf("read seal of height %d: %w", end.Height, err)
	}
	seal, err := record.ParseSeal(leaf)
	if err != nil {
		return nil, fmt.Errorf("read seal of height %d: %w", end.Height, err)
	}
	out := rules.Outcome{}
	refusals := seal.Refusals
	for i := range seal.Submissions {
		sub := &seal.Submissions[i]
		out.All, out.Refused = "", nil
		for ; len(refusals) > 0 && int(refusals[0].Sub) == i; refusals = refusals[1:] {
			if r := &refusals[0]; r.All {
				out.All = r.Code
			} else {
				if out.Refused == nil {
					out.Refused = map[int]record.Refusal{}
				}
				out.Refused[int(r.Pos)] = record.Refusal{Code: r.Code}
			}
		}
		if *sub == s.signed.Submission && usesNumber(out.All) {
			return verdictOf(&out, end), nil
		}
		if out.All == "" {
			out.First += int(sub.Count) - len(out.Refused)
		}
	}
	return nil, nil
}

// usesNumber reports whether a submission with this code for the whole has used
// its number. Other codes say nothing for good: a copy with a broken signature,
// or from before a key change, does not spoil the original.
func usesNumber(all record.Code) bool { return all == "" || all == record.CodeBatchFull }
