package tiles

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// policy serves the policy under which the shown checkpoint is final, that of an
// epoch, or the chain of all. A policy has the part of the log in which it
// counts in comments (sign.Range).
func (h *handler) policy(w http.ResponseWriter, r *http.Request, path string, st *store.State) error {
	now, err := rules.PolicyAt(st, st.Height)
	if err != nil {
		return err
	}
	if now == nil {
		return fmt.Errorf("%w: no policy in the register", store.ErrDamaged)
	}
	epoch, caching := now.Epoch, fresh
	if number, ok := strings.CutPrefix(path, "policy/"); ok {
		epoch, err = strconv.ParseUint(number, 10, 64)
		if err != nil || strconv.FormatUint(epoch, 10) != number || epoch > now.Epoch {
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

// policyOf returns the policy of an epoch with its range, as the ends up to a
// state show it.
func policyOf(st *store.State, now *rules.Policy, epoch uint64) (*sign.Policy, error) {
	p, closing := now, rules.End{}
	if epoch < now.Epoch {
		past, err := rules.Load[rules.Past](st, rules.KeyPast(epoch))
		if err != nil {
			return nil, err
		}
		if past == nil {
			return nil, fmt.Errorf("%w: the policy of epoch %d is missing", store.ErrDamaged, epoch)
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
