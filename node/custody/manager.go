package custody

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A site has one manager at every instant, who alone looks at the site's datasets
// and makes others of them. As soon as a party has a manager, that holds for all
// datasets of its services. Who asserts which member of staff acts is the member's
// own program, as with every other name of a token.
//
// Signs are kept beside them: a sensor of a type that the parameter sign-required
// lists collects nothing before its sign was put up.
//
// All of it is one sealed book of the member's own.

// staffBook is who manages what.
type staffBook struct {
	Managers []siteManager `cbor:"1,keyasint,omitempty"`
	Staff    []staffMember `cbor:"2,keyasint,omitempty"`
	Signs    []sensorSign  `cbor:"3,keyasint,omitempty"`
}

type siteManager struct {
	Party string `cbor:"1,keyasint"`
	Site  string `cbor:"2,keyasint"`
	Staff string `cbor:"3,keyasint"`
}

type staffMember struct {
	Party     string `cbor:"1,keyasint"`
	ID        string `cbor:"2,keyasint"`
	RotatedMs uint64 `cbor:"3,keyasint"`
	LeftMs    uint64 `cbor:"4,keyasint,omitempty"`
}

type sensorSign struct {
	Sensor string `cbor:"1,keyasint"`
	Photo  string `cbor:"2,keyasint"`
	TimeMs uint64 `cbor:"3,keyasint"`
}

// Reader says who looks at a dataset, and what for.
type Reader struct {
	Purpose string
	Site    string // whose manager it is
	Staff   string
}

// Sign is what was put up at a sensor.
type Sign struct {
	Photo               string `json:"photo"` // its name or hash
	SaysFaceRecognition bool   `json:"saysFaceRecognition"`
}

// bookAt is the vault entry of the book's class: the name of no sensor's month.
const bookAt = "s/staff/book"

func bookKey() []byte { return blobKeyOf(kindBook, "staff") }

// maxStaff bounds each list of the book.
const maxStaff = 4096

func (d *Desk) readBook() (*staffBook, error) {
	b := new(staffBook)
	c := d.transient(bookAt)
	if c == nil {
		return b, nil
	}
	sealed, found, err := d.Blobs.Get(bookKey())
	if err != nil || !found {
		return b, err
	}
	plain, err := d.openFrom(c.id, sealedBook, c.id, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return b, canon.UnmarshalMax(plain, maxBlobBytes, b)
}

// changeBook changes the book, durably.
func (d *Desk) changeBook(change func(*staffBook) error) error {
	defer d.lock(bookAt)()
	b, err := d.readBook()
	if err != nil {
		return err
	}
	if err := change(b); err != nil {
		return err
	}
	if max(len(b.Managers), len(b.Staff), len(b.Signs)) > maxStaff {
		return record.Refuse(CodeMalformed, "more than %d entries", maxStaff)
	}
	c := d.transient(bookAt)
	if c == nil {
		_, entry, file, err := d.newClass(bookAt, "", "")
		if err == nil {
			err = d.putBeside([]store.KV{file}, entry)
		}
		if err != nil {
			return err
		}
		c = d.transient(bookAt)
	}
	plain := canon.Must(b)
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedBook, c.id, plain)
	if err != nil {
		return err
	}
	return d.Blobs.PutMany([]store.KV{{Key: bookKey(), Value: sealed}})
}

// member returns a party's member of staff, nil where there is none.
func (b *staffBook) member(party, id string) *staffMember {
	i := slices.IndexFunc(b.Staff, func(s staffMember) bool { return s.Party == party && s.ID == id })
	if i < 0 {
		return nil
	}
	return &b.Staff[i]
}

// manager returns the entry of a site's manager, nil where it has none.
func (b *staffBook) manager(party, site string) *siteManager {
	i := slices.IndexFunc(b.Managers, func(m siteManager) bool { return m.Party == party && m.Site == site })
	if i < 0 {
		return nil
	}
	return &b.Managers[i]
}

// AssignManager makes somebody the one manager of a site. Who replaces another
// names them.
func (d *Desk) AssignManager(_ context.Context, c Call, site, staff, replaces string) error {
	party, err := d.actor(c, "")
	if err != nil {
		return err
	}
	if !record.ValidID(site) || !record.ValidID(staff) || replaces != "" && !record.ValidID(replaces) {
		return record.Refuse(CodeMalformed, "site or staff")
	}
	return d.changeBook(func(b *staffBook) error {
		s, m := b.member(party, staff), b.manager(party, site)
		switch {
		case s != nil && s.LeftMs != 0:
			return record.Refuse(record.CodeStaffLeft, "")
		case m != nil && m.Staff == staff:
			return nil
		case m != nil && m.Staff != replaces:
			return record.Refuse(record.CodeManagerAssigned, "")
		case m != nil:
			m.Staff = staff
		default:
			b.Managers = append(b.Managers, siteManager{Party: party, Site: site, Staff: staff})
		}
		if s == nil {
			b.Staff = append(b.Staff, staffMember{Party: party, ID: staff, RotatedMs: d.nowMs()})
		}
		return nil
	})
}

// RotateCredential notes that a member of staff has a new credential.
func (d *Desk) RotateCredential(_ context.Context, c Call, staff string) error {
	return d.changeStaff(c, staff, func(s *staffMember) error {
		if s.LeftMs != 0 {
			return record.Refuse(record.CodeStaffLeft, "")
		}
		s.RotatedMs = d.nowMs()
		return nil
	})
}

// StaffLeave notes that a member of staff has left.
func (d *Desk) StaffLeave(_ context.Context, c Call, staff string) error {
	return d.changeStaff(c, staff, func(s *staffMember) error {
		if s.LeftMs == 0 {
			s.LeftMs = d.nowMs()
		}
		return nil
	})
}

func (d *Desk) changeStaff(c Call, staff string, change func(*staffMember) error) error {
	party, err := d.actor(c, "")
	if err != nil {
		return err
	}
	if !record.ValidID(staff) {
		return record.Refuse(CodeMalformed, "staff")
	}
	return d.changeBook(func(b *staffBook) error {
		if b.member(party, staff) == nil {
			b.Staff = append(b.Staff, staffMember{Party: party, ID: staff, RotatedMs: d.nowMs()})
		}
		return change(b.member(party, staff))
	})
}

// PostSign notes the sign at a sensor of the caller's.
func (d *Desk) PostSign(_ context.Context, c Call, sensor string, sign Sign) error {
	st, err := d.state()
	if err != nil {
		return err
	}
	if _, err := d.ownSensor(st, c, sensor); err != nil {
		return err
	}
	if len(sign.Photo) == 0 || len(sign.Photo) > maxTextBytes || !utf8Valid(sign.Photo) {
		return record.Refuse(CodeMalformed, "the photograph of the sign")
	}
	if !sign.SaysFaceRecognition {
		return record.Refuse(record.CodeSignIncomplete, "")
	}
	return d.changeBook(func(b *staffBook) error {
		b.Signs = slices.DeleteFunc(b.Signs, func(s sensorSign) bool { return s.Sensor == sensor })
		b.Signs = append(b.Signs, sensorSign{Sensor: sensor, Photo: sign.Photo, TimeMs: d.nowMs()})
		return nil
	})
}

// ownSensor returns an approved sensor whose operator the caller may act for.
func (d *Desk) ownSensor(st *store.State, c Call, id string) (*rules.Sensor, error) {
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeSensorNotApproved, "")
	}
	s, err := rules.Load[rules.Sensor](st, rules.KeySensor(id))
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, record.Refuse(record.CodeSensorNotApproved, "%s", id)
	case s.Retired != 0:
		return nil, record.Refuse(record.CodeSensorRetired, "%s", id)
	case !d.mine(s.Operator) || c.As != "" && c.As != s.Operator:
		return nil, record.Refuse(record.CodeNotAuthorised, "sensor %s is %s's", id, s.Operator)
	}
	return s, nil
}

// maySense refuses to collect by a sensor that is not approved, or lacks its sign.
func (d *Desk) maySense(st *store.State, c Call, sensor string) error {
	s, err := d.ownSensor(st, c, sensor)
	if err != nil {
		return err
	}
	need, err := rules.Load[rules.Value](st, rules.KeyParameter("sign-required"))
	if err != nil || need == nil || !slices.Contains(strings.Fields(need.V), s.Type) {
		return err
	}
	b, err := d.readBook()
	if err == nil && !slices.ContainsFunc(b.Signs, func(x sensorSign) bool { return x.Sensor == sensor }) {
		err = record.Refuse(record.CodeSignMissing, "%s", sensor)
	}
	return err
}

// manages refuses who is not the manager of a site, where the party has managers.
func (d *Desk) manages(st *store.State, party, site, staff string) error {
	b, err := d.readBook()
	if err != nil || !slices.ContainsFunc(b.Managers, func(m siteManager) bool { return m.Party == party }) {
		return err
	}
	s := b.member(party, staff)
	switch m := b.manager(party, site); {
	case s != nil && s.LeftMs != 0:
		return record.Refuse(record.CodeStaffLeft, "")
	case m == nil || m.Staff != staff || s == nil:
		return record.Refuse(record.CodeNotManager, "")
	}
	return d.rotated(st, s)
}

// rotated refuses a credential that is older than the parameter
// credential-rotation-days allows.
func (d *Desk) rotated(st *store.State, s *staffMember) error {
	v, err := rules.Load[rules.Value](st, rules.KeyParameter("credential-rotation-days"))
	if err != nil || v == nil {
		return err
	}
	days, err := strconv.ParseUint(v.V, 10, 16)
	if err != nil || days == 0 {
		return nil // members voted for what is no number of days
	}
	if d.readingMs() >= s.RotatedMs+days*uint64((24*time.Hour).Milliseconds()) {
		return record.Refuse(record.CodeCredentialOverdue, "")
	}
	return nil
}
