package rules

import (
	"slices"

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
	if err := b.bury(a.Erasure, a.Numbers); err != nil {
		return err
	}
	e.Pending = slices.Delete(e.Pending, i, i+1)
	e.Done = append(e.Done, HolderErase{Holder: issuer, TimeMs: b.header.TimeMs, Class: a.Class, Generation: a.Generation})
	b.save(KeyErasure(a.Erasure), e)
	return nil
}
