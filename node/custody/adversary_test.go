package custody

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node/store"
)

// After the erasure an adversary has every blob of before and after, and the slot
// of after: nothing of the content opens. With the slot of before it does.
func TestAdversary(t *testing.T) {
	w, a, b := handedOver(t)
	keep := map[*member]map[string][]byte{a: dump(t, a), b: dump(t, b)}
	slots := map[*member][]byte{a: slotOf(t, a), b: slotOf(t, b)}
	_, _, err := a.Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.duties()
	w.pass(time.Hour)
	w.duties()
	for _, m := range []*member{a, b} {
		before, after, slot := keep[m], dump(t, m), slotOf(t, m)
		if got := plunder(t, before, slots[m]); !strings.Contains(got, nameMarker) {
			t.Fatalf("%s: the control finds nothing, so the search is blind", m.id)
		} else if m == a && (!strings.Contains(got, phoneMarker) || !strings.Contains(got, refMarker)) {
			t.Fatalf("%s: the control finds no lookup", m.id)
		}
		for what, blobs := range map[string]map[string][]byte{"before": before, "after": after, "both": merge(before, after)} {
			got := plunder(t, blobs, slot)
			for _, marker := range []string{nameMarker, phoneMarker, idMarker} {
				if strings.Contains(got, marker) {
					t.Errorf("%s: blobs of %s and the slot of after give %q", m.id, what, marker)
				}
			}
		}
		if got := plunder(t, merge(before, after), slot); !strings.Contains(got, "r/2027-04") && !strings.Contains(got, "z/") {
			t.Errorf("%s: the record identities that the law wants are gone", m.id)
		}
	}
}

func slotOf(t *testing.T, m *member) []byte {
	b, err := os.ReadFile(filepath.Join(m.dir, "slot"))
	noErr(t, err)
	return b
}

func dump(t *testing.T, m *member) map[string][]byte {
	out := map[string][]byte{}
	noErr(t, m.blobs.Scan([]byte("V/"), func(key, value []byte) error { out[string(key)] = bytes.Clone(value); return nil }))
	noErr(t, m.blobs.Scan([]byte("desk/"), func(key, value []byte) error { out[string(key)] = bytes.Clone(value); return nil }))
	return out
}

func merge(a, b map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// plunder opens whatever a slot and blobs give: the vault, every class of it, and
// with these every blob.
func plunder(t *testing.T, blobs map[string][]byte, slot []byte) string {
	dir := t.TempDir()
	path := filepath.Join(dir, "slot")
	noErr(t, os.WriteFile(path, slot, 0o600))
	s, err := vault.OpenFileSlot(path)
	noErr(t, err)
	mem := &vault.MemoryBlobs{}
	for k, v := range blobs {
		if rest, ok := strings.CutPrefix(k, "V/"); ok {
			mem.Put(vault.Blob{Key: rest, Value: v})
		}
	}
	var loot strings.Builder
	v, err := vault.Open(s, mem, vault.Options{})
	if err != nil { // blobs of another generation: nothing opens at all
		return ""
	}
	defer v.Close()
	ids, err := v.List("")
	noErr(t, err)
	var identities []seal.Identity
	for _, id := range ids {
		value, err := v.Get(id)
		noErr(t, err)
		fmt.Fprintf(&loot, "%s=%s\n", id, value)
		if len(value) == classBytes {
			i, err := seal.ParseIdentity(value[:95])
			noErr(t, err)
			identities = append(identities, i)
		}
	}
	var keys []seal.DataKey
	for k, file := range blobs {
		if strings.HasPrefix(k, "desk/k/") {
			for _, i := range identities {
				if key, err := seal.UnwrapDataKey(file, i); err == nil {
					keys = append(keys, key)
				}
			}
		}
	}
	for k, value := range blobs {
		loot.Write(value)
		for _, key := range keys {
			openAll(&loot, key, k, value)
		}
	}
	return loot.String()
}

func openAll(loot *strings.Builder, key seal.DataKey, k string, value []byte) {
	parts := strings.Split(k, "/")
	if len(parts) < 3 || parts[0] != "desk" {
		return
	}
	about, _ := parseID(parts[2])
	sealed := [][]byte{value}
	var b sealedBlob
	if canon.Unmarshal(value, &b) == nil {
		sealed = append(sealed, b.Sealed)
	}
	var p parcelBlob
	if canon.Unmarshal(value, &p) == nil {
		sealed = append(sealed, p.Sealed)
	}
	for _, member := range []string{"a-sha", "b-sha"} {
		for _, kind := range []string{sealedSheet, sealedOpening, sealedParcel, sealedWaiting, sealedErasure} {
			for _, s := range sealed {
				if plain, err := seal.OpenItem(key, seal.AAD{Member: member, Kind: kind, Version: 1, Record: about}, s); err == nil {
					loot.Write(plain)
				}
			}
		}
	}
}

// No personal value is in clear in any file of blobs, vault or ledger, in a log line
// or an error.
func TestNothingPersonalInClear(t *testing.T) {
	w, a, b := handedOver(t)
	var told []string
	try := func(err error) {
		if err != nil {
			told = append(told, err.Error())
		}
	}
	_, err := a.Register(ctx, Call{}, Registration{Person: "p2", Service: "a-portal", Source: "self", Lookup: map[string]string{"phone": phoneMarker}})
	try(err)
	_, err = a.Register(ctx, Call{}, Registration{Person: "p2", Service: "a-portal", Source: "self", Items: map[string]string{"shoe": nameMarker}})
	try(err)
	_, err = a.Register(ctx, Call{}, Registration{Person: nameMarker, Service: "a-portal", Source: "self"})
	try(err)
	r := provideRequest(refMarker)
	r.To = "nobody"
	_, err = a.Provide(ctx, Call{Client: "app", Key: phoneMarker + nameMarker}, r)
	try(err)
	r = provideRequest(refMarker)
	r.Values = map[string]string{"name": nameMarker}
	w.set(func() { w.refuse = func(string, string) error { return errors.New("cut off") } })
	done, err := a.Provide(ctx, Call{Client: "app", Key: "x"}, r)
	noErr(t, err)
	w.duties()
	w.set(func() { w.refuse = nil })
	w.duties() // the parcel waits at b-sha
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: nameMarker, HowAcquired: "consent"})
	try(err)
	_, err = b.Receive(ctx, Call{}, ReceiveRequest{Intent: done.Records[0].ID})
	try(err)
	if len(told) < 5 {
		t.Fatalf("only %d errors", len(told))
	}
	for _, m := range []*member{a, b} {
		w.close(m)
	}
	_, _, err = a2(w, a).Erase(ctx, Call{}, EraseRequest{Person: refMarker, Cause: "request"})
	noErr(t, err)
	w.close(a)
	for _, marker := range markers {
		if files := find(t, w.dir, marker); len(files) > 0 {
			t.Errorf("%q is in clear in %q", marker, files)
		}
		if bytes.Contains(w.log.Bytes(), []byte(marker)) {
			t.Errorf("%q is in a log line", marker)
		}
		if i := slices.IndexFunc(told, func(s string) bool { return strings.Contains(s, marker) }); i >= 0 {
			t.Errorf("%q is in an error: %s", marker, told[i])
		}
	}
	// The control: a value written in clear is found.
	blobs, err := store.OpenBlobs(filepath.Join(w.dir, "a-sha", "blobs"), slog.New(slog.DiscardHandler), store.WithMinFree(0))
	noErr(t, err)
	noErr(t, blobs.Put([]byte("control"), []byte("x"+nameMarker)))
	noErr(t, blobs.Close())
	if len(find(t, w.dir, nameMarker)) == 0 {
		t.Error("the search is blind")
	}
}

// a2 opens a member's desk again.
func a2(w *world, m *member) *Desk {
	w.open(m)
	return m.Desk
}

// find returns the files below a directory that contain a text.
func find(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(text)) {
			files = append(files, strings.TrimPrefix(path, dir))
		}
		return err
	})
	noErr(t, err)
	return files
}
