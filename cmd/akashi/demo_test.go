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
	checkExport(t)
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
	code := report(&out, err)
	return out.String(), code
}

// checkReceipts verifies all files that the demo left together.
func checkReceipts(t *testing.T) {
	files, err := filepath.Glob("demo/receipts/*.akashi.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d receipts: %v", len(files), err)
	}
	out, code := runFor(t, patience, append([]string{"verify", "--policy", "demo/policy"}, files...)...)
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
			name := filepath.Join(filepath.Dir(page), m[2])
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				continue
			}
			target, err := os.ReadFile(name)
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

// checkExport copies the demo's log once more: an export that was cut off, or
// whose files were damaged, becomes whole again, and one of another log is
// refused.
func checkExport(t *testing.T) {
	policies, err := readPolicies([]string{"demo/policy"})
	if err != nil {
		t.Fatal(err)
	}
	again := func(from string) (*export, error) {
		x := &export{log: &logSource{logFiles: dirLog(from)}, dir: "again", policies: policies}
		return x, x.run(t.Context())
	}
	same := func(what string) {
		t.Helper()
		err := filepath.WalkDir("demo/log", func(name string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			want, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			got, err := os.ReadFile(filepath.Join("again", strings.TrimPrefix(name, "demo/log")))
			if err == nil && !bytes.Equal(got, want) {
				err = errors.New(name + " differs")
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if x, err := again("demo/log"); err != nil || x.fetched == 0 {
		t.Fatal("export:", err)
	}
	same("first export")
	if x, err := again("demo/log"); err != nil || x.fetched != 0 {
		t.Errorf("a whole export fetches %d bundles again: %v", x.fetched, err)
	}
	bundles, err := filepath.Glob("again/tile/entries/*.p/*")
	if err != nil || len(bundles) == 0 {
		t.Fatal(bundles, err)
	}
	damage(t, bundles[0])
	if err := os.Remove("again/checkpoint"); err != nil {
		t.Fatal(err)
	}
	if x, err := again("demo/log"); err != nil || x.fetched == 0 {
		t.Error("after damage:", err)
	}
	same("after damage")
	if err := os.RemoveAll("again"); err != nil {
		t.Fatal(err)
	}
	var f *failure
	if _, err := again("demo/log-tampered"); !errors.As(err, &f) || f.code != exitUnmet {
		t.Errorf("a log that does not lead to its root: %v", err)
	}
	if _, err := os.Stat("again/checkpoint"); err == nil {
		t.Error("a refused export has a checkpoint")
	}
	if out, code := runFor(t, patience, "audit", "demo/log", "--policy", "demo/policy", "--since", "demo/log/checkpoint"); code != 0 {
		t.Errorf("audit since its own checkpoint exits %d:\n%s", code, out)
	}
	if out, code := runFor(t, patience, "audit", "demo/log-tampered", "--policy", "demo/policy", "--since", "demo/log/checkpoint"); code != exitUnmet ||
		!strings.Contains(out, "are not those of demo/log/checkpoint") {
		t.Errorf("audit of a changed log since an earlier checkpoint exits %d:\n%s", code, out)
	}
	if out, code := runFor(t, patience, "audit", "demo/log", "--policy", "demo/policy", "--json"); code != 0 || !strings.Contains(out, `"format": "akashi-audit/v1"`) {
		t.Errorf("audit --json exits %d:\n%s", code, out)
	}
}

// damage changes a byte in the middle of a file.
func damage(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
