package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tool builds a program of simulations/tools, or finds it in Go's cache, and
// returns its path.
func tool(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", name)
	cmd.Dir = filepath.Join("..", "..", "simulations", "tools")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, errs.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// fsck checks a log with Tessera's fsck, for at most limit: it hangs on some
// damage. It exits 0 even where a check fails, so what counts is what it says in
// the end: it came to an end, and every range of tiles and bundles is "OK".
func fsck(t *testing.T, url, vkey, token string, limit time.Duration) (said string, ok bool) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "log.key")
	if err := os.WriteFile(key, []byte(vkey), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "fsck"), "--storage_url="+url, "--public_key="+key, "--bearer_token="+token, "--ui=false", "--v=1", "--N=4", "--logtostderr")
	out, err := cmd.CombinedOutput()
	said = string(out)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Fatal(err)
	}
	_, done, complete := strings.Cut(said, "Completed ranges")
	bad := strings.Contains(said, "fsck failed")
	for _, state := range []string{"Unchecked", "Fetch", "Calculating", "Invalid"} {
		bad = bad || strings.Contains(done, state)
	}
	return said, err == nil && ctx.Err() == nil && complete && strings.Contains(done, ":OK") && !bad
}
