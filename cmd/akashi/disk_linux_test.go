package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
)

// TestServeOnBadDisks: on a real file system that is read-only, or full, serve says so
// and ends; afterwards the vault is as it was.
func TestServeOnBadDisks(t *testing.T) {
	base := t.TempDir()
	if err := syscall.Mount("tmpfs", base, "tmpfs", 0, "size=400m"); err != nil {
		machine.Lacks(t, "mounting is not permitted here, so no real disk becomes full or read-only: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(base, syscall.MNT_DETACH) })
	o := devOptions{dir: filepath.Join(base, "dev"), members: 4, base: machine.FreePorts(t, 4*portStep)}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	dir := memberDir(o.dir, 0)
	slot, blobs := filepath.Join(dir, slotFile), func() *store.Blobs {
		b, err := store.OpenBlobs(filepath.Join(dir, "blobs"), slog.New(slog.DiscardHandler), store.WithMinFree(0))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	makeVault(t, slot, blobs, node.VaultBlobs)
	before, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := syscall.Mount("", base, "", syscall.MS_REMOUNT|flags, "size=400m"); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(base, "ballast")
	for _, c := range []struct {
		says       string
		hint       string
		harm, mend func()
	}{
		{"read-only", "hint: storage.read-only: ", func() { remount(syscall.MS_RDONLY) }, func() { remount(0) }},
		{"too little free space on disk", "hint: storage.full: ", func() { fillUp(t, ballast) }, func() { os.Remove(ballast) }},
	} {
		c.harm()
		var out bytes.Buffer
		code := report(&out, run(t.Context(), []string{"serve", "--dir", dir}, strings.NewReader(""), &out, &out))
		c.mend()
		if code != exitNotNow || !strings.Contains(out.String(), c.says) || !strings.Contains(out.String(), c.hint) {
			t.Errorf("%s: exit %d: %s", c.says, code, out.String())
		}
		if after, _ := os.ReadFile(slot); !bytes.Equal(before, after) {
			t.Errorf("%s: the slot was changed", c.says)
		}
	}
	v, end := openVault(t, slot, blobs(), node.VaultBlobs)
	defer end()
	if ids, err := v.List(""); err != nil || len(ids) != 1 || v.Verify() != nil {
		t.Errorf("after all this it holds %q, %v", ids, err)
	}
}

// fillUp writes until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// TestEraseOnDiskThatFills: of a consortium of processes, one member's disk becomes full
// while it erases people one after the other, and once more before it is asked. It says so
// with a stable code, at the API and at its end; with room again, and started again where it
// ended, every erasure that was asked for finishes, and nobody else has lost anything.
func TestEraseOnDiskThatFills(t *testing.T) {
	l := startLocalIn(t, t.TempDir(), "", func(o devOptions) { ontoSmallDisk(t, memberDir(o.dir, 0)) })
	fields, home := l.serviceForMany(), memberDir(l.dir, 0)
	var people []*forgotten
	for i := range 12 {
		people = append(people, l.registerOne(i*20+1, fields))
	}
	stay := people[10:]
	filled := make(chan struct{})
	go func() {
		crowdDisk(t, home)
		close(filled)
	}()
	var err error
	for _, one := range people[:8] {
		if err = l.tryErase(one); err != nil {
			break
		}
	}
	if <-filled; err == nil { // the erasures were quicker
		err = l.tryErase(people[8])
	}
	l.wantFull(err)
	l.goOnWithRoom(people[:9], stay)

	crowdDisk(t, home)
	l.wantFull(l.tryErase(people[9]))
	l.goOnWithRoom(people[9:10], stay)
}

// ontoSmallDisk moves a member's directory onto a file system of its own.
func ontoSmallDisk(t *testing.T, home string) {
	t.Helper()
	was := home + ".was"
	if err := errors.Join(os.Rename(home, was), os.Mkdir(home, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", home, "tmpfs", 0, "size=1400m"); err != nil {
		machine.Lacks(t, "mounting is not permitted here, so no real disk becomes full while an erasure runs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(home, syscall.MNT_DETACH) })
	if err := copyTree(was, home); err != nil {
		t.Fatal(err)
	}
}

// crowdDisk leaves a directory's disk 300 MiB, less than a node wants.
func crowdDisk(t *testing.T, dir string) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Error(err)
		return
	}
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err == nil {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-300<<20)
		f.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// tryErase asks for an erasure, not for as long as the client would for a member that is
// away.
func (l *local) tryErase(one *forgotten) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), 3*time.Second)
	defer cancel()
	_, err := l.app(0).Erase(ctx, one.ref, "request")
	return err
}

// wantFull wants an answer of a member without room: the code, or none, since it ended for
// that reason.
func (l *local) wantFull(err error) {
	l.t.Helper()
	if err == nil {
		l.t.Error("a member without room erases")
	}
	if client.CodeOf(err) == "storage.full" {
		return
	}
	select {
	case <-l.members[0].done:
		l.wantFullAtEnd()
	case <-time.After(30 * time.Second):
		l.t.Errorf("it answers %v, and goes on", err)
	}
}

func (l *local) wantFullAtEnd() {
	l.t.Helper()
	if last := lastWords(memberDir(l.dir, 0)); !strings.Contains(last, "hint: storage.full: ") {
		l.t.Errorf("its last words: %s", last)
	}
}

// goOnWithRoom makes room, starts member 0 again if it ended, and asks for erasures until
// they are done.
func (l *local) goOnWithRoom(asked, stay []*forgotten) {
	l.t.Helper()
	if err := os.Remove(filepath.Join(memberDir(l.dir, 0), "ballast")); err != nil {
		l.t.Fatal(err)
	}
	select {
	case <-l.members[0].done:
		l.wantFullAtEnd()
		l.again(0)
	case <-time.After(3 * time.Second): // what stops it stops it at once
	}
	l.healthy()
	for _, one := range asked {
		var err error
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			l.tryErase(one) // again: it may not have been begun
			if _, err = l.app(0).Person(l.t.Context(), one.ref); err != nil && client.CodeOf(err) != custody.CodePersonLeaving {
				break
			}
		}
		if code := client.CodeOf(err); code != record.CodeErased && code != custody.CodePersonUnknown {
			l.t.Errorf("%s is not erased: %v", one.ref, err)
		}
	}
	for _, one := range stay {
		if _, err := l.app(0).Person(l.t.Context(), one.ref); err != nil {
			l.t.Errorf("of %s, who stays: %v", one.ref, err)
		}
	}
}
