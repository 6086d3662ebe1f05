package escrow

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// Order of effects of an erasure at a custodian, and what a crash after each leaves
// behind:
//
//  1. the erasure is noted, in memory     NewKeeper finds it in the register
//  2. its copies destroyed, one rotation  destroyed already, at the next start
//  3. attested in the ledger              the rules refuse a second attestation
//
// Nothing of it is on disk here: the ledger itself says what is still to be done.

// keeperClient is the client of what a keeper posts. No token has this name.
const keeperClient = "escrow:keeper"

// maxAttested bounds the attestations of one submission.
const maxAttested = 200

// Applied hears of every batch's writes, in the order of the log; it returns at
// once. Writes are ascending by key.
func (k *Keeper) Applied(writes []register.Write) {
	k.pendingMu.Lock()
	defer k.pendingMu.Unlock()
	each(writes, "erasure/", func(key string, value []byte) {
		if err := k.note(key, value); err != nil {
			k.Log.Error("an erasure of the register is not readable", "err", err)
		}
	})
	each(writes, "tomb/", func(key string, value []byte) {
		t := new(rules.Tombstone)
		if canon.Decode(value, t) == nil {
			if numbers, ours := k.pending[t.Erasure]; ours {
				k.pending[t.Erasure] = append(numbers, Number([]byte(key[len("tomb/"):])))
			}
		}
	})
}

func each(writes []register.Write, prefix string, f func(key string, value []byte)) {
	i := sort.Search(len(writes), func(i int) bool { return string(writes[i].Key) >= prefix })
	for ; i < len(writes) && strings.HasPrefix(string(writes[i].Key), prefix); i++ {
		if writes[i].Value != nil {
			f(string(writes[i].Key), writes[i].Value)
		}
	}
}

// Duty does what is due: it is called every second or so. Errors are worth trying
// again; one that wraps vault.ErrStopped means that the node must stop.
func (k *Keeper) Duty(ctx context.Context) error {
	st := k.State()
	if st == nil || st.Height < k.from {
		return nil
	}
	policy, err := rules.Load[rules.Policy](st, rules.KeyPolicy)
	if err != nil {
		return err
	}
	for _, m := range policy.Members {
		custody, err := rules.Load[rules.Custody](st, rules.KeyCustody(m.ID))
		if err != nil {
			return err
		}
		if c := custody.Of(k.Self); c != nil {
			if err := k.care(ctx, st, m.ID, c); err != nil {
				return fmt.Errorf("copies of %s: %w", m.ID, err)
			}
		}
	}
	if time.Since(k.passed) > passEvery {
		if err := k.bury(st, ""); err != nil {
			return err
		}
		k.passed = time.Now()
	}
	return k.attest(ctx, st)
}

// care agrees to be a custodian, stops being one, or goes on with an older vault.
func (k *Keeper) care(ctx context.Context, st *store.State, owner string, c *rules.Custodian) error {
	now, err := k.Vault.Shred()
	if err != nil {
		return err
	}
	switch {
	case c.Gone:
		return nil
	case c.Ending:
		if err := k.bury(st, owner); err != nil {
			return err
		}
		return k.state(ctx, owner, true)
	case c.Class == "":
		if !k.Accepts(owner) {
			return nil
		}
		return k.state(ctx, owner, false)
	case now.Generation < c.Generation:
		k.Log.Warn("the vault of copies is older than the one that was attested with: what has a tombstone is dropped, and the rest is sent anew",
			"owner", owner, "generation", now.Generation, "attested", c.Generation)
		k.passed = time.Time{} // and it says so first: what is dropped makes the generation grow
		return k.state(ctx, owner, false)
	}
	return nil
}

// bury destroys every copy with a tombstone, and all copies of an owner where one
// is named.
func (k *Keeper) bury(st *store.State, owner string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var labels []string
	err := k.Vault.Each("", func(id string, _ []byte) error {
		o, l, ok := labelAt(id)
		if !ok {
			return nil
		}
		dead, err := buried(st, l.Number)
		if dead || o == owner {
			labels = append(labels, id)
		}
		return err
	})
	if err == nil && len(labels) > 0 {
		_, err = k.Vault.Shred(labels...)
	}
	return err
}

// state posts with which vault this custodian keeps an owner's copies; with end,
// that it destroyed them.
func (k *Keeper) state(ctx context.Context, owner string, end bool) error {
	now, err := k.Vault.Shred()
	if err != nil {
		return err
	}
	return k.post(ctx, &record.Record{Kind: record.KindCustodian, Body: &record.Custodian{Owner: owner, Custodian: k.Self,
		Class: now.Class, Generation: now.Generation, End: end}})
}

func (k *Keeper) post(ctx context.Context, recs ...*record.Record) error {
	for _, r := range recs {
		r.Issuer = k.Self
		rand.Read(r.ID[:])
	}
	res, err := k.Poster.Submit(ctx, outbox.Request{Issuer: k.Self, Client: keeperClient, Records: recs, Urgent: true, Brief: true})
	if err != nil {
		return err
	}
	for _, o := range res.Outcomes {
		if o.Refused != nil && o.Refused.Code != record.CodeDuplicate {
			return o.Refused
		}
	}
	return nil
}

// attest destroys what the erasures of the register name, all in one rotation, and
// attests it.
func (k *Keeper) attest(ctx context.Context, st *store.State) error {
	var recs []*record.Record
	var dead []string
	for _, id := range k.noted() {
		e, err := rules.Load[rules.Erasure](st, rules.KeyErasure(id))
		if err != nil || e == nil { // not final yet
			if err != nil {
				return err
			}
			continue
		}
		owners, open, err := k.parts(st, e)
		if err != nil {
			return err
		}
		if !open {
			k.forget(id)
		}
		for _, owner := range owners {
			if len(recs) >= maxAttested {
				break
			}
			if dead, err = k.named(st, dead, owner, id); err != nil {
				return err
			}
			recs = append(recs, &record.Record{Kind: record.KindAttestation, Body: &record.Attestation{Erasure: id, For: owner}})
		}
	}
	if len(recs) == 0 {
		return nil
	}
	k.mu.Lock()
	now, err := k.Vault.Shred(dead...)
	k.mu.Unlock()
	if err != nil {
		return err
	}
	for _, r := range recs {
		a := r.Body.(*record.Attestation)
		a.Class, a.Generation = now.Class, now.Generation
	}
	return k.post(ctx, recs...)
}

func (k *Keeper) noted() []record.ID {
	k.pendingMu.Lock()
	defer k.pendingMu.Unlock()
	var ids []record.ID
	for id := range k.pending {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b record.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (k *Keeper) forget(id record.ID) {
	k.pendingMu.Lock()
	defer k.pendingMu.Unlock()
	delete(k.pending, id)
}

// parts returns the owners of whose copies this custodian may attest an erasure
// now, and whether there are any that it has not attested.
func (k *Keeper) parts(st *store.State, e *rules.Erasure) (owners []string, open bool, err error) {
	for _, c := range e.Copies {
		if c.Custodian != k.Self || c.TimeMs != 0 {
			continue
		}
		custody, err := rules.Load[rules.Custody](st, rules.KeyCustody(c.Member))
		if err != nil {
			return nil, false, err
		}
		if e.Lost(c, custody) != nil {
			continue
		}
		open = true
		waits, err := awaits(st, e, c.Member)
		if err != nil {
			return nil, false, err
		}
		if !waits {
			owners = append(owners, c.Member)
		}
	}
	return owners, open, nil
}

// awaits reports whether a holder at a member has not attested.
func awaits(st *store.State, e *rules.Erasure, member string) (bool, error) {
	for _, id := range e.Pending {
		p, err := rules.Load[rules.Party](st, rules.KeyParty(id))
		if err != nil {
			return false, err
		}
		if p != nil && p.Host == member {
			return true, nil
		}
	}
	return false, nil
}

// named appends the vault entries of an erasure's numbers. Those of before the start
// were dropped by the pass over all copies.
func (k *Keeper) named(st *store.State, ids []string, owner string, id record.ID) ([]string, error) {
	k.pendingMu.Lock()
	numbers := slices.Clone(k.pending[id])
	k.pendingMu.Unlock()
	for _, n := range numbers {
		if dead, err := buried(st, n); err != nil || !dead {
			if err != nil {
				return nil, err
			}
			continue
		}
		found, err := k.Vault.List(numberPrefix(owner, n))
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}
