// Package machine is what tests ask of the machine that they run on: programs, ports,
// and what it permits.
//
// A test that cannot run as it should never passes unseen. Where a program would
// do, [Find] installs it, or the test fails with the packages' names. Where the
// machine does not permit something (to mount a file system, say), [Lacks] skips
// the test and writes a line that make test prints at its end.
//
// Nothing but tests imports it.
package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Find returns the path of the first of the names that is a program here. Where
// none is, on a machine that is ours alone (root, with Debian's apt-get), it
// installs the packages first.
func Find(names []string, packages ...string) (string, error) {
	if path := look(names); path != "" {
		return path, nil
	}
	reason := ""
	if apt, err := exec.LookPath("apt-get"); err == nil && os.Getuid() == 0 {
		// Tests of several packages may want something at a time.
		install := exec.Command("flock", filepath.Join(os.TempDir(), "akashi-tests-apt.lock"), "sh", "-c",
			apt+" update -qq && DEBIAN_FRONTEND=noninteractive "+apt+" install -y -qq --no-install-recommends "+strings.Join(packages, " "))
		out, err := install.CombinedOutput()
		if path := look(names); path != "" {
			return path, nil
		}
		reason = fmt.Sprintf("\n%v\n%s", err, out)
	}
	return "", fmt.Errorf("%s is needed and was not found. Install it (Debian: apt-get install %s); go test -short leaves these tests out%s",
		names[0], strings.Join(packages, " "), reason)
}

func look(names []string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

// leftOut names the file that gets a line for each test that was left out.
const leftOut = "AKASHI_LEFT_OUT"

// Lacks skips a test that this machine does not permit, and notes what was not
// looked at.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if path := os.Getenv(leftOut); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprintf(f, "%s: %s\n", t.Name(), strings.ReplaceAll(why, "\n", " "))
			f.Close()
		}
		if err != nil {
			t.Fatalf("this test cannot run here (%s), and that cannot be noted: %v", why, err)
		}
	}
	t.Skip(why)
}
