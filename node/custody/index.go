package custody

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
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
//	p/REF/r/2026-12      record class of a month
//	l/KIND/VALUE         REF: a lookup
//	h/HANDLE             REF and what the handle is for
//	z/CLASS/2026-12      record class of somebody who was erased
//	w/INTENT/one, …/box  one-time key of a parcel, class of its openings
//	e/ERASURE/a, …/b     classes of an erasure under way
//	s/SENSOR/2026-12     class of a sensor's readings
const macEntry = "desk/mac"

// people is the vault's index in memory.
type people struct {
	mu      sync.Mutex
	changed *sync.Cond // a person is used by one fewer
	byRef   map[Ref]*person
	handles map[sign.PublicKey]knownHandle
	classes map[[16]byte]*class
	loose   map[string]*class // that belong to nobody, by vault entry
}

// person is what the vault holds of one person.
type person struct {
	ref     Ref
	secret  bool
	classes map[string]*class         // by name
	lookups []string                  // ids of vault entries
	handles map[sign.PublicKey]string // what they are for
	using   int                       // operations under way
	erasing bool
}

type knownHandle struct {
	Ref Ref    `cbor:"1,keyasint"`
	For string `cbor:"2,keyasint"`
}

func newPeople() *people {
	p := &people{byRef: map[Ref]*person{}, handles: map[sign.PublicKey]knownHandle{}, classes: map[[16]byte]*class{}, loose: map[string]*class{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *people) class(id [16]byte) *class {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.classes[id]
}

// of returns a person, made where there is none. p.mu is held.
func (p *people) of(ref Ref) *person {
	q := p.byRef[ref]
	if q == nil {
		q = &person{ref: ref, classes: map[string]*class{}, handles: map[sign.PublicKey]string{}}
		p.byRef[ref] = q
	}
	return q
}

// add enters a vault entry. p.mu is held.
func (p *people) add(id string, value []byte) error {
	kind, rest, _ := strings.Cut(id, "/")
	switch kind {
	case "p":
		ref, what, _ := strings.Cut(rest, "/")
		q := p.of(Ref(ref))
		if what == "ks" {
			q.secret = true
			return nil
		}
		c, err := readClass(id, value)
		if err != nil {
			return err
		}
		c.ref, c.name = q.ref, what
		q.classes[what], p.classes[c.id] = c, c
	case "l":
		q := p.of(Ref(value))
		q.lookups = append(q.lookups, id)
	case "h":
		var k knownHandle
		if err := canon.Unmarshal(value, &k); err != nil || len(rest) != sign.PublicKeySize {
			return errors.New("an entry of a handle is damaged")
		}
		h := sign.PublicKey([]byte(rest))
		p.handles[h] = k
		p.of(k.Ref).handles[h] = k.For
	case "z", "e", "s", "w":
		if len(value) != classBytes { // the one-time key of a parcel
			return nil
		}
		c, err := readClass(id, value)
		if err != nil {
			return err
		}
		if _, c.name, _ = strings.Cut(rest, "/"); kind == "z" {
			c.name = "r/" + c.name
		}
		p.classes[c.id], p.loose[id] = c, c
	}
	return nil
}

// handleEntry makes the index entry of a handle.
func handleEntry(h sign.PublicKey, ref Ref, id string) vault.Entry {
	return vault.Entry{ID: "h/" + string(h[:]), Value: canon.Must(&knownHandle{Ref: ref, For: id})}
}

// loadPeople reads the whole vault, once: all that New needs of it.
func (d *Desk) loadPeople() error {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.Vault.Each("", func(id string, value []byte) error {
		if strings.HasPrefix(id, "w/") || strings.HasPrefix(id, "e/") {
			d.found = append(d.found, id)
		}
		return d.people.add(id, value)
	})
}

// put makes entries durable in the vault and enters them into the index.
func (d *Desk) put(entries ...vault.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := d.Vault.Put(entries...)
	defer func() {
		for _, e := range entries {
			clear(e.Value)
		}
	}()
	switch {
	case errors.Is(err, vault.ErrExists):
		return record.Refuse(record.CodeDuplicate, "a secret or lookup belongs to somebody else")
	case err != nil:
		return err
	}
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	for _, e := range entries {
		if err := d.people.add(e.ID, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// use begins an operation on a person, who must be here and not on the way out.
// Erasing waits until every such operation has ended.
func (d *Desk) use(ref Ref) (*person, func(), error) {
	d.people.mu.Lock()
	q := d.people.byRef[ref]
	if q != nil && !q.erasing {
		q.using++
		d.people.mu.Unlock()
		return q, func() {
			d.people.mu.Lock()
			q.using--
			d.people.changed.Broadcast()
			d.people.mu.Unlock()
		}, nil
	}
	d.people.mu.Unlock()
	if q != nil {
		return nil, nil, record.Refuse(record.CodeErased, "")
	}
	marked, err := d.erasedBefore(ref)
	if err != nil {
		return nil, nil, err
	}
	if marked {
		return nil, nil, record.Refuse(record.CodeErased, "")
	}
	return nil, nil, record.Refuse(CodePersonUnknown, "")
}

// hasSecret reports whether K_s of a person is kept here.
func (d *Desk) hasSecret(q *person) bool {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return q.secret
}

// classOf returns a person's class of a name, nil where there is none.
func (d *Desk) classOf(q *person, name string) *class {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return q.classes[name]
}

// classesOf returns a person's classes whose name has a prefix, by name.
func (d *Desk) classesOf(q *person, prefix string) []*class {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	var out []*class
	for name, c := range q.classes {
		if strings.HasPrefix(name, prefix) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *class) int { return strings.Compare(a.name, b.name) })
	return out
}

// handlesOf returns what a person's known handles are for.
func (d *Desk) handlesOf(ref Ref) map[sign.PublicKey]string {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	if q := d.people.byRef[ref]; q != nil {
		return maps.Clone(q.handles)
	}
	return nil
}

func (d *Desk) personOf(h sign.PublicKey) (knownHandle, bool) {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	k, ok := d.people.handles[h]
	return k, ok
}

// ensure returns a person's classes of these names, made where there are none.
// The caller holds the person's lock.
func (d *Desk) ensure(q *person, names ...string) ([]*class, error) {
	out, entries, err := d.missing(q.ref, names...)
	if err != nil {
		return nil, err
	}
	if err := d.put(entries...); err != nil {
		return nil, err
	}
	return out, nil
}

// missing makes the classes of these names that a person has not, with their
// wrapped keys durable, and the vault entries that are to follow.
func (d *Desk) missing(ref Ref, names ...string) (classes []*class, entries []vault.Entry, err error) {
	var files []storeKV
	d.people.mu.Lock()
	q := d.people.byRef[ref]
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
		c, entry, file, err := newClass("p/"+string(ref)+"/"+name, ref, name)
		if err != nil {
			return nil, nil, err
		}
		classes[i], entries, files = c, append(entries, entry), append(files, file)
	}
	if len(files) > 0 {
		err = d.Blobs.PutMany(files)
	}
	return classes, entries, err
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

func validRef(ref Ref) bool {
	if len(ref) == 0 || len(ref) > 64 {
		return false
	}
	for i := range len(ref) {
		c := ref[i]
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

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

func (d *Desk) markKey(ref Ref) []byte { return blobKey(kindMark, d.code("erased", string(ref))) }

// erasedBefore reports whether somebody with this reference was erased.
func (d *Desk) erasedBefore(ref Ref) (bool, error) {
	_, found, err := d.Blobs.Get(d.markKey(ref))
	return found, err
}

// People returns how many people the desk holds anything of.
func (d *Desk) People(context.Context) int {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return len(d.people.byRef)
}
