package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestColumns(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "証": 2, "髙橋 結": 7, "ﾔﾏ": 2, "𠮷": 2, "辻\U000E0100": 2, "が": 2, "é": 1, "\x1b[32m✓\x1b[0m": 1,
	} {
		if got := columns(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
}

func TestCutAndPad(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"abc", 5, "abc  "}, {"abcdef", 4, "abc…"}, {"証明書", 6, "証明書"}, {"証明書", 5, "証明…"}, {"証明書", 4, "証… "},
	} {
		if got := cell(c.s, c.n); got != c.want {
			t.Errorf("cell(%q, %d) is %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, text := range []string{
		"the record is in a log that a quorum of members signed", "記録は、加盟企業の定足数が署名した台帳にある",
		strings.Repeat("x", 50), "a " + strings.Repeat("長い", 20) + " word",
	} {
		lines := wrap(text, 16)
		for _, l := range lines {
			if columns(l) > 16 {
				t.Errorf("%q is wider than 16", l)
			}
		}
		if got := strings.Join(lines, ""); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Errorf("wrapping %q lost something: %q", text, lines)
		}
	}
}

// TestPlainOutput: what goes to a file has no colours and does not move.
func TestPlainOutput(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&b)
	s.title("加盟企業", "Members")
	s.line("%s %s", s.tick(true), s.tick(false))
	w := s.wait("something short")
	w.end()
	s.pairs(pair{"  ", "日本語", "English"}, pair{"  ", "", "only English"})
	if strings.Contains(b.String(), "\x1b") || strings.Contains(b.String(), "\r") {
		t.Errorf("control characters in %q", b.String())
	}
}
