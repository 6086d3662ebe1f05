package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the lines of the README's example: the demo itself, which ends
// with 0 only if every promise held, and what a reader does with its files.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("four processes: not in the short run")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(readme), "<!-- example:")
	_, after, ok2 := strings.Cut(after, "```sh\n")
	example, _, ok3 := strings.Cut(after, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatal("the README has no example")
	}
	t.Chdir(t.TempDir())
	ran := 0
	for line := range strings.Lines(example) {
		command, comment, _ := strings.Cut(strings.TrimSpace(line), "#")
		if command = strings.TrimSpace(command); command == "" {
			continue
		}
		want := 0
		if strings.Contains(comment, "exits 1") {
			want = exitUnmet
		}
		args := strings.Fields(command)
		if args[0] != "akashi" {
			t.Fatalf("the example has %q", line)
		}
		out, code := runFor(t, 2*time.Minute, args[1:]...)
		if code != want {
			t.Fatalf("%s\nexits %d, want %d:\n%s", command, code, want, out)
		}
		ran++
	}
	if ran < 6 {
		t.Fatalf("only %d lines of the example ran", ran)
	}
	checkReceipts(t)
}

// runFor runs the program within a time and returns what it prints and its exit
// code.
func runFor(t *testing.T, most time.Duration, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, args, strings.NewReader(""), &out, &out)
	if ctx.Err() != nil {
		t.Fatalf("%q took longer than %v:\n%s", args, most, out.String())
	}
	return out.String(), report(&out, err)
}

// checkReceipts verifies all files that the demo left together.
func checkReceipts(t *testing.T) {
	files, err := filepath.Glob("demo/receipts/*.akashi.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d receipts: %v", len(files), err)
	}
	out, code := runFor(t, time.Minute, append([]string{"verify", "--policy", "demo/policy"}, files...)...)
	if code != 0 {
		t.Errorf("verify of all receipts exits %d:\n%s", code, out)
	}
	tokens, err := readTokens("demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir("demo", func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == tokensFile("demo") {
			return err
		}
		b, err := os.ReadFile(name)
		for role, token := range tokens {
			if bytes.Contains(b, []byte(token)) {
				err = errors.Join(err, errors.New(name+" holds the token of "+role))
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestReadmeLinks: every file that README and guide point to is there, and every
// test that they name stands in the file that they name.
func TestReadmeLinks(t *testing.T) {
	guides, err := filepath.Glob("../../docs/guide/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatal(guides, err)
	}
	link := regexp.MustCompile(`\[([^\]]*)\]\(([^)#:]+)\)`)
	for _, page := range append(guides, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			target, err := os.ReadFile(filepath.Join(filepath.Dir(page), m[2]))
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if strings.HasPrefix(m[1], "Test") && !strings.Contains(string(target), "func "+m[1]+"(t *testing.T)") {
				t.Errorf("%s: %s has no %s", page, m[2], m[1])
			}
		}
	}
}
