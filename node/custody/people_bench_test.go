package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node/store"
)

var (
	manyPeople = flag.Int("people", 20_000, "people in BenchmarkPeople")
	peopleDir  = flag.String("people-dir", "", "directory of BenchmarkPeople, which stays: filled where it is empty, else used as it is")
)

// BenchmarkPeople measures the vault and the desk's use of it with many people, each
// with one service, one lookup, one handle and one month of records, on the node's own
// database with every sync; once is enough:
//
//	go test -run '^$' -bench People -benchtime 1x -timeout 1h ./node/custody -people 1000000
func BenchmarkPeople(b *testing.B) {
	p := &populace{B: b, identity: newIdentity(b), people: *manyPeople}
	if p.people < 10_000 {
		b.Fatal("at least 10,000 people: nobody is erased twice")
	}
	b.ReportMetric(0, "ns/op")
	p.open()
	began := time.Now()
	if filled, err := p.v.Has("first"); err != nil {
		b.Fatal(err)
	} else if !filled {
		p.fill()
		b.Logf("%d people in %.0f s", p.people, time.Since(began).Seconds())
	}
	p.load()
	p.measure("read", 5000, func() { // a person's keys, by reference
		q, release, err := p.desk.use(p.next())
		noErr(b, err)
		if len(p.desk.classesOf(q, "")) != 2 {
			b.Fatal("not all of a person")
		}
		release()
	})
	p.measure("erase", 3000, func() { p.shred(1) })
	p.measure("erase1000", 3, func() { p.shred(1000) })
	p.measure("first-seal", 1000, p.firstSeal)
	began = time.Now()
	p.measure("registrations", 10_000, p.firstSeal) // one after the other, without a pause
	p.ReportMetric(10_000/time.Since(began).Seconds(), "registrations/s")
	p.items()
	p.measure("verify", 1, func() { noErr(b, p.v.Verify()) })
	p.measure("open", 1, func() { p.close(); p.open() })
	p.load()
	p.close()
}

// populace is a vault with many people.
type populace struct {
	*testing.B
	identity seal.Identity
	people   int
	dir      string
	blobs    *store.Blobs
	wrote    atomic.Int64 // bytes of vault blobs, and of what is put beside
	changed  int          // bytes of entries and files that were put or destroyed
	v        *vault.Vault
	desk     *Desk
	at       int // the next person, in an order that jumps
	added    int
}

func newIdentity(b *testing.B) seal.Identity {
	identity, err := seal.NewIdentity()
	noErr(b, err)
	return identity
}

// counted counts what the vault writes.
type counted struct {
	vaultBlobs
	wrote *atomic.Int64
}

func (c counted) Put(blobs ...vault.Blob) error {
	for _, b := range blobs {
		c.wrote.Add(int64(len(b.Key) + len(b.Value)))
	}
	return c.vaultBlobs.Put(blobs...)
}

func (p *populace) open() {
	if p.dir == "" {
		if p.dir = *peopleDir; p.dir == "" {
			p.dir = p.TempDir()
		}
	}
	var err error
	p.blobs, err = store.OpenBlobs(filepath.Join(p.dir, "blobs"), slog.New(slog.DiscardHandler))
	noErr(p, err)
	slot, err := vault.OpenFileSlot(filepath.Join(p.dir, "slot"))
	noErr(p, err)
	p.v, err = vault.Open(slot, counted{vaultBlobs{p.blobs}, &p.wrote}, vault.Options{MaxEntries: 20_000_000})
	noErr(p, err)
}

func (p *populace) close() {
	noErr(p, p.desk.Close())
	noErr(p, p.v.Close())
	noErr(p, p.blobs.Close())
}

func refOf(i int) Ref { return Ref(fmt.Sprintf("p%07d", i)) }

func (p *populace) next() Ref {
	p.at = (p.at + 7919) % p.people
	return refOf(p.at)
}

// part makes the entries of somebody that lie together: 0 at the person, 1 the lookup,
// 2 the handle.
func (p *populace) part(ref Ref, part int) []vault.Entry {
	sum := sha256.Sum256([]byte(ref))
	h := sign.PublicKey(sum)
	lookup := lookupID("phone", "090"+string(ref[1:]))
	switch part {
	case 1:
		return []vault.Entry{{ID: lookup, Value: []byte(ref)}}
	case 2:
		return []vault.Entry{{ID: handleID(h), Value: canon.Must(&knownHandle{ref, "a-portal"})}}
	}
	key := p.identity.Marshal()
	return []vault.Entry{
		{ID: personID(ref, "ks"), Value: append(sum[:], 0)},
		{ID: personID(ref, "c/a-portal"), Value: append(key[:95:95], sum[:16]...)},
		{ID: personID(ref, "r/2026-12"), Value: append(key[:95:95], sum[16:]...)},
		{ID: personID(ref, lookup)},
		{ID: personID(ref, handleID(h)), Value: []byte("a-portal")},
	}
}

// fill puts everybody in the order of the buckets, so that each fold touches few.
func (p *populace) fill() {
	noErr(p, p.v.Put(vault.Entry{ID: "first"}))
	noErr(p, p.v.Compact()) // from here on buckets keep their numbers
	type unit struct {
		person uint32
		part   uint8
	}
	in := make([][]unit, p.v.Buckets())
	for i := range p.people {
		for part := range 3 {
			b := p.v.BucketOf(p.part(refOf(i), part)[0].ID)
			in[b] = append(in[b], unit{uint32(i), uint8(part)})
		}
	}
	var batch []vault.Entry
	for _, units := range in {
		for _, u := range units {
			batch = append(batch, p.part(refOf(int(u.person)), int(u.part))...)
		}
		if len(batch) > 2000 {
			noErr(p, p.v.Put(batch...))
			batch = nil
		}
	}
	noErr(p, p.v.Put(batch...))
	noErr(p, p.v.Compact())
}

// load starts a desk on the vault, and reports what its index takes.
func (p *populace) load() {
	p.desk = nil
	before := heapBytes()
	began := time.Now()
	p.desk = &Desk{Config: Config{Self: "a-sha", Vault: p.v, Blobs: p.blobs, Log: slog.New(slog.DiscardHandler), Now: time.Now}, people: newPeople(p.v), keys: newKeyring(maxKeys),
		work: make(chan struct{}, maxWorkers)}
	p.desk.ctx, p.desk.cancel = context.WithCancel(context.Background())
	noErr(p, p.desk.loadPeople())
	p.ReportMetric(time.Since(began).Seconds(), "start-s")
	p.ReportMetric(float64(heapBytes()-before)/(1<<20), "index-MiB")
	p.ReportMetric(float64(p.desk.People(ctx)), "people")
}

func (p *populace) measure(what string, times int, do func()) {
	took := make([]time.Duration, times)
	before, disk, sum := p.wrote.Load(), diskBytes(), time.Duration(0)
	p.changed = 0
	for i := range took {
		began := time.Now()
		do()
		took[i] = time.Since(began)
		sum += took[i]
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p.ReportMetric(ms(took[times-1]), what+"-max-ms")
	if times == 1 {
		return
	}
	p.ReportMetric(ms(sum/time.Duration(times)), what+"-mean-ms")
	p.ReportMetric(ms(took[times/2]), what+"-p50-ms")
	p.ReportMetric(ms(took[(times-1)*99/100]), what+"-p99-ms")
	p.ReportMetric(float64((p.wrote.Load()-before)/int64(times))/1000, what+"-kB")
	if p.changed > 0 { // what the vault writes, and the system for all of the process, merges of tables too
		p.ReportMetric(float64(p.wrote.Load()-before)/float64(p.changed), what+"-amplification")
		p.ReportMetric(float64(diskBytes()-disk)/float64(p.changed), what+"-disk-amplification")
	}
}

// diskBytes returns how much this process has made the system write to disks; 0 where
// the system does not say.
func diskBytes() (n int64) {
	b, _ := os.ReadFile("/proc/self/io")
	if _, after, found := strings.Cut(string(b), "\nwrite_bytes: "); found {
		fmt.Sscan(after, &n)
	}
	return n
}

// change counts what is put or destroyed.
func (p *populace) change(entries []vault.Entry, files ...store.KV) {
	for _, e := range entries {
		p.changed += 4 + len(e.ID) + len(e.Value)
	}
	for _, f := range files {
		p.changed += len(f.Key) + len(f.Value)
	}
}

// shred erases so many people in one rotation, as an erasure does.
func (p *populace) shred(persons int) {
	var ids []string
	for range persons {
		ref := p.next()
		for part := range 3 {
			p.change(p.part(ref, part))
		}
		q, release, err := p.desk.use(ref)
		noErr(p, err)
		ids = append(ids, p.desk.entriesOf(q)...)
		release()
	}
	noErr(p, p.desk.shred(ids...))
}

// firstSeal makes all keys of somebody new durable, and 500 bytes sealed to them.
func (p *populace) firstSeal() {
	p.added++
	ref := refOf(p.people + p.added)
	classes, entries, files, err := p.desk.missing(ref, "c/a-portal")
	noErr(p, err)
	sealed, err := p.desk.sealFor(classes[0].id, sealedSheet, classes[0].id, bytes.Repeat([]byte{7}, 500))
	noErr(p, err)
	files = append(files, store.KV{Key: blobKey(kindSheet, classes[0].id[:]), Value: sealed})
	secret := sign.NewSecret()
	entries = append(entries, vault.Entry{ID: personID(ref, "ks"), Value: append(secret[:], 0)})
	entries = append(entries, p.part(ref, 1)...)
	entries = append(entries, p.part(ref, 2)...)
	all, err := withNames(entries)
	noErr(p, err)
	p.change(all, files...)
	noErr(p, p.desk.putBeside(files, entries...))
}

// items seals items of 500 bytes to somebody whose key is in memory, on one core.
func (p *populace) items() {
	classes, entries, files, err := p.desk.missing("items", "c/a-portal")
	noErr(p, err)
	noErr(p, p.desk.putBeside(files, entries...))
	const items = 100_000
	item := bytes.Repeat([]byte{7}, 500)
	began := time.Now()
	for range items {
		_, err := p.desk.sealFor(classes[0].id, sealedSheet, classes[0].id, item)
		noErr(p, err)
	}
	p.ReportMetric(items/time.Since(began).Seconds(), "items/s")
}
