package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/internal/machine"
)

// local is a local consortium of four processes under test.
type local struct {
	*fleet
	t      *testing.T
	tokens map[string]string
}

func startLocal(t *testing.T) *local {
	t.Helper()
	return startLocalWith(t, "", func(devOptions) {})
}

// startLocalWith founds a consortium with the witnesses of a file, lets the caller
// change what was founded, and starts it.
func startLocalWith(t *testing.T, witnesses string, change func(devOptions)) *local {
	t.Helper()
	return startLocalIn(t, t.TempDir(), witnesses, change)
}

func startLocalIn(t *testing.T, dir, witnesses string, change func(devOptions)) *local {
	t.Helper()
	if testing.Short() {
		t.Skip("four processes: not in the short run")
	}
	o := devOptions{dir: dir, members: 4, people: []string{"p01"}, witnesses: witnesses, base: machine.FreePorts(t, 4*portStep)}
	if err := foundDev(o); err != nil {
		t.Fatal(err)
	}
	change(o)
	l := &local{t: t}
	var err error
	if l.fleet, err = startFleet(o.dir, o.base, 4, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.stop)
	b, err := os.ReadFile(tokensFile(o.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &l.tokens); err != nil {
		t.Fatal(err)
	}
	l.healthy()
	return l
}

func (l *local) healthy() {
	l.t.Helper()
	if err := l.ready(l.t.Context()); err != nil {
		for i := range l.members {
			l.t.Logf("member-%d: %s", i, lastWords(memberDir(l.dir, i)))
		}
		l.t.Fatal(err)
	}
}

func (l *local) app(i int) *client.Client {
	l.t.Helper()
	c, err := l.client(i, l.tokens["app"])
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// kill ends a member's process without warning.
func (l *local) kill(i int) {
	l.t.Helper()
	if err := l.members[i].cmd.Process.Kill(); err != nil {
		l.t.Fatal(err)
	}
	<-l.members[i].done
}

// again starts a member's process.
func (l *local) again(i int) {
	l.t.Helper()
	p, err := startMember(memberDir(l.dir, i))
	if err != nil {
		l.t.Fatal(err)
	}
	l.members[i] = p
	go l.watch(i, p)
}

// write posts one record through member i and returns its id once it is final.
func (l *local) write(ctx context.Context, i int) (string, error) {
	done, err := l.app(i).Tick(ctx)
	if err != nil {
		return "", err
	}
	if !done.Final || len(done.Records) != 1 || done.Records[0].Code != "" {
		return "", fmt.Errorf("answer: %+v", done)
	}
	return done.Records[0].ID, nil
}

// patience is how long anything may take that a test waits for, on a machine that has much
// else to do.
const patience = 2 * time.Minute

// takeover is how long a write may take while one of four is down: an election, and a
// leader that notices, where the machine has much else to do.
const takeover = 30 * time.Second

func (l *local) mustWrite(i int, within time.Duration) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), within)
	defer cancel()
	id, err := l.write(ctx, i)
	if err != nil {
		l.t.Fatalf("write through member %d: %v", i, err)
	}
	return id
}

// sameRoots wants all members to show one checkpoint.
func (l *local) sameRoots() {
	l.t.Helper()
	var last string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		texts := map[string]bool{}
		last = ""
		for i := range l.members {
			note, _, err := l.app(i).Checkpoint(l.t.Context())
			if err != nil {
				last = err.Error()
				texts[fmt.Sprint("error of ", i)] = true
				continue
			}
			texts[note.Text()] = true
		}
		if len(texts) == 1 && last == "" {
			return
		}
		last += fmt.Sprint(texts)
	}
	l.t.Fatalf("the members do not come to the same root: %s", last)
}

// has wants every member to have every record.
func (l *local) has(ids []string) {
	l.t.Helper()
	for i := range l.members {
		for _, id := range ids {
			req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://"+address(l.base, i, portHTTP)+"/v1/proofs/inclusion?id="+id, nil)
			if err != nil {
				l.t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				l.t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				l.t.Fatalf("member %d: acknowledged record %s: %s %.300s", i, id, resp.Status, b)
			}
		}
	}
}

// TestKillOneThenTwo: one of four may fall; when a second falls, writes get a
// clear problem soon, reads of final state go on, and nothing acknowledged is
// lost; when both are back the consortium heals by itself.
func TestKillOneThenTwo(t *testing.T) {
	l := startLocal(t)
	ids := []string{l.mustWrite(0, patience)}
	l.kill(3)
	for i := range 3 {
		ids = append(ids, l.mustWrite(i, takeover))
	}
	l.kill(2)
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address(l.base, 0, portHTTP)+"/v1/ticks", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.tokens["app"])
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || time.Since(began) > 10*time.Second {
		t.Errorf("with two of four down a write got %s after %v: %s", resp.Status, time.Since(began), b)
	}
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/problem+json") || !strings.Contains(string(b), `"code"`) {
		t.Errorf("no problem with a code: %s %s", ct, b)
	}
	for i := range 2 {
		if _, _, err := l.app(i).Checkpoint(t.Context()); err != nil {
			t.Errorf("final state of member %d cannot be read: %v", i, err)
		}
	}
	l.again(2)
	l.again(3)
	l.healthy()
	for i := range 4 {
		ids = append(ids, l.mustWrite(i, patience))
	}
	l.sameRoots()
	l.has(ids)
}

// TestEverythingDown: all four are killed at once and started together.
func TestEverythingDown(t *testing.T) {
	l := startLocal(t)
	ids := []string{l.mustWrite(1, patience)}
	for i := range 4 {
		l.kill(i)
	}
	for i := range 4 {
		l.again(i)
	}
	l.healthy()
	ids = append(ids, l.mustWrite(2, patience))
	l.sameRoots()
	l.has(ids)
}

// TestKillLoop kills random members under load: what was acknowledged is there
// at every member in the end. 10 rounds, 100 with AKASHI_SIM=long.
func TestKillLoop(t *testing.T) {
	rounds := 10
	if os.Getenv("AKASHI_SIM") == "long" {
		rounds = 100
	}
	l := startLocal(t)
	var mu sync.Mutex
	var ids []string
	down := -1 // the member that is down, under mu
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := w % 4
				if i == down {
					i = (i + 1) % 4
				}
				mu.Unlock()
				wctx, stop := context.WithTimeout(ctx, 20*time.Second)
				id, err := l.write(wctx, i)
				stop()
				if err == nil {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				} else if p := (*client.Problem)(nil); errors.As(err, &p) && !p.Again() && ctx.Err() == nil {
					t.Errorf("write through member %d: %v", i, err)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		i := rng.IntN(4)
		mu.Lock()
		down = i
		n := len(ids)
		mu.Unlock()
		l.kill(i)
		time.Sleep(time.Duration(200+rng.IntN(600)) * time.Millisecond)
		l.again(i)
		l.healthy()
		mu.Lock()
		down = -1
		if len(ids) == n {
			t.Logf("round %d: nothing was acknowledged while member %d was down", round, i)
		}
		mu.Unlock()
	}
	cancel()
	wg.Wait()
	l.mustWrite(0, patience)
	l.sameRoots()
	t.Logf("%d rounds, %d acknowledged records", rounds, len(ids))
	if len(ids) < rounds {
		t.Errorf("only %d records were acknowledged in %d rounds", len(ids), rounds)
	}
	l.has(ids)
}
