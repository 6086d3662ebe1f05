package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// screen is where a command speaks to people: aligned columns that know how
// wide Japanese is, colours only on a terminal, and a moving line for what takes
// longer than a second. A tick or a cross is drawn only for what was checked.
type screen struct {
	mu     sync.Mutex
	w      io.Writer
	width  int  // columns
	colour bool // may use colours
	live   bool // may move the cursor
}

// Widths of a terminal that is not one, and the widest that lines use.
const (
	plainWidth = 100
	mostWidth  = 132
)

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, width: plainWidth}
	if f, ok := w.(*os.File); ok {
		if columns, ok := terminal(f); ok {
			s.live = os.Getenv("TERM") != "dumb"
			s.colour = s.live && os.Getenv("NO_COLOR") == ""
			if columns > 0 {
				s.width = min(columns, mostWidth)
			}
		}
	}
	return s
}

// An ink is a colour of the terminal.
type ink string

// The inks.
const (
	bold   ink = "1"
	faint  ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	cyan   ink = "36"
)

func (s *screen) paint(c ink, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// tick is a checked ✓ or ✗.
func (s *screen) tick(ok bool) string {
	if ok {
		return s.paint(green, "✓")
	}
	return s.paint(red, "✗")
}

// line prints one line.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// title begins a part, with a blank line before it.
func (s *screen) title(ja, en string) {
	s.line("\n%s  %s", s.paint(bold, ja), s.paint(faint, en))
}

// A pair is one text in both languages, after a head such as a tick.
type pair struct{ head, ja, en string }

// pairs shows texts in both languages: side by side where all of them fit, else
// below each other.
func (s *screen) pairs(list ...pair) {
	left, right, head := 0, 0, 0
	for _, p := range list {
		left, right, head = max(left, columns(p.ja)), max(right, columns(p.en)), max(head, columns(p.head))
	}
	aside := head+left+2+right <= s.width
	for _, p := range list {
		switch {
		case p.ja == p.en || p.ja == "":
			s.wrapped(p.head, p.en)
		case aside:
			s.line("%s%s  %s", p.head, pad(p.ja, left), s.paint(faint, p.en))
		default:
			s.wrapped(p.head, p.ja)
			for _, l := range wrap(p.en, s.width-columns(p.head)) {
				s.line("%s%s", blank(p.head), s.paint(faint, l))
			}
		}
	}
}

// wrapped prints text under an indentation.
func (s *screen) wrapped(first, text string) {
	for i, l := range wrap(text, s.width-columns(first)) {
		if i == 1 {
			first = blank(first)
		}
		s.line("%s%s", first, l)
	}
}

func blank(s string) string { return strings.Repeat(" ", columns(s)) }

// A wait is a line that moves while something takes its time.
type wait struct {
	s     *screen
	begin time.Time
	text  string
	stop  chan struct{}
	done  chan struct{}
}

// wait shows what is under way once it takes longer than a second. Nothing else
// may print until end is called.
func (s *screen) wait(text string) *wait {
	w := &wait{s: s, begin: time.Now(), text: text, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *wait) run() {
	defer close(w.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	shown := false
	for {
		select {
		case <-w.stop:
			if shown && w.s.live {
				fmt.Fprint(w.s.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
			switch took := time.Since(w.begin); {
			case took < time.Second:
			case w.s.live:
				fmt.Fprintf(w.s.w, "\r\x1b[K  %s", w.s.paint(faint, cut(fmt.Sprintf("… %s  %s", w.text, seconds(took)), w.s.width-3)))
				shown = true
			case !shown:
				fmt.Fprintf(w.s.w, "  … %s\n", w.text)
				shown = true
			}
		}
	}
}

// end removes the moving line and returns how long it took.
func (w *wait) end() time.Duration {
	close(w.stop)
	<-w.done
	return time.Since(w.begin)
}

// seconds shows a duration to a tenth of a second, a short one in milliseconds.
func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// columns returns how many columns of a terminal a text takes: two for wide
// characters, none for marks and variation selectors. Colours take none.
func columns(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n += runeColumns(r)
		}
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// pad fills a text up to n columns.
func pad(s string, n int) string {
	if k := n - columns(s); k > 0 {
		return s + strings.Repeat(" ", k)
	}
	return s
}

// cut shortens a text to n columns. The text must be without colours.
func cut(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	used := 1 // the ellipsis
	for i, r := range s {
		if used += runeColumns(r); used > n {
			return s[:i] + "…"
		}
	}
	return s
}

// cell cuts and pads.
func cell(s string, n int) string { return pad(cut(s, n), n) }

// wrap breaks a text into lines of at most n columns: at spaces, and between
// wide characters.
func wrap(s string, n int) []string {
	if n = max(n, 12); columns(s) <= n {
		return []string{s}
	}
	var out []string
	line, word := "", ""
	flush := func() {
		if columns(line)+columns(word) > n && line != "" {
			out, line = append(out, strings.TrimRight(line, " ")), ""
		}
		line, word = line+word, ""
	}
	for _, r := range s {
		word += string(r)
		if r == ' ' || runeColumns(r) == 2 || columns(word) >= n {
			flush()
			line = strings.TrimLeft(line, " ")
		}
	}
	flush()
	return append(out, strings.TrimRight(line, " "))
}
