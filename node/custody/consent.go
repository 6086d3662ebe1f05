package custody

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// itemBirthDate is the item from which an age is judged, 2006-01-02.
const itemBirthDate = "birth-date"

// adultAt is the age from which no guardian takes part.
const adultAt = 16

// maxAttempts is how often a consent is built: again after it was raced.
const maxAttempts = 2

// Consent brings a person's choice into the ledger: one consent for each purpose,
// in one submission, each over the count and head that the one before it leaves.
// A grant that another raced is built once more.
func (d *Desk) Consent(ctx context.Context, c Call, r ConsentRequest) (*Done, error) {
	_, s, err := d.forService(c, r.Service)
	if err != nil {
		return nil, err
	}
	r.Items, r.Purposes = set(r.Items), set(r.Purposes)
	body := d.bodyOf("consent", r.asked())
	defer d.lock(string(r.Person))()
	for attempt := 1; ; attempt++ {
		suffix := suffixOf(attempt)
		done, res, err := d.again(ctx, c, s.Owner, suffix, body)
		if done == nil && err == nil {
			done, res, err = d.consent(ctx, c, suffix, body, r)
		}
		if attempt == maxAttempts || !stale(res) {
			return done, err
		}
	}
}

func suffixOf(attempt int) string {
	if attempt == 1 {
		return ""
	}
	return fmt.Sprintf("/%d", attempt)
}

// stale reports whether a grant was refused because another came first.
func stale(res *outbox.Result) bool {
	return res != nil && slices.ContainsFunc(res.Outcomes, func(o outbox.Outcome) bool {
		return o.Refused != nil && o.Refused.Code == record.CodeGrantStale
	})
}

// set sorts a list and drops repeats.
func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("custody: " + err.Error()) // structs of strings
	}
	return string(b)
}

func (d *Desk) consent(ctx context.Context, c Call, suffix string, body [32]byte, r ConsentRequest) (*Done, *outbox.Result, error) {
	st, err := d.state()
	if err != nil {
		return nil, nil, err
	}
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	s, choice, err := d.chosen(st, q, r)
	if err != nil {
		return nil, nil, err
	}
	p, err := d.grants(st, s, q, choice)
	if err != nil {
		return nil, nil, err
	}
	p.suffix, p.body = suffix, body
	return d.post(ctx, c, *p)
}

// chosen holds a request against the screen that it is about.
func (d *Desk) chosen(st *store.State, q *person, r ConsentRequest) (*rules.Service, *choice, error) {
	s, err := d.service(st, r.Service)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(s.Terms, func(t rules.TermsOrigin) bool { return t.Version == r.Version })
	if i < 0 {
		return nil, nil, record.Refuse(record.CodeTermsNotEffective, "version %s of %s is not published", r.Version, s.ID)
	}
	c := &choice{ConsentRequest: r, hash: s.Terms[i].Hash, number: uint32(i + 1)}
	if c.screen, _, err = d.screen(st, c.hash); err != nil {
		return nil, nil, err
	}
	return s, c, d.checkChoice(st, s, q, c)
}

// A choice is a consent request held against its screen.
type choice struct {
	ConsentRequest
	hash   record.Digest
	number uint32
	screen *record.Screen
	scopes []int // of the purposes, in their order
	expiry []uint32
}

// checkChoice holds a choice against its screen, the vocabulary and the person.
// What only the register says is judged again by the ledger.
func (d *Desk) checkChoice(st *store.State, s *rules.Service, q *person, c *choice) error {
	now := d.nowMs()
	if code := s.Live(c.number, now); code != "" {
		return record.Refuse(code, "version %s", c.Version)
	}
	if len(c.Purposes) == 0 {
		return record.Refuse(record.CodePurposeNotOnScreen, "no purpose")
	}
	if len(c.Screen) != 0 && len(c.Screen) != sha256.Size {
		return record.Refuse(CodeMalformed, "hash of the screen")
	}
	for _, purpose := range c.Purposes {
		n := slices.IndexFunc(c.screen.Scopes, func(sc record.Scope) bool { return sc.Purpose == purpose })
		if n < 0 {
			return record.Refuse(record.CodePurposeNotOnScreen, "%s", purpose)
		}
		c.scopes = append(c.scopes, n)
	}
	if err := c.checkChosen(); err != nil {
		return err
	}
	for _, item := range c.all() {
		if !slices.ContainsFunc(c.scopes, func(n int) bool { return c.screen.Scopes[n].Has(item) }) {
			return record.Refuse(record.CodeItemNotOnScreen, "%s", item)
		}
		a, err := d.attribute(st, item)
		if err != nil {
			return err
		}
		if a.Class == "sensitive" && !c.Sensitive {
			return record.Refuse(record.CodeSensitive, "%s", item)
		}
	}
	for _, n := range c.scopes {
		for _, item := range c.screen.Scopes[n].Required {
			if !slices.Contains(c.items(c.screen.Scopes[n].Purpose), item) {
				return record.Refuse(record.CodeRequiredItemMissing, "%s", item)
			}
		}
		expiry, err := expiryOf(&c.screen.Scopes[n], c.Until, now)
		if err != nil {
			return err
		}
		c.expiry = append(c.expiry, expiry)
	}
	if c.screen.Foreign == "consent" && !c.Foreign {
		return record.Refuse(record.CodeForeignInfo, "")
	}
	return d.checkGuardian(q, c.Guardian)
}

// items are those that were chosen for a purpose.
func (c *choice) items(purpose string) []string {
	if c.Chosen != nil {
		return c.Chosen[purpose]
	}
	return c.Items
}

func (c *choice) all() []string {
	out := c.Items
	for _, purpose := range c.Purposes {
		out = append(out[:len(out):len(out)], c.Chosen[purpose]...)
	}
	return set(out)
}

// checkChosen wants items for each purpose, or for all, and only those that the
// screen shows for it.
func (c *choice) checkChosen() error {
	if c.Chosen == nil {
		return nil
	}
	if len(c.Items) > 0 {
		return record.Refuse(CodeMalformed, "items for all purposes and for each")
	}
	for purpose, items := range c.Chosen {
		if !slices.Contains(c.Purposes, purpose) {
			return record.Refuse(record.CodePurposeNotOnScreen, "items of a purpose that was not chosen")
		}
		n := slices.IndexFunc(c.screen.Scopes, func(sc record.Scope) bool { return sc.Purpose == purpose })
		for _, item := range items {
			if !c.screen.Scopes[n].Has(item) {
				return record.Refuse(record.CodeItemNotOnScreen, "%s", item)
			}
		}
	}
	return nil
}

// expiryOf returns a consent's last day: the one asked for, or as long as the
// screen says.
func expiryOf(sc *record.Scope, until string, nowMs uint64) (uint32, error) {
	if until == "" {
		if sc.MaxExpiry == "" {
			return 0, nil
		}
		p, err := record.ParsePeriod(sc.MaxExpiry)
		if err != nil {
			return 0, err
		}
		return uint32(p.LastDay(record.DayOf(nowMs))), nil
	}
	t, err := time.Parse(time.DateOnly, until)
	if err != nil || t.Unix() < 0 {
		return 0, record.Refuse(record.CodeTermsExpiry, "not a day")
	}
	expiry := uint32(t.Unix() / 86400)
	if code := rules.CheckExpiry(sc, expiry, nowMs); code != "" {
		return 0, record.Refuse(code, "last day %s", until)
	}
	return expiry, nil
}

// checkGuardian wants a guardian for a person who is known to be under 16: the one
// that was named at registration, else any.
func (d *Desk) checkGuardian(q *person, guardian Ref) error {
	var born, named string
	err := d.eachSheet(q, "c/", func(_ *class, sh *sheet) error {
		if v, ok := sh.value(itemBirthDate); ok && born == "" {
			born = v
		}
		if sh.Guardian != "" {
			named = sh.Guardian
		}
		return nil
	})
	if err != nil {
		return err
	}
	t, err := time.ParseInLocation(time.DateOnly, born, record.JST)
	if err != nil || d.Now().Compare(birthday(t, adultAt)) >= 0 {
		return nil
	}
	if guardian == "" || guardian == q.ref || named != "" && named != string(guardian) {
		return record.Refuse(record.CodeGuardianMissing, "")
	}
	return nil
}

// birthday returns 00:00 of the day on which somebody's age changes to years: of
// 1 March where somebody was born on a leap day and the year has none.
func birthday(born time.Time, years int) time.Time { return born.AddDate(years, 0, 0) }

// grants builds the consents with their openings.
func (d *Desk) grants(st *store.State, s *rules.Service, q *person, c *choice) (*posting, error) {
	classes, err := d.ensure(q, "c/"+s.ID)
	if err != nil {
		return nil, err
	}
	if !d.hasSecret(q) {
		return nil, record.Refuse(CodePersonUnknown, "no secret of the person is kept here")
	}
	secret, own, err := d.readSecret(q.ref)
	if err != nil {
		return nil, err
	}
	defer clear(secret[:])
	h, err := d.current(st, secret, s.ID)
	if err != nil {
		return nil, err
	}
	if err := d.put(d.fresh1([]vaultEntry{handleEntry(h.key.Public(), q.ref, s.ID)})...); err != nil {
		return nil, err
	}
	drafts, err := d.confirmed(h, c, own)
	if err != nil {
		return nil, err
	}
	head := drafts[0].Consent.Head
	p := &posting{issuer: s.Owner, purposes: c.Purposes}
	for i := range drafts {
		drafts[i].Consent.Head = head
		rec, open := grant(h.key, d.Origin, s.Owner, &drafts[i])
		kv, err := d.keepOpenings(classes[0], rec.ID, &openings{Kind: rec.Kind, Part: open})
		if err != nil {
			return nil, err
		}
		leaf, err := rec.Leaf()
		if err != nil {
			return nil, err
		}
		head = rules.Chain(head, record.Digest(merkle.LeafHash(leaf)))
		p.records, p.keep = append(p.records, rec), append(p.keep, kv)
	}
	return p, nil
}

// drafts are the consents of a choice as the handle's key will sign them, over what
// is drawn for them.
func (c *choice) drafts(h *handle, own bool, drawn *Drawn) []record.Draft {
	var count uint64
	var head record.Digest
	if h.state != nil {
		count, head = h.state.Consents, h.state.ConsentHead
	}
	out := make([]record.Draft, len(c.scopes))
	for i, n := range c.scopes {
		out[i] = record.Draft{Part: *c.part(&c.screen.Scopes[n], drawn.TimeMs, own), Nonce: drawn.Nonces[i],
			Consent: record.Consent{Handle: h.key.Public(), Terms: c.hash, Scope: uint8(n), Expiry: c.expiry[i], Count: count + uint64(i), Head: head}}
	}
	return out
}

func (c *choice) part(sc *record.Scope, nowMs uint64, own bool) *record.ConsentPart {
	p := &record.ConsentPart{Items: []string{}, Person: string(c.Person), TimeMs: nowMs, Button: c.Button, Language: c.Language,
		Guardian: string(c.Guardian), Keys: "assisted", Foreign: c.Foreign, Clear: c.Sensitive, Screen: c.Screen}
	if own {
		p.Keys = "own"
	}
	for _, item := range set(c.items(sc.Purpose)) {
		if sc.Has(item) {
			p.Items = append(p.Items, item)
		}
	}
	return p
}

// grant signs one consent.
func grant(k sign.Key, origin, issuer string, g *record.Draft) (*record.Record, record.Opening) {
	open := record.Opening{Nonce: g.Nonce, Part: canon.Must(&g.Part)}
	commitment := record.Digest(seal.Commit(open.Nonce, open.Part))
	g.Consent.Sig = k.Sign(sign.DomainConsent, origin, g.Consent.Statement(commitment))
	return &record.Record{Kind: record.KindConsent, ID: newID(), Issuer: issuer, Body: &g.Consent, Commitment: &commitment}, open
}

// Withdraw turns scopes off: by revocations that the handle signs, or by stops
// without the person's key. They go before everything else.
func (d *Desk) Withdraw(ctx context.Context, c Call, r WithdrawRequest) (*Done, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, r.Service)
	if err != nil {
		return nil, err
	}
	owner := ""
	if d.mine(s.Owner) {
		owner = s.Owner
	}
	issuer, err := d.actor(c, "")
	if c.As == "" && owner != "" {
		issuer = owner
	}
	if err != nil {
		return nil, err
	}
	r.Purposes = set(r.Purposes)
	body := d.bodyOf("withdraw", jsonOf(r))
	defer d.lock(string(r.Person))()
	if done, _, err := d.again(ctx, c, issuer, "", body); done != nil || err != nil {
		return done, err
	}
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, err
	}
	defer release()
	p := &posting{issuer: issuer, body: body, urgent: true}
	if err := d.withdrawals(st, s, q, &r, p); err != nil {
		return nil, err
	}
	done, _, err := d.post(ctx, c, *p)
	return done, err
}

func (d *Desk) withdrawals(st *store.State, s *rules.Service, q *person, r *WithdrawRequest, p *posting) error {
	k, h, err := d.handleFor(st, q, s.ID)
	if err != nil {
		return err
	}
	if h == nil {
		return record.Refuse(record.CodeNoConsent, "")
	}
	if r.Stop && len(r.Purposes) == 0 {
		p.records = append(p.records, &record.Record{Kind: record.KindStop, ID: newID(), Issuer: p.issuer,
			Body: &record.Stop{Handle: k, Scope: record.ScopeAll}})
		return nil
	}
	found, err := d.scopesOn(st, s, h, r.Purposes)
	if err != nil {
		return err
	}
	var key sign.Key
	if !r.Stop {
		if key, err = d.signerOf(st, q, s.ID, k); err != nil {
			return err
		}
	}
	for _, f := range found {
		rec := &record.Record{ID: newID(), Issuer: p.issuer}
		if r.Stop {
			rec.Kind, rec.Body = record.KindStop, &record.Stop{Handle: k, Terms: f.hash[:], Scope: f.state.Scope}
		} else {
			v := &record.Revocation{Handle: k, Terms: f.hash, Scope: f.state.Scope}
			v.Sig = key.Sign(sign.DomainConsent, d.Origin, v.Statement())
			rec.Kind, rec.Body = record.KindRevocation, v
		}
		p.records, p.purposes = append(p.records, rec), append(p.purposes, f.purpose)
	}
	return nil
}

func (d *Desk) signerOf(st *store.State, q *person, id string, k sign.PublicKey) (sign.Key, error) {
	if d.hasSecret(q) {
		secret, _, err := d.readSecret(q.ref)
		if err != nil {
			return sign.Key{}, err
		}
		defer clear(secret[:])
		if h, err := d.current(st, secret, id); err != nil || h.key.Public() == k {
			return h.key, err
		}
	}
	return sign.Key{}, record.Refuse(record.CodeNotAuthorised, "the handle's key is not kept here: a stop needs none")
}

type scopeOn struct {
	purpose string
	hash    record.Digest
	state   rules.ScopeState
}

// scopesOn returns the scopes of some purposes, or all, that are on, or says why
// one cannot be turned off.
func (d *Desk) scopesOn(st *store.State, s *rules.Service, h *rules.Handle, purposes []string) ([]scopeOn, error) {
	var found []scopeOn
	why := map[string]record.Code{}
	last := record.CodeNoConsent
	for _, sc := range h.Scopes {
		hash, err := termsOf(s, sc.Terms)
		if err != nil {
			return nil, err
		}
		terms, err := rules.Load[rules.Terms](st, rules.KeyTerms(hash))
		if err != nil || terms == nil {
			return nil, fmt.Errorf("terms of a consent: %w", err)
		}
		purpose := terms.Scopes[sc.Scope].Purpose
		switch {
		case !sc.On:
			why[purpose], last = record.CodeAlreadyRevoked, record.CodeAlreadyRevoked
		case sc.Expired(d.nowMs()):
			why[purpose], last = record.CodeExpired, record.CodeExpired
		case len(purposes) == 0 || slices.Contains(purposes, purpose):
			found = append(found, scopeOn{purpose, hash, sc})
		}
	}
	for _, p := range purposes {
		if slices.ContainsFunc(found, func(f scopeOn) bool { return f.purpose == p }) {
			continue
		}
		if code, ok := why[p]; ok {
			return nil, record.Refuse(code, "%s", p)
		}
		return nil, record.Refuse(record.CodeNoConsent, "%s", p)
	}
	if len(found) == 0 {
		return nil, record.Refuse(last, "")
	}
	slices.SortFunc(found, func(a, b scopeOn) int { return strings.Compare(a.purpose, b.purpose) })
	return found, nil
}

// decodeConsent reads the part behind a consent.
func decodeConsent(part []byte) (*record.ConsentPart, error) {
	p := new(record.ConsentPart)
	return p, canon.UnmarshalMax(part, record.MaxLeafBytes, p)
}
