package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/node"
)

// post sends a form as an admin and reads the answer.
func post(t *testing.T, url, token string, form any) (int, []byte) {
	t.Helper()
	body, err := json.Marshal(form)
	if err != nil {
		t.Fatal(err)
	}
	admin := &http.Client{Transport: bearer(token), Timeout: time.Minute}
	resp, err := admin.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// within polls a member's answer.
func (l *local) within(what string, within time.Duration, ok func() error) {
	l.t.Helper()
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	l.t.Fatalf("%s: %v", what, err)
}

// raft wants a member to stand in Raft as said, as member i has it.
func (l *local) raft(i int, member, want string) error {
	resp, err := http.Get("http://" + address(l.base, i, portHTTP) + "/v1/members")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var list rest.MemberList
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return err
	}
	for _, m := range list.Members {
		if m.Member == member && m.Raft == want {
			return nil
		}
	}
	return fmt.Errorf("%+v", list.Members)
}

// candidate makes a directory and its request, and returns its URL and admin token.
func (l *local) candidate(home, id string) (url, token string) {
	l.t.Helper()
	base := machine.FreePorts(l.t, portStep)
	policy := filepath.Join(l.t.TempDir(), "policy")
	code, b := l.get("http://"+address(l.base, 0, portHTTP)+"/log/policy", "")
	if err := os.WriteFile(policy, b, 0o600); err != nil || code != http.StatusOK {
		l.t.Fatal(code, err)
	}
	origin := strings.TrimSuffix(strings.Fields(string(b[bytes.Index(b, []byte("\nlog ")):]))[1], "")
	origin, _, _ = strings.Cut(origin, "+")
	out, exit := runFor(l.t, patience, "init", "--dir", home, "--member", id, "--origin", origin, "--name-ja", "E社", "--category", "consortium",
		"--address", address(base, 0, portP2P), "--http", address(base, 0, portHTTP), "--grpc", address(base, 0, portGRPC))
	if exit != 0 {
		l.t.Fatal(out)
	}
	at := strings.Index(out, "admin_")
	if out, exit := runFor(l.t, patience, "join", "request", "--dir", home, "--policy", policy); exit != 0 {
		l.t.Fatal(out)
	}
	return "http://" + address(base, 0, portHTTP), strings.Fields(out[at:])[0]
}

// TestJoinAndLeave: four processes, and a fifth that joins while records are
// written. Its node is killed while it catches up, and the leader as soon as the
// vote is final: with k of five, nothing is final then without the new member.
// Receipts of before and after verify offline and the audit passes. Then another
// leaves: its node is cut off, and the others go on.
func TestJoinAndLeave(t *testing.T) {
	l := startLocal(t)
	url := func(i int) string { return "http://" + address(l.base, i, portHTTP) }
	old := l.mustWrite(0, patience)
	_, before := l.get(url(0)+"/v1/records/"+old+"/receipt", l.tokens["app"])
	home := memberDir(l.dir, 4)
	theirs, token := l.candidate(home, "e-sha")
	join := func() *process {
		p, err := startProcess(home, "join", "--genesis", filepath.Join(memberDir(l.dir, 0), "genesis"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { p.err = p.cmd.Wait(); p.log.Close(); close(p.done) }()
		return p
	}
	joiner := join() // before anyone has voted: it waits
	t.Cleanup(func() { joiner.cmd.Process.Kill(); <-joiner.done })

	lead := l.leader()
	others := slices.DeleteFunc([]int{0, 1, 2, 3}, func(i int) bool { return i == lead })
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, i := range others[:2] {
		load.Go(func() {
			for ctx.Err() == nil { // while a leader is missing a write may fail, and is tried again
				_, _ = l.write(ctx, i)
			}
		})
	}
	said := l.vote(filepath.Join(home, "e-sha.join.json"), "e-sha joins", "e-sha is a member, in leaf ", 0, others...)
	if !strings.Contains(said, "4 of 5 members must sign") {
		t.Errorf("the vote says %s", said)
	}
	l.kill(lead) // between the vote and what follows from it in Raft
	l.within("the new member's node derives", patience, func() error {
		_, err := os.Stat(filepath.Join(home, "cosigned.mark"))
		return err
	})
	joiner.cmd.Process.Signal(syscall.SIGKILL)
	<-joiner.done
	joiner = join() // the same command goes on
	l.within("the new member is ready", patience, func() error {
		if !isReady(t.Context(), theirs) {
			return fmt.Errorf("not ready: %s", lastWords(home))
		}
		return nil
	})
	l.within("its node votes", patience, func() error { return l.raft(others[0], "e-sha", "voter") })
	l.mustWrite(others[1], patience) // four of five, and the fifth is down
	cancel()
	load.Wait()
	l.again(lead)
	l.healthy()
	code, b := post(t, theirs+"/v1/ticks", token, struct{}{})
	if code != http.StatusOK {
		t.Fatalf("through the new member: %d %s", code, b)
	}
	l.within("five cosign", patience, func() error {
		if _, note := l.get(url(0)+"/log/checkpoint", ""); bytes.Count(note, []byte("\n— ")) != 6 { // with the log's own line
			return fmt.Errorf("%s", note)
		}
		return nil
	})

	dir := t.TempDir()
	keep := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	fetch := func(path string) (b []byte) {
		l.within(path, patience, func() error { // who was down is behind for a moment
			var code int
			if code, b = l.get(url(0)+path, l.tokens["auditor"]); code != http.StatusOK {
				return fmt.Errorf("%d %s", code, b)
			}
			return nil
		})
		return b
	}
	first := policyFile(l.dir)
	files := []string{keep("old.akashi.json", before), keep("new.akashi.json", fetch("/v1/records/"+old+"/receipt"))}
	verified := func() {
		t.Helper()
		chain := keep("chain.json", fetch("/log/policy/chain"))
		for _, f := range files {
			if out, code := runFor(t, patience, "verify", f, "--policy", first, "--policy", chain); code != 0 {
				t.Errorf("%s exits %d:\n%s", filepath.Base(f), code, out)
			}
		}
		audited(t, 0, url(0), "--policy", first, "--token", l.tokens["auditor"])
	}
	verified()

	form, leaver := filepath.Join(t.TempDir(), "form"), settingsOf(t, memberDir(l.dir, 3)).Member
	if said := l.at(0, form, "remove", leaver); !strings.Contains(said, "3 of 4 members must sign") {
		t.Errorf("the first vote says %s", said)
	}
	if code := report(io.Discard, run(t.Context(), []string{"vote", url(1), "--token", l.tokens["admin"], "--form", form, "--submit"}, strings.NewReader(""), io.Discard, io.Discard)); code != exitUnmet {
		t.Errorf("posted with two votes of four: exit %d", code)
	}
	l.vote(form, leaver+" leaves", leaver+" is no member any more, in leaf ", 1, 1, 2, 3)
	l.within("the node that left says so", patience, func() error {
		if isReady(t.Context(), url(3)) {
			return fmt.Errorf("it is ready")
		}
		return nil
	})
	l.within("it is out of Raft", patience, func() error {
		if err := l.raft(0, "e-sha", "voter"); err != nil {
			return err
		}
		if code, _ := post(t, url(0)+"/v1/ticks", l.tokens["admin"], struct{}{}); code != http.StatusOK {
			return fmt.Errorf("a write: %d", code)
		}
		return nil
	})
	if code, b := post(t, url(3)+"/v1/ticks", l.tokens["admin"], struct{}{}); code != http.StatusForbidden || !bytes.Contains(b, []byte(`"member-not-active"`)) {
		t.Errorf("a write of who left: %d %s", code, b)
	}
	last := l.mustWrite(1, patience)
	files = append(files, keep("last.akashi.json", fetch("/v1/records/"+last+"/receipt")))
	verified()
}

func settingsOf(t *testing.T, home string) *node.Settings {
	t.Helper()
	s, err := node.LoadSettings(home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leader returns which member leads.
func (l *local) leader() int {
	l.t.Helper()
	name := l.status(0).Leader
	for i := range l.members {
		if settingsOf(l.t, memberDir(l.dir, i)).Member == name {
			return i
		}
	}
	l.t.Fatalf("no member is the leader %q", name)
	return 0
}
