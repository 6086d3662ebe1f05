// Package apptest runs the app of docs/examples/company-app for tests, built from a
// copy outside the repository, as a developer has it.
package apptest

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/internal/machine"
)

const example = "../../docs/examples/company-app" // from the package under test

// App is the example app, which has a key and a place but does not run yet.
type App struct {
	URL  string         // origin
	Keys map[string]any // public keys, as a registration has them
	dir  string
}

// Build copies and builds the app.
func Build(t testing.TB) *App {
	t.Helper()
	a := &App{URL: "http://" + machine.FreeAddr(t), dir: filepath.Join(t.TempDir(), "app")}
	if err := os.CopyFS(a.dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	if out, err := a.command(t, "go", "build", "-o", a.bin(), ".").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	out, err := a.command(t, a.bin(), "keys").Output()
	if err == nil {
		err = json.Unmarshal(out, &a.Keys)
	}
	if err != nil {
		t.Fatalf("keys of the example: %v", err)
	}
	return a
}

func (a *App) bin() string { return filepath.Join(a.dir, "company-app") }

func (a *App) command(t testing.TB, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0", "APP_LISTEN="+a.URL[len("http://"):], "APP_REDIRECT="+a.Redirect())
	return cmd
}

// Redirect is where people come back to the app.
func (a *App) Redirect() string { return a.URL + "/callback" }

// Start runs the app with its settings (NAME=value), until the test ends.
func (a *App) Start(t testing.TB, settings ...string) {
	t.Helper()
	cmd := a.command(t, a.bin())
	cmd.Env = append(cmd.Env, settings...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for late := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(a.URL); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the example ended: %v", err)
		default:
		}
		if time.Now().After(late) {
			t.Fatal("the example does not listen")
		}
	}
}
