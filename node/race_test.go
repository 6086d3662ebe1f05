package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
)

// replaced is a consortium in which a-sha's node is lost in the middle of erasures,
// and replaced in the middle of others.
type replaced struct {
	*plundered
	rng        *rand.Rand
	gone, stay []*lost              // of a-sha
	given      map[custody.Ref]bool // to b-sha
	gone2      []*lost              // of b-sha, all handed over to a-sha
	stay2      []*lost

	mu      sync.Mutex
	backups [][]byte // of a-sha
}

// TestEraseRacesReplacement: a-sha's people are erased while its data is handed over,
// people come, backups are made and a custodian is down. At a drawn moment a-sha's
// disk is lost. It comes back from one of the backups, drawn, and from its custodians,
// while people are erased at b-sha, who had handed their data over to a-sha. In the
// end all are erased, nobody else has lost anything, and with every backup and
// everything stored at any time nothing of the erased is found.
func TestEraseRacesReplacement(t *testing.T) {
	if testing.Short() {
		t.Skip("a node is lost and replaced: not in the short run")
	}
	rounds := 1
	if os.Getenv("AKASHI_SIM") == "long" {
		rounds = 12
	}
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := &replaced{plundered: newPlundered(t), rng: rand.New(rand.NewPCG(uint64(i), 4)), given: map[custody.Ref]bool{}}
			r.enterAll()
			r.untilLost()
			r.comeBackAmidErasures()
			r.check()
		})
	}
}

func (r *replaced) enterAll() {
	r.t.Helper()
	r.open("b-sha", "shop", "a-sha")
	for i := range 8 {
		to := []string{"", "b-sha"}[i/2%2]
		one := r.enterAt("a-sha", "portal", to, i)
		r.given[one.ref] = to != ""
		if i%2 == 0 {
			r.gone = append(r.gone, one)
		} else {
			r.stay = append(r.stay, one)
		}
	}
	r.gone2 = append(r.gone2, r.enterAt("b-sha", "shop", "a-sha", 100), r.enterAt("b-sha", "shop", "a-sha", 101))
	r.stay2 = append(r.stay2, r.enterAt("b-sha", "shop", "a-sha", 102))
	r.everyKeyCopied()
	r.backUp(r.nodes["a-sha"])
	r.steal()
}

// after calls f after a pause that is drawn: what it falls on, nobody knows.
func (r *replaced) after(wg *sync.WaitGroup, most time.Duration, f func()) {
	pause := time.Duration(r.rng.Int64N(int64(most)))
	wg.Go(func() { time.Sleep(pause); f() })
}

// backUp keeps a backup of a-sha where it could be made.
func (r *replaced) backUp(a *node.Node) bool {
	var b strings.Builder
	if a.Backup(context.Background(), &b) != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.backups = append(r.backups, []byte(b.String()))
	return true
}

// untilLost is the race at a-sha, which its loss ends.
func (r *replaced) untilLost() {
	r.t.Helper()
	const most = 2 * time.Second
	a, ctx := r.nodes["a-sha"], context.Background()
	var wg sync.WaitGroup
	for _, one := range r.gone {
		r.after(&wg, most, func() { r.erase(a.Desk(), one.ref) })
	}
	for _, one := range r.stay {
		r.after(&wg, most, func() {
			if r.given[one.ref] {
				_ = provide(a.Desk(), "portal", "b-sha", one.ref) // refused where the node is lost meanwhile
			}
		})
	}
	for i := range 3 {
		r.after(&wg, most, func() { r.backUp(a) })
		r.after(&wg, most, func() {
			_, _ = a.Desk().Register(ctx, app, custody.Registration{Person: custody.Ref(fmt.Sprint("crowd-", i)), Service: "portal", Source: "self"})
		})
	}
	down := time.Duration(r.rng.Int64N(int64(most)))
	lost := time.Duration(r.rng.Int64N(int64(most)))
	time.Sleep(min(down, lost))
	r.stop("pf") // a custodian, with copies that are not destroyed yet
	time.Sleep(lost - min(down, lost))
	must(r.t, a.Stored(func(key, value []byte) error { r.thief.Value(key, value); return nil }))
	r.stop("a-sha")
	wg.Wait()
	must(r.t, os.RemoveAll(r.dirs["a-sha"]))
}

// erase asks for an erasure. It may end without an answer.
func (r *replaced) erase(desk *custody.Desk, ref custody.Ref) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, _, err := desk.Erase(ctx, app, custody.EraseRequest{Person: ref, Cause: "request"})
	if code := codeOf(err); code == record.CodeErased || code == custody.CodePersonUnknown {
		return nil
	}
	return err
}

// comeBackAmidErasures replaces a-sha's node: custodians give back keys of which they
// are told meanwhile that they are to be destroyed, or will be.
func (r *replaced) comeBackAmidErasures() {
	r.t.Helper()
	r.start("pf")
	r.eventually("pf ready", r.nodes["pf"].Ready)
	b := r.nodes["b-sha"]
	var wg sync.WaitGroup
	for _, one := range r.gone2 {
		r.after(&wg, 4*time.Second, func() {
			for r.erase(b.Desk(), one.ref) != nil && r.t.Context().Err() == nil { // no leader, while members change
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	r.mu.Lock()
	backup := r.backups[r.rng.IntN(len(r.backups))]
	r.mu.Unlock()
	r.comeBack("a-sha", backup, r.key)
	begun := 0
	must(r.t, r.erasures(func(string, *rules.Erasure) error { begun++; return nil }))
	wg.Wait()
	r.t.Logf("%d backups, %d erasures begun before the loss or at b-sha", len(r.backups), begun)
}

func (r *replaced) check() {
	r.t.Helper()
	a, b := r.nodes["a-sha"].Desk(), r.nodes["b-sha"].Desk()
	for _, one := range r.gone { // whose erasure never came so far is erased now
		r.eventually("erased", func() error { return r.erase(a, one.ref) })
	}
	r.eventuallyAttested()
	r.steal()
	ctx := context.Background()
	for _, one := range append(r.gone, r.gone2...) {
		for _, desk := range []*custody.Desk{a, b} {
			if _, err := desk.Secret(ctx, one.ref); err == nil {
				r.t.Errorf("%s has a secret", one.ref)
			}
			if _, ok, err := desk.Find(ctx, "phone", string(one.secrets["lookup"])); ok || err != nil {
				r.t.Errorf("%s is found: %v", one.ref, err)
			}
		}
	}
	for _, one := range r.stay {
		r.reads(a, one)
	}
	for _, one := range r.stay2 {
		r.reads(b, one)
	}
	if n := a.People(ctx); n < len(r.stay)+len(r.stay2) || n > len(r.stay)+len(r.stay2)+3 {
		r.t.Errorf("a-sha holds %d people", n)
	}
	slots := append(r.slots(node.SlotFile), r.slots(node.CopiesSlotFile)...)
	for _, id := range r.ids {
		r.consortium.stop(id)
		must(r.t, r.thief.RawFiles(r.dirs[id]))
	}
	got := r.thief.Open(slots)
	for _, one := range append(r.gone, r.gone2...) {
		for what, secret := range one.secrets {
			if got.Has(secret) {
				r.t.Errorf("the %s of %s is found", what, one.ref)
			}
		}
	}
	for _, one := range append(r.stay, r.stay2...) {
		if !hasEvery(r.t, got, one) {
			r.t.Errorf("control: something of %s, who stays, is not found", one.ref)
		}
	}
}

// reads wants everything of somebody who stays.
func (r *replaced) reads(desk *custody.Desk, one *lost) {
	r.t.Helper()
	ctx := context.Background()
	if ks, err := desk.Secret(ctx, one.ref); err != nil || string(ks[:]) != string(one.secrets["K_s"]) {
		r.t.Errorf("the secret of %s: %v", one.ref, err)
	}
	held, err := desk.Disclose(ctx, one.ref)
	if err != nil || len(held.Classes) != 1 || len(held.Classes[0].Items) != 2 || held.Classes[0].Items[0].Value != string(one.secrets["item"]) {
		r.t.Errorf("%s: %+v, %v", one.ref, held, err)
	}
	if ref, ok, err := desk.Find(ctx, "phone", string(one.secrets["lookup"])); err != nil || !ok || ref != one.ref {
		r.t.Errorf("%s is not found: %q, %v", one.ref, ref, err)
	}
}

// eventuallyAttested waits until every holder and custodian has attested every
// erasure, those too that the loss of a-sha's node interrupted: b-sha had their plans.
func (r *replaced) eventuallyAttested() {
	r.t.Helper()
	r.eventually("every erasure attested", func() error {
		return r.erasures(func(_ string, e *rules.Erasure) error {
			if len(e.Pending) > 0 {
				return fmt.Errorf("%v of an erasure of %s", e.Pending, e.Issuer)
			}
			for _, k := range e.Copies {
				if k.TimeMs == 0 {
					return fmt.Errorf("%s has not attested for %s", k.Custodian, k.Member)
				}
			}
			return nil
		})
	})
}

// erasures calls fn for each erasure of the register.
func (r *replaced) erasures(fn func(key string, e *rules.Erasure) error) error {
	return r.nodes["b-sha"].FinalState().Listed("erasure/", func(key string, value []byte) error {
		e := new(rules.Erasure)
		if err := canon.Decode(value, e); err != nil {
			return err
		}
		return fn(key, e)
	})
}
