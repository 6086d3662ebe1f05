package tiles

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// policy serves the policy under which the shown checkpoint is final, the chain of
// all, or, from the ledger that k members agreed to, that of an epoch. A policy has the part of the log in which it
// counts in comments (sign.Range).
func (h *handler) policy(w http.ResponseWriter, r *http.Request, path string, st *store.State) error {
	now, err := rules.PolicyAt(st, st.Height)
	if err != nil {
		return err
	}
	if now == nil {
		return fmt.Errorf("%w: no policy in the register", store.ErrDamaged)
	}
	if path == "policy/chain" {
		b, err := h.chain(st, now.Epoch)
		if err == nil {
			answer(w, r, "application/json", fresh, b)
		}
		return err
	}
	epoch, caching := now.Epoch, fresh
	if number, ok := strings.CutPrefix(path, "policy/"); ok {
		epoch, err = strconv.ParseUint(number, 10, 64)
		if err != nil || strconv.FormatUint(epoch, 10) != number {
			return errAbsent
		}
		if epoch < now.Epoch {
			caching = immutable
		}
	}
	p, err := policyOf(st, now, epoch)
	if err != nil {
		return err
	}
	answer(w, r, "text/plain; charset=utf-8", caching, p.FormatRange())
	return nil
}

// coming returns the policy of the epoch that begins behind the newest end that k
// members agreed to: a witness that it requires needs it before anything of that
// epoch is final.
func coming(st *store.State, epoch uint64) (*sign.Policy, error) {
	p, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err != nil || p == nil || p.Epoch != epoch {
		return nil, cmp.Or(err, errAbsent)
	}
	closing, err := st.EndOf(p.First - 1)
	if err != nil {
		return nil, err
	}
	out := p.Sign()
	out.Range = &sign.Range{Epoch: epoch, First: sign.RangeEnd{Height: p.First, Size: closing.Size + 1}}
	return out, nil
}

// Policy returns the policy of the running epoch, as /log/policy shows it.
func Policy(st *store.State, now *rules.Policy) (*sign.Policy, error) {
	return policyOf(st, now, now.Epoch)
}

// policyOf returns the policy of an epoch with its range, as the ends up to a
// state show it.
func policyOf(st *store.State, now *rules.Policy, epoch uint64) (*sign.Policy, error) {
	p, closing := now, rules.End{}
	if epoch > now.Epoch {
		return coming(st, epoch)
	}
	if epoch < now.Epoch {
		past, err := pastOf(st, epoch)
		if err != nil {
			return nil, err
		}
		p, closing = &past.Policy, past.Closing
	}
	first, err := st.EndOf(p.First)
	if err != nil {
		return nil, err
	}
	out := p.Sign()
	out.Range = &sign.Range{Epoch: epoch, First: sign.RangeEnd{Height: first.Height, Size: first.Size, Root: first.Root},
		Closing: sign.RangeEnd{Height: closing.Height, Size: closing.Size, Root: closing.Root}}
	return out, nil
}

func pastOf(st *store.State, epoch uint64) (*rules.Past, error) {
	past, err := rules.Load[rules.Past](st, rules.KeyPast(epoch))
	if err == nil && past == nil {
		err = fmt.Errorf("%w: the policy of epoch %d is missing", store.ErrDamaged, epoch)
	}
	return past, err
}

// chain builds the policy chain up to an epoch. All of it stands in the log: the
// closing checkpoint of an epoch is cited, with its cosignatures, by the first
// header of the next.
func (h *handler) chain(st *store.State, upTo uint64) ([]byte, error) {
	closings := make([]receipt.Closing, upTo)
	for epoch := range closings {
		var err error
		if closings[epoch], err = h.closing(st, uint64(epoch)); err != nil {
			return nil, fmt.Errorf("policy epoch %d: %w", epoch, err)
		}
	}
	return receipt.BuildChain(closings)
}

func (h *handler) closing(st *store.State, epoch uint64) (receipt.Closing, error) {
	c := receipt.Closing{Epoch: epoch, Leaf: st.Leaf}
	past, err := pastOf(st, epoch)
	if err != nil {
		return c, err
	}
	c.Size = past.Closing.Size
	c.Path = func(i uint64) ([]merkle.Hash, error) { return st.Inclusion(i, c.Size) }
	closing, err := st.EndOf(past.Closing.Height)
	if err != nil {
		return c, err
	}
	next, err := st.EndOf(past.Closing.Height + 1)
	if err != nil {
		return c, err
	}
	leaf, err := st.Leaf(next.Size - 1)
	if err != nil {
		return c, err
	}
	seal, err := record.ParseSeal(leaf)
	if err != nil {
		return c, err
	}
	if c.Note, err = h.src.Cited(&past.Policy, &seal.Header.Cited); err != nil {
		return c, err
	}
	return c, st.Range(closing.First, closing.Size-1, func(i uint64, leaf []byte) error {
		if record.PeekKind(leaf) == record.KindMember { // one a batch is accepted
			c.Index = i
		}
		return nil
	})
}
