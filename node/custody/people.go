package custody

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

type (
	storeKV    = store.KV
	vaultEntry = vault.Entry
)

// A sheet is the items of one content class. It is sealed as a whole.
type sheet struct {
	Items    []sheetItem `cbor:"1,keyasint,omitempty"` // ascending by code
	Guardian string      `cbor:"2,keyasint,omitempty"`
	About    *collected  `cbor:"3,keyasint,omitempty"` // of a dataset
}

type sheetItem struct {
	Code    string `cbor:"1,keyasint"`
	Value   string `cbor:"2,keyasint"`
	SinceMs uint64 `cbor:"3,keyasint"`
	Source  string `cbor:"4,keyasint"` // self, other, or the party that handed it over
}

func (s *sheet) value(code string) (string, bool) {
	i, ok := slices.BinarySearchFunc(s.Items, code, func(it sheetItem, c string) int { return strings.Compare(it.Code, c) })
	if !ok {
		return "", false
	}
	return s.Items[i].Value, true
}

func (s *sheet) set(it sheetItem) {
	i, ok := slices.BinarySearchFunc(s.Items, it.Code, func(it sheetItem, c string) int { return strings.Compare(it.Code, c) })
	if ok {
		s.Items[i] = it
	} else {
		s.Items = slices.Insert(s.Items, i, it)
	}
}

const (
	sealedSheet   = "sheet"
	sealedOpening = "opening"
	sealedParcel  = "parcel"
	sealedWaiting = "waiting"
	sealedErasure = "erasure"
	sealedReading = "reading"
	sealedAsked   = "asked"
	sealedRight   = "right"
	sealedStops   = "stops"
	sealedHold    = "hold"
	sealedBook    = "book"
	sealedGiven   = "given"
)

// maxSheetBytes leaves room for padding and the seal within one blob.
const maxSheetBytes = 768 << 10

func (d *Desk) readSheet(c *class) (*sheet, error) {
	s := new(sheet)
	if c == nil {
		return s, nil
	}
	if err := d.readable(c); err != nil {
		return nil, err
	}
	sealed, found, err := d.Blobs.Get(blobKey(kindSheet, c.id[:]))
	if err != nil || !found {
		return s, err
	}
	plain, err := d.openFrom(c.id, sealedSheet, c.id, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return s, canon.Unmarshal(plain, s)
}

// sheetOf seals a sheet for storage.
func (d *Desk) sheetOf(c *class, s *sheet) (store.KV, error) {
	plain := canon.Must(s)
	defer clear(plain)
	if len(plain) > maxSheetBytes {
		return store.KV{}, record.Refuse(record.CodeRecordOversize, "%d bytes of items, at most %d", len(plain), maxSheetBytes)
	}
	sealed, err := d.sealFor(c.id, sealedSheet, c.id, plain)
	return store.KV{Key: blobKey(kindSheet, c.id[:]), Value: sealed}, err
}

// setItems changes items of a class. The caller holds the person's lock.
func (d *Desk) setItems(c *class, items map[string]string, source string, guardian Ref) error {
	if len(items) == 0 && guardian == "" {
		return nil
	}
	s, err := d.readSheet(c)
	if err != nil {
		return err
	}
	kv, err := d.sheetOf(c, d.changed(s, items, source, guardian))
	if err != nil {
		return err
	}
	return d.Blobs.PutMany([]store.KV{kv})
}

// changed returns s with items and a guardian, if any, set.
func (d *Desk) changed(s *sheet, items map[string]string, source string, guardian Ref) *sheet {
	for code, value := range items {
		s.set(sheetItem{Code: code, Value: value, SinceMs: d.nowMs(), Source: source})
	}
	if guardian != "" {
		s.Guardian = string(guardian)
	}
	return s
}

func checkItems(items map[string]string) error {
	for code, value := range items {
		if !record.ValidID(code) || !utf8Valid(value) {
			return malformed("items", "an item's code or value")
		}
	}
	if len(items) > record.MaxItems {
		return malformed("items", "%d items, at most %d", len(items), record.MaxItems)
	}
	return nil
}

// Register enters a person for a service: items, lookups, K_s. A person may be
// registered with further services, and again with the same one to change items.
// It posts nothing, unless Open asks for a handle without consent.
//
// Order of effects: all that is new of a person in one write, secrets, wrapped keys
// and items. To a class that is there already, the items follow in a second one: a
// crash between leaves them as they were, and the caller asks again.
func (d *Desk) Register(ctx context.Context, c Call, r Registration) (*Done, error) {
	st, s, err := d.forService(c, r.Service)
	if err != nil {
		return nil, err
	}
	if err := checkRegistration(s, &r); err != nil {
		return nil, err
	}
	for code := range r.Items {
		if err := mayBeRegistered(st, code); err != nil {
			return nil, err
		}
	}
	defer d.lock(string(r.Person))()
	q, kept, release, err := d.begin(st, s, &r)
	if err != nil {
		return nil, err
	}
	defer release()
	if !kept {
		err := d.setItems(d.classOf(q, "c/"+s.ID), r.Items, r.Source, r.Guardian)
		if err != nil {
			return nil, err
		}
	}
	if !r.Open {
		return &Done{Key: c.Key, Final: true}, nil
	}
	return d.openHandle(ctx, c, st, s, q)
}

// mayBeRegistered refuses an item for which the members voted how long it is kept:
// what is registered has no end, so it is collected, as a dataset.
func mayBeRegistered(st *store.State, item string) error {
	v, err := rules.Load[rules.Value](st, rules.KeyParameter("retention-"+item))
	if err == nil && v != nil {
		err = record.Refuse(CodeRetentionSet, "%s", item)
	}
	return err
}

func checkRegistration(s *rules.Service, r *Registration) error {
	if !validRef(r.Person) {
		return malformed("person", "the reference")
	}
	if r.Guardian != "" && (!validRef(r.Guardian) || r.Guardian == r.Person) {
		return malformed("guardian", "the reference")
	}
	if len(r.Secret) != 0 && len(r.Secret) != sign.SecretSize {
		return malformed("secret", "a secret of %d bytes, want %d", len(r.Secret), sign.SecretSize)
	}
	if err := checkItems(r.Items); err != nil {
		return err
	}
	for code := range r.Items {
		if !slices.Contains(s.Fields, code) {
			return record.Refuse(record.CodeFieldNotInSchema, "%s", code)
		}
	}
	if s.SelfOnly && r.Source != "self" {
		return record.Refuse(record.CodeSourceNotSelf, "service %s", s.ID)
	}
	for kind, value := range r.Lookup {
		if err := checkLookup(r.Person, kind, value); err != nil {
			return err
		}
	}
	return nil
}

func checkLookup(ref Ref, kind, value string) error {
	if !record.ValidID(kind) || value == "" || len(personID(ref, lookupID(kind, value))) > vault.MaxIDBytes {
		return malformed("lookup", "a lookup")
	}
	return nil
}

func lookupID(kind, value string) string { return "l/" + kind + "/" + value }

// begin makes what is missing of a person in one write, and uses them. It reports
// whether the items are kept by that.
func (d *Desk) begin(st *store.State, s *rules.Service, r *Registration) (q *person, kept bool, release func(), err error) {
	q, release, err = d.use(r.Person)
	if code := codeOf(err); err != nil && code != CodePersonUnknown && (code != record.CodeErased || d.goingOut(r.Person)) {
		return nil, false, nil, err
	}
	if q == nil {
		if err := d.roomFor(r.Person); err != nil {
			return nil, false, nil, err
		}
	}
	secret, entries, err := d.secretFor(q, r)
	var files []storeKV
	if err == nil {
		var content []vault.Entry
		content, files, kept, err = d.firstContent(s, r)
		entries = append(entries, content...)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Lookup)) {
		entries = append(entries, vault.Entry{ID: lookupID(kind, r.Lookup[kind]), Value: []byte(r.Person)})
	}
	if err == nil {
		var h *handle
		if h, err = d.current(st, secret, s.ID); err == nil {
			entries = append(entries, handleEntry(h.key.Public(), r.Person, s.ID))
			err = d.putBeside(files, d.fresh1(entries)...)
		}
	}
	clear(secret[:])
	if release == nil && err == nil {
		q, release, err = d.use(r.Person)
	} else if err != nil && release != nil {
		release()
	}
	return q, kept, release, err
}

// firstContent makes a person's content class of a service where there is none, with the
// first items sealed under it.
func (d *Desk) firstContent(s *rules.Service, r *Registration) (entries []vault.Entry, files []storeKV, kept bool, err error) {
	classes, entries, files, err := d.missing(r.Person, "c/"+s.ID)
	if err != nil || len(entries) == 0 || len(r.Items) == 0 && r.Guardian == "" {
		return entries, files, false, err
	}
	kv, err := d.sheetOf(classes[0], d.changed(new(sheet), r.Items, r.Source, r.Guardian))
	if err != nil {
		d.forgetKeys(entries)
		return nil, nil, false, err
	}
	return entries, append(files, kv), true, nil
}

// roomFor refuses one person too many. Whoever is known already is not counted
// again.
func (d *Desk) roomFor(ref Ref) error {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	q, err := d.people.person(ref)
	if n := d.people.count; err == nil && q == nil && n >= d.MaxPeople {
		err = fmt.Errorf("%w: %d people, at most %d", vault.ErrFull, n, d.MaxPeople)
	}
	return err
}

// fresh1 leaves out lookups and handles that the index has already, so that it
// does not name them twice.
func (d *Desk) fresh1(entries []vault.Entry) []vault.Entry {
	return slices.DeleteFunc(entries, func(e vault.Entry) bool {
		if strings.HasPrefix(e.ID, "p/") {
			return false
		}
		old, err := d.Vault.Get(e.ID)
		defer clear(old)
		return err == nil && string(old) == string(e.Value)
	})
}

// goingOut reports whether a person's erasure is under way.
func (d *Desk) goingOut(ref Ref) bool {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	q := d.people.byRef[ref]
	return q != nil && q.erasing
}

// secretFor returns K_s of a person, drawn or brought where there is none.
func (d *Desk) secretFor(q *person, r *Registration) (sign.Secret, []vault.Entry, error) {
	if q != nil && d.hasSecret(q) {
		held, _, err := d.readSecret(r.Person)
		if err == nil && len(r.Secret) != 0 && held != sign.Secret(r.Secret) {
			err = record.Refuse(record.CodeDuplicate, "the person has another secret here")
		}
		return held, nil, err
	}
	secret, own := sign.NewSecret(), byte(0)
	if len(r.Secret) != 0 {
		secret, own = sign.Secret(r.Secret), 1
	}
	return secret, []vault.Entry{{ID: personID(r.Person, "ks"), Value: append(secret[:sign.SecretSize:sign.SecretSize], own)}}, nil
}

func (d *Desk) readSecret(ref Ref) (s sign.Secret, own bool, err error) {
	b, err := d.Vault.Get(personID(ref, "ks"))
	if err != nil {
		return s, false, err
	}
	defer clear(b)
	if len(b) != sign.SecretSize+1 {
		return s, false, errors.New("a secret of the wrong size")
	}
	return sign.Secret(b[:sign.SecretSize]), b[sign.SecretSize] == 1, nil
}

// Secret returns the recovery copy of K_s, for the person. Who asks was checked
// by the caller.
func (d *Desk) Secret(_ context.Context, ref Ref) (sign.Secret, error) {
	q, release, err := d.use(ref)
	if err != nil {
		return sign.Secret{}, err
	}
	defer release()
	if !d.hasSecret(q) {
		return sign.Secret{}, record.Refuse(CodePersonUnknown, "no secret is kept here")
	}
	s, _, err := d.readSecret(ref)
	return s, err
}

// PutItems sets items that a member came to hold otherwise than by registration.
// Their codes must be in the consortium's vocabulary.
func (d *Desk) PutItems(_ context.Context, c Call, ref Ref, service string, items map[string]string) error {
	st, s, err := d.forService(c, service)
	if err != nil {
		return err
	}
	if err := checkItems(items); err != nil {
		return err
	}
	for code := range items {
		if _, err := d.attribute(st, code); err != nil {
			return err
		}
		if err := mayBeRegistered(st, code); err != nil {
			return err
		}
	}
	defer d.lock(string(ref))()
	q, release, err := d.use(ref)
	if err != nil {
		return err
	}
	defer release()
	classes, err := d.ensure(q, "c/"+s.ID)
	if err != nil {
		return err
	}
	return d.setItems(classes[0], items, "other", "")
}

func (d *Desk) attribute(st *store.State, code string) (*record.Attribute, error) {
	if !record.ValidID(code) {
		return nil, record.Refuse(record.CodeItemUnknown, "")
	}
	a, err := rules.Load[record.Attribute](st, rules.KeyAttribute(code))
	if err == nil && a == nil {
		err = record.Refuse(record.CodeItemUnknown, "%s", code)
	}
	return a, err
}

// Find returns the person with a lookup's value.
func (d *Desk) Find(_ context.Context, kind, value string) (Ref, bool, error) {
	b, err := d.Vault.Get(lookupID(kind, value))
	if errors.Is(err, vault.ErrNotFound) || len(lookupID(kind, value)) > vault.MaxIDBytes {
		return "", false, nil
	}
	return Ref(b), err == nil, err
}

// A Disclosure is everything that the member holds of a person.
type Disclosure struct {
	Person  Ref         `json:"person"`
	Own     bool        `json:"ownSecret"` // K_s is the person's; else assisted: the member keeps it
	Classes []HeldClass `json:"classes"`

	// Datasets are what was collected with a deadline and may still be read.
	Datasets []Dataset `json:"datasets,omitempty"`

	Lookups []HeldLookup `json:"lookups,omitempty"`
	Records []HeldMonth  `json:"records,omitempty"`
}

// HeldClass is the items held for one service.
type HeldClass struct {
	Service  string     `json:"service"`
	Holder   string     `json:"holder"` // the party that holds them
	Guardian Ref        `json:"guardian,omitempty"`
	Items    []HeldItem `json:"items"`
	Until    *time.Time `json:"until,omitempty"` // of what was received: from then on it is not read
}

// HeldItem is one item.
type HeldItem struct {
	Code   string    `json:"code"`
	Value  string    `json:"value"`
	Since  time.Time `json:"since"`
	Source string    `json:"source"`
}

// HeldLookup is a value by which the person can be found.
type HeldLookup struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// HeldMonth says until when the records of a month are kept by law.
type HeldMonth struct {
	Month string `json:"month"`
	Until string `json:"until"` // last day in JST
}

// Disclose returns everything held about a person, for the person.
func (d *Desk) Disclose(_ context.Context, ref Ref) (*Disclosure, error) {
	st, q, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	out := &Disclosure{Person: ref}
	if d.hasSecret(q) {
		if _, out.Own, err = d.readSecret(ref); err != nil {
			return nil, err
		}
	}
	err = d.eachSheet(q, "c/", func(c *class, sh *sheet) error {
		h := HeldClass{Guardian: Ref(sh.Guardian), Items: heldItems(sh), Until: instant(c.deadlineMs())}
		h.Service, h.Holder = c.of()
		s, err := d.service(st, h.Service)
		if err == nil && h.Holder == "" {
			h.Holder = s.Owner
		}
		out.Classes = append(out.Classes, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	if out.Datasets, err = d.readableDatasets(q); err != nil {
		return nil, err
	}
	for _, c := range d.classesOf(q, "r/") {
		day, err := d.lastDay(c)
		if err != nil {
			return nil, err
		}
		out.Records = append(out.Records, HeldMonth{Month: c.name[2:], Until: day})
	}
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(q.lookups)) {
		kind, value, _ := strings.Cut(id[2:], "/")
		out.Lookups = append(out.Lookups, HeldLookup{kind, value})
	}
	return out, nil
}
