package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// seldomAgain is how long what was said is not said again.
const seldomAgain = time.Minute

// seldom passes on a warning at once, and the same one again after a minute, with how
// often it was left out; what is no warning tells what happened, each time: a duty that is tried every second while the
// consortium has no quorum must not bury what happened before.
type seldom struct {
	slog.Handler
	with string // what WithAttrs and WithGroup added
	said *said
}

// said remembers lines, at most maxSaid of them.
type said struct {
	mu    sync.Mutex
	lines map[string]saidLine
}

type saidLine struct {
	at   time.Time
	more int // left out since
}

const maxSaid = 1024

func newSeldom(h slog.Handler) *seldom {
	return &seldom{Handler: h, said: &said{lines: map[string]saidLine{}}}
}

// Handle implements slog.Handler. The time of a record is the log's clock.
func (s *seldom) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return s.Handler.Handle(ctx, r)
	}
	key := lineOf(s.with, r)
	more, again := s.said.pass(key, r.Time)
	if !again {
		return nil
	}
	if more > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("omitted", more))
	}
	return s.Handler.Handle(ctx, r)
}

func lineOf(with string, r slog.Record) string {
	var b strings.Builder
	b.WriteString(with + "\x00" + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString("\x00" + a.String())
		return true
	})
	return b.String()
}

// pass reports whether a line is to be said now, and how often it was left out.
func (s *said) pass(line string, now time.Time) (more int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.lines[line]
	if age := now.Sub(last.at); known && age >= 0 && age < seldomAgain {
		last.more++
		s.lines[line] = last
		return 0, false
	}
	if len(s.lines) >= maxSaid {
		clear(s.lines)
	}
	s.lines[line] = saidLine{at: now}
	return last.more, true
}

// WithAttrs implements slog.Handler.
func (s *seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := s.with
	for _, a := range attrs {
		with += "\x00" + a.String()
	}
	return &seldom{s.Handler.WithAttrs(attrs), with, s.said}
}

// WithGroup implements slog.Handler.
func (s *seldom) WithGroup(name string) slog.Handler {
	return &seldom{s.Handler.WithGroup(name), s.with + "\x00" + name, s.said}
}
