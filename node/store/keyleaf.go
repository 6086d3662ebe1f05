package store

import (
	"context"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// KeyLeaf returns the index of the leaf that gave an issuer the key with which it
// signed the record at an index: the last one before the record's batch. It reads
// the log from the beginning: ask where the key has changed since, only.
func (s *State) KeyLeaf(ctx context.Context, index uint64, issuer string) (uint64, error) {
	end, err := s.EndWith(index)
	if err != nil {
		return 0, err
	}
	at := uint64(0) // genesis
	err = s.Range(0, end.First, func(i uint64, leaf []byte) error {
		if k := record.PeekKind(leaf); k != record.KindKey && k != record.KindParty && k != record.KindMember {
			return ctx.Err()
		}
		rec, err := record.Parse(leaf)
		if err != nil {
			return err
		}
		if givesKey(rec, issuer) {
			at = i
		}
		return nil
	})
	return at, err
}

func givesKey(rec *record.Record, party string) bool {
	switch b := rec.Body.(type) {
	case *record.KeyChange:
		return rec.Issuer == party
	case *record.Party:
		return b.ID == party && !b.Leave
	case *record.MemberChange:
		return b.Member == party && b.Key(record.RoleRecord) != nil
	}
	return false
}
