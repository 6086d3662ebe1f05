package rules

import (
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// maxLosses bounds the losses of one custodian that the register lists. Who lost
// its copies that often is not named again.
const maxLosses = 16

// Custody lists who keeps, or kept, copies of a member's keys.
type Custody struct {
	Custodians []Custodian `cbor:"1,keyasint,omitempty"` // ascending by id
}

// Custodian is a member that keeps copies of another's keys.
type Custodian struct {
	ID         string `cbor:"1,keyasint"`
	SinceMs    uint64 `cbor:"2,keyasint"`           // named by the owner, last
	Class      string `cbor:"3,keyasint,omitempty"` // of its vault; "": it has not agreed
	Generation uint64 `cbor:"4,keyasint,omitempty"` // of its vault, as it last said or attested
	Ending     bool   `cbor:"5,keyasint,omitempty"` // the owner asked to destroy all copies
	Gone       bool   `cbor:"6,keyasint,omitempty"` // it holds none any more: destroyed all, or lost them
	Losses     []Loss `cbor:"7,keyasint,omitempty"` // in the order of time
}

// Loss is the end of copies that cannot be attested.
type Loss struct {
	TimeMs uint64 `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"` // destroyed, stolen
}

// Holds reports whether a custodian holds copies, or may.
func (c *Custodian) Holds() bool { return c.Class != "" && !c.Gone }

// Of returns the custodian with an id, nil where there is none.
func (c *Custody) Of(id string) *Custodian {
	if c == nil {
		return nil
	}
	i, ok := c.place(id)
	if !ok {
		return nil
	}
	return &c.Custodians[i]
}

func (c *Custody) place(id string) (int, bool) {
	return slices.BinarySearchFunc(c.Custodians, id, func(c Custodian, id string) int {
		switch {
		case c.ID < id:
			return -1
		case c.ID > id:
			return 1
		}
		return 0
	})
}

// CopyErase is one custodian's part of an erasure.
type CopyErase struct {
	Member     string `cbor:"1,keyasint"` // whose keys the copies are of
	Custodian  string `cbor:"2,keyasint"`
	TimeMs     uint64 `cbor:"3,keyasint,omitempty"` // of its attestation; 0: none yet
	Class      string `cbor:"4,keyasint,omitempty"`
	Generation uint64 `cbor:"5,keyasint,omitempty"`
}

// Lost returns the loss that closes a copy which was not attested, nil where it is
// still to be destroyed. custody is that of the copy's member, at any later time.
func (e *Erasure) Lost(copy CopyErase, custody *Custody) *Loss {
	c := custody.Of(copy.Custodian)
	if c == nil || copy.TimeMs != 0 {
		return nil
	}
	for i := range c.Losses {
		if c.Losses[i].TimeMs >= e.TimeMs {
			return &c.Losses[i]
		}
	}
	return nil
}

// custodian: the owner names or ends a custodian, or the custodian says with which
// vault it keeps the copies, or that it destroyed them.
func (b *batch) custodian(issuer string, c *record.Custodian) error {
	if err := b.bothMembers(c.Owner, c.Custodian); err != nil {
		return err
	}
	custody, err := load[Custody](b.tx, KeyCustody(c.Owner))
	if err != nil {
		return err
	}
	if custody == nil {
		custody = &Custody{}
	}
	switch {
	case issuer == c.Owner && c.Class == "" && c.End:
		err = custody.end(c.Custodian)
	case issuer == c.Owner && c.Class == "":
		err = custody.name(c.Custodian, b.header.TimeMs)
	case issuer == c.Custodian && c.Class != "":
		err = custody.stated(c)
	default:
		err = record.Refuse(record.CodeNotAuthorised, "%s speaks for another", issuer)
	}
	if err == nil {
		b.save(KeyCustody(c.Owner), custody)
	}
	return err
}

func (b *batch) bothMembers(ids ...string) error {
	for _, id := range ids {
		p, err := need[Party](b.tx, KeyParty(id), record.CodePartyUnknown)
		if err != nil {
			return err
		}
		if !p.Member || !p.Active() {
			return record.Refuse(record.CodeMemberNotActive, "%s", id)
		}
	}
	return nil
}

func (c *Custody) name(id string, ms uint64) error {
	i, found := c.place(id)
	switch {
	case found && !c.Custodians[i].Gone:
		return record.Refuse(record.CodeDuplicate, "%s is a custodian already", id)
	case found && len(c.Custodians[i].Losses) >= maxLosses:
		return record.Refuse(record.CodeNotAuthorised, "%s lost its copies too often", id)
	case found:
		c.Custodians[i] = Custodian{ID: id, SinceMs: ms, Losses: c.Custodians[i].Losses}
	case len(c.Custodians) >= record.MaxCustodians:
		return record.Refuse(record.CodeRecordOversize, "at most %d custodians", record.MaxCustodians)
	default:
		c.Custodians = slices.Insert(c.Custodians, i, Custodian{ID: id, SinceMs: ms})
	}
	return nil
}

func (c *Custody) end(id string) error {
	k := c.Of(id)
	switch {
	case k == nil || k.Gone:
		return record.Refuse(record.CodeCustodianUnknown, "%s", id)
	case k.Ending:
		return record.Refuse(record.CodeDuplicate, "")
	}
	k.Ending, k.Gone = true, k.Class == "" // who never agreed holds nothing
	return nil
}

// stated takes a custodian's own word. It may go back to a lower generation, with
// a new vault: that it did is in the log.
func (c *Custody) stated(s *record.Custodian) error {
	k := c.Of(s.Custodian)
	switch {
	case k == nil || k.Gone:
		return record.Refuse(record.CodeCustodianUnknown, "%s", s.Custodian)
	case s.End && !k.Ending:
		return record.Refuse(record.CodeNotAuthorised, "the owner has not ended it")
	case k.Ending && !s.End:
		return record.Refuse(record.CodeNotAuthorised, "the owner has ended it")
	}
	k.Class, k.Generation, k.Gone = s.Class, s.Generation, s.End
	return nil
}

// custodianLost: the owner or the custodian says that the copies are lost.
func (b *batch) custodianLost(issuer string, l *record.CustodianLost) error {
	if issuer != l.Owner && issuer != l.Custodian {
		return record.Refuse(record.CodeNotAuthorised, "%s has no part in it", issuer)
	}
	custody, err := need[Custody](b.tx, KeyCustody(l.Owner), record.CodeCustodianUnknown)
	if err != nil {
		return err
	}
	k := custody.Of(l.Custodian)
	if k == nil || !k.Holds() {
		return record.Refuse(record.CodeCustodianUnknown, "%s holds no copies for %s", l.Custodian, l.Owner)
	}
	k.Gone = true
	k.Losses = append(k.Losses, Loss{TimeMs: b.header.TimeMs, Reason: l.Reason})
	b.save(KeyCustody(l.Owner), custody)
	return nil
}

// copies returns the custodians that hold copies of what holders hold.
func (b *batch) copies(holders []string) ([]CopyErase, error) {
	var hosts []string
	for _, id := range holders {
		p, err := need[Party](b.tx, KeyParty(id), record.CodePartyUnknown)
		if err != nil {
			return nil, err
		}
		if i, ok := slices.BinarySearch(hosts, p.Host); !ok {
			hosts = slices.Insert(hosts, i, p.Host)
		}
	}
	var out []CopyErase
	for _, host := range hosts {
		custody, err := load[Custody](b.tx, KeyCustody(host))
		if err != nil {
			return nil, err
		}
		if custody == nil {
			continue
		}
		for i := range custody.Custodians {
			if k := &custody.Custodians[i]; k.Holds() {
				out = append(out, CopyErase{Member: host, Custodian: k.ID})
			}
		}
	}
	return out, nil
}

// attestCopies: a custodian destroyed its copies. Only after the holders at that
// member have attested are all numbers known.
func (b *batch) attestCopies(issuer string, a *record.Attestation, e *Erasure) error {
	i := slices.Index(e.Copies, CopyErase{Member: a.For, Custodian: issuer})
	if i < 0 && slices.ContainsFunc(e.Copies, func(c CopyErase) bool { return c.Member == a.For && c.Custodian == issuer }) {
		return record.Refuse(record.CodeDuplicate, "%s attested before", issuer)
	}
	if i < 0 {
		return record.Refuse(record.CodeNotAuthorised, "%s held no copies for %s", issuer, a.For)
	}
	for _, id := range e.Pending {
		p, err := need[Party](b.tx, KeyParty(id), record.CodePartyUnknown)
		if err != nil {
			return err
		}
		if p.Host == a.For {
			return record.Refuse(record.CodeAttestationEarly, "%s has not attested", id)
		}
	}
	custody, err := need[Custody](b.tx, KeyCustody(a.For), record.CodeCustodianUnknown)
	if err != nil {
		return err
	}
	if k := custody.Of(issuer); k.Holds() {
		if a.Generation < k.Generation {
			return record.Refuse(record.CodeCustodianStale, "generation %d, it attested %d", a.Generation, k.Generation)
		}
		k.Class, k.Generation = a.Class, a.Generation
		b.save(KeyCustody(a.For), custody)
	}
	e.Copies[i].TimeMs, e.Copies[i].Class, e.Copies[i].Generation = b.header.TimeMs, a.Class, a.Generation
	b.save(KeyErasure(a.Erasure), e)
	return nil
}
