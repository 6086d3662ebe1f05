package rest

import (
	"context"
	"iter"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/node/custody"
)

// Receipts returns what Receipt does for several records, in their order and at one
// checkpoint. Their openings are read at once, as one access. The files were not
// verified here: they are for a reader that does it at once.
func (s *server) Receipts(ctx context.Context, person custody.Ref, indexes []uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		c := s.callOf(ctx, person)
		c.read = &remembered{source: source{c.final}}
		var err error
		if c.opened, err = s.Desk.OpeningsAt(ctx, receiptFor+string(c.caller.Role), indexes); err != nil {
			yield(nil, err)
			return
		}
		for _, index := range indexes {
			if !yield(c.ownReceipt(index)) || ctx.Err() != nil {
				return
			}
		}
	}
}

// source reads what receipts are made of.
func (c *call) source() receipt.Source {
	if c.read != nil {
		return c.read
	}
	return c.final.source()
}

// remembered is a source that keeps what it read last: the receipts of one person
// have seals, neighbours and names in common.
type remembered struct {
	source
	leaves map[uint64][]byte
	paths  map[uint64][]merkle.Hash
	proofs map[string]register.Proof
}

// rememberedMost bounds what is kept of each.
const rememberedMost = 500

// recall returns what is kept under a key, else what read makes of it.
func recall[K comparable, V any](kept *map[K]V, key K, read func() (V, error)) (V, error) {
	if v, ok := (*kept)[key]; ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	if *kept == nil || len(*kept) >= rememberedMost {
		*kept = map[K]V{}
	}
	(*kept)[key] = v
	return v, nil
}

func (s *remembered) Leaf(index uint64) ([]byte, error) {
	return recall(&s.leaves, index, func() ([]byte, error) { return s.source.Leaf(index) })
}

func (s *remembered) Path(index uint64) ([]merkle.Hash, error) {
	return recall(&s.paths, index, func() ([]merkle.Hash, error) { return s.source.Path(index) })
}

func (s *remembered) Prove(key []byte) (register.Proof, error) {
	return recall(&s.proofs, string(key), func() (register.Proof, error) { return s.source.Prove(key) })
}
