package custody

import (
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// holds is the holds in memory.
type holds struct {
	mu       sync.Mutex
	byID     map[record.ID]*hold
	byNumber map[seal.Number][]*hold
}

type hold struct {
	id      record.ID
	class   [16]byte // under which its text is sealed
	covers  [][16]byte
	numbers []record.KeyNumber
	untilMs uint64
	request record.ID // that is pending while it lasts, zero for none
}

func (h *holds) add(x *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID, h.byNumber = map[record.ID]*hold{}, map[seal.Number][]*hold{}
	}
	h.byID[x.id] = x
	for _, n := range x.numbers {
		h.byNumber[seal.Number(n)] = append(h.byNumber[seal.Number(n)], x)
	}
}

func (h *holds) remove(x *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byID, x.id)
	for _, n := range x.numbers {
		n := seal.Number(n)
		if h.byNumber[n] = slices.DeleteFunc(h.byNumber[n], func(o *hold) bool { return o == x }); len(h.byNumber[n]) == 0 {
			delete(h.byNumber, n)
		}
	}
}

func (h *holds) all() (out []*hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.byID {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *hold) int { return slices.Compare(a.id[:], b.id[:]) })
	return out
}

// until is a deadline as holds move it.
func (h *holds) until(n seal.Number, deadlineMs uint64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.byNumber[n] {
		deadlineMs = max(deadlineMs, x.untilMs)
	}
	return deadlineMs
}

// active reports whether an identity is held.
func (h *holds) active(n seal.Number, nowMs uint64) bool {
	return h.until(n, 0) > nowMs
}

func (h *holds) end(x *hold, ms uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x.untilMs = ms
}

// loadHolds reads what an earlier desk stored.
func (d *Desk) loadHolds() error {
	return d.Blobs.Scan(blobPrefix(kindHold), func(key, value []byte) error {
		id, err := idOfKey(kindHold, key)
		if err != nil {
			return err
		}
		b := new(holdBlob)
		if err := canon.UnmarshalMax(value, maxBlobBytes, b); err != nil {
			return err
		}
		x := &hold{id: id, class: b.Class, covers: b.Covers, numbers: b.Numbers, untilMs: b.UntilMs}
		if len(b.Request) == len(x.request) {
			x.request = record.ID(b.Request)
		}
		d.holds.add(x)
		return nil
	})
}

// forgetHolds deletes the holds whose text went with its key.
func (d *Desk) forgetHolds() error {
	for _, x := range d.holds.all() {
		if d.people.has(x.class) {
			continue
		}
		if err := d.Blobs.Delete(blobKey(kindHold, x.id[:])); err != nil {
			return err
		}
		d.holds.remove(x)
	}
	return nil
}

func (h *holds) ends(x *hold) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return x.untilMs
}

// pending returns the holds of a request that have not ended.
func (h *holds) pending(request record.ID, nowMs uint64) []*hold {
	return slices.DeleteFunc(h.all(), func(x *hold) bool {
		return request == record.ID{} || x.request != request || h.ends(x) <= nowMs
	})
}
