package custody

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// attest posts the word of each holder of this node. What is attested is what the
// vault says now: a later generation holds no more of the person than the first.
func (d *Desk) attest(ctx context.Context, st *store.State, e *rules.Erasure, p *erasurePlan, late []passedTo) error {
	now, err := d.Vault.Shred()
	if err != nil {
		return err
	}
	rec, _, err := recordByID(st, p.Erasure)
	if err != nil {
		return err
	}
	for _, holder := range p.Own {
		named, before := slices.Contains(rec.Body.(*record.Erasure).Holders, holder), times(e, holder)
		if !slices.Contains(e.Pending, holder) || named && before == 0 && !p.ByIssuer {
			continue
		}
		a := &record.Attestation{Erasure: p.Erasure, Class: now.Class, Generation: now.Generation, Kept: p.kept(), Onward: further(e, late, holder)}
		if a.Numbers, err = unburied(st, p.numbersOf(holder)); err != nil {
			return err
		}
		key := "attest/" + hex.EncodeToString(p.Erasure[:]) + "/" + holder
		if before > 0 {
			key += fmt.Sprintf("/%d", before)
		}
		_, _, err := d.postOwn(ctx, key, &record.Record{Kind: record.KindAttestation, ID: newID(), Issuer: holder, Body: a}, true)
		if err != nil && codeOf(err) != record.CodeDuplicate {
			return err
		}
	}
	return nil
}

// unburied leaves out numbers that have their tombstone.
func unburied(st *store.State, numbers []record.KeyNumber) ([]record.KeyNumber, error) {
	var out []record.KeyNumber
	for _, n := range numbers {
		t, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(n))
		if err != nil {
			return nil, err
		}
		if t == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// kept returns what remains under record identities, in the form of the ledger.
func (p *erasurePlan) kept() *record.Kept {
	if (p.Blind || len(p.Dataset) > 0) && len(p.Until) == 0 { // not known, or not asked for
		return nil
	}
	k := new(record.Kept)
	for _, s := range p.Until {
		if t, err := time.Parse(time.DateOnly, s); err == nil {
			k.Records = max(k.Records, uint32(t.Unix()/86400))
		}
	}
	return k
}

func (p *erasurePlan) numbersOf(holder string) (numbers []record.KeyNumber) {
	for _, n := range p.Numbers {
		if n.Holder == holder {
			numbers = append(numbers, n.Numbers...)
		}
	}
	return numbers
}

// times counts a holder's attestations.
func times(e *rules.Erasure, holder string) (n int) {
	for _, h := range e.Done {
		if h.Holder == holder {
			n++
		}
	}
	return n
}

// passedTo is a party to whom a holder of this node handed data over under
// handles that an erasure is about.
type passedTo struct {
	from, to string
	handles  []sign.PublicKey
	takenMs  uint64 // batch time of the last receiving record; record.MaxTimeMs where one is still to come
}

// passedOn returns to whom this node handed data over under the handles of
// another member's erasure. That member may not have seen it: the handles close
// only later. It is asked for after what is here was destroyed, so none follows.
func (d *Desk) passedOn(ctx context.Context, st *store.State, p *erasurePlan) ([]passedTo, error) {
	if len(p.Dataset) > 0 { // goes no further
		return nil, nil
	}
	var out []passedTo
	for _, k := range p.Told {
		h, err := rules.HandleState(st, k)
		if err != nil || h == nil {
			return nil, err
		}
		gave, err := d.handOvers(ctx, st, k, h)
		if err != nil {
			return nil, err
		}
		for _, g := range gave {
			if !d.mine(g.from) {
				continue
			}
			i := slices.IndexFunc(out, func(x passedTo) bool { return x.from == g.from && x.to == g.to })
			if i < 0 {
				i, out = len(out), append(out, passedTo{from: g.from, to: g.to})
			}
			if !slices.Contains(out[i].handles, k) {
				out[i].handles = append(out[i].handles, k)
			}
			if g.takenMs == 0 {
				g.takenMs = record.MaxTimeMs
			}
			out[i].takenMs = max(out[i].takenMs, g.takenMs)
		}
	}
	return out, nil
}

// further returns whom a holder must name as further holders: those who neither
// are to attest nor have done so since they took in what it gave them.
func further(e *rules.Erasure, late []passedTo, holder string) []string {
	var out []string
	for _, l := range late {
		if l.from != holder || slices.Contains(e.Pending, l.to) {
			continue
		}
		if !slices.ContainsFunc(e.Done, func(x rules.HolderErase) bool { return x.Holder == l.to && x.TimeMs > l.takenMs }) {
			out = append(out, l.to)
		}
	}
	return set(out)
}

// tell names the handles to holders elsewhere, once each, also to those who have
// attested: they may not have heard of all handles; and again after a while, until they
// have attested. It reports whether all have. All are asked at once; who does not answer
// has a third of the caller's time, and does not hold the next erasure up.
func (d *Desk) tell(ctx context.Context, st *store.State, e *rules.Erasure, job *erasureJob, late []passedTo) bool {
	tell := slices.Clone(job.plan.Tell)
	for _, l := range late {
		if !d.mine(l.to) {
			tell = append(tell, holderTold{Holder: l.to, Handles: l.handles})
		}
	}
	ctx, cancel := third(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex // of all and job.told
	all := true
	for _, t := range tell {
		host, gone, err := d.hostNow(st, t.Holder)
		if gone { // nobody is there who could attest: the certificate names them
			continue
		}
		pending := slices.Contains(e.Pending, t.Holder)
		mu.Lock()
		at, told := job.told[t.Holder]
		all = all && !pending
		mu.Unlock()
		if told && (!pending || d.Wall().Sub(at) < tellAgain) {
			continue
		}
		wg.Go(func() {
			if err == nil {
				err = d.tellOne(ctx, host, &eraseRequest{Erasure: job.plan.Erasure, Handles: t.Handles, Size: st.Size,
					Dataset: job.plan.Dataset, Intents: t.Intents})
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				job.told[t.Holder] = d.Wall()
				return
			}
			all = false
			d.Log.Info("a holder has not heard of an erasure yet", "holder", t.Holder, "err", safe(err))
		})
	}
	wg.Wait()
	return all
}

// tellOne tells one member, unless that was silent a moment ago.
func (d *Desk) tellOne(ctx context.Context, host string, r *eraseRequest) error {
	wait, ok := d.silent.patience(host, d.Wall())
	if !ok {
		return errSilent
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := d.ask(ctx, host, callErase, r, nil)
	d.silent.ended(ctx, host, err, time.Since(begin), d.Wall())
	return err
}

// hostNow returns the member at whose node a party is reached, and whether that has left.
func (d *Desk) hostNow(st *store.State, id string) (host string, gone bool, err error) {
	if host, err = d.hostOf(st, id); err != nil {
		return "", false, err
	}
	_, there, err := d.here(st, host)
	return host, err == nil && !there, err
}

// closeHandles closes what is due, with the hand-overs that are still open under
// it. It reports whether all are closed.
func (d *Desk) closeHandles(ctx context.Context, job *erasureJob) (bool, error) {
	all := true
	for _, c := range job.plan.Close {
		if job.ended[c.Handle] {
			continue
		}
		ended, err := d.closeHandle(ctx, job, c)
		if err != nil {
			return false, err
		}
		job.ended[c.Handle] = ended
		all = all && ended
	}
	return all, nil
}

// closeHandle closes a handle when it is due. It reports whether nothing is open
// under it any more: what came in beside the closing is ended by another.
func (d *Desk) closeHandle(ctx context.Context, job *erasureJob, c handleClosing) (bool, error) {
	st, err := d.state()
	if err != nil {
		return false, err
	}
	h, err := rules.HandleState(st, c.Handle)
	if err != nil || h == nil {
		return true, err
	}
	if h.Closed == 0 && !d.closeNow(job, c) {
		return false, nil
	}
	open, err := openUnder(ctx, st, c.Handle, h)
	if err != nil || h.Closed != 0 && len(open) == 0 {
		return true, err
	}
	key := "close/" + c.Handle.String()
	if h.Closed != 0 {
		key += "/" + hex.EncodeToString(open[0][:])
	}
	rec := &record.Record{Kind: record.KindHandleClose, ID: newID(), Issuer: c.Issuer, Body: &record.HandleClose{Handle: c.Handle, Intents: open}}
	if _, _, err = d.postOwn(ctx, key, rec, false); codeOf(err) == record.CodeHandleClosed {
		err = nil
	}
	return false, err
}

// missed is how late a closing may be. What was missed, because the node was down
// or the log stood still, is due again after a new delay: closed together, one
// person's handles would be seen to belong together.
const missed = time.Minute

// closeNow reports whether a closing is due.
func (d *Desk) closeNow(job *erasureJob, c handleClosing) bool {
	now, due := d.wallMs(), c.DueMs
	if again, ok := job.later[c.Handle]; ok {
		return now >= again && d.fresh()
	}
	if now > due+uint64(missed.Milliseconds()) {
		job.later[c.Handle] = now + uint64(d.CloseDelay().Milliseconds())
		return false
	}
	return now >= due && d.fresh()
}

// openUnder returns the hand-overs that are open under a handle, ascending, as
// many as one record can end.
func openUnder(ctx context.Context, st *store.State, k sign.PublicKey, h *rules.Handle) ([]record.ID, error) {
	var open []record.ID
	for rec, err := range under(ctx, st, k, h) {
		if err != nil {
			return nil, err
		}
		if rec.Kind != record.KindProvision && rec.Kind != record.KindOptOut {
			continue
		}
		in, err := rules.Load[rules.Intent](st, rules.KeyIntent(rec.ID))
		if err != nil {
			return nil, err
		}
		if in != nil {
			open = append(open, rec.ID)
		}
	}
	slices.SortFunc(open, func(a, b record.ID) int { return slices.Compare(a[:], b[:]) })
	return open[:min(len(open), record.MaxCloses)], nil
}
