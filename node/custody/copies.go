package custody

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Copies hears of what is put into the vault, so that custodians are sent it
// (node/escrow), and of what went from there without a tombstone, with the number under
// which its copies are. Both return at once. Ensure returns when a custodian has copies
// of entries, or says why none has.
type Copies interface {
	Changed(ids ...string)
	Gone(n seal.Number, ids ...string)
	Ensure(ctx context.Context, ids ...string) error
}

// tellPiecesGone says which plans are done: their copies have no tombstone to die with.
func (d *Desk) tellPiecesGone(ids []string) {
	for _, id := range ids {
		if d.Copies != nil && isPiece(id) {
			d.Copies.Gone(d.pieceNumber(id), id)
		}
	}
}

// pieceNumber returns the number of the copies of a plan's pieces. No tombstone has it;
// but what has one number lies together at a custodian, where there is room for the
// pieces of one plan and not for those of all.
func (d *Desk) pieceNumber(id string) seal.Number {
	_, rest, _ := strings.Cut(id, "/")
	erasure, _, _ := strings.Cut(rest, "/")
	return seal.Number(d.code("plan", erasure)[:16])
}

func isPiece(id string) bool { return strings.HasPrefix(id, "t/") }

func (d *Desk) tellCopies(entries []vault.Entry) {
	var ids []string
	for _, e := range entries {
		if isCopied(e.ID) {
			ids = append(ids, e.ID)
		}
	}
	d.Copies.Changed(ids...)
}

// isCopied reports whether custodians get a copy of an entry: not of what lives for
// one hand-over or one erasure.
func isCopied(id string) bool { return !strings.HasPrefix(id, "w/") && !strings.HasPrefix(id, "e/") }

// maxLives bounds how often one reference is registered and erased.
const maxLives = 10_000

// personNumber returns the number by whose tombstone all dies that belongs to a
// person and to no class: K_s, lookups, handles. It follows from the reference, under
// a key that is in the vault only; a reference that was erased and came back has the
// next one that no erasure has used.
func (d *Desk) personNumber(ref Ref) (n record.KeyNumber, err error) {
	st, err := d.state()
	if err != nil {
		return n, err
	}
	for life := range maxLives {
		n = d.lifeNumber(ref, life)
		t, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(n))
		if err != nil || t == nil {
			return n, err
		}
	}
	return n, record.Refuse(record.CodeErased, "the reference was erased too often")
}

func (d *Desk) lifeNumber(ref Ref, life int) record.KeyNumber {
	return record.KeyNumber(d.code("person", string(ref), strconv.Itoa(life))[:16])
}

// handleNumber returns the number by whose tombstone the ways to a person from a
// handle die: it has one of its own, since who leaves a service leaves the handle
// and stays a person.
func (d *Desk) handleNumber(handle string) record.KeyNumber {
	return record.KeyNumber(d.code("handle", handle)[:16])
}

// handleNumbers returns those of handles that have no tombstone yet, ascending.
func (d *Desk) handleNumbers(st *store.State, handles []sign.PublicKey) ([]record.KeyNumber, error) {
	var out []record.KeyNumber
	for _, h := range handles {
		out = append(out, d.handleNumber(string(h[:])))
	}
	slices.SortFunc(out, func(a, b record.KeyNumber) int { return slices.Compare(a[:], b[:]) })
	return unburied(st, out)
}

// NumberOf returns the number by whose tombstone the copies of a vault entry die,
// zeros where none does. It reports false for what custodians get no copy of, which
// includes what an erasure under way is about to destroy. It must not be called from
// within a call of the vault.
func (d *Desk) NumberOf(id string, value []byte) (n seal.Number, copied bool) {
	if !isCopied(id) {
		return n, false
	}
	if isPiece(id) {
		return d.pieceNumber(id), true
	}
	kind, rest, _ := strings.Cut(id, "/")
	ref, what, _ := strings.Cut(rest, "/")
	if c, err := readClass(id, value); err == nil && what != "ks" && kind != "l" && kind != "h" {
		return c.number, true
	}
	switch kind {
	case "l":
		ref = string(value)
	case "h":
		var k knownHandle
		if canon.Unmarshal(value, &k) != nil {
			return n, false
		}
		ref, what = string(k.Ref), id
	case "p":
	default:
		return n, true
	}
	if d.goingOut(Ref(ref)) {
		return n, false
	}
	if h, ok := strings.CutPrefix(what, "h/"); ok {
		return seal.Number(d.handleNumber(h)), true
	}
	number, err := d.personNumber(Ref(ref))
	return seal.Number(number), err == nil
}

// Mend makes a vault whole that came back from custodians. The way to a person and
// its name at the person belong together, and the loss may have come between their
// copies; and of whom nothing is left but ways, nothing is to be found.
func Mend(v *vault.Vault) error {
	var add []vault.Entry
	alive, ways := map[string]bool{}, map[string][]string{} // by reference
	for bucket := range v.Buckets() {
		err := v.EachIn(bucket, func(id string, value []byte) error {
			kind, rest, _ := strings.Cut(id, "/")
			ref, _, _ := strings.Cut(rest, "/")
			e, err := counterpart(id, value)
			if e.ID == "" {
				alive[ref] = alive[ref] || kind == "p"
				return err
			}
			if kind != "p" {
				ref, _, _ = strings.Cut(e.ID[2:], "/")
			}
			add, ways[ref] = append(add, e), append(ways[ref], id, e.ID)
			return err
		})
		if err != nil {
			return err
		}
	}
	for part := range slices.Chunk(add, mendAtOnce) {
		if err := v.Put(part...); err != nil { // what is there already is left alone
			return err
		}
	}
	var lost []string
	for ref, ids := range ways {
		if !alive[ref] {
			lost = append(lost, ids...)
		}
	}
	_, err := v.Shred(lost...)
	return err
}

const mendAtOnce = 500

// counterpart returns the entry that belongs to a way to a person, or to the name
// of one; none where an entry is neither.
func counterpart(id string, value []byte) (e vault.Entry, err error) {
	kind, rest, _ := strings.Cut(id, "/")
	e.Reserve = true
	switch ref, what, _ := strings.Cut(rest, "/"); kind {
	case "l":
		e.ID = personID(Ref(value), id)
	case "h":
		var k knownHandle
		if err = canon.Unmarshal(value, &k); err == nil {
			e.ID, e.Value = personID(k.Ref, id), []byte(k.For)
		}
	case "p":
		if strings.HasPrefix(what, "l/") {
			e.ID, e.Value = what, []byte(ref)
		} else if h, ok := strings.CutPrefix(what, "h/"); ok && len(h) == sign.PublicKeySize {
			e = handleEntry(sign.PublicKey([]byte(h)), Ref(ref), string(value))
			e.Reserve = true
		}
	}
	return e, err
}

// orphanErased takes the names off the record classes of people who were erased: a
// custodian that has not been compared since has them under their entry of before.
func (d *Desk) orphanErased() error {
	var refs []Ref
	for bucket := range d.Vault.Buckets() {
		records, more := map[Ref]bool{}, map[Ref]bool{}
		err := d.Vault.EachIn(bucket, func(id string, _ []byte) error {
			ref, what, ok := personEntry(id)
			if isRecord := strings.HasPrefix(what, "r/"); ok {
				records[ref], more[ref] = records[ref] || isRecord, more[ref] || !isRecord
			}
			return nil
		})
		if err != nil {
			return err
		}
		for ref, kept := range records {
			if kept && !more[ref] {
				refs = append(refs, ref)
			}
		}
	}
	for _, ref := range refs {
		if erased, err := d.erasedBefore(ref); err != nil || !erased {
			if err != nil {
				return err
			}
			continue
		}
		d.people.mu.Lock()
		q, err := d.people.person(ref)
		d.people.mu.Unlock()
		if err != nil || q == nil {
			return err
		}
		if err := d.orphanRecords(q); err != nil {
			return err
		}
		if err := d.shred(d.entriesOf(q)...); err != nil {
			return err
		}
	}
	return nil
}
