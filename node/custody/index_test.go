package custody

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// entriesOfPerson makes what a vault holds of somebody with one service, one
// lookup and one month of records. All share one identity: only sizes count.
func entriesOfPerson(t testing.TB, identity seal.Identity, i int) []vault.Entry {
	ref := Ref(fmt.Sprintf("p%07d", i))
	random := func(n int, before ...byte) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return append(before, b...)
	}
	entries, err := withNames([]vault.Entry{
		{ID: personID(ref, "ks"), Value: random(33)},
		{ID: personID(ref, "c/a-portal"), Value: random(16, identity.Marshal()...)},
		{ID: personID(ref, "r/2026-12"), Value: random(16, identity.Marshal()...)},
		{ID: lookupID("phone", fmt.Sprintf("%011d", i)), Value: []byte(ref)},
		{ID: "h/" + string(random(32)), Value: canon.Must(&knownHandle{ref, "a-portal"})},
	})
	noErr(t, err)
	return entries
}

// deskOn returns a desk that has read a vault of some people back, and no more.
func deskOn(t testing.TB, blobs vault.Blobs, people int) (*Desk, error) {
	t.Helper()
	slot, err := vault.OpenFileSlot(filepath.Join(t.TempDir(), "slot"))
	noErr(t, err)
	v, err := vault.Open(slot, blobs, vault.Options{})
	noErr(t, err)
	t.Cleanup(func() { v.Close() })
	identity, err := seal.NewIdentity()
	noErr(t, err)
	for i := 0; i < people; {
		var entries []vault.Entry
		for ; i < people && len(entries) < 3000; i++ {
			entries = append(entries, entriesOfPerson(t, identity, i)...)
		}
		noErr(t, v.Put(entries...))
	}
	noErr(t, v.Compact())
	d := &Desk{Config: Config{Vault: v, Log: slog.New(slog.DiscardHandler)}, people: newPeople(v)}
	return d, d.loadPeople()
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIndexIsSmall: a desk with many people keeps little of each in memory, also
// after it had to do with all of them.
func TestIndexIsSmall(t *testing.T) {
	people := 10_000
	if testing.Short() {
		people = 3_000
	}
	d, err := deskOn(t, &vault.MemoryBlobs{}, people)
	noErr(t, err)
	if got := d.People(ctx); got != people {
		t.Fatalf("%d people", got)
	}
	for i := range people {
		q, release, err := d.use(Ref(fmt.Sprintf("p%07d", i)))
		noErr(t, err)
		if !d.hasSecret(q) || len(d.classesOf(q, "")) != 2 || len(d.handlesOf(q)) != 1 || len(q.lookups) != 1 {
			t.Fatalf("%+v", q)
		}
		release()
	}
	if n := len(d.people.byRef); n != maxIdle {
		t.Errorf("%d people in memory", n)
	}
	clear(d.people.byRef)
	with := heapBytes()
	d.people = newPeople(d.Vault)
	each := (with - heapBytes()) / int64(people)
	t.Logf("%d bytes a person", each)
	if each < 20 || each > 200 {
		t.Errorf("%d bytes a person", each)
	}
}

// TestVaultWithoutNames: a vault in which a lookup is not named at its person, so
// that an erasure would leave it, is refused.
func TestVaultWithoutNames(t *testing.T) {
	d, err := deskOn(t, &vault.MemoryBlobs{}, 3)
	noErr(t, err)
	noErr(t, d.Vault.Put(vault.Entry{ID: "l/phone/1", Value: []byte("p0000001")}))
	d.people = newPeople(d.Vault)
	if err := d.loadPeople(); err == nil {
		t.Error("it is taken")
	}
}

// TestDamagedBucketStopsNobodyElse: where keys cannot be read, the member starts
// and serves everybody else; nobody is taken for erased.
func TestDamagedBucketStopsNobodyElse(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	for _, other := range []Ref{"p-1", "p-2", "p-3"} {
		_, err := a.Register(ctx, Call{}, Registration{Person: other, Service: "a-portal", Source: "self", Items: map[string]string{"name": "田中"}})
		noErr(t, err)
	}
	noErr(t, a.vault.Compact())
	class := classOfPerson(t, a, ref)
	mend := harmBucketOf(t, a, personID(ref, "ks"))
	w.reopen(a)
	for _, other := range []Ref{"p-1", "p-2", "p-3"} {
		_, err := a.Disclose(ctx, other)
		noErr(t, err)
	}
	for what, do := range map[string]func() error{
		"disclose": func() error { _, err := a.Disclose(ctx, ref); return err },
		"erase": func() error {
			_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
			return err
		},
		"class": func() error { _, err := a.people.class(class); return err },
	} {
		if err := do(); !errors.Is(err, vault.ErrBlock) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: "p-2", Cause: "request"})
	noErr(t, err)
	mend()
	w.reopen(a)
	if got := a.People(ctx); got != 3 {
		t.Errorf("%d people", got)
	}
	_, _, err = a.Erase(ctx, Call{}, EraseRequest{Person: ref, Cause: "request"})
	noErr(t, err)
	_, err = a.Disclose(ctx, ref)
	wantCode(t, err, record.CodeErased)
}

// TestDamagedLookupKeepsTheErasureGoing: where one of a person's buckets cannot be
// read nothing of the person is destroyed, and nothing attested, however often it is
// tried; once it is whole again everything goes.
func TestDamagedLookupKeepsTheErasureGoing(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	noErr(t, a.vault.Compact())
	before, err := a.vault.List("p/")
	noErr(t, err)
	mend := harmBucketOf(t, a, lookupID("phone", phoneMarker))
	for range 3 {
		if _, _, err := a.Erase(ctx, Call{Client: "app", Key: "forget"}, EraseRequest{Person: ref, Cause: "request"}); !errors.Is(err, vault.ErrBlock) {
			t.Fatalf("it is erased: %v", err)
		}
	}
	w.duties()
	jobs := a.erasing.all()
	if len(jobs) != 1 {
		t.Fatalf("%d erasures under way", len(jobs))
	}
	id := hex.EncodeToString(jobs[0].plan.Erasure[:])
	if view, err := a.Erasure(ctx, id); err != nil || len(view.Done) != 0 {
		t.Errorf("it attested: %+v, %v", view, err)
	}
	for _, id := range before {
		if has, err := a.vault.Has(id); err != nil || !has {
			t.Errorf("%.20q is gone, %v", id, err)
		}
	}
	mend()
	w.duties()
	if ids, _ := a.vault.List("p/"); len(ids) != 0 {
		t.Errorf("left: %q", ids)
	}
	if view, err := a.Erasure(ctx, id); err != nil || len(view.Done) != 1 {
		t.Errorf("it did not attest: %+v, %v", view, err)
	}
	for _, at := range []string{lookupID("phone", phoneMarker)} {
		if has, err := a.vault.Has(at); err != nil || has {
			t.Errorf("%q is there: %t, %v", at, has, err)
		}
	}
}

// TestGivenUp: where a damaged bucket was given up, what it held is gone, and what
// found its people goes at the next start; everybody else stays.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, "a-sha")
	a := w.members["a-sha"]
	ref := w.standard()
	w.consent(ref, "service")
	_, err := a.Register(ctx, Call{}, Registration{Person: "p-1", Service: "a-portal", Source: "self", Items: map[string]string{"name": "田中"}, Lookup: map[string]string{"phone": "1"}})
	noErr(t, err)
	noErr(t, a.vault.Compact())
	harmBucketOf(t, a, personID(ref, "ks"))
	if n, err := a.vault.GiveUp(); err != nil || n < 4 {
		t.Fatalf("%d entries, %v", n, err)
	}
	w.reopen(a)
	if _, found, err := a.Find(ctx, "phone", phoneMarker); err != nil || found || a.People(ctx) != 1 {
		t.Errorf("found %t, %d people, %v", found, a.People(ctx), err)
	}
	if got, found, err := a.Find(ctx, "phone", "1"); err != nil || !found || got != "p-1" {
		t.Errorf("%q, %t, %v", got, found, err)
	}
	if ids, _ := a.vault.List("h/"); len(ids) != 1 {
		t.Errorf("%d handles are left", len(ids))
	}
	if _, err := a.Register(ctx, Call{}, Registration{Person: ref, Service: "a-portal", Source: "self", Items: map[string]string{"name": "again"}, Lookup: map[string]string{"phone": phoneMarker}}); err != nil {
		t.Errorf("again: %v", err)
	}
}

func classOfPerson(t *testing.T, m *member, ref Ref) [16]byte {
	t.Helper()
	q, release, err := m.use(ref)
	noErr(t, err)
	defer release()
	return m.classOf(q, "c/a-portal").id
}

// harmBucketOf damages the bucket in which an entry lies, and returns what mends it.
func harmBucketOf(t *testing.T, m *member, id string) (mend func()) {
	t.Helper()
	buckets := map[string][]byte{}
	noErr(t, m.blobs.Scan([]byte("V/"), func(key, value []byte) error {
		if strings.Contains(string(key), "/bucket/") {
			buckets[string(key)] = bytes.Clone(value)
		}
		return nil
	}))
	put := func(key string, value []byte) {
		noErr(t, m.blobs.PutMany([]store.KV{{Key: []byte(key), Value: value}}))
	}
	for key, value := range buckets {
		harmed := bytes.Clone(value)
		harmed[len(harmed)/2] ^= 1
		put(key, harmed)
		if _, err := m.vault.Get(id); errors.Is(err, vault.ErrBlock) {
			return func() { put(key, value) }
		}
		put(key, value)
	}
	t.Fatal("it lies in no bucket")
	return nil
}
