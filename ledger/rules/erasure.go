package rules

import (
	"cmp"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// erasure: identities are to be destroyed by every holder. The tombstones are
// permanent.
func (b *batch) erasure(rec *record.Record, e *record.Erasure) error {
	if old, err := b.get(KeyErasure(rec.ID)); err != nil {
		return err
	} else if old != nil {
		return record.Refuse(record.CodeRecordDuplicate, "the id stands for an erasure")
	}
	if !slices.Contains(e.Holders, rec.Issuer) {
		return record.Refuse(record.CodeNotAuthorised, "the issuer is not among the holders")
	}
	for _, id := range e.Holders {
		if _, err := need[Party](b.tx, KeyParty(id), record.CodePartyUnknown); err != nil {
			return err
		}
	}
	if err := b.bury(rec.ID, e.Numbers); err != nil {
		return err
	}
	copies, err := b.copies(e.Holders)
	if err != nil {
		return err
	}
	b.save(KeyErasure(rec.ID), &Erasure{Issuer: rec.Issuer, TimeMs: b.header.TimeMs, Pending: e.Holders, Copies: copies})
	return nil
}

// bury sets tombstones; it writes only where all numbers are fresh.
func (b *batch) bury(id record.ID, numbers []record.KeyNumber) error {
	seen := map[record.KeyNumber]bool{}
	for _, n := range numbers {
		old, err := b.get(KeyTombstone(n))
		if err != nil {
			return err
		}
		if old != nil || seen[n] {
			return record.Refuse(record.CodeErased, "an identity that was erased before")
		}
		seen[n] = true
	}
	for _, n := range numbers {
		b.save(KeyTombstone(n), &Tombstone{Erasure: id})
	}
	return nil
}

// attestation: a holder destroyed its copies.
func (b *batch) attestation(issuer string, a *record.Attestation) error {
	e, err := need[Erasure](b.tx, KeyErasure(a.Erasure), record.CodeErasureUnknown)
	if err != nil {
		return err
	}
	if a.For != "" {
		return b.attestCopies(issuer, a, e)
	}
	i := slices.Index(e.Pending, issuer)
	if i < 0 {
		if slices.ContainsFunc(e.Done, func(d HolderErase) bool { return d.Holder == issuer }) {
			return record.Refuse(record.CodeDuplicate, "%s attested before", issuer)
		}
		return record.Refuse(record.CodeNotAuthorised, "%s is not a holder", issuer)
	}
	e.Pending = slices.Delete(e.Pending, i, i+1)
	if err := b.passedOn(issuer, e, a.Onward); err != nil {
		return err
	}
	if err := b.bury(a.Erasure, a.Numbers); err != nil {
		return err
	}
	e.Done = append(e.Done, HolderErase{Holder: issuer, TimeMs: b.header.TimeMs, Class: a.Class, Generation: a.Generation})
	b.save(KeyErasure(a.Erasure), e)
	return nil
}

// passedOn adds to the holders of an erasure those to whom one of them handed the
// data over before it heard of the erasure. Who has attested already does so again.
func (b *batch) passedOn(issuer string, e *Erasure, onward []string) error {
	for _, id := range onward {
		if id == issuer {
			return record.Refuse(record.CodeNotAuthorised, "a hand-over to oneself")
		}
		if slices.Contains(e.Pending, id) {
			continue
		}
		if _, err := peek[Party](b.tx, KeyParty(id), record.CodePartyUnknown); err != nil {
			return err
		}
		e.Pending = append(e.Pending, id)
	}
	if err := b.moreCopies(e, onward); err != nil {
		return err
	}
	if len(e.Pending)+len(e.Done) >= record.MaxParties {
		return record.Refuse(record.CodeNotAuthorised, "more than %d attestations", record.MaxParties)
	}
	slices.Sort(e.Pending)
	return nil
}

// moreCopies asks the custodians of further holders, once more where they have
// attested: what came in later was copied to them too.
func (b *batch) moreCopies(e *Erasure, holders []string) error {
	more, err := b.copies(holders)
	if err != nil {
		return err
	}
	for _, c := range more {
		if !slices.Contains(e.Copies, c) { // which is equal to one that is asked and has not attested
			e.Copies = append(e.Copies, c)
		}
	}
	slices.SortStableFunc(e.Copies, func(x, y CopyErase) int {
		return cmp.Or(strings.Compare(x.Member, y.Member), strings.Compare(x.Custodian, y.Custodian))
	})
	return nil
}
