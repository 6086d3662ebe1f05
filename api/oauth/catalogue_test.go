package oauth

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/web"
)

// TestCatalogue: every text that a template or the program names is there, in easy
// Japanese too, and none is left over.
func TestCatalogue(t *testing.T) {
	used := map[string]bool{}
	for _, prefix := range []string{"error.", "foreign.", "period."} { // named by parts of a key
		for key := range catalogue {
			if strings.HasPrefix(key, prefix) {
				used[key] = true
			}
		}
	}
	for _, key := range []string{"title", "give", "category", "noEnd", "untilDay", "erasedAfter", "erasedOnStop"} {
		used["consent."+key] = true
	}
	for _, key := range []string{"signin.title", "code.title", "sessions.title", "introduce.title", "connect.title", "paper.title", "recover.title"} {
		used[key] = true
	}
	key := regexp.MustCompile(`\.T "([a-zA-Z.0-9]+)"`)
	err := fs.WalkDir(templates, "templates", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := templates.ReadFile(name)
		for _, m := range key.FindAllStringSubmatch(string(b), -1) {
			if catalogue[m[1]] == nil {
				t.Errorf("%s: no text %s", name, m[1])
			}
			used[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, e := range catalogue {
		if e[web.Easy] == "" {
			t.Errorf("%s: no text in easy Japanese", key)
		}
		if !used[key] {
			t.Errorf("%s is used nowhere", key)
		}
	}
}
