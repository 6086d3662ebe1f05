package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/internal/machine"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/custody/adversary"
)

// forgotten is somebody who is to be erased, and what must not be found of them.
type forgotten struct {
	ref     custody.Ref
	secrets map[string][]byte
}

// TestEverythingOfSixtyIsGone: four processes; 60 of 200 people are erased over time,
// some after a hand-over. An adversary copied what every member stores sealed before
// each erasure, and has all files of the end, ledger, Raft logs and slots too: of the
// 60 it finds no key, lookup or item. With the slot of before the first erasure it finds them.
// Then it has the device below the file system, with all that files ever held.
func TestEverythingOfSixtyIsGone(t *testing.T) {
	if os.Getenv("AKASHI_SIM") != "long" {
		t.Skip("takes minutes: make sim")
	}
	dir, image := machine.Image(t)
	if dir == "" {
		dir = t.TempDir()
	}
	l := startLocalIn(t, dir, "", func(devOptions) {})
	fields := l.serviceForMany()
	thief := adversary.New()
	var gone []*forgotten
	var oldSlots []byte
	for i := range 200 {
		one := l.registerOne(i, fields)
		if i%10 != 0 && i%10 != 3 && i%10 != 7 {
			continue
		}
		if oldSlots == nil {
			oldSlots = l.slots()
		}
		gone = append(gone, one)
		l.steal(thief)
		if _, err := l.app(0).Erase(t.Context(), one.ref, "request"); err != nil {
			t.Fatal(err)
		}
	}
	l.steal(thief)
	l.stop()
	last := l.slots()
	t.Logf("%d erased, %d values in the copies", len(gone), thief.Values())
	if got := thief.Open(oldSlots); !hasAll(t, got, gone[0]) {
		t.Error("control: with the slot of before, the search does not find the first")
	}
	for i := range l.members {
		if err := thief.RawFiles(memberDir(l.dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	finds(t, thief.Open(last), gone)
	t.Run("raw image", func(t *testing.T) {
		if image == "" {
			machine.Lacks(t, "loop devices are not permitted here: the level below the file system was not looked at")
		}
		machine.Unmount(t, dir)
		disk := adversary.New()
		if err := disk.RawImage(image); err != nil {
			t.Fatal(err)
		}
		got := disk.Open(nil)
		t.Logf("%d root keys on the device", got.Roots())
		finds(t, got, gone)
		if got := disk.Open(oldSlots); !got.Has(gone[0].secrets["K_s"]) {
			t.Error("control: with the slot of before, the device gives nothing")
		}
	})
}

func hasAll(t *testing.T, got *adversary.Loot, one *forgotten) bool {
	t.Helper()
	all := true
	for what, secret := range one.secrets {
		if !got.Has(secret) {
			t.Logf("no %s of %s", what, one.ref)
			all = false
		}
	}
	return all
}

func finds(t *testing.T, got *adversary.Loot, gone []*forgotten) {
	t.Helper()
	if got.Roots() == 0 {
		t.Error("it has no root key to try")
	}
	for _, one := range gone {
		for what, secret := range one.secrets {
			if got.Has(secret) {
				t.Errorf("the %s of %s is found", what, one.ref)
			}
		}
	}
}

// serviceForMany opens a service with terms at member 0 and returns its items.
func (l *local) serviceForMany() (fields []string) {
	l.t.Helper()
	admin, err := l.client(0, l.tokens["admin"])
	if err != nil {
		l.t.Fatal(err)
	}
	vocabulary, err := l.app(0).Vocabulary(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, a := range vocabulary.Attributes {
		if len(a.Brackets) == 0 && len(fields) < 2 {
			fields = append(fields, a.Code)
		}
	}
	s := rest.ServiceForm{ID: "many", Name: record.Text{Ja: "見本"}, Contact: record.Text{Ja: "見本"}, Fields: fields}
	if _, err := admin.OpenService(l.t.Context(), s); err != nil {
		l.t.Fatal(err)
	}
	screen := rest.ScreenForm{Service: s.ID, Version: "1", Effective: time.Now().Truncate(time.Second).Add(-time.Hour),
		Text: record.Text{Ja: "見本"}, Withdrawal: record.Text{Ja: "見本"},
		Scopes: []rest.ScopeForm{{Purpose: vocabulary.Purposes[0].Code, Required: fields, Recipients: []string{"member-1"}}}}
	if _, err := admin.PublishTerms(l.t.Context(), screen); err != nil {
		l.t.Fatal(err)
	}
	return append(fields, vocabulary.Purposes[0].Code)
}

// registerOne registers somebody, and hands every twentieth over to member 1.
func (l *local) registerOne(i int, fields []string) *forgotten {
	l.t.Helper()
	ctx, app := l.t.Context(), l.app(0)
	secret := make([]byte, 32)
	rand.Read(secret)
	name, phone, ref := fmt.Sprintf("氏名%03d佐藤花子%x", i, secret[:4]), fmt.Sprintf("0908888%04d", i), custody.Ref(fmt.Sprintf("many-%03d", i))
	items, purpose := map[string]string{fields[0]: name, fields[1]: fmt.Sprint("u", i)}, fields[2]
	_, err := app.Register(ctx, custody.Registration{Person: ref, Service: "many", Items: items, Source: "self", Secret: secret, Lookup: map[string]string{"phone": phone}})
	if err == nil && i%20 == 0 {
		_, err = app.Consent(ctx, custody.ConsentRequest{Person: ref, Service: "many", Version: "1", Items: fields[:2], Purposes: []string{purpose}, Button: "同意する", Language: "ja"})
		done, err2 := app.Provide(ctx, custody.ProvideRequest{Person: ref, Service: "many", To: "member-1", Items: fields[:2], Purpose: purpose})
		err = errors.Join(err, err2)
		if err == nil {
			_, err = l.app(1).Receive(ctx, done.Records[0].ID, "consent")
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return &forgotten{ref, map[string][]byte{"K_s": secret, "item": []byte(name), "lookup": []byte(phone)}}
}

// slots returns the slot files of all members.
func (l *local) slots() (all []byte) {
	l.t.Helper()
	for i := range l.members {
		b, err := os.ReadFile(filepath.Join(memberDir(l.dir, i), slotFile))
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, b...)
		if b, err = os.ReadFile(filepath.Join(memberDir(l.dir, i), node.CopiesSlotFile)); err == nil {
			all = append(all, b...)
		}
	}
	return all
}

// steal copies every data directory without its slot, and takes all versions of
// what is in the databases. A copy of a running database may not open: then another
// is made.
func (l *local) steal(thief *adversary.Adversary) {
	l.t.Helper()
	for i := range l.members {
		for try := 0; ; try++ {
			to := filepath.Join(l.t.TempDir(), "copy")
			err := copyTree(filepath.Join(memberDir(l.dir, i), "blobs"), filepath.Join(to, "blobs"))
			if err == nil {
				err = thief.Database(filepath.Join(to, "blobs"))
			}
			os.RemoveAll(to)
			if err == nil {
				break
			}
			if try == 10 {
				l.t.Fatal(err)
			}
		}
	}
}
