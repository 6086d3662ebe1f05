package browsertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/chromedp/chromedp"
)

// axe-core, as its package is published.
const (
	axeVersion = "4.14.1"
	axeSHA512  = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// axe returns axe-core's program. npm fetches the package once; what is kept is
// compared with its hash at every run.
var axe = sync.OnceValues(func() (string, error) {
	home, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	kept := filepath.Join(home, "akashi-tests", "axe-core-"+axeVersion+".tgz")
	pack, err := os.ReadFile(kept)
	if err == nil && axeIntact(pack) {
		return axeIn(pack)
	}
	if pack, err = fetchAxe(); err != nil {
		return "", err
	}
	if !axeIntact(pack) {
		return "", errors.New("what npm fetched as axe-core " + axeVersion + " has another hash")
	}
	if err := keep(kept, pack); err != nil {
		return "", err
	}
	return axeIn(pack)
})

func axeIntact(pack []byte) bool {
	sum := sha512.Sum512(pack)
	return base64.StdEncoding.EncodeToString(sum[:]) == axeSHA512
}

// keep writes a file in whole or not at all: several tests may fetch at a time.
func keep(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), path))
}

func fetchAxe() ([]byte, error) {
	npm, err := machine.Find([]string{"npm"}, "npm")
	if err != nil {
		return nil, fmt.Errorf("the pages are checked for accessibility with axe-core, which npm fetches: %w", err)
	}
	dir, err := os.MkdirTemp("", "akashi-axe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "axe-core@"+axeVersion, "--silent", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm pack axe-core@%s: %w\n%s", axeVersion, err, out)
	}
	return os.ReadFile(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"))
}

func axeIn(pack []byte) (string, error) {
	zip, err := gzip.NewReader(bytes.NewReader(pack))
	if err != nil {
		return "", err
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("axe.min.js: %w", err)
		}
		if h.Name == "package/axe.min.js" {
			b, err := io.ReadAll(r)
			return string(b), err
		}
	}
}

// Violations returns what axe-core finds on the page as it stands: rule, what it
// is about, and where. With a tag, only rules that have it.
func Violations(t *testing.T, ctx context.Context, tags ...string) []string {
	t.Helper()
	only, err := json.Marshal(tags)
	if err != nil {
		t.Fatal(err)
	}
	program, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	if !Get(t, ctx, chromedp.Evaluate[bool](`typeof axe !== "undefined"`)) {
		Run(t, ctx, chromedp.Evaluate[chromedp.Void](program+";undefined"))
	}
	return Get(t, ctx, chromedp.Evaluate[[]string](`axe.run(document, { preload: false, resultTypes: ["violations"], runOnly: `+string(only)+` ?? undefined }).then((r) => r.violations.map((v) =>
		v.id + ": " + v.help + "\n\t" + v.nodes.map((n) => n.target.join(" ") + "\n\t\t" + n.any.concat(n.all, n.none).map((c) => c.message).join("; ")).join("\n\t")))`,
		chromedp.EvalAwaitPromise))
}
