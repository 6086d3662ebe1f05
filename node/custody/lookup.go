package custody

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Lookups returns the values of one kind by which a person is found.
func (d *Desk) Lookups(ref Ref, kind string) ([]string, error) {
	q, release, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	var out []string
	for id := range q.lookups {
		if value, ok := strings.CutPrefix(id, lookupID(kind, "")); ok {
			out = append(out, value)
		}
	}
	slices.Sort(out)
	return out, nil
}

// AddLookup makes a person found by a further value. One that is somebody else's is
// refused (duplicate).
func (d *Desk) AddLookup(_ context.Context, ref Ref, kind, value string) error {
	if err := checkLookup(ref, kind, value); err != nil {
		return err
	}
	defer d.lock(string(ref))()
	_, release, err := d.use(ref)
	if err != nil {
		return err
	}
	defer release()
	return d.put(d.fresh1([]vault.Entry{{ID: lookupID(kind, value), Value: []byte(ref)}})...)
}

// RemoveLookup makes a person not found any more by a value, and destroys it in the
// vault. One that is not theirs is left alone, which is no error: it may be repeated.
func (d *Desk) RemoveLookup(_ context.Context, ref Ref, kind, value string) error {
	if err := checkLookup(ref, kind, value); err != nil {
		return err
	}
	defer d.lock(string(ref))()
	q, release, err := d.use(ref)
	if err != nil {
		return err
	}
	defer release()
	id := lookupID(kind, value)
	d.people.mu.Lock()
	theirs := q.lookups[id]
	d.people.mu.Unlock()
	if !theirs {
		return nil
	}
	if d.Copies == nil {
		return d.shred(id, personID(ref, id))
	}
	number, err := d.personNumber(ref)
	if err != nil {
		return err
	}
	if err := d.shred(id, personID(ref, id)); err != nil {
		return err
	}
	d.Copies.Gone(seal.Number(number), id, personID(ref, id)) // the person stays, so no tombstone destroys these
	return nil
}

// Hint is by what people know an account of theirs, with most of it hidden: the number
// or address to which codes go, else the member's own reference for them.
func (d *Desk) Hint(ref Ref) (string, error) {
	for _, kind := range []string{"phone", "email"} {
		values, err := d.Lookups(ref, kind)
		switch code := codeOf(err); {
		case code == record.CodeErased || code == CodePersonUnknown || code == CodePersonLeaving:
			return string(ref), nil
		case err != nil:
			return "", err
		case len(values) > 0:
			return hint(values[0]), nil
		}
	}
	return string(ref), nil
}

// hint hides all of an address but its first character and its domain, and of anything
// else all but the last third, at most four characters.
func hint(value string) string {
	const hidden = "•••"
	if at := strings.LastIndexByte(value, '@'); at > 0 {
		_, first := utf8.DecodeRuneInString(value)
		return value[:first] + hidden + value[at:]
	}
	rs := []rune(value)
	return hidden + string(rs[len(rs)-min(len(rs)/3, 4):])
}
