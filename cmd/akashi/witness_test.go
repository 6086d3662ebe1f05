package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/witness/witnesstest"
	"golang.org/x/crypto/ssh/agent"
)

// TestLitewitness lets torchwood's litewitness, a witness that others wrote,
// cosign a consortium of four that asks it because their settings say so. It is
// not in the policy: when it is gone, the log goes on.
func TestLitewitness(t *testing.T) {
	key := sign.NewKey()
	addr := machine.FreeAddr(t)
	vkey := sign.CosignerKey("witness.example/lite", key.Public())
	var lite *exec.Cmd
	l := startLocalWith(t, "", func(o devOptions) {
		policy, err := os.ReadFile(policyFile(o.dir))
		if err != nil {
			t.Fatal(err)
		}
		lite = startLitewitness(t, key, addr, "dev.akashi.example", logVkey(t, policy))
		for i := range o.members {
			s, err := node.LoadSettings(memberDir(o.dir, i))
			if err != nil {
				t.Fatal(err)
			}
			s.Witnesses = []node.WitnessSetting{{Vkey: vkey, URL: "http://" + addr}}
			if err := s.Save(memberDir(o.dir, i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	var last uint64
	for range 3 {
		l.mustWrite(1, patience)
		l.sameRoots()
		for i := range l.members {
			size := l.witnessedAt(i, "witness.example/lite", key.Public())
			if size <= last && i == 0 {
				t.Fatalf("the witness stays at size %d", size)
			}
			last = max(last, size)
			if w := l.status(i).Witnesses; len(w) != 1 || w[0].Name != "witness.example/lite" || w[0].Size != size || w[0].Required || w[0].SignedMs == 0 || w[0].Failing {
				t.Errorf("member %d: status %+v at size %d", i, w, size)
			}
		}
	}
	id := l.mustWrite(2, patience)
	l.verifies(2, id) // a receipt has the policy's lines only

	if err := lite.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lite.Wait()
	for i := range l.members {
		l.mustWrite(i, patience)
	}
	l.until("the failure in the status", func() bool { return l.status(0).Witnesses[0].Failing })
	if out, _ := runFor(t, patience, "status", "--dir", l.dir); !strings.Contains(out, "witness witness.example/lite cosigned ") || !strings.Contains(out, "the last request failed") {
		t.Errorf("akashi status: %s", out)
	}
	if _, r := audited(t, 0, "http://"+address(l.base, 0, portHTTP), "--policy", policyFile(l.dir), "--token", l.tokens["auditor"]); r.Size <= last {
		t.Errorf("the log stands still without the witness, at size %d", r.Size)
	}
}

// TestRequiredWitness runs a consortium whose policy requires a witness, one that
// checks the quorum of members. While it is away nothing becomes final, and
// nothing is lost; when it is back, all does.
func TestRequiredWitness(t *testing.T) {
	w := &witnesstest.Witness{Name: "witness.example/quorum", Key: sign.NewKey()}
	server := httptest.NewServer(w)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "witnesses.json")
	list := map[string]any{"format": witnessesFormat, "witnesses": []any{map[string]any{"vkey": w.Vkey(), "url": server.URL, "required": true}}}
	if err := writeJSON(file, list); err != nil {
		t.Fatal(err)
	}
	var policy []byte
	l := startLocalWith(t, file, func(o devOptions) {
		p, err := readPolicies([]string{policyFile(o.dir)})
		if err != nil {
			t.Fatal(err)
		}
		policy = p[0].Format()
		members := *p[0]
		members.Witnesses, members.WitnessK = nil, 0
		w.Policy = &members
	})
	if !bytes.Contains(policy, []byte("quorum all\n")) {
		t.Fatalf("policy: %s", policy)
	}
	id := l.mustWrite(0, patience)
	l.verifies(0, id)
	l.sameRoots()
	for i := range l.members {
		l.witnessedAt(i, w.Name, w.Key.Public())
	}
	leader := l.status(0).Leader

	w.SetDown(true)
	before := l.status(1).Final.Size
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // longer than a stall that moves leadership
	_, err := l.write(ctx, 1)
	cancel()
	if err == nil {
		t.Error("a record is final without the witness")
	}
	for i := range l.members {
		if st := l.status(i); st.Final.Size > before || !st.Ready || st.Leader != leader {
			t.Errorf("member %d: size %d, was %d; leader %q, was %q", i, st.Final.Size, before, st.Leader, leader)
		}
	}
	if w.Size() > before {
		t.Errorf("the witness is at size %d", w.Size())
	}

	w.SetDown(false)
	l.until("what waited is final", func() bool { return l.status(1).Final.Size > before })
	for i := range l.members {
		id := l.mustWrite(i, patience)
		l.verifies(i, id)
	}
	l.sameRoots()
	if _, _, err := l.app(3).Checkpoint(t.Context()); err != nil { // under the policy, witness included
		t.Error(err)
	}
	if out, code := runFor(t, patience, "audit", "http://"+address(l.base, 2, portHTTP), "--policy", policyFile(l.dir), "--token", l.tokens["auditor"]); code != 0 {
		t.Errorf("audit exits %d:\n%s", code, out)
	}
	if n := w.Answers(http.StatusForbidden) + w.Answers(http.StatusUnprocessableEntity) + w.Answers(http.StatusBadRequest); n > 0 {
		t.Errorf("the witness refused %d requests", n)
	}
	l.rotateUnder(w)
}

// rotateUnder replaces a member's keys where a witness is required: the change is
// final as before, and what comes after it once the witness knows the new policy.
func (l *local) rotateUnder(w *witnesstest.Witness) {
	l.t.Helper()
	l.rotate(1, 0, 2)
	// A witness refuses checkpoints with the new key among their k until it knows it.
	next := new(sign.Policy)
	l.until("the next policy", func() bool {
		code, text := l.get("http://"+address(l.base, 0, portHTTP)+"/log/policy/1", "")
		p, err := sign.ParsePolicy(text)
		if code == http.StatusOK && err == nil {
			next = p
		}
		return next.K > 0
	})
	if next.WitnessK != 1 || next.Range.Epoch != 1 {
		l.t.Errorf("the next policy requires %d witnesses, from %+v", next.WitnessK, next.Range)
	}
	members := *next
	members.Witnesses, members.WitnessK, members.Range = nil, 0, nil
	w.SetPolicy(&members)
	l.until("the next epoch is final", func() bool { return l.status(0).Final.Size >= next.Range.First.Size })
	policies := l.followed(0)
	if len(policies) != 2 {
		l.t.Fatalf("the chain leads to %d policies", len(policies))
	}
	for i := range l.members {
		id := l.mustWrite(i, patience)
		code, b := l.get("http://"+address(l.base, i, portHTTP)+"/v1/records/"+id+"/receipt", l.tokens["auditor"])
		if code != http.StatusOK {
			l.t.Fatalf("receipt: %d %s", code, b)
		}
		for want, ps := range map[bool][]*sign.Policy{true: policies, false: policies[:1]} {
			if _, err := receipt.Verify(b, ps...); (err == nil) != want {
				l.t.Errorf("receipt of the next epoch under %d policies: %v", len(ps), err)
			}
		}
	}
	l.witnessedAt(3, w.Name, w.Key.Public())
	audited(l.t, 0, "http://"+address(l.base, 0, portHTTP), "--policy", policyFile(l.dir), "--token", l.tokens["auditor"])
}

// followed returns the policies to which the founding's leads at a member.
func (l *local) followed(i int) []*sign.Policy {
	l.t.Helper()
	first, err := readPolicies([]string{policyFile(l.dir)})
	if err != nil {
		l.t.Fatal(err)
	}
	code, chain := l.get("http://"+address(l.base, i, portHTTP)+"/log/policy/chain", "")
	all, err := receipt.FollowChain(chain, first)
	if err != nil || code != http.StatusOK {
		l.t.Fatalf("chain: %d %v", code, err)
	}
	return all
}

func (l *local) status(i int) *rest.Status {
	l.t.Helper()
	st, err := l.app(i).Status(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return st
}

// until waits for a condition.
func (l *local) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	l.t.Fatalf("%s: not within %v", what, patience)
}

// witnessedAt waits until a member's checkpoint has a witness's cosignature that
// verifies, and returns its size.
func (l *local) witnessedAt(i int, name string, key sign.PublicKey) (size uint64) {
	l.t.Helper()
	l.until("a cosignature of "+name, func() bool {
		open, note, err := l.app(i).Checkpoint(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		for line := range strings.Lines(string(note)) {
			if cs, ok := sign.ParseNoteLine(strings.TrimSuffix(line, "\n"), name, key); ok {
				if err := cs.Verify(key, open.Checkpoint); err != nil {
					l.t.Fatalf("member %d shows a cosignature that does not verify: %v\n%s", i, err, note)
				}
				size = open.Size
			}
		}
		return size > 0
	})
	return size
}

// verifies lets akashi verify read the proof of a record.
func (l *local) verifies(i int, id string) {
	l.t.Helper()
	status, b := l.get("http://"+address(l.base, i, portHTTP)+"/v1/proofs/inclusion?id="+id, l.tokens["auditor"])
	var got struct {
		Proof string `json:"proof"`
	}
	if err := json.Unmarshal(b, &got); err != nil || status != http.StatusOK {
		l.t.Fatalf("%d %s", status, b)
	}
	_, note, _ := strings.Cut(got.Proof, "\n\n")
	policies, err := readPolicies([]string{policyFile(l.dir)})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := policies[0].OpenExact([]byte(note)); err != nil {
		l.t.Errorf("the checkpoint of a proof: %v\n%s", err, note)
	}
}

// startLitewitness starts litewitness for one log, with its key in an SSH agent
// as it wants it.
func startLitewitness(t *testing.T, key sign.Key, addr, origin, logKey string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("", "lw") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	db, socket := filepath.Join(dir, "db"), filepath.Join(dir, "agent")
	if out, err := exec.CommandContext(t.Context(), tool(t, "litewitnessdb"), db, origin, logKey).CombinedOutput(); err != nil {
		t.Fatalf("litewitnessdb: %v\n%s", err, out)
	}
	keyring := agent.NewKeyring()
	private := key.Private()
	if err := keyring.Add(agent.AddedKey{PrivateKey: &private}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, conn)
		}
	}()
	sum := sha256.Sum256(private.Public().(ed25519.PublicKey))
	var log bytes.Buffer
	cmd := exec.Command(tool(t, "litewitness"), "-name=witness.example/lite", "-db="+db, "-ssh-agent="+socket, "-listen="+addr, "-key="+hex.EncodeToString(sum[:]))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return cmd
		}
		if time.Now().After(end) {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("litewitness does not listen: %s", log.String())
		}
	}
}
