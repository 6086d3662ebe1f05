package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// drill follows docs/guide/backup.md.
type drill struct {
	*local
	dir     string // where its commands run
	env     []string
	blocks  []string // of the guide, in order
	fields  []string // items of the service, and its purpose
	consent string   // record of somebody who stays
}

// TestRestoreDrill does what docs/guide/backup.md says, with its commands, while the
// consortium works: a backup of a member that serves, erasures and registrations after
// it, the loss of its disk, and its way back. Nobody erased since comes back, everybody
// else's data reads, receipts of before verify, the audit passes. Then it moves.
func TestRestoreDrill(t *testing.T) {
	d := newDrill(t)
	d.run("# custodians")
	var people []*forgotten
	for i := range 6 {
		people = append(people, d.registerOne(20*i, d.fields)) // each with a hand-over
	}
	d.copied()
	stop := d.crowd()
	d.run("# every day")
	stop()
	old := d.token("recovery", 0)
	for _, one := range people[:2] {
		if _, err := old.Erase(t.Context(), one.ref, "request"); err != nil {
			t.Fatal(err)
		}
	}
	late := d.registerOne(1, d.fields) // in no backup
	d.copied()
	receipt := d.receipt(1)
	d.kill(0)
	if err := os.RemoveAll(memberDir(d.local.dir, 0)); err != nil {
		t.Fatal(err)
	}

	out := d.run("# on the new machine")
	d.tokens["restored"] = strings.Fields(out[strings.Index(out, "admin_"):])[0]
	d.run("# out", "# in: compare")
	d.serve("# on the new machine; from")
	if out := d.run("# afterwards"); !strings.Contains(out, "keys at 2 custodians") {
		t.Errorf("status: %s", out)
	}
	d.knows(people[2:], people[:2], late)
	d.verifies(receipt, d.receipt(0))

	d.end()
	d.run("# the node is stopped")
	d.serve("# on the new machine\nakashi serve")
	d.knows(people[2:], people[:2], late)
}

func newDrill(t *testing.T) *drill {
	d := &drill{dir: t.TempDir()}
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	d.local = startLocalWith(t, "", func(o devOptions) {
		for i, change := range []func(*node.Settings){
			func(s *node.Settings) { s.BackupTo = []string{key.Recipient().String()} },
			func(s *node.Settings) { s.EscrowFor = []string{"member-0"} },
			func(s *node.Settings) { s.EscrowFor = []string{"member-0"} },
		} {
			s := settingsOf(t, memberDir(o.dir, i))
			change(s)
			if err := s.Save(memberDir(o.dir, i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	d.fields = d.serviceForMany()
	guide, err := os.ReadFile("../../docs/guide/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(guide), -1) {
		d.blocks = append(d.blocks, m[1])
	}
	self, err := os.Executable()
	bin := t.TempDir()
	if err := errors.Join(err, os.Symlink(self, filepath.Join(bin, "akashi")), os.WriteFile(filepath.Join(d.dir, "recovery.key"), []byte(key.String()+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	url := func(i int) string { return "http://" + address(d.base, i, portHTTP) }
	d.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "NODE="+url(0), "ME=member-0", "ADMIN="+d.tokens["admin"],
		"B="+url(1), "C="+url(2), "D="+url(3), "CUSTODIAN_1=member-1", "CUSTODIAN_2=member-2")
	return d
}

// block takes the next block of the guide, which begins as said.
func (d *drill) block(begins string) string {
	d.t.Helper()
	if len(d.blocks) == 0 || !strings.HasPrefix(d.blocks[0], begins) {
		d.t.Fatalf("the guide's next commands do not begin with %q: %q", begins, d.blocks)
	}
	b := d.blocks[0]
	d.blocks = d.blocks[1:]
	return b
}

// run executes blocks of the guide in one shell, and returns what they print.
func (d *drill) run(begin ...string) string {
	d.t.Helper()
	script := "set -euo pipefail\n"
	for _, b := range begin {
		script += d.block(b)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// serve starts the one command of a block, which goes on, as member 0's process.
func (d *drill) serve(begins string) {
	d.t.Helper()
	lines := strings.Split(strings.TrimSpace(d.block(begins)), "\n")
	args := strings.Fields(lines[len(lines)-1]) // akashi COMMAND --dir DIR …
	if len(args) < 4 || args[0] != "akashi" || args[2] != "--dir" {
		d.t.Fatalf("not a node's start: %q", args)
	}
	home, more := filepath.Join(d.dir, args[3]), args[4:]
	for i, a := range more {
		if strings.Contains(a, "/") {
			more[i] = filepath.Join(d.dir, a)
		}
	}
	p, err := startProcess(home, args[1], more...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.members[0] = p
	go d.watch(0, p)
	d.within("member 0 is ready", patience, func() error {
		if !isReady(d.t.Context(), "http://"+address(d.base, 0, portHTTP)) {
			return fmt.Errorf("not ready: %s", lastWords(home))
		}
		return nil
	})
}

// end stops member 0's process as an operator does.
func (d *drill) end() {
	d.t.Helper()
	p := d.members[0]
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	<-p.done
}

// token returns a client of member 0: with the token that the restore printed, or
// that of the founding.
func (d *drill) token(role string, i int) *client.Client {
	d.t.Helper()
	tok := d.tokens[role]
	if tok == "" {
		tok = d.tokens["app"]
	}
	c, err := d.client(i, tok)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// copied waits until every custodian has every key of member 0.
func (d *drill) copied() {
	d.t.Helper()
	d.within("every key is copied", patience, func() error {
		s, err := d.token("app", 0).Status(d.t.Context())
		if err != nil || s.Keys.Custodians != 2 || s.Keys.Waiting > 0 || s.Keys.Unknown {
			return fmt.Errorf("%+v, %v", s.Keys, err)
		}
		return nil
	})
}

// crowd registers people until it is stopped.
func (d *drill) crowd() (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, err := d.app(0).Register(d.t.Context(), custody.Registration{Person: custody.Ref(fmt.Sprint("crowd-", i)), Service: "many", Source: "self",
				Items: map[string]string{d.fields[0]: "群衆"}})
			if err != nil {
				d.t.Errorf("register while the backup runs: %v", err)
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// knows wants member 0 to read everything of those who stay, and nothing of the gone.
// Of who came after the backup it has the key, and may enter the data again.
func (d *drill) knows(stay, gone []*forgotten, late *forgotten) {
	d.t.Helper()
	ctx, c := d.t.Context(), d.token("restored", 0)
	for _, one := range stay {
		held, err := c.Person(ctx, one.ref)
		if err != nil || len(held.Classes) != 1 || len(held.Classes[0].Items) != 2 || len(held.Lookups) != 1 || held.Lookups[0].Value != string(one.secrets["lookup"]) {
			d.t.Errorf("%s: %+v, %v", one.ref, held, err)
			continue
		}
		found := false
		for _, it := range held.Classes[0].Items {
			found = found || it.Value == string(one.secrets["item"])
		}
		if !found {
			d.t.Errorf("%s: %+v", one.ref, held.Classes[0].Items)
		}
	}
	for _, one := range gone {
		if _, err := c.Person(ctx, one.ref); client.CodeOf(err) != "erased" {
			d.t.Errorf("%s, who was erased: %v", one.ref, err)
		}
	}
	held, err := c.Person(ctx, late.ref)
	if err != nil || len(held.Lookups) != 1 {
		d.t.Errorf("who came after the backup: %+v, %v", held, err)
	}
}

// receipt takes the receipt of a consent that member 0 recorded, from a node that
// opens it or one that does not.
func (d *drill) receipt(from int) string {
	d.t.Helper()
	c := d.token("restored", from)
	if d.consent == "" {
		events, err := d.token("restored", 0).Events(d.t.Context(), "many-040")
		if err != nil {
			d.t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind == "consent" {
				d.consent = e.ID
			}
		}
	}
	f, err := c.Receipt(d.t.Context(), d.consent, true)
	if err != nil {
		d.t.Fatalf("receipt of %q: %v", d.consent, err)
	}
	file := filepath.Join(d.t.TempDir(), "consent.akashi.json")
	if err := os.WriteFile(file, f.Bytes, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return file
}

// verifies wants receipts to verify offline, and the audit to pass.
func (d *drill) verifies(files ...string) {
	d.t.Helper()
	_, chain := d.get("http://"+address(d.base, 1, portHTTP)+"/log/policy/chain", "")
	policies := filepath.Join(d.t.TempDir(), "chain.json")
	if err := os.WriteFile(policies, chain, 0o600); err != nil {
		d.t.Fatal(err)
	}
	for i, f := range files {
		if out, code := runFor(d.t, patience, "verify", f, "--policy", policyFile(d.local.dir), "--policy", policies); code != 0 {
			d.t.Errorf("receipt %d exits %d:\n%s", i, code, out)
		}
	}
	audited(d.t, 0, "http://"+address(d.base, 0, portHTTP), "--policy", policyFile(d.local.dir), "--policy", policies, "--token", d.tokens["restored"])
}
