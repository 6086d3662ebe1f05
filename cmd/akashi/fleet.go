package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
)

// Ports of member i of a consortium on this machine, from base+10i on.
const (
	portHTTP = 0
	portGRPC = 1
	portP2P  = 2
	portStep = 10
)

func address(base, member, port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(base+portStep*member+port))
}

// browserURL is where a browser opens member i: cookies ignore ports, and a
// passkey's relying party cannot be an address, so each has a name.
func browserURL(base, member int) string {
	return fmt.Sprintf("http://member-%d.localhost:%d/", member, base+portStep*member)
}

// codesFile is where a local consortium leaves one-time codes, in each member's
// directory: nobody has to own a telephone to try it.
const codesFile = "codes.log"

func memberDir(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("member-%d", i)) }
func policyFile(dir string) string       { return filepath.Join(dir, "policy") }
func tokensFile(dir string) string       { return filepath.Join(dir, "tokens.json") }

// freePorts looks for a base from which n members find their ports free, below
// those that systems give to outgoing connections (and, from 20,000 on, those of our
// tests): a member that is down must find its own still free when it comes back.
func freePorts(n int) (int, error) {
	for range 50 {
		if base := 10_000 + rand.IntN(9_900)/portStep*portStep; portsFree(base, n) == nil {
			return base, nil
		}
	}
	return 0, notPossible(errors.New("no free ports were found"))
}

// portsFree says which of the ports of n members is taken, or does not exist.
func portsFree(base, n int) error {
	if base < 1 || base+portStep*n > 65535 {
		return wrongUse(fmt.Errorf("--base-port %d leaves no room for %d members", base, n))
	}
	for i := range n {
		for _, p := range []int{portHTTP, portGRPC, portP2P} {
			l, err := net.Listen("tcp", address(base, i, p))
			if errors.Is(err, fs.ErrPermission) {
				return notPossible(fmt.Errorf("port %d is not permitted to this user", base+portStep*i+p), "--base-port P chooses others, from 1024 on")
			}
			if err != nil {
				return notPossible(fmt.Errorf("port %d is taken", base+portStep*i+p), "--base-port P chooses others; akashi status shows what runs there")
			}
			l.Close()
		}
	}
	return nil
}

// fleet is the members of a consortium on this machine, one process each.
type fleet struct {
	dir     string
	base    int
	members []*process
	seen    client.Seen

	mu   sync.Mutex
	died func(i int, err error) // told once for each that ends by itself
}

// process is one member's node.
type process struct {
	cmd   *exec.Cmd
	leash io.Closer // its standard input: it stops when this is closed
	log   *os.File
	done  chan struct{}
	err   error
}

// startFleet starts a process for each member's directory.
func startFleet(dir string, base, n int, died func(i int, err error)) (*fleet, error) {
	f := &fleet{dir: dir, base: base, died: died}
	for i := range n {
		p, err := startMember(memberDir(dir, i))
		if err != nil {
			f.stop()
			return nil, err
		}
		f.members = append(f.members, p)
		go f.watch(i, p)
	}
	return f, nil
}

func startMember(home string) (*process, error) { return startProcess(home, "serve") }

// startProcess runs a command of this program on a member's directory.
func startProcess(home, command string, more ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(home, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: self, Args: append([]string{"akashi", command, "--dir", home, "--leash"}, more...), Stdout: log, Stderr: log,
		Env: append(os.Environ(), "GOMEMLIMIT=400MiB", "GOGC=200"), SysProcAttr: ownGroup()}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, notPossible(err)
	}
	return &process{cmd: cmd, leash: leash, log: log, done: make(chan struct{})}, nil
}

func (f *fleet) watch(i int, p *process) {
	p.err = p.cmd.Wait()
	p.log.Close()
	close(p.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.died != nil {
		f.died(i, p.err)
	}
}

// stop ends all members in order: SIGTERM, and after ten seconds SIGKILL.
func (f *fleet) stop() {
	f.mu.Lock()
	f.died = nil
	f.mu.Unlock()
	for _, p := range f.members {
		p.cmd.Process.Signal(syscall.SIGTERM)
		p.leash.Close()
	}
	late := time.After(10 * time.Second)
	for _, p := range f.members {
		select {
		case <-p.done:
		case <-late:
			p.cmd.Process.Kill()
			<-p.done
			late = time.After(0)
		}
	}
}

// ready waits until every member serves a final checkpoint.
func (f *fleet) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // a long log is read from a cold disk; who ends is noticed at once
	defer cancel()
	for i, p := range f.members {
		for !isReady(ctx, "http://"+address(f.base, i, portHTTP)) {
			select {
			case <-p.done:
				return notPossible(fmt.Errorf("member %d ended: %s", i, lastWords(memberDir(f.dir, i))), "its log is "+filepath.Join(memberDir(f.dir, i), "log"))
			case <-ctx.Done():
				return notPossible(fmt.Errorf("member %d is not ready: %w", i, ctx.Err()), "its log is "+filepath.Join(memberDir(f.dir, i), "log"))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

func isReady(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// lastWords returns the last lines of a member's log.
func lastWords(home string) string {
	b, err := os.ReadFile(filepath.Join(home, "log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte(" / ")))
}

// client returns a client of member i with a role's token.
func (f *fleet) client(i int, token string) (*client.Client, error) {
	policies, err := readPolicies([]string{policyFile(f.dir)})
	if err != nil {
		return nil, err
	}
	return client.New("http://"+address(f.base, i, portHTTP), client.Options{Token: token, Policies: policies, Seen: &f.seen})
}

// localMembers counts the members of a consortium that stands in dir: 0 where
// there is none.
func localMembers(dir string) (int, error) {
	found, err := filepath.Glob(filepath.Join(dir, "member-*", "genesis"))
	if err != nil {
		return 0, err
	}
	for i := range found {
		if !slices.Contains(found, filepath.Join(memberDir(dir, i), "genesis")) {
			return 0, wrongUse(fmt.Errorf("%s has %d members, but no %s", dir, len(found), memberDir(dir, i)))
		}
	}
	return len(found), nil
}

// emptyDir wants a directory without anything in it, and makes it.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return wrongUse(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return wrongUse(err)
	}
	if len(entries) > 0 {
		var names []string
		for _, e := range entries[:min(3, len(entries))] {
			names = append(names, e.Name())
		}
		return wrongUse(fmt.Errorf("%s is not empty: it holds %s", dir, strings.Join(names, ", ")), "choose a new directory, or remove this one")
	}
	return nil
}
