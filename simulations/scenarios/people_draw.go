package scenarios

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
)

// draw turns the raw output of PCG into chances by itself: the stream of PCG is fixed
// for good, while the methods of rand.Rand may change with a version of Go.
type draw struct{ pcg *rand.PCG }

func newDraw(seed uint64) *draw { return &draw{rand.NewPCG(seed, 0x616b61736869)} }

// unit is in [0, 1).
func (d *draw) unit() float64 { return float64(d.pcg.Uint64()>>11) / (1 << 53) }

// chance is true with probability p.
func (d *draw) chance(p float64) bool { return d.unit() < p }

// below is in 0 … n-1.
func (d *draw) below(n int) int { return int(d.unit() * float64(n)) }

// wheel picks one of several words by weight.
type wheel struct {
	words []string
	upTo  []float64
}

func newWheel(weights map[string]float64) *wheel {
	w := &wheel{}
	for word := range weights {
		w.words = append(w.words, word)
	}
	slices.Sort(w.words)
	sum := 0.0
	for _, word := range w.words {
		sum += weights[word]
		w.upTo = append(w.upTo, sum)
	}
	return w
}

func (w *wheel) turn(d *draw) string {
	x := d.unit() * w.upTo[len(w.upTo)-1]
	for i, upTo := range w.upTo {
		if x < upTo {
			return w.words[i]
		}
	}
	return w.words[len(w.words)-1]
}

func total(weights map[string]float64) (sum float64) {
	for _, weight := range weights {
		sum += weight
	}
	return sum
}

// Share is how a habit or attribute is spread over people: the probability of "yes",
// or a weight for each value.
type Share struct {
	Yes     float64
	Weights map[string]float64
	wheel   *wheel
}

// UnmarshalJSON takes a number or an object of weights.
func (s *Share) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &s.Yes)
	}
	if err := json.Unmarshal(b, &s.Weights); err != nil {
		return err
	}
	s.wheel = newWheel(s.Weights)
	return nil
}

// MarshalJSON writes what was read.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Weights != nil {
		return json.Marshal(s.Weights)
	}
	return json.Marshal(s.Yes)
}

func (s Share) pick(d *draw) string {
	if s.wheel != nil {
		return s.wheel.turn(d)
	}
	if d.chance(s.Yes) {
		return "yes"
	}
	return "no"
}
