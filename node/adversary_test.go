package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/custody/adversary"
)

// lost is somebody who is erased, and what must not be found of them.
type lost struct {
	ref     custody.Ref
	secrets map[string][]byte
}

// plundered is a consortium whose every disk and backup is copied: a-sha keeps people,
// b-sha receives from it, and each has two others as custodians.
type plundered struct {
	*consortium
	key     age.Identity
	thief   *adversary.Adversary
	backups [][]byte // that steal took
}

func newPlundered(t *testing.T) *plundered {
	t.Helper()
	return newPlunderedIn(t, t.TempDir())
}

// newPlunderedIn has its data directories below a directory.
func newPlunderedIn(t *testing.T, root string) *plundered {
	t.Helper()
	key, err := age.GenerateHybridIdentity()
	must(t, err)
	c := foundIn(t, root, false, "a-sha", "b-sha", "c-sha", "pf")
	keeps := map[string][]string{"a-sha": {"b-sha"}, "b-sha": {"a-sha"}, "pf": {"a-sha", "b-sha"}}
	for id, owners := range keeps {
		s, err := node.LoadSettings(c.dirs[id])
		must(t, err)
		s.EscrowFor, s.BackupTo = owners, []string{key.Recipient().String()}
		must(t, s.Save(c.dirs[id]))
	}
	c.start(c.ids...)
	c.ready()
	for custodian, owners := range keeps {
		for _, owner := range owners {
			c.post(owner, &record.Record{Kind: record.KindCustodian, Body: &record.Custodian{Owner: owner, Custodian: custodian}})
		}
	}
	p := &plundered{consortium: c, key: key, thief: adversary.New()}
	p.open("a-sha", "portal", "b-sha")
	return p
}

// open opens a service with terms.
func (c *plundered) open(owner, service, recipient string) {
	c.t.Helper()
	text := record.Text{Ja: "見本", En: "sample"}
	c.post(owner, &record.Record{Kind: record.KindService, Body: &record.Service{ID: service, Name: text, Contact: text, Fields: []string{"name", "user-id"}}})
	screen := &record.Screen{Service: service, Version: "1", Text: text, Withdrawal: text,
		Scopes: []record.Scope{{Purpose: "service", Required: []string{"name", "user-id"}, Recipients: []string{recipient}}}}
	c.post(owner, &record.Record{Kind: record.KindTerms, Body: &record.Terms{Screen: canon.Must(screen)}})
}

// everyKeyCopied waits until each custodian has every key of those for whom it keeps
// copies.
func (c *plundered) everyKeyCopied() {
	c.t.Helper()
	for _, owner := range []string{"a-sha", "b-sha"} {
		c.eventually("every key of "+owner+" copied", func() error {
			status := c.nodes[owner].Custodians()
			for _, s := range status {
				if !s.Complete {
					return fmt.Errorf("%+v", s)
				}
			}
			if len(status) != 2 {
				return fmt.Errorf("%d custodians", len(status))
			}
			return nil
		})
	}
}

// steal copies what every member has stored now, but for slots, and takes a backup of
// each.
func (c *plundered) steal() {
	c.t.Helper()
	for _, id := range []string{"a-sha", "b-sha", "pf"} {
		must(c.t, c.nodes[id].Stored(func(key, value []byte) error { c.thief.Value(key, value); return nil }))
		backup := c.backup(id)
		c.backups = append(c.backups, backup)
		must(c.t, c.thief.Backup(backup, c.key))
	}
}

// rawImage looks below the file system, with every backup that was made: of the erased
// nothing is found in all that its blocks ever held, custodians' copies, custody keys and
// slots among it. With custodians' slots of before the first erasure the first is.
func (c *plundered) rawImage(t *testing.T, image string, old []byte, gone []*lost) {
	disk := adversary.New()
	must(t, disk.RawImage(image))
	for _, b := range c.backups {
		must(t, disk.Backup(b, c.key))
	}
	got := disk.Open(nil)
	t.Logf("%d backups, %d root keys on the device", len(c.backups), got.Roots())
	findsNone(t, got, gone)
	if got := disk.Open(old); !hasEvery(t, got, gone[0]) {
		t.Error("control: with custodians' slots of before, device and backups do not give the first")
	}
}

func findsNone(t *testing.T, got *adversary.Loot, gone []*lost) {
	t.Helper()
	for _, one := range gone {
		for what, secret := range one.secrets {
			if got.Has(secret) {
				t.Errorf("the %s of %s is found", what, one.ref)
			}
		}
	}
}

// slots returns slot files of all members, of one kind.
func (c *plundered) slots(name string) (all []byte) {
	c.t.Helper()
	for _, id := range c.ids {
		b, err := os.ReadFile(filepath.Join(c.dirs[id], name))
		if os.IsNotExist(err) {
			continue
		}
		must(c.t, err)
		all = append(all, b...)
	}
	return all
}

// enter registers somebody at a-sha, and hands every tenth over.
func (c *plundered) enter(i int) *lost {
	c.t.Helper()
	to := ""
	if i%10 == 0 {
		to = "b-sha"
	}
	return c.enterAt("a-sha", "portal", to, i)
}

// enterAt registers somebody for a service, and hands their data over where to is a
// member.
func (c *plundered) enterAt(owner, service, to string, i int) *lost {
	c.t.Helper()
	ctx, desk := context.Background(), c.nodes[owner].Desk()
	ref, name, phone := custody.Ref(fmt.Sprintf("many-%03d", i)), fmt.Sprintf("氏名%03d佐藤花子", i), fmt.Sprintf("0908888%04d", i)
	_, err := desk.Register(ctx, app, custody.Registration{Person: ref, Service: service, Source: "self",
		Items: map[string]string{"name": name, "user-id": fmt.Sprint("u", i)}, Lookup: map[string]string{"phone": phone}})
	must(c.t, err)
	ks, err := desk.Secret(ctx, ref)
	must(c.t, err)
	class, err := c.nodes[owner].VaultGet("p/" + string(ref) + "/c/" + service)
	must(c.t, err)
	if to != "" {
		before := c.nodes[to].Desk().People(ctx)
		_, err := desk.Consent(ctx, app, custody.ConsentRequest{Person: ref, Service: service, Version: "1", Items: []string{"name", "user-id"}, Purposes: []string{"service"}})
		must(c.t, err)
		must(c.t, provide(desk, service, to, ref))
		c.eventually("received", func() error {
			if n := c.nodes[to].Desk().People(ctx); n != before+1 {
				return fmt.Errorf("%d people at %s", n, to)
			}
			return nil
		})
	}
	return &lost{ref, map[string][]byte{"K_s": ks[:], "content key": class[18:95], "item": []byte(name), "lookup": []byte(phone)}}
}

var app = custody.Call{Client: "app"}

func provide(desk *custody.Desk, service, to string, ref custody.Ref) error {
	_, err := desk.Provide(context.Background(), app, custody.ProvideRequest{Person: ref, Service: service, To: to, Items: []string{"name", "user-id"}, Purpose: "service"})
	return err
}

// attestedByAll waits until every holder and custodian of an erasure has attested.
func (c *plundered) attestedByAll(id record.ID) {
	c.t.Helper()
	c.eventually("attested by holders and custodians", func() error {
		e, err := rules.Load[rules.Erasure](c.nodes["a-sha"].FinalState(), rules.KeyErasure(id))
		if err != nil || e == nil || len(e.Pending) > 0 || len(e.Copies) < 2 {
			return fmt.Errorf("%+v, %v", e, err)
		}
		for _, k := range e.Copies {
			if k.TimeMs == 0 {
				return fmt.Errorf("%s has not attested for %s", k.Custodian, k.Member)
			}
		}
		return nil
	})
}

// TestSixtyOfTwoHundredWithBackups: whole nodes, with custodians of each other's keys;
// 60 of 200 people are erased over time, some after a hand-over. An adversary has all
// that every member stored, copies for others too, and a backup of every member with
// the identity that opens it, each of before and after every step; in the end all
// files, Raft logs, custody keys and slots. Of the 60 it finds no key, lookup or item.
// With a custodian's slot of before the first erasure it does, from backup, custody
// key and copies alone. In the short form, 20 people. With 200 all of it lies on an ext4
// image, and the adversary has the device below the file system, too.
func TestSixtyOfTwoHundredWithBackups(t *testing.T) {
	if testing.Short() {
		t.Skip("six erasures at whole nodes: not in the short run")
	}
	people, root, image := 20, t.TempDir(), ""
	long := os.Getenv("AKASHI_SIM") == "long"
	if long {
		people = 200
		if dir, file := machine.Image(t); dir != "" {
			root, image = dir, file
		}
	}
	c := newPlunderedIn(t, root)
	var gone, stay []*lost
	var old []byte
	for i := range people {
		one := c.enter(i)
		if i%10 != 0 && i%10 != 3 && i%10 != 7 {
			stay = append(stay, one)
			continue
		}
		gone = append(gone, one)
		c.everyKeyCopied()
		if old == nil {
			old = c.slots(node.CopiesSlotFile)
		}
		c.steal()
		c.attestedByAll(c.eraseAt("a-sha", one.ref))
	}
	c.everyKeyCopied()
	c.steal()
	if len(gone) != people*3/10 {
		t.Fatalf("%d erased", len(gone))
	}
	last := append(c.slots(node.SlotFile), c.slots(node.CopiesSlotFile)...)
	for _, id := range c.ids {
		c.stop(id)
	}
	if got := c.thief.Open(old); !hasEvery(t, got, gone[0]) {
		t.Error("control: with a custodian's slot of before, the search does not find the first")
	}
	copies := c.thief.Open(c.slots(node.CopiesSlotFile)) // of the end
	for what, secret := range stay[0].secrets {
		if !copies.Has(secret) {
			t.Errorf("control: custodians do not give the %s of somebody who stays", what)
		}
	}
	for _, id := range c.ids {
		must(t, c.thief.RawFiles(c.dirs[id]))
	}
	got := c.thief.Open(last)
	t.Logf("%d erased, %d values, %d root keys", len(gone), c.thief.Values(), got.Roots())
	findsNone(t, got, gone)
	for _, one := range stay {
		if !hasEvery(t, got, one) {
			t.Fatalf("control: something of %s, who stays, is not found", one.ref)
		}
	}
	if !bytes.Contains(last, []byte("AKVAULT")) {
		t.Error("the slots of the end are none")
	}
	if !long {
		return
	}
	t.Run("raw image", func(t *testing.T) {
		if image == "" {
			machine.Lacks(t, "loop devices are not permitted here: the level below the file system was not looked at")
		}
		machine.Unmount(t, root)
		c.rawImage(t, image, old, gone)
	})
}

func hasEvery(t *testing.T, got *adversary.Loot, one *lost) bool {
	all := true
	for what, secret := range one.secrets {
		if !got.Has(secret) {
			t.Logf("no %s of %s", what, one.ref)
			all = false
		}
	}
	return all
}
