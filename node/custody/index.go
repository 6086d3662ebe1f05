package custody

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Entries of the vault. Ids there are sealed, so they may be personal.
//
//	desk/mac             key of memos and marks
//	p/REF/ks             K_s (32 bytes), then 1 where the person brought it
//	p/REF/c/SERVICE      content class, with @HOLDER where a party received it
//	p/REF/d/…            class of one dataset, until its deadline (dated.go)
//	p/REF/r/2026-12      record class of a month
//	p/REF/l/KIND/VALUE   empty: there is such a lookup
//	p/REF/h/HANDLE       what the handle is for
//	l/KIND/VALUE         REF: a lookup
//	h/HANDLE             REF and what the handle is for
//	z/CLASS/2026-12      record class of somebody who was erased
//	w/INTENT/one, …/box  one-time key of a parcel, class of its openings
//	e/ERASURE/a, …/b     classes of an erasure under way
//	t/ERASURE/I/N        its plan, for who goes on after a loss (erase_copy.go)
//	s/SENSOR/…           class of a sensor's readings (sensor_keep.go)
const macEntry = "desk/mac"

// people is what the desk knows of its vault without reading it: how many people
// there are, in which bucket each class lies, and when each ends. A person is read
// from the vault when needed, and stays for as long as somebody uses them, is
// erasing them, or there is room.
type people struct {
	vault   *vault.Vault
	mu      sync.Mutex
	changed *sync.Cond // a person is used by one fewer
	byRef   map[Ref]*person
	count   int
	classes map[[16]byte]spot // those of people, erased ones too
	dated   dated
	loose   map[string]*class // those that belong to nobody, by vault entry
	looseBy map[[16]byte]*class
	damaged error // a bucket could not be read: what is not found may be in it
}

// spot is where the vault keeps a class.
type spot struct {
	bucket uint16
	orphan bool // under "z/": its person was erased
}

func newPeople(v *vault.Vault) *people {
	p := &people{vault: v, byRef: map[Ref]*person{}, classes: map[[16]byte]spot{}, dated: newDated(),
		loose: map[string]*class{}, looseBy: map[[16]byte]*class{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func personID(ref Ref, what string) string { return "p/" + string(ref) + "/" + what }

func handleID(h sign.PublicKey) string { return "h/" + string(h[:]) }

// handleEntry makes the entry by which a handle's person is found.
func handleEntry(h sign.PublicKey, ref Ref, id string) vault.Entry {
	return vault.Entry{ID: handleID(h), Value: canon.Must(&knownHandle{Ref: ref, For: id})}
}

// withNames adds to entries by which people are found those that name them at the
// person, so that the erasure of one finds them all.
func withNames(entries []vault.Entry) ([]vault.Entry, error) {
	out := slices.Clone(entries)
	for _, e := range entries {
		switch kind, _, _ := strings.Cut(e.ID, "/"); kind {
		case "l":
			out = append(out, vault.Entry{ID: personID(Ref(e.Value), e.ID), Reserve: e.Reserve})
		case "h":
			var k knownHandle
			if err := canon.Unmarshal(e.Value, &k); err != nil {
				return nil, err
			}
			out = append(out, vault.Entry{ID: personID(k.Ref, e.ID), Value: []byte(k.For), Reserve: e.Reserve})
		}
	}
	return out, nil
}

// note enters an entry of a bucket into what is known without reading. p.mu is held.
func (p *people) note(bucket int, id string, value []byte) error {
	kind, rest, _ := strings.Cut(id, "/")
	switch kind {
	case "p":
		ref, what, _ := strings.Cut(rest, "/")
		if q := p.byRef[Ref(ref)]; q != nil {
			if err := q.add(what, value); err != nil {
				return err
			}
		}
		if isClass(what) {
			return p.place(spot{bucket: uint16(bucket)}, what, value)
		}
	case "z":
		_, month, _ := strings.Cut(rest, "/")
		return p.place(spot{bucket: uint16(bucket), orphan: true}, "r/"+month, value)
	case "e", "s", "w":
		if len(value) != classBytes { // the one-time key of a parcel
			return nil
		}
		c, err := readClass(id, value)
		if err != nil {
			return err
		}
		_, c.name, _ = strings.Cut(rest, "/")
		p.loose[id], p.looseBy[c.id] = c, c
		p.dated.add(nameOf(id), uint16(bucket))
	}
	return nil
}

// isClass reports whether a class stands under a name of a person.
func isClass(what string) bool {
	return strings.HasPrefix(what, "c/") || strings.HasPrefix(what, "d/") || strings.HasPrefix(what, "r/")
}

// place notes where a class lies. Where an erasure has got half way it lies in two
// places, and the one without the person is what stays.
func (p *people) place(s spot, name string, value []byte) error {
	c, err := readClass("", value)
	if err != nil {
		return err
	}
	if s.orphan || !p.classes[c.id].orphan {
		p.classes[c.id] = s
	}
	p.dated.add(name, s.bucket)
	return nil
}

// nameOf returns the name of the class that an entry holds, of a person or of a
// sensor, "" where it holds none.
func nameOf(id string) string {
	kind, rest, _ := strings.Cut(id, "/")
	_, what, _ := strings.Cut(rest, "/")
	if kind == "z" {
		return "r/" + what
	}
	if kind == "p" && isClass(what) {
		return what
	}
	if kind == "s" {
		return id
	}
	return ""
}

// has reports whether a class may be there.
func (p *people) has(id [16]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, found := p.classes[id]
	return found || p.looseBy[id] != nil
}

// class returns a class, nil where it was erased.
func (p *people) class(id [16]byte) (c *class, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.looseBy[id]; c != nil {
		return c, nil
	}
	s, found := p.classes[id]
	if !found {
		return nil, p.damaged
	}
	err = p.vault.EachIn(int(s.bucket), func(at string, value []byte) error {
		if nameOf(at) == "" || len(value) != classBytes || [16]byte(value[len(value)-16:]) != id || s.orphan != (at[0] == 'z') {
			return nil
		}
		c, err = readClass(at, value)
		if c != nil && !s.orphan {
			ref, _, _ := strings.Cut(at[2:], "/")
			c.ref = Ref(ref)
		}
		if c != nil {
			c.name = nameOf(at)
		}
		return err
	})
	return c, err
}

// loadPeople reads the whole vault, once: all that New needs of it.
func (d *Desk) loadPeople() error {
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	ways, names := 0, 0 // by which people are found, and of these at the people
	for bucket := range d.Vault.Buckets() {
		refs := map[string]bool{}
		err := d.Vault.EachIn(bucket, func(id string, value []byte) error {
			kind, rest, _ := strings.Cut(id, "/")
			switch ref, what, _ := strings.Cut(rest, "/"); kind {
			case "w", "e", "t":
				d.found = append(d.found, id)
			case "l", "h":
				ways++
			case "p":
				refs[ref] = true
				if strings.HasPrefix(what, "l/") || strings.HasPrefix(what, "h/") {
					names++
				}
			}
			return p.note(bucket, id, value)
		})
		if errors.Is(err, vault.ErrBlock) {
			d.Log.Error("keys of some people cannot be read", "err", err.Error())
			p.damaged, err = err, nil
		}
		if err != nil {
			return err
		}
		p.count += len(refs)
	}
	if ways != names && p.damaged == nil {
		return d.clearStrays()
	}
	return nil
}

// clearStrays destroys lookups and handles that find nobody, as are left where a
// damaged bucket was given up (vault.GiveUp). One that finds somebody at whom it is
// not named is refused: an erasure would leave it. people.mu is held.
func (d *Desk) clearStrays() error {
	ways := map[string]Ref{}
	for _, prefix := range []string{"l/", "h/"} {
		err := d.Vault.Each(prefix, func(id string, value []byte) error {
			entries, err := withNames([]vault.Entry{{ID: id, Value: value}})
			if err == nil {
				ways[id], _, _ = personEntry(entries[1].ID)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	var strays []string
	for id, ref := range ways {
		q, err := d.people.person(ref)
		switch {
		case err != nil:
			return err
		case q == nil:
			strays = append(strays, id)
		case !q.named(id):
			return errors.New("the vault finds people by what it does not name at them: it was made by an earlier version of this program")
		}
	}
	if len(strays) > 0 {
		d.Log.Warn("lookups and handles of people whose keys were given up are destroyed", "count", len(strays))
	}
	_, err := d.Vault.Shred(strays...)
	return err
}

// put makes entries durable in the vault and enters them into the index.
func (d *Desk) put(entries ...vault.Entry) error { return d.putBeside(nil, entries...) }

// putBeside is put for entries that are of no use without these blobs: all get durable
// in one write, or none.
func (d *Desk) putBeside(blobs []storeKV, entries ...vault.Entry) error {
	if len(entries)+len(blobs) == 0 {
		return nil
	}
	entries, err := withNames(entries)
	if err != nil {
		return err
	}
	defer func() {
		for _, e := range entries {
			clear(e.Value)
		}
	}()
	fresh, err := d.people.unknown(entries)
	if err == nil {
		err = d.people.erasable(entries)
	}
	if err == nil {
		err = d.Vault.PutBeside(beside(blobs), entries...)
	}
	if err != nil {
		d.forgetKeys(entries)
	}
	switch {
	case errors.Is(err, vault.ErrExists):
		return record.Refuse(record.CodeDuplicate, "a secret or lookup belongs to somebody else")
	case err != nil:
		return err
	}
	if d.Copies != nil {
		d.tellCopies(entries)
	}
	if d.Vault.FoldDue() {
		d.start(dutyFold, d.foldDue)
	}
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	d.people.count += fresh
	for _, e := range entries {
		if err := d.people.note(d.Vault.BucketOf(e.ID), e.ID, e.Value); err != nil {
			return err
		}
	}
	return nil
}

func beside(blobs []storeKV) []vault.Blob {
	out := make([]vault.Blob, len(blobs))
	for i, b := range blobs {
		out[i] = vault.Blob{Key: string(b.Key), Value: b.Value, Beside: true}
	}
	return out
}

// forgetKeys wipes the data keys of classes that did not come to be.
func (d *Desk) forgetKeys(entries []vault.Entry) {
	for _, e := range entries {
		if len(e.Value) == classBytes {
			d.keys.wipe([16]byte(e.Value[classBytes-16:]))
		}
	}
}

// unknown counts the people of entries of whom nothing is held yet.
func (p *people) unknown(entries []vault.Entry) (count int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := map[Ref]bool{}
	for _, e := range entries {
		rest, is := strings.CutPrefix(e.ID, "p/")
		name, _, _ := strings.Cut(rest, "/")
		ref := Ref(name)
		if !is || asked[ref] {
			continue
		}
		asked[ref] = true
		q, err := p.person(ref)
		if err != nil {
			return 0, err
		}
		if q == nil {
			count++
		}
	}
	return count, nil
}

// erasable refuses entries with which a person would have more identities than the
// one record of an erasure names.
func (p *people) erasable(entries []vault.Entry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	more := map[Ref]int{}
	for _, e := range entries {
		rest, is := strings.CutPrefix(e.ID, "p/")
		ref, what, _ := strings.Cut(rest, "/")
		if !is || !isNumbered(what) {
			continue
		}
		q, err := p.person(Ref(ref))
		if err != nil {
			return err
		}
		if more[Ref(ref)]++; q != nil && q.numbered()+more[Ref(ref)] > maxNumbered {
			return record.Refuse(CodeDatasetsFull, "%d identities", q.numbered())
		}
	}
	return nil
}

// ensure returns a person's classes of these names, made where there are none.
// The caller holds the person's lock.
func (d *Desk) ensure(q *person, names ...string) ([]*class, error) {
	out, entries, files, err := d.missing(q.ref, names...)
	if err != nil {
		return nil, err
	}
	if err := d.putBeside(files, entries...); err != nil {
		return nil, err
	}
	return out, nil
}

// missing makes the classes of these names that a person has not, with the vault
// entries and the files of wrapped keys that are to be put together.
func (d *Desk) missing(ref Ref, names ...string) (classes []*class, entries []vault.Entry, files []storeKV, err error) {
	d.people.mu.Lock()
	q, err := d.people.person(ref)
	if err != nil {
		d.people.mu.Unlock()
		return nil, nil, nil, err
	}
	for _, name := range names {
		var c *class
		if q != nil {
			c = q.classes[name]
		}
		classes = append(classes, c)
	}
	d.people.mu.Unlock()
	for i, name := range names {
		if classes[i] != nil {
			continue
		}
		c, entry, file, err := d.newClass(personID(ref, name), ref, name)
		if err != nil {
			return nil, nil, nil, err
		}
		classes[i], entries, files = c, append(entries, entry), append(files, file)
	}
	return classes, entries, files, nil
}

func contentName(service, holder, owner string) string {
	if holder == owner {
		return "c/" + service
	}
	return receivedName(service, holder)
}

// receivedName is the content class of what a holder received under a service: a
// class of its own even where the holder offers the service, so that an erasure
// at the provider destroys it here too.
func receivedName(service, holder string) string { return "c/" + service + "@" + holder }

// recordName is the record class of today's month in JST.
func (d *Desk) recordName() string { return "r/" + d.Now().In(record.JST).Format("2006-01") }

func (d *Desk) loadMac() error {
	b, err := d.Vault.Get(macEntry)
	if errors.Is(err, vault.ErrNotFound) {
		b = make([]byte, 32)
		rand.Read(b)
		err = d.Vault.Put(vault.Entry{ID: macEntry, Value: b})
	}
	if err != nil {
		return err
	}
	d.mac = [32]byte(b)
	clear(b)
	return nil
}

// code names something by an authentication code: without the vault nobody can
// try names.
func (d *Desk) code(what string, parts ...string) []byte {
	m := hmac.New(sha256.New, d.mac[:])
	for _, p := range append([]string{what}, parts...) {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return m.Sum(nil)
}

// KeyFor returns a key of the member's own for a purpose outside the desk, such as
// the sessions of its pages. It follows from a secret of the vault.
func (d *Desk) KeyFor(purpose string) [32]byte { return [32]byte(d.code("key", purpose)) }

// People returns how many people the desk holds anything of.
func (d *Desk) People(context.Context) int {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.people.count
}
