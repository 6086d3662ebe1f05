package custody

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// person is what the vault holds of one person.
type person struct {
	ref     Ref
	secret  bool
	classes map[string]*class         // by name
	lookups map[string]bool           // ids of vault entries
	handles map[sign.PublicKey]string // what they are for
	using   int                       // operations under way
	erasing bool
	leaving chan struct{} // closed when an erasure begins; nil where nobody waits for one
}

// maxIdle bounds the people in memory whom nobody uses.
const maxIdle = 1024

type knownHandle struct {
	Ref Ref    `cbor:"1,keyasint"`
	For string `cbor:"2,keyasint"`
}

// person returns a person, nil where there is none. p.mu is held.
func (p *people) person(ref Ref) (*person, error) {
	if q := p.byRef[ref]; q != nil || !validRef(ref) {
		if q != nil && q.empty() && !q.erasing {
			return nil, nil // asked before, and not there
		}
		return q, nil
	}
	q := &person{ref: ref, classes: map[string]*class{}, lookups: map[string]bool{}, handles: map[sign.PublicKey]string{}}
	prefix := personID(ref, "")
	if err := p.vault.Each(prefix, func(id string, value []byte) error { return q.add(id[len(prefix):], value) }); err != nil {
		return nil, err
	}
	p.makeRoom()
	p.byRef[ref] = q
	if q.empty() {
		return nil, nil
	}
	return q, nil
}

func (p *people) makeRoom() {
	if len(p.byRef) < maxIdle {
		return
	}
	for ref, q := range p.byRef {
		if q.using == 0 && !q.erasing {
			delete(p.byRef, ref)
			return
		}
	}
}

func (q *person) empty() bool {
	return !q.secret && len(q.classes) == 0 && len(q.lookups) == 0 && len(q.handles) == 0
}

// maxNumbered is how many identities a person has at most that an erasure names: as
// many as one record takes, less the person's own and room for what comes in at once.
const maxNumbered = record.MaxNumbers - 16

// isNumbered reports whether an erasure of the person names what stands under a name.
func isNumbered(what string) bool {
	return strings.HasPrefix(what, "h/") || isClass(what) && !isRecords(what)
}

func (q *person) numbered() int {
	n := len(q.handles)
	for name := range q.classes {
		if isNumbered(name) {
			n++
		}
	}
	return n
}

// named reports whether an entry by which q is found is named at q.
func (q *person) named(id string) bool {
	if rest, ok := strings.CutPrefix(id, "h/"); ok && len(rest) == sign.PublicKeySize {
		_, known := q.handles[sign.PublicKey([]byte(rest))]
		return known
	}
	return q.lookups[id]
}

// add enters what the vault holds of q under a name.
func (q *person) add(what string, value []byte) error {
	kind, rest, _ := strings.Cut(what, "/")
	switch kind {
	case "ks":
		q.secret = true
	case "l":
		q.lookups[what] = true
	case "h":
		if len(rest) != sign.PublicKeySize {
			return errors.New("an entry of a handle is damaged")
		}
		q.handles[sign.PublicKey([]byte(rest))] = string(value)
	default:
		c, err := readClass(personID(q.ref, what), value)
		if err != nil {
			return err
		}
		c.ref, c.name = q.ref, what
		q.classes[what] = c
	}
	return nil
}

// remove takes what the vault holds of q under a name out, and returns the class
// that it was and what undoes it.
func (q *person) remove(what string) (c *class, undo func()) {
	kind, rest, _ := strings.Cut(what, "/")
	switch kind {
	case "ks":
		was := q.secret
		q.secret = false
		return nil, func() { q.secret = was }
	case "l":
		if !q.lookups[what] {
			break
		}
		delete(q.lookups, what)
		return nil, func() { q.lookups[what] = true }
	case "h":
		h := sign.PublicKey([]byte(rest))
		is, known := q.handles[h]
		if !known {
			break
		}
		delete(q.handles, h)
		return nil, func() { q.handles[h] = is }
	default:
		if c = q.classes[what]; c == nil {
			break
		}
		delete(q.classes, what)
		return c, func() { q.classes[what] = c }
	}
	return nil, func() {}
}

// use begins an operation on a person, who must be here and not on the way out.
// Erasing waits until every such operation has ended. Refusals: person.leaving while
// an erasure is under way, which may be of one service or be refused yet; erased where
// nothing is left; person.unknown.
func (d *Desk) use(ref Ref) (*person, func(), error) {
	d.people.mu.Lock()
	q, err := d.people.person(ref)
	if err != nil {
		d.people.mu.Unlock()
		return nil, nil, err
	}
	if q != nil && !q.erasing {
		q.using++
		d.people.mu.Unlock()
		return q, func() { d.people.release(q) }, nil
	}
	leaving := q != nil && !q.empty()
	d.people.mu.Unlock()
	if leaving {
		return nil, nil, record.Refuse(CodePersonLeaving, "")
	}
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

// useUntilErased is use for what waits for other members: its context ends when an
// erasure of the person begins, which would wait for them else.
func (d *Desk) useUntilErased(ctx context.Context, ref Ref) (context.Context, func(), error) {
	q, release, err := d.use(ref)
	if err != nil {
		return ctx, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	d.people.mu.Lock()
	if q.leaving == nil {
		q.leaving = make(chan struct{})
	}
	leaving := q.leaving
	if q.erasing { // since use
		cancel()
	}
	d.people.mu.Unlock()
	go func() {
		select {
		case <-leaving:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); release() }, nil
}

func (p *people) release(q *person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.using--
	p.changed.Broadcast()
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
func (d *Desk) handlesOf(q *person) map[sign.PublicKey]string {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return maps.Clone(q.handles)
}

func (d *Desk) personOf(h sign.PublicKey) (k knownHandle, found bool, err error) {
	value, err := d.Vault.Get(handleID(h))
	if errors.Is(err, vault.ErrNotFound) {
		return k, false, nil
	}
	if err != nil {
		return k, false, err
	}
	defer clear(value)
	return k, true, canon.Unmarshal(value, &k)
}

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

func (d *Desk) markKey(ref Ref) []byte { return blobKey(kindMark, d.code("erased", string(ref))) }

// erasedBefore reports whether somebody with this reference was erased: by a mark
// here, or by the tombstone, which outlives the loss of this node.
func (d *Desk) erasedBefore(ref Ref) (bool, error) {
	_, found, err := d.Blobs.Get(d.markKey(ref))
	if err != nil || found {
		return found, err
	}
	st := d.State()
	if st == nil {
		return false, nil
	}
	t, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(d.lifeNumber(ref, 0)))
	return t != nil, err
}
