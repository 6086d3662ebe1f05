package custody

import (
	"context"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// erasedService returns the service to which an erasure is confined: "" where
// nothing else is held, so that who leaves the last service goes altogether.
func (d *Desk) erasedService(q *person, service string) (string, error) {
	if service == "" {
		return "", nil
	}
	switch all, some := len(d.contentOf(q, "")), len(d.contentOf(q, service)); some {
	case 0:
		return "", record.Refuse(CodePersonUnknown, "nothing is held for that service")
	case all:
		return "", nil
	}
	return service, nil
}

// contentOf returns a person's content classes, those of datasets too, of one
// service or ("") of all.
func (d *Desk) contentOf(q *person, service string) []*class {
	all := append(d.classesOf(q, "c/"), d.classesOf(q, "d/")...)
	return slices.DeleteFunc(all, func(c *class) bool {
		of, _ := c.of()
		return service != "" && of != service
	})
}

// of returns the service of a content class, and who holds it where that is not
// the service's owner.
func (c *class) of() (service, holder string) {
	if isDataset(c.name) {
		service, _ = datedParts(c.name)
		return service, ""
	}
	name, _, _ := strings.Cut(c.name[2:], "/")
	service, holder, _ = strings.Cut(name, "@")
	return service, holder
}

// numbers returns those of a person's content identities, in the order of their
// classes' names, of the handles that go, and where everything goes the person's own.
// The record identities stay, and what is leaving is recorded already.
func (d *Desk) numbers(st *store.State, q *person, service string) (out []record.KeyNumber, err error) {
	for _, c := range d.contentOf(q, service) {
		if !d.leaves(c.id) {
			out = append(out, record.KeyNumber(c.number))
		}
	}
	handles, err := d.handleNumbers(st, d.handlesHeld(q, service))
	if out = append(out, handles...); err != nil || service != "" {
		return out, err
	}
	own, err := d.personNumber(q.ref)
	return append(out, own), err
}

// planned is what a plan is made for.
type planned struct {
	id      record.ID
	issuer  string
	service string // "": everything
}

// plan finds who holds what of a person, and which handles end.
func (d *Desk) plan(ctx context.Context, st *store.State, q *person, e planned) (*erasurePlan, []string, error) {
	p := &erasurePlan{Erasure: e.id, ByIssuer: true}
	var err error
	if p.Until, err = d.keptUntil(q); err != nil {
		return nil, nil, err
	}
	holders := []string{e.issuer}
	for _, c := range d.contentOf(q, e.service) {
		service, holder := c.of()
		if holder == "" {
			s, err := d.service(st, service)
			if err != nil {
				return nil, nil, err
			}
			holder = s.Owner
		}
		holders = append(holders, holder)
	}
	handles, err := d.knownHandles(st, q)
	if err != nil {
		return nil, nil, err
	}
	at := map[string][]sign.PublicKey{}
	for _, k := range handles {
		if e.service != "" && k.For != e.service {
			continue
		}
		to, err := d.planHandle(ctx, st, p, k)
		if err != nil {
			return nil, nil, err
		}
		for _, party := range to {
			holders = append(holders, party)
			at[party] = append(at[party], k.Key)
		}
	}
	holders = set(holders)
	for _, party := range holders {
		if d.mine(party) {
			p.Own = append(p.Own, party)
		} else {
			p.Tell = append(p.Tell, holderTold{Holder: party, Handles: at[party]})
		}
	}
	return p, holders, nil
}

// planHandle plans the closing of a handle that is ours to close, and returns to
// whom data went under it.
func (d *Desk) planHandle(ctx context.Context, st *store.State, p *erasurePlan, k HandleOf) ([]string, error) {
	owner, err := d.ownerOf(st, k.For)
	if err != nil {
		return nil, err
	}
	h, err := rules.HandleState(st, k.Key)
	if err != nil || h == nil {
		return nil, err
	}
	if d.mine(owner) && h.Closed == 0 {
		p.Close = append(p.Close, handleClosing{Handle: k.Key, Issuer: owner, DueMs: d.wallMs() + uint64(d.CloseDelay().Milliseconds())})
	}
	return d.recipients(ctx, st, k.Key, h, d.mine(owner))
}

// keptUntil returns the last days, ascending, of a person's record identities.
func (d *Desk) keptUntil(q *person) ([]string, error) {
	var days []string
	for _, c := range d.classesOf(q, "r/") {
		day, err := d.lastDay(c)
		if err != nil {
			return nil, err
		}
		days = append(days, day)
	}
	return set(days), nil
}

// lastDay is the last day, in JST, of a person's record identity.
func (d *Desk) lastDay(c *class) (string, error) {
	until, err := d.keepUntil(c)
	return dayText(record.DayOf(until - 1)), err
}

// ownerOf returns the party that a handle is towards.
func (d *Desk) ownerOf(st *store.State, id string) (string, error) {
	s, err := rules.Load[rules.Service](st, rules.KeyService(id))
	if err != nil || s == nil {
		return id, err
	}
	return s.Owner, nil
}

// recipients returns to whom data went under a handle: by anyone where the handle
// is towards us, else by us.
func (d *Desk) recipients(ctx context.Context, st *store.State, k sign.PublicKey, h *rules.Handle, all bool) ([]string, error) {
	given, err := d.handOvers(ctx, st, k, h)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, g := range given {
		if all || d.mine(g.from) {
			out = append(out, g.to)
		}
	}
	return set(out), nil
}

// given is one hand-over under a handle that its recipient did not decline.
type given struct {
	from, to string
	takenMs  uint64 // batch time of the receiving record; 0: not received yet
}

// handOvers returns what was handed over under a handle, in the order of the log.
func (d *Desk) handOvers(ctx context.Context, st *store.State, k sign.PublicKey, h *rules.Handle) ([]given, error) {
	var out []given
	at := map[record.ID]int{}
	declined := map[int]bool{}
	for rec, err := range under(ctx, st, k, h) {
		if err != nil {
			return nil, err
		}
		switch b := rec.Body.(type) {
		case *record.Provision:
			at[rec.ID], out = len(out), append(out, given{from: rec.Issuer, to: b.To})
		case *record.OptOut:
			at[rec.ID], out = len(out), append(out, given{from: rec.Issuer, to: b.To})
		case *record.Undelivered:
			declined[at[b.Intent]] = true
		case *record.Received:
			end, err := st.EndWith(rec.index)
			if err != nil {
				return nil, err
			}
			out[at[b.Intent]].takenMs = end.TimeMs
		}
	}
	kept := out[:0]
	for i, g := range out {
		if !declined[i] {
			kept = append(kept, g)
		}
	}
	return kept, nil
}
