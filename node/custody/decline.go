package custody

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Decline records that a person saw a screen and did not agree, or put the decision
// off: a denial under their handle, with version and screen in its sealed part. A
// handle that is not in the ledger is opened for it: the member holds the person's
// data, and a refusal that nobody recorded could be claimed away. A version counts
// also where another took its place since: the person saw it. Consents that were given
// before stand as they were.
func (d *Desk) Decline(ctx context.Context, c Call, r DeclineRequest) (*Done, error) {
	st, s, err := d.forService(c, r.Service)
	if err != nil {
		return nil, err
	}
	if len(r.Screen) != sha256.Size {
		return nil, record.Refuse(CodeMalformed, "hash of the screen")
	}
	if !slices.ContainsFunc(s.Terms, func(t rules.TermsOrigin) bool { return t.Version == r.Version }) {
		return nil, record.Refuse(record.CodeTermsNotEffective, "version %q of %s is not published", r.Version, s.ID)
	}
	body := d.bodyOf("decline", jsonOf(r))
	defer d.lock(string(r.Person))()
	if done, _, err := d.again(ctx, c, s.Owner, "", body); done != nil || err != nil {
		return done, err
	}
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, err
	}
	defer release()
	p, err := d.declining(st, s, q, &r)
	if err != nil {
		return nil, err
	}
	p.body = body
	done, _, err := d.post(ctx, c, *p)
	return done, err
}

func (d *Desk) declining(st *store.State, s *rules.Service, q *person, r *DeclineRequest) (*posting, error) {
	classes, err := d.ensure(q, "c/"+s.ID)
	if err != nil {
		return nil, err
	}
	k, h, err := d.handleFor(st, q, s.ID)
	if err != nil {
		return nil, err
	}
	p := &posting{issuer: s.Owner}
	if h == nil {
		if !d.hasSecret(q) {
			return nil, record.Refuse(CodePersonUnknown, "no secret of the person is kept here")
		}
		secret, _, err := d.readSecret(q.ref)
		if err != nil {
			return nil, err
		}
		next, err := d.current(st, secret, s.ID)
		clear(secret[:])
		if err != nil {
			return nil, err
		}
		k = next.key.Public()
		if err := d.put(d.fresh1([]vaultEntry{handleEntry(k, q.ref, s.ID)})...); err != nil {
			return nil, err
		}
		p.records = append(p.records, &record.Record{Kind: record.KindHandleOpen, ID: newID(), Issuer: s.Owner, Body: &record.HandleOpen{Handle: k, For: s.ID}})
	}
	why := record.CodeDeclined
	if r.Later {
		why = record.CodeDeferred
	}
	open, commitment := commit(&record.NotePart{Person: string(q.ref), TimeMs: d.nowMs(), Note: "terms " + r.Version + ", screen " + hex.EncodeToString(r.Screen)})
	rec := &record.Record{Kind: record.KindDenial, ID: newID(), Issuer: s.Owner, Body: &record.Denial{Handle: k, Reason: why}, Commitment: &commitment}
	kv, err := d.keepOpenings(classes[0], rec.ID, &openings{Kind: rec.Kind, Part: open})
	if err != nil {
		return nil, err
	}
	p.records, p.keep = append(p.records, rec), append(p.keep, kv)
	return p, nil
}

// Shown is one version of terms as a screen shows it.
type Shown struct {
	Hash    record.Digest
	Version string
	Owner   string // party whose service it is
	Screen  *record.Screen
	Terms   *rules.Terms
	height  uint64
}

// Lists reports whether a party is among the recipients of a scope, were consent
// given now.
func (s *Shown) Lists(scope int, to *rules.Party) bool {
	return rules.Lists(&s.Terms.Scopes[scope], to, s.height)
}

// Screen returns what a version of a service's terms says, the one in force where
// version is "".
func (d *Desk) Screen(_ context.Context, service, version string) (*Shown, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, service)
	if err != nil {
		return nil, err
	}
	for i := len(s.Terms) - 1; i >= 0; i-- {
		t := s.Terms[i]
		code := s.Live(uint32(i+1), d.nowMs())
		if version == "" && code != "" || version != "" && version != t.Version {
			continue
		}
		screen, terms, err := d.screen(st, t.Hash)
		if err != nil {
			return nil, err
		}
		return &Shown{Hash: t.Hash, Version: t.Version, Owner: s.Owner, Screen: screen, Terms: terms, height: st.Height}, nil
	}
	return nil, record.Refuse(record.CodeTermsNotEffective, "version %q of %s", version, service)
}
