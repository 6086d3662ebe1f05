package custody

import (
	"context"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/vault"
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
