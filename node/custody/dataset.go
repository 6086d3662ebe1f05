package custody

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// A dataset (保存データ) is what was collected about a person at one time for one
// purpose: a content identity of its own, with a deadline. Its id is the
// identity's number, so that the register says of every id whether it was erased.
// Nothing prolongs a dataset. To keep data longer is to collect it again, from
// data that may still be read, with a reason: that is another dataset.

// Collection is what Collect takes in.
type Collection struct {
	Person    Ref               `json:"person"`
	Service   string            `json:"service"`
	Purpose   string            `json:"purpose"`
	Items     map[string]string `json:"items"`               // item code → value
	Retention string            `json:"retention,omitempty"` // ISO 8601; "": as long as the items may be kept
	From      string            `json:"from,omitempty"`      // id of the dataset that this is made of
	Reason    string            `json:"reason,omitempty"`    // needed with From
	Sensor    string            `json:"sensor,omitempty"`    // that saw it
	Site      string            `json:"site,omitempty"`      // with From: whose manager it is
	Staff     string            `json:"staff,omitempty"`     // with From: who makes it
}

// A Dataset as it is shown. Items are absent where only its dates were asked for.
type Dataset struct {
	ID          string     `json:"id"` // hex, 16 bytes
	Person      Ref        `json:"person"`
	Service     string     `json:"service"`
	Purpose     string     `json:"purpose,omitempty"`
	Items       []HeldItem `json:"items,omitempty"`
	From        string     `json:"from,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	CollectedBy string     `json:"collectedBy,omitempty"` // token name
	Retention   string     `json:"retention"`             // ISO 8601
	Until       time.Time  `json:"until"`                 // from then on it is not read
	HeldUntil   *time.Time `json:"heldUntil,omitempty"`   // where a hold ends later than that
}

// collected is what a dataset's sheet says about itself.
type collected struct {
	Purpose string `cbor:"1,keyasint"`
	From    []byte `cbor:"2,keyasint,omitempty"`
	Reason  string `cbor:"3,keyasint,omitempty"`
	By      string `cbor:"4,keyasint,omitempty"`
}

// maxDatasets bounds the datasets of one person: one erasure names all identities
// of a person (record.MaxNumbers).
const maxDatasets = 256

// Collect takes in data that is kept until a deadline. It posts nothing.
//
// Order of effects: wrapped key, sealed sheet and memo in one durable write, then
// the vault entry, which makes the dataset. A crash between them leaves what nothing
// opens.
func (d *Desk) Collect(_ context.Context, c Call, r Collection) (*Dataset, error) {
	st, s, err := d.forService(c, r.Service)
	if err != nil {
		return nil, err
	}
	body := d.bodyOf("collect", jsonOf(r))
	if v, err := d.collectAgain(c, s.Owner, body); v != nil || err != nil {
		return v, err
	}
	if err := d.checkCollection(st, c, s, &r); err != nil {
		return nil, err
	}
	defer d.lock(string(r.Person))()
	q, release, err := d.use(r.Person)
	if err != nil {
		return nil, err
	}
	defer release()
	sh, err := d.sheetOfCollection(q, c, s, &r)
	if err != nil {
		return nil, err
	}
	word, until, err := d.keepFor(st, s, itemsOf(sh), r.Retention)
	if err != nil {
		return nil, err
	}
	if n := len(d.classesOf(q, "d/")); n >= maxDatasets {
		return nil, record.Refuse(CodeDatasetsFull, "%d datasets", n)
	}
	made, err := d.keepDataset(q, c, s.Owner, body, sh, datedName(s.ID, word, until))
	if err != nil {
		return nil, err
	}
	return d.datasetView(made, nil), nil
}

// collectAgain answers a call whose key was used before; nil where it is the first.
func (d *Desk) collectAgain(c Call, issuer string, body [32]byte) (*Dataset, error) {
	if c.Key == "" {
		return nil, nil
	}
	m, err := loadBlob[memo](d, d.memoKey(c, issuer, ""))
	if err != nil || m == nil {
		return nil, err
	}
	if !hmac.Equal(m.Body[:], body[:]) || len(m.Dataset) != len(seal.Number{}) {
		return nil, outbox.ErrKeyReused
	}
	k, err := d.dataset(hex.EncodeToString(m.Dataset))
	switch codeOf(err) {
	case CodeDatasetUnknown: // the crash that Collect's comment names
		return nil, nil
	case "":
		if err != nil {
			return nil, err
		}
		return d.datasetView(k, nil), nil
	}
	return nil, err
}

func (d *Desk) checkCollection(st *store.State, c Call, s *rules.Service, r *Collection) error {
	if !validRef(r.Person) || len(r.Items) == 0 || len(r.Reason) > maxTextBytes || !utf8Valid(r.Reason) {
		return record.Refuse(CodeMalformed, "person, items or reason")
	}
	if err := checkItems(r.Items); err != nil {
		return err
	}
	for code := range r.Items {
		if _, err := d.attribute(st, code); err != nil {
			return err
		}
	}
	if err := d.purposeAllowed(st, "collect-purposes", r.Purpose); err != nil {
		return err
	}
	if r.Sensor != "" {
		if err := d.maySense(st, c, r.Sensor); err != nil {
			return err
		}
	}
	if r.From != "" {
		return d.manages(st, s.Owner, r.Site, r.Staff)
	}
	return nil
}

// purposeAllowed refuses what is no purpose of the consortium, or not on the list
// (of words with spaces between) that a parameter holds, where it does.
func (d *Desk) purposeAllowed(st *store.State, parameter, purpose string) error {
	refuse := record.Refuse(record.CodePurposeNotAllowed, "")
	if !record.ValidID(purpose) {
		return refuse
	}
	known, err := rules.Load[record.Purpose](st, rules.KeyPurpose(purpose))
	if err != nil || known == nil {
		return orElse(err, refuse)
	}
	list, err := rules.Load[rules.Value](st, rules.KeyParameter(parameter))
	if err != nil || list == nil || slices.Contains(strings.Fields(list.V), purpose) {
		return err
	}
	return refuse
}

// sheetOfCollection is what is to be sealed. Made of another dataset, it needs one
// that is within its own period, whatever is held: a hold serves its own purpose.
func (d *Desk) sheetOfCollection(q *person, c Call, s *rules.Service, r *Collection) (*sheet, error) {
	about := &collected{Purpose: r.Purpose, Reason: r.Reason, By: c.Client}
	if r.From != "" {
		from, err := d.dataset(r.From)
		if err != nil {
			return nil, err
		}
		if from.ref != q.ref {
			return nil, record.Refuse(CodeDatasetUnknown, "not of this person")
		}
		if d.readingMs() >= from.deadlineMs() {
			return nil, record.Refuse(CodeRetention, "")
		}
		if strings.TrimSpace(r.Reason) == "" {
			return nil, record.Refuse(record.CodeReasonMissing, "")
		}
		about.From = slices.Clone(from.number[:])
	}
	sh := &sheet{About: about}
	for code, value := range r.Items {
		sh.set(sheetItem{Code: code, Value: value, SinceMs: d.nowMs(), Source: "other"})
	}
	return sh, nil
}

func itemsOf(s *sheet) (codes []string) {
	for _, it := range s.Items {
		codes = append(codes, it.Code)
	}
	return codes
}

// keepDataset makes the class with its sheet.
func (d *Desk) keepDataset(q *person, c Call, issuer string, body [32]byte, sh *sheet, name string) (*class, error) {
	made, key, entry, file, err := drawClass(personID(q.ref, name), q.ref, name)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	plain := canon.Must(sh)
	defer clear(plain)
	if len(plain) > maxSheetBytes {
		return nil, record.Refuse(record.CodeRecordOversize, "%d bytes of items, at most %d", len(plain), maxSheetBytes)
	}
	sealed, err := seal.SealItem(key, d.aad(sealedSheet, made.id), plain)
	if err != nil {
		return nil, err
	}
	files := []store.KV{file, {Key: blobKey(kindSheet, made.id[:]), Value: sealed}}
	if c.Key != "" {
		m := &memo{Body: body, Dataset: made.number[:]}
		files = append(files, store.KV{Key: d.memoKey(c, issuer, ""), Value: canon.Must(m), TTL: memoFor})
	}
	if err := d.Blobs.PutMany(files); err != nil {
		return nil, err
	}
	return made, d.put(entry)
}

// dataset returns the class of a dataset by its id. One that was destroyed is
// refused as erased, for ever.
func (d *Desk) dataset(id string) (*class, error) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(seal.Number{}) || hex.EncodeToString(b) != id {
		return nil, record.Refuse(CodeDatasetUnknown, "")
	}
	n := seal.Number(b)
	if c, err := d.datasetWith(n); c != nil || err != nil {
		return c, err
	}
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	tomb, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(record.KeyNumber(n)))
	if err != nil {
		return nil, err
	}
	if tomb != nil {
		return nil, record.Refuse(record.CodeErased, "")
	}
	return nil, record.Refuse(CodeDatasetUnknown, "")
}

// readable refuses a class whose destruction is under way or due.
func (d *Desk) readable(c *class) error {
	if c.deadlineMs() == 0 {
		return nil
	}
	if d.readingMs() >= d.dueMs(c) {
		return record.Refuse(CodeRetention, "")
	}
	if d.leaves(c.id) {
		return record.Refuse(record.CodeErased, "")
	}
	return nil
}

// ReadDataset shows a dataset to who has a purpose for it. The access is in the
// access log before.
func (d *Desk) ReadDataset(_ context.Context, c Call, id string, by Reader) (*Dataset, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	k, err := d.ownDataset(st, c, id)
	if err != nil {
		return nil, err
	}
	service, _ := datedParts(k.name)
	owner, err := d.ownerOf(st, service)
	if err != nil {
		return nil, err
	}
	if err := d.manages(st, owner, by.Site, by.Staff); err != nil {
		return nil, err
	}
	if err := d.purposeAllowed(st, "view-purposes", by.Purpose); err != nil {
		return nil, err
	}
	_, release, err := d.use(k.ref)
	if err != nil {
		return nil, err
	}
	defer release()
	sh, err := d.readSheet(k)
	if errors.Is(err, errGone) {
		err = record.Refuse(record.CodeErased, "")
	}
	if err != nil {
		return nil, err
	}
	if err := d.noteAccess(Access{Who: c.Client, Dataset: id, Count: uint64(len(sh.Items)), Done: true}); err != nil {
		return nil, err
	}
	return d.datasetView(k, sh), nil
}

// readableDatasets returns a person's datasets that may still be read, by deadline.
func (d *Desk) readableDatasets(q *person) (out []Dataset, err error) {
	for _, c := range d.classesOf(q, "d/") {
		sh, err := d.readSheet(c)
		if code := codeOf(err); code == CodeRetention || code == record.CodeErased || errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, *d.datasetView(c, sh))
	}
	slices.SortStableFunc(out, func(a, b Dataset) int { return a.Until.Compare(b.Until) })
	return out, nil
}

// noteAccess puts an access into the access log.
func (d *Desk) noteAccess(a Access) error {
	a.TimeMs = d.nowMs()
	id := newID()
	key := blobKeyOf(kindAccess, fmt.Sprintf("%016x/%x", a.TimeMs, id[:8]))
	return d.Blobs.PutMany([]store.KV{{Key: key, Value: canon.Must(&a)}})
}

// ownDataset is dataset where the caller may act for the service's owner.
func (d *Desk) ownDataset(st *store.State, c Call, id string) (*class, error) {
	k, err := d.dataset(id)
	if err != nil {
		return nil, err
	}
	service, _ := datedParts(k.name)
	_, err = d.ownService(st, c, service)
	return k, err
}

// datasetView shows a dataset's dates, and what its sheet says where there is one.
func (d *Desk) datasetView(c *class, sh *sheet) *Dataset {
	v := &Dataset{ID: hex.EncodeToString(c.number[:]), Person: c.ref, Until: timeOf(c.deadlineMs()), HeldUntil: d.heldUntil(c)}
	v.Service, v.Retention = datedParts(c.name)
	if sh == nil {
		return v
	}
	v.Items = heldItems(sh)
	if a := sh.About; a != nil {
		v.Purpose, v.Reason, v.CollectedBy, v.From = a.Purpose, a.Reason, a.By, hex.EncodeToString(a.From)
	}
	return v
}

func timeOf(ms uint64) time.Time { return time.UnixMilli(int64(ms)).In(record.JST) }

func heldItems(sh *sheet) []HeldItem {
	out := []HeldItem{}
	for _, it := range sh.Items {
		out = append(out, HeldItem{Code: it.Code, Value: it.Value, Since: time.UnixMilli(int64(it.SinceMs)), Source: it.Source})
	}
	return out
}
