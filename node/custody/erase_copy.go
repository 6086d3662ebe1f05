package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
)

// An erasure outlives the machine that began it. Its issuer's plan — who must be told,
// under which handles, and which of these are to be closed — is in the vault, too, and
// so at the custodians (node/escrow):
//
//	t/ERASURE/I/N  piece I of the N pieces of the plan (erasurePlan, canonical CBOR)
//
// A desk that finds pieces and no class of the erasure (e/ERASURE/…, of which custodians
// get no copy) goes on from them: its disk was lost. Where there is such a class and no
// plan, it stopped while it made the plan, or after the end: then nothing is left to do.
// It begins nothing: an erasure that is not in the ledger by the time at which what was
// posted before has failed never will be.
//
// A custodian has the pieces before the erasure is in the ledger (copyPlans): whoever
// sees it there can count on somebody knowing the rest. Where no custodian answers, the
// erasure does not wait for one; what is lost with the disk then, AfterLoss finds in the
// ledger, but for a dataset's.
//
// The pieces die when the plan is done, here and at the custodians. Until then they say
// which handles belonged together, and nobody's name.

// goneUnlessRecorded is how long, by the log's time, a desk waits for the record of an
// erasure of which it found the plan only.
const goneUnlessRecorded = 2 * record.MaxNotAfter

// idleFor is how long the log's time may stay behind before this node makes it go on:
// longer than clocks of members differ.
const idleFor = time.Minute

// pieceBytes is the size of a piece. Sealed and padded, its copy must not be longer than
// a custodian's vault takes (vault.MaxValueBytes).
const pieceBytes = 4 << 10

func pieceID(id record.ID, i, n int) string { return fmt.Sprintf("t/%x/%d/%d", id[:], i, n) }

// pieces returns the vault entries of a plan; none where there is nobody to tell and
// nothing to close.
func (p *erasurePlan) pieces() (out []vault.Entry) {
	if len(p.Tell)+len(p.Close) == 0 {
		return nil
	}
	parts := slices.Collect(slices.Chunk(canon.Must(p), pieceBytes))
	for i, part := range parts {
		out = append(out, vault.Entry{ID: pieceID(p.Erasure, i, len(parts)), Value: slices.Clone(part), Reserve: true})
	}
	return out
}

func (p *erasurePlan) pieceIDs() (ids []string) {
	for _, e := range p.pieces() {
		ids = append(ids, e.ID)
	}
	return ids
}

// copyPlans has a custodian keep plans, if one answers. It takes at most a third of the
// caller's time: the erasures themselves are what was asked for.
func (d *Desk) copyPlans(ctx context.Context, jobs ...*erasureJob) {
	var pieces []string
	for _, job := range jobs {
		pieces = append(pieces, job.pieces...)
	}
	if d.Copies == nil || len(pieces) == 0 {
		return
	}
	ctx, cancel := third(ctx)
	defer cancel()
	if err := d.Copies.Ensure(ctx, pieces...); err != nil {
		d.Log.Warn("erasures begin of whose plan no custodian has a copy yet", "erasures", len(jobs), "first", hex.EncodeToString(jobs[0].id[:]), "err", safe(err))
	}
}

// third leaves two thirds of the caller's time, where it ends, to what comes after.
func third(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithTimeout(ctx, time.Until(end)/3)
	}
	return context.WithCancel(ctx)
}

// foundOf returns the vault entries of one kind that New found, by erasure.
func (d *Desk) foundOf(kind string) (map[record.ID][]string, error) {
	found := map[record.ID][]string{}
	for _, at := range d.found {
		rest, is := strings.CutPrefix(at, kind)
		if !is {
			continue
		}
		id, err := parseID(rest[:min(len(rest), 2*len(record.ID{}))])
		if err != nil {
			return nil, errors.New("an entry of an erasure is damaged")
		}
		found[id] = append(found[id], at)
	}
	return found, nil
}

// adoptPlans goes on with plans of which nothing but the copies is left, and has what
// belongs to no plan destroyed.
func (d *Desk) adoptPlans() error {
	copies, err := d.foundOf("t/")
	if err != nil {
		return err
	}
	classes, err := d.foundOf("e/")
	if err != nil {
		return err
	}
	for id, at := range copies {
		if job := d.erasing.job(id); job != nil {
			job.pieces = at
		} else if len(classes[id]) > 0 {
			d.spend(at...)
		} else if err := d.adoptPlan(id, at); err != nil {
			return err
		}
	}
	for id, at := range classes {
		if d.erasing.job(id) == nil {
			d.spend(at...)
		}
	}
	return nil
}

// adoptPlan goes on from copies. Those that are not whole are of no use, unless the
// rest, or the class, may be where nothing can be read.
func (d *Desk) adoptPlan(id record.ID, at []string) error {
	if d.people.damaged != nil {
		return nil
	}
	p, err := d.joined(id, at)
	if err != nil {
		return err
	}
	if p == nil {
		d.Log.Warn("the copy of an erasure's plan is not whole", "erasure", hex.EncodeToString(id[:]))
		d.spend(at...)
		return nil
	}
	entry, file, blob, err := d.sealStep(id, "b", p)
	if err != nil {
		return err
	}
	if err := d.putBeside([]store.KV{file, blob}, entry); err != nil { // in one write: a class without a plan is an end
		return err
	}
	d.erasing.add(p, d.nowMs(), at...)
	return nil
}

// joined puts a plan's pieces together, nil where some are missing.
func (d *Desk) joined(id record.ID, at []string) (*erasurePlan, error) {
	var b []byte
	for i := range at {
		piece := pieceID(id, i, len(at))
		if !slices.Contains(at, piece) {
			return nil, nil
		}
		part, err := d.Vault.Get(piece)
		if err != nil {
			return nil, err
		}
		b = append(b, part...)
	}
	p := new(erasurePlan)
	if canon.UnmarshalMax(b, maxBlobBytes, p) != nil || p.Erasure != id {
		return nil, nil
	}
	return p, nil
}

// neverRecorded gives up a plan that was found without its erasure, when the record
// cannot come any more: by the log's time, since this node may be behind. Where nobody
// else makes that time go on, this node does.
func (d *Desk) neverRecorded(ctx context.Context, job *erasureJob) error {
	if job.sinceMs == 0 || !d.fresh() {
		return nil
	}
	st, e, err := d.erasureNow(job.id) // no older than what is fresh
	if err != nil || e != nil || st.Size == 0 {
		return err
	}
	end, err := st.EndWith(st.Size - 1)
	if err != nil {
		return err
	}
	switch late := job.sinceMs + uint64(goneUnlessRecorded.Milliseconds()); {
	case end.TimeMs >= late:
		return d.endErasure(job)
	case d.nowMs() >= late+uint64(idleFor.Milliseconds()):
		tick := &record.Record{Kind: record.KindTick, ID: newID(), Issuer: d.Self, Body: &record.Tick{}}
		_, _, err = d.send(ctx, Call{Client: ownClient}, posting{issuer: d.Self, body: d.bodyOf("own", "tick"), records: []*record.Record{tick}})
	}
	return err
}

// endErasure forgets a plan of which nothing is left to do.
func (d *Desk) endErasure(job *erasureJob) error {
	id := job.plan.Erasure
	d.erasing.remove(job.plan)
	d.spend(append(job.pieces, erasureAt(id, "a"), erasureAt(id, "b"))...)
	return d.Blobs.Delete(erasureKey(id, "a"), erasureKey(id, "b"))
}

// tellAgain is how long who has heard of an erasure and not attested is left alone: it
// may have lost its disk in between, and come back with what it was to destroy.
const tellAgain = time.Hour
