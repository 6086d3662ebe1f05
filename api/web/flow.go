package web

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// picture is who handed how often to whom, as a drawing for wide and for narrow
// screens, and as a table of the same numbers.
type picture struct {
	Wide, Narrow *drawing
	Rows         []Flow
	Total        int
	Without      bool // some of it rests on no consent
}

// drawing is one SVG: ribbons between two columns of parties.
type drawing struct {
	Name          string
	Width, Height int
	Ribbons       []ribbon
	Nodes         []node
	Desc          string
}

// ribbon is as wide as there were hand-overs.
type ribbon struct {
	Path         string
	Width, Edge  string
	Without      bool
	Label        string
	X, Y         string // of the label's middle
	ChipX, ChipY string
	ChipW, ChipH string

	ends             [4]float64 // x and y where it begins, x and y where it ends
	middleX, middleY float64    // of the label
	halfW            float64
}

type node struct {
	X, Y, W, H   string
	Name, Note   string
	TextX, TextY string
	NoteY        string
	Anchor       string
}

// maxNodes is how many parties a side has at most; the rest is drawn as one.
const maxNodes = 6

// shape is the measures of a drawing in its own units.
type shape struct {
	name             string
	width            int
	left, right, bar float64 // x of the bars, and their width
	tall, most       float64 // of all ribbons of the fuller side, and of one hand-over
	pitch, gap, top  float64 // least distance of two nodes, and space between
	above            bool    // names stand above the bars
	font, chip       float64
	letters          int // that a name has room for
}

var (
	wide   = shape{name: "wide", width: 960, left: 190, right: 756, bar: 14, tall: 190, most: 16, pitch: 46, gap: 22, top: 12, font: 15, chip: 26, letters: 10}
	narrow = shape{name: "narrow", width: 328, left: 6, right: 312, bar: 10, tall: 150, most: 16, pitch: 12, gap: 40, top: 40, above: true, font: 13, chip: 22, letters: 10}
)

// side is one column: the parties with their counts, most first.
type side struct {
	names  []string
	counts []int
	y      []float64 // top of each bar
	used   []float64 // height that ribbons have taken
}

// link is the hand-overs between two nodes.
type link struct {
	from, to, count int
	without         bool
}

func draw(l Language, flows []Flow) *picture {
	if len(flows) == 0 {
		return nil
	}
	p := &picture{Rows: flows}
	for _, f := range flows {
		p.Total += f.Count
		p.Without = p.Without || f.Kind != "provision"
	}
	from, to, links := columns(l, flows)
	desc := l.describe(from, to, links, p.Total)
	p.Wide, p.Narrow = wide.draw(l, from, to, links), narrow.draw(l, from, to, links)
	p.Wide.Desc, p.Narrow.Desc = desc, desc
	return p
}

// columns finds the parties of both sides and the links between them.
func columns(l Language, flows []Flow) (from, to *side, links []link) {
	from = newSide(l, flows, func(f Flow) record.Text { return f.From }, func(Flow) int { return 0 })
	to = newSide(l, flows, func(f Flow) record.Text { return f.To }, func(f Flow) int { return from.at(l.plain(f.From)) })
	for _, f := range flows {
		k := link{from: from.at(l.plain(f.From)), to: to.at(l.plain(f.To)), count: f.Count, without: f.Kind != "provision"}
		if i := slices.IndexFunc(links, func(o link) bool { return o.from == k.from && o.to == k.to && o.without == k.without }); i >= 0 {
			links[i].count += k.count
		} else {
			links = append(links, k)
		}
	}
	slices.SortFunc(links, func(a, b link) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
	return from, to, links
}

// newSide sorts the parties of one side: most first, and where they are equal by
// the place of the other side from which the first ribbon comes.
func newSide(l Language, flows []Flow, of func(Flow) record.Text, rank func(Flow) int) *side {
	counts, first := map[string]int{}, map[string]int{}
	for _, f := range flows {
		name := l.plain(of(f))
		if _, ok := counts[name]; !ok || rank(f) < first[name] {
			first[name] = rank(f)
		}
		counts[name] += f.Count
	}
	s := &side{names: slices.Collect(maps.Keys(counts))}
	slices.SortFunc(s.names, func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], first[a]-first[b], strings.Compare(a, b))
	})
	for i, name := range s.names {
		if i < maxNodes {
			s.counts = append(s.counts, counts[name])
		} else {
			s.counts[maxNodes-1] += counts[name]
		}
	}
	return s
}

// at is the node of a name: the last one for all that have none of their own.
func (s *side) at(name string) int { return min(slices.Index(s.names, name), len(s.counts)-1) }

// label is the name of a node.
func (s *side) label(l Language, i int) string {
	if i == len(s.counts)-1 && len(s.names) > len(s.counts) {
		return l.text("flow.rest", "n", len(s.names)-i)
	}
	return plainly(s.names[i])
}

// plainly replaces what cannot be seen in a drawing, where no mark-up shows it.
func plainly(s string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return '□'
		}
		return r
	}, s)
}

func (l Language) describe(from, to *side, links []link, total int) string {
	var b strings.Builder
	for _, k := range links {
		key := "flow.says"
		if k.without {
			key = "flow.says.without"
		}
		b.WriteString(l.text(key, "from", from.label(l, k.from), "to", to.label(l, k.to), "n", k.count))
	}
	b.WriteString(l.text("flow.total", "n", total))
	return b.String()
}

// draw lays the columns out. Ribbons leave and reach a bar in the order of the
// other side, so that they cross as little as they can.
func (sh *shape) draw(l Language, from, to *side, links []link) *drawing {
	total := 0
	for _, k := range links {
		total += k.count
	}
	unit := min(sh.tall/float64(total), sh.most)
	thick := func(n int) float64 { return max(float64(n)*unit, 7) }
	d := &drawing{Name: sh.name, Width: sh.width}
	height := 0.0
	for right, s := range []*side{from, to} {
		need := make([]float64, len(s.counts))
		for _, k := range links {
			need[pick(right, k.from, k.to)] += thick(k.count)
		}
		s.y, s.used = make([]float64, len(need)), make([]float64, len(need))
		y := sh.top
		for i, h := range need {
			s.y[i] = y + max(sh.pitch-h, 0)/2
			y += max(h, sh.pitch) + sh.gap
			d.Nodes = append(d.Nodes, sh.node(l, s, i, right == 1, h))
		}
		height = max(height, y-sh.gap+sh.top/2)
	}
	d.Height = int(math.Ceil(height)) + 6
	for _, k := range links {
		r := sh.ribbon(l, from, to, k, thick(k.count))
		sh.place(&r, d.Ribbons)
		d.Ribbons = append(d.Ribbons, r)
	}
	return d
}

func pick(right int, a, b int) int {
	if right == 1 {
		return b
	}
	return a
}

func (sh *shape) node(l Language, s *side, i int, right bool, h float64) node {
	n := node{Y: px(s.y[i]), W: px(sh.bar), H: px(h), Name: crop(s.label(l, i), sh.letters), Note: l.text("flow.count", "n", s.counts[i])}
	x, text, key := sh.left, sh.left-14, "end"
	if right {
		x, text, key = sh.right, sh.right+sh.bar+14, "start"
	}
	if sh.above {
		text, key = x, "start"
		if right {
			text, key = x+sh.bar, "end"
		}
	}
	n.X, n.TextX, n.Anchor = px(x), px(text), key
	middle := s.y[i] + h/2
	n.TextY, n.NoteY = px(middle-3), px(middle+18)
	if sh.above {
		n.TextY, n.Note = px(s.y[i]-9), ""
	}
	return n
}

func (sh *shape) ribbon(l Language, from, to *side, k link, w float64) ribbon {
	y1, y2 := from.y[k.from]+from.used[k.from]+w/2, to.y[k.to]+to.used[k.to]+w/2
	from.used[k.from] += w
	to.used[k.to] += w
	x1, x2 := sh.left+sh.bar, sh.right
	mid := (x1 + x2) / 2
	r := ribbon{Path: fmt.Sprintf("M%s %sC%s %s %s %s %s %s", px(x1), px(y1), px(mid), px(y1), px(mid), px(y2), px(x2), px(y2)),
		Width: px(w), Edge: px(w + 2), Without: k.without, Label: l.text("flow.count", "n", k.count), ends: [4]float64{x1, y1, x2, y2}}
	r.halfW = (letters(r.Label)*sh.font + 24) / 2
	r.ChipW, r.ChipH = px(2*r.halfW), px(sh.chip)
	return r
}

// place puts the label where it covers no other, or in the middle.
func (sh *shape) place(r *ribbon, others []ribbon) {
	for _, t := range []float64{0.5, 0.34, 0.66, 0.24, 0.76, 0.42, 0.58} {
		sh.put(r, t)
		if !slices.ContainsFunc(others, func(o ribbon) bool {
			return math.Abs(o.middleX-r.middleX) < o.halfW+r.halfW+4 && math.Abs(o.middleY-r.middleY) < sh.chip+2
		}) {
			return
		}
	}
	sh.put(r, 0.5)
}

// put puts the label at a place of the curve, 0 to 1.
func (sh *shape) put(r *ribbon, t float64) {
	x1, y1, x2, y2 := r.ends[0], r.ends[1], r.ends[2], r.ends[3]
	mid, u := (x1+x2)/2, 1-t
	r.middleX = x1*u*u*u + 3*mid*u*u*t + 3*mid*u*t*t + x2*t*t*t
	r.middleY = y1*(u*u*u+3*u*u*t) + y2*(t*t*t+3*u*t*t)
	r.ChipX, r.ChipY = px(r.middleX-r.halfW), px(r.middleY-sh.chip/2)
	r.X, r.Y = px(r.middleX), px(r.middleY+sh.font*0.36)
}

func px(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// letters is the width of a text in letters of full width.
func letters(s string) (n float64) {
	for _, r := range s {
		if r < 0x2000 || r >= 0xff61 && r <= 0xff9f {
			n += 0.56
		} else {
			n++
		}
	}
	return n
}

// crop shortens a name to a number of full-width letters.
func crop(s string, most int) string {
	if letters(s) <= float64(most) {
		return s
	}
	runes := []rune(s)
	for letters(string(runes)) > float64(most)-1 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
