package cosign

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// collect looks for the highest end that k members of its epoch cosigned and that
// is ours.
func (s *Cosigner) collect() {
	s.finalMu.Lock()
	defer s.finalMu.Unlock()
	if s.halted.Load() {
		return
	}
	s.mu.Lock()
	cur := s.final.Load()
	var best *Final
	for size, sigs := range s.sigs {
		end, derived := s.ends[size]
		if !derived || end.Size < s.floor || best != nil && size <= best.End.Size || cur != nil && size < cur.End.Size {
			continue
		}
		f := s.assemble(end, sigs)
		if f != nil && (cur == nil || size > cur.End.Size || f.newer(cur)) {
			best = f
		}
	}
	if best != nil {
		if cur == nil || best.End.Height > cur.End.Height {
			s.lagSince = time.Now()
			s.lagSent = s.lagSince
		}
		s.final.Store(best)
		if cur != nil && cur.Policy.Epoch != best.Policy.Epoch {
			s.forsake(best.Policy.Epoch)
		}
		for size, sigs := range s.sigs {
			if size < best.End.Size {
				for member, e := range sigs {
					s.kept[member]--
					if e.Root == s.ends[size].Root {
						s.agree(e)
					}
				}
				delete(s.sigs, size)
			}
		}
		for size, end := range s.ends {
			if size < best.End.Size {
				s.recent[size] = end.Root
				delete(s.ends, size)
			}
		}
		s.forget()
	}
	s.mu.Unlock()
	if best == nil {
		return
	}
	s.promote(best)
	if s.Leader() == s.Self && (cur == nil || best.End.Height > cur.End.Height) {
		s.announce(best)
	}
}

// checkLag makes up for a leader that does not collect.
func (s *Cosigner) checkLag() {
	f := s.final.Load()
	s.mu.Lock()
	newest := s.newest
	lagging := f == nil || f.End.Height < newest.Height
	now := time.Now()
	if !lagging || s.lagSince.IsZero() {
		s.lagSince, s.lagSent = now, now
	}
	due := lagging && now.Sub(s.lagSent) > lagBefore
	long := lagging && now.Sub(s.lagSince) > askAfter
	var mine []entry
	ahead := map[string]bool{} // members that have cosigned beyond what we have derived
	for size, sigs := range s.sigs {
		for id := range sigs {
			if size > newest.Size {
				ahead[id] = true
			}
		}
	}
	if due {
		s.lagSent = now
		if long {
			s.lagSince = now
		}
		for _, sigs := range s.sigs {
			for _, e := range sigs {
				if len(mine) < maxEntries && (e.Size == newest.Size || e.Member == s.Self) {
					mine = append(mine, e)
				}
			}
		}
	}
	s.mu.Unlock()
	if len(mine) > 0 {
		s.spread(mine, true)
	}
	// We may have missed what the others know; while we derive what k of them have
	// left behind there is nothing to ask for.
	if due && (long || len(mine) == 0) && len(ahead) < s.of(newest.Size).K {
		s.Beat()
	}
}

// sortedEntries orders entries so that equal sets have equal bytes.
func sortedEntries(m map[string]entry) []entry {
	out := make([]entry, 0, len(m))
	for _, e := range m {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int {
		if a.Size != b.Size {
			return cmp.Compare(a.Size, b.Size)
		}
		return bytes.Compare([]byte(a.Member), []byte(b.Member))
	})
	return out
}
