package custody

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/akashi-ledger/akashi/node/custody/adversary"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// erasedOne is what must not be found of one of many people.
type erasedOne struct {
	ref     Ref
	secrets map[string][]byte // what it is, and it
	slots   map[*member][]byte
}

// secretsOf returns what a desk keeps of a person that is to go with them.
func secretsOf(t *testing.T, m *member, ref Ref, name, phone string) map[string][]byte {
	t.Helper()
	ks, err := m.vault.Get(personID(ref, "ks"))
	noErr(t, err)
	class, err := m.vault.Get(personID(ref, "c/a-portal"))
	noErr(t, err)
	return map[string][]byte{"K_s": ks[:32], "content key": class[18:95], "item": []byte(name), "lookup": []byte(phone)}
}

// TestSixtyOfTwoHundred: 60 of 200 people are erased over time, some of them after a
// hand-over to another member. An adversary copied both members' blobs before each
// step, and has their files and slots of the end: of the 60 it finds no key, lookup
// or item. With the slots as they were before each erasure the same search finds all.
func TestSixtyOfTwoHundred(t *testing.T) {
	people := 200
	if testing.Short() {
		people = 40
	}
	w := newWorld(t, "a-sha", "b-sha")
	a, b := w.members["a-sha"], w.members["b-sha"]
	w.standard()
	thief := map[*member]*adversary.Adversary{a: adversary.New(), b: adversary.New()}
	steal := func() {
		for m, thief := range thief {
			for key, value := range dump(t, m) {
				thief.Value([]byte(key), value)
			}
		}
	}
	var gone []*erasedOne
	var stay []map[string][]byte
	for i := range people {
		ref, name, phone := Ref(fmt.Sprintf("many-%03d", i)), fmt.Sprintf("氏名%03d佐藤花子", i), fmt.Sprintf("0908888%04d", i)
		_, err := a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-portal", Source: "self",
			Items: map[string]string{"name": name, "user-id": fmt.Sprint("u", i)}, Lookup: map[string]string{"phone": phone}})
		noErr(t, err)
		steal()
		if i%20 == 0 {
			w.consent(ref, "service")
			done, err := a.Provide(ctx, Call{}, provideRequest(ref))
			noErr(t, err)
			w.duties()
			_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID, HowAcquired: "consent"})
			noErr(t, err)
		}
		one := &erasedOne{ref: ref, secrets: secretsOf(t, a, ref, name, phone), slots: map[*member][]byte{a: slotOf(t, a), b: slotOf(t, b)}}
		if i%10 != 0 && i%10 != 3 && i%10 != 7 {
			stay = append(stay, one.secrets)
			continue
		}
		gone = append(gone, one)
		steal()
		_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
		noErr(t, err)
		w.duties()
		steal()
	}
	if len(gone) != people*3/10 {
		t.Fatalf("%d erased", len(gone))
	}
	for i, one := range gone {
		if i%6 != 0 { // once for every slot would take long
			continue
		}
		got := thief[a].Open(one.slots[a])
		for what, secret := range one.secrets {
			if !got.Has(secret) {
				t.Errorf("control: with the slot of before, the search does not find the %s of %s", what, one.ref)
			}
		}
	}
	if got := thief[b].Open(gone[0].slots[b]); !got.Has(gone[0].secrets["item"]) {
		t.Error("control: the recipient's slot of before opens nothing")
	}
	disk := adversary.New() // has the files of the end, and no database opens them
	noErr(t, disk.RawFiles(filepath.Join(a.dir, "blobs")))
	if got := disk.Open(gone[0].slots[a]); !got.Has(gone[0].secrets["K_s"]) || !got.Has(gone[0].secrets["lookup"]) {
		t.Error("control: with the slot of before, raw files give nothing")
	}
	for m, thief := range thief {
		noErr(t, thief.RawFiles(filepath.Join(m.dir, "blobs")))
		got := thief.Open(slotOf(t, m))
		for _, one := range gone {
			for what, secret := range one.secrets {
				if got.Has(secret) {
					t.Errorf("%s: the %s of %s is found", m.id, what, one.ref)
				}
			}
		}
		for _, secrets := range stay {
			for what, secret := range secrets {
				if m == a && !got.Has(secret) {
					t.Fatalf("control: %s of somebody who stays is not found", what)
				}
			}
		}
		t.Logf("%s: %d values, %d root keys", m.id, thief.Values(), got.Roots())
	}
}

// Whoever leaves one service stays: known, and asked to try again, while that is under
// way and through a restart. The handles towards it go when it is final.
func TestKnownWhileLeavingOneService(t *testing.T) {
	w, a, _ := handedOver(t)
	w.second(refMarker)
	handles, err := a.Handles(ctx, refMarker)
	noErr(t, err)
	handles = slices.DeleteFunc(handles, func(k HandleOf) bool { return !k.Open })
	name, err := a.Name(refMarker)
	noErr(t, err)
	w.set(func() { w.posted = func(outbox.Request) error { return errors.New("no leader") } })
	if _, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "withdrawal", Service: "a-portal"}); err == nil {
		t.Fatal("erased without a leader")
	}
	still := func(when string) {
		t.Helper()
		if known, err := a.Known(refMarker); err != nil || !known {
			t.Errorf("%s: known %v, %v", when, known, err)
		}
		for _, k := range handles {
			if known, err := a.KnownHandle(k.Key, refMarker); err != nil || !known {
				t.Errorf("%s: handle towards %s known %v, %v", when, k.For, known, err)
			}
		}
		_, err := a.ScopesNow(ctx, refMarker, "a-card")
		wantCode(t, err, CodePersonLeaving)
	}
	still("under way")
	w.reopen(a)
	still("after a restart")
	w.set(func() { w.posted = nil })
	w.duties()
	if now, err := a.Name(refMarker); err != nil || now != name {
		t.Errorf("another name after leaving one service: %v", err)
	}
	for _, k := range handles {
		if known, err := a.KnownHandle(k.Key, refMarker); err != nil || known != (k.For != "a-portal") {
			t.Errorf("handle towards %s known %v, %v", k.For, known, err)
		}
	}
}
