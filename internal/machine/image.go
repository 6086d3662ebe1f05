package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Image mounts a fresh ext4 of six gigabytes, which a file holds and a loop device shows,
// for tests that look below the file system. It returns where it is mounted, and the
// file; "" where the system does not allow it. It is unmounted when the test ends, or by
// [Unmount].
func Image(t testing.TB) (dir, file string) {
	t.Helper()
	file, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	if os.WriteFile(file, nil, 0o600) != nil || os.Truncate(file, 6<<30) != nil ||
		!does(t, "mkfs.ext4", "-q", "-F", file) || !does(t, "mount", "-o", "loop", file, dir) {
		return "", ""
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", dir).Run() })
	return dir, file
}

// Unmount ends what [Image] mounted; all of it is in the file then.
func Unmount(t testing.TB, dir string) {
	t.Helper()
	if !does(t, "umount", dir) {
		t.Fatalf("%s is not unmounted", dir)
	}
}

func does(t testing.TB, name string, args ...string) bool {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Logf("%s: %v %s", name, err, out)
	}
	return err == nil
}
