package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// rotate replaces a member's keys by the commands: the form goes from the member
// itself round the others.
func (l *local) rotate(i int, others ...int) {
	l.t.Helper()
	form := filepath.Join(l.t.TempDir(), "form")
	l.at(i, form, "rotate", "--keys", "cosigner,record")
	l.vote(form, "  cosigner  ", "replaced, in leaf ", 1, others...)
}

// at runs a command at a member's node, as its admin, with the form for the next
// member as its answer.
func (l *local) at(i int, form, command string, args ...string) string {
	l.t.Helper()
	args = append([]string{command, "http://" + address(l.base, i, portHTTP), "--token", l.tokens["admin"]}, args...)
	var stdout, stderr bytes.Buffer
	if code := report(&stderr, run(l.t.Context(), args, strings.NewReader(""), &stdout, &stderr)); code != 0 {
		l.t.Fatalf("%q exits %d: %s%s", args, code, stdout.Bytes(), stderr.Bytes())
	}
	if err := os.WriteFile(form, stdout.Bytes(), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return stdout.String() + stderr.String()
}

// vote takes a form with so many votes from member to member; the last one posts it.
// Each sees what it is asked first. What the last is told is returned.
func (l *local) vote(form, asks, done string, votes int, members ...int) string {
	l.t.Helper()
	for n, i := range members {
		if out, code := runFor(l.t, patience, "vote", "--form", form); code != 0 || strings.Count(out, asks) != 1 || strings.Count(out[strings.LastIndex(out, "votes:"):], "member-") != votes+n {
			l.t.Fatalf("the form after %d votes exits %d: %s", votes+n, code, out)
		}
		if n < len(members)-1 {
			l.at(i, form, "vote", "--form", form)
			continue
		}
		said := l.at(i, form, "vote", "--form", form, "--submit")
		if !strings.Contains(said, "✓ ") || !strings.Contains(said, done) {
			l.t.Fatalf("the change is not final: %s", said)
		}
		return said
	}
	return ""
}

// TestRotateKeys replaces the keys of two members while records are written, and
// kills and starts one of them in between. What others' code and the commands say
// of receipts from before and after is what the policies of their epochs say.
func TestRotateKeys(t *testing.T) {
	l := startLocal(t)
	url := "http://" + address(l.base, 0, portHTTP)
	old := l.mustWrite(0, patience)
	code, before := l.get(url+"/v1/records/"+old+"/receipt", l.tokens["app"])
	if code != http.StatusOK {
		t.Fatalf("receipt: %d %s", code, before)
	}
	log := filepath.Join(t.TempDir(), "log") // exported before and after: it goes on over the change
	if out, code := runFor(t, patience, "export", url, log, "--token", l.tokens["auditor"]); code != 0 {
		t.Fatalf("export exits %d:\n%s", code, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var mu sync.Mutex
	ids := []string{old}
	for _, i := range []int{0, 2} {
		load.Go(func() {
			for ctx.Err() == nil {
				id, err := l.write(context.WithoutCancel(ctx), i)
				if err != nil {
					t.Errorf("write through member %d: %v", i, err)
					return
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
			}
		})
	}
	l.rotate(1, 0, 2)
	l.kill(1)
	l.again(1)
	l.healthy()
	l.rotate(3, 2, 1)
	mu.Lock()
	ids = append(ids, l.mustWrite(1, patience)) // signed with its new key
	mu.Unlock()
	cancel()
	load.Wait()
	t.Logf("%d records", len(ids))
	l.sameRoots() // under the policy of the founding, followed by the client
	l.has(ids)

	dir := t.TempDir()
	keep := func(name, path string) string {
		code, b := l.get(url+path, l.tokens["auditor"])
		if code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, code, b)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	files := map[int]string{0: filepath.Join(dir, "old.akashi.json"), 2: keep("new.akashi.json", "/v1/records/"+old+"/receipt")}
	if err := os.WriteFile(files[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	first, chain := policyFile(l.dir), keep("chain.json", "/log/policy/chain")
	policies := map[int]string{0: keep("policy-0", "/log/policy/0"), 2: keep("policy-2", "/log/policy/2")}
	verifies := func(file string, want int, policies ...string) {
		t.Helper()
		args := []string{"verify", file}
		for _, p := range policies {
			args = append(args, "--policy", p)
		}
		if out, code := runFor(t, patience, args...); code != want {
			t.Errorf("%s under %v exits %d, want %d:\n%s", filepath.Base(file), policies, code, want, out)
		}
	}
	for epoch, file := range files {
		verifies(file, 0, policies[epoch])
		verifies(file, 0, first, chain)
		verifies(file, 0, policies[0], policies[2])
		verifies(file, exitUnmet, policies[2-epoch])
		for n, p := range policies {
			if err := proofUnder(t, file, p); (err == nil) != (n == epoch) {
				t.Errorf("torchwood: file of epoch %d under the policy of epoch %d: %v", epoch, n, err)
			}
		}
	}
	audited(t, 0, url, "--policy", first, "--token", l.tokens["auditor"])
	if out, code := runFor(t, patience, "export", url, log, "--policy", first, "--token", l.tokens["auditor"]); code != 0 {
		t.Fatalf("export exits %d:\n%s", code, out)
	}
	audited(t, 0, log, "--policy", first)
	verifies(files[2], 0, first, filepath.Join(log, "policy-chain.json"))
}

// proofUnder verifies a receipt's proof with torchwood alone.
func proofUnder(t *testing.T, file, policy string) error {
	t.Helper()
	var f struct{ Leaf, Proof string }
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	leaf, err2 := base64.StdEncoding.DecodeString(f.Leaf)
	text, err3 := os.ReadFile(policy)
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	p, err := torchwood.ParsePolicy(text)
	if err != nil {
		t.Fatalf("%s: %v", policy, err)
	}
	return torchwood.VerifyProof(p, tlog.RecordHash(leaf), []byte(f.Proof))
}
