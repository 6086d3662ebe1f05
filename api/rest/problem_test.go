package rest

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// constants returns the string values of constants of a type in a directory.
func constants(t *testing.T, dir, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, err)
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			continue // being written
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, id := range spec.Names {
				if strings.HasPrefix(id.Name, prefix) && i < len(spec.Values) {
					if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
						out[id.Name], _ = strconv.Unquote(lit.Value)
					}
				}
			}
			return true
		})
	}
	return out
}

// TestEveryCodeHasARow keeps the table complete: a new code needs a sentence.
func TestEveryCodeHasARow(t *testing.T) {
	for _, dir := range []string{"../../ledger/record", "../../node/custody", "../../crypto/canon"} {
		found := constants(t, dir, "Code")
		if len(found) < 5 {
			t.Errorf("%s: only %d codes found", dir, len(found))
		}
		for name, code := range found {
			if _, ok := codes[code]; !ok {
				t.Errorf("%s: %s %q has no row", dir, name, code)
			}
		}
	}
	for name, code := range constants(t, ".", "code") {
		if _, ok := codes[code]; !ok {
			t.Errorf("%s %q has no row", name, code)
		}
	}
	for _, e := range outbox.Errors {
		row, ok := codes[e.Code]
		if !ok {
			t.Errorf("outbox: %q has no row", e.Code)
			continue
		}
		retry := row.status == http.StatusServiceUnavailable || row.status == http.StatusTooManyRequests
		if (e.Kind == outbox.KindRetry || e.Kind == outbox.KindUnknown) != retry {
			t.Errorf("outbox: %q is of kind %s, its status is %d", e.Code, e.Kind, row.status)
		}
	}
}

func TestRowsAreWhole(t *testing.T) {
	for code, e := range codes {
		if !record.ValidCode(record.Code(code)) || titleOf(e.status).Ja == "" || e.status < 400 || e.status > 599 ||
			e.text.Ja == "" || e.text.En == "" || e.hint.Ja == "" || e.hint.En == "" {
			t.Errorf("%s: %+v", code, e)
		}
		if !strings.HasSuffix(e.text.Ja, "。") || !strings.HasSuffix(e.text.En, ".") {
			t.Errorf("%s: not a sentence", code)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   string
		status int
	}{
		{fault(codeJSONDepth), "json.depth", 400},
		{fmt.Errorf("x: %w", record.Refuse(record.CodeRevoked, "山田")), "revoked", 409},
		{fmt.Errorf("x: %w", outbox.ErrBusy), "outbox.busy", 503},
		{&outbox.UnknownError{Key: "k"}, "outcome.unknown", 503},
		{fmt.Errorf("ask 山田's holder: %w", context.DeadlineExceeded), "outcome.unknown", 503},
		{fmt.Errorf("register 山田: %w", vault.ErrFull), "vault.full", 409},
		{fmt.Errorf("disclose 山田: %w", vault.ErrBlock), "storage.damaged", 500},
		{fmt.Errorf("erase 山田: %w", vault.ErrStopped), "storage.damaged", 500},
		{fmt.Errorf("register 山田: %w", store.ErrDiskFull), "storage.full", 503},
		{fmt.Errorf("%w: %w", outbox.ErrStorage, store.ErrDiskFull), "storage.full", 503},
		{fmt.Errorf("erase 山田: %w: %w", vault.ErrStopped, vault.ErrDiskFull), "storage.full", 503},
		{errors.New("open /secret/山田: no such file"), "internal", 500},
		{&record.Refusal{Code: "brand-new"}, "brand-new", 409},
		{&record.Refusal{Code: "山田"}, "internal", 500},
	} {
		w := httptest.NewRecorder()
		problemOf(c.err, false).write(w, false)
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"type":"urn:akashi:problem:`+c.code+`"`) {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "山田") || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: the problem repeats the error", c.err)
		}
		if retry := w.Header().Get("Retry-After") != ""; retry != (c.status == 503) {
			t.Errorf("%v: Retry-After %v", c.err, retry)
		}
	}
}

func TestWantsEnglish(t *testing.T) {
	for accept, want := range map[string]bool{"": false, "ja": false, "en": true, "en-GB,ja;q=0.5": true, "ja,en": false,
		"en;q=0.3, ja-JP;q=0.9": false, "fr": false, "fr, en;q=0.1": true, "en;q=0": false, "en;q=x": false, "*": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", accept)
		if got := wantsEnglish(r); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}
