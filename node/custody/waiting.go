package custody

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// waitingBlob is a parcel that waits. The openings are sealed under a class of its
// own, the parcel to its one-time key.
type waitingBlob struct {
	Class  [16]byte       `cbor:"1,keyasint"`
	Sealed []byte         `cbor:"2,keyasint"`
	Parcel []byte         `cbor:"3,keyasint"`
	Handle sign.PublicKey `cbor:"4,keyasint"`
	Read   bool           `cbor:"5,keyasint,omitempty"` // its items were read already: received without being asked
}

// waitingRoom is the parcels that wait, in memory.
type waitingRoom struct {
	mu      sync.Mutex
	handles map[record.ID]sign.PublicKey
	read    map[record.ID]bool // received without being asked
	arrived chan struct{}      // closed when a parcel comes
}

func (w *waitingRoom) add(id record.ID, h sign.PublicKey, read bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handles == nil {
		w.handles, w.read = map[record.ID]sign.PublicKey{}, map[record.ID]bool{}
	}
	w.handles[id] = h
	if read {
		w.read[id] = true
	}
	if w.arrived != nil {
		close(w.arrived)
		w.arrived = nil
	}
}

func (w *waitingRoom) has(id record.ID) (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.handles[id]; ok {
		return true, nil
	}
	if w.arrived == nil {
		w.arrived = make(chan struct{})
	}
	return false, w.arrived
}

func (w *waitingRoom) remove(id record.ID) {
	w.mu.Lock()
	delete(w.handles, id)
	delete(w.read, id)
	w.mu.Unlock()
}

// unasked reports whether the items of a parcel were read already.
func (w *waitingRoom) unasked(id record.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read[id]
}

func (w *waitingRoom) all() []record.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]record.ID, 0, len(w.handles))
	for id := range w.handles {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b record.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

func (w *waitingRoom) under(handles []sign.PublicKey) []record.ID {
	return slices.DeleteFunc(w.all(), func(id record.ID) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !slices.Contains(handles, w.handles[id])
	})
}

// loadWaiting finds what waits, and destroys one-time keys whose parcel is gone.
func (d *Desk) loadWaiting() error {
	err := d.Blobs.Scan(blobPrefix(kindWaiting), func(key, value []byte) error {
		id, err := idOfKey(kindWaiting, key)
		if err != nil {
			return err
		}
		b := new(waitingBlob)
		if err := canon.UnmarshalMax(value, maxBlobBytes, b); err != nil {
			return err
		}
		d.waiting.add(id, b.Handle, b.Read)
		return nil
	})
	if err != nil {
		return err
	}
	for _, at := range d.found {
		if !strings.HasPrefix(at, "w/") {
			continue
		}
		id, err := parseID(at[2:min(len(at), 34)])
		if err != nil {
			return errors.New("an entry of a parcel is damaged")
		}
		if here, _ := d.waiting.has(id); !here {
			d.spent = append(d.spent, at) // where the sender still wants it, it is offered another
		}
	}
	return nil
}

func onceID(id record.ID) string { return "w/" + hex.EncodeToString(id[:]) + "/one" }
func boxID(id record.ID) string  { return "w/" + hex.EncodeToString(id[:]) + "/box" }

// openIntent returns an open intent towards a party of this node from one of a
// member's.
func (d *Desk) openIntent(st *store.State, from string, id record.ID) (*rules.Intent, error) {
	in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
	if err != nil {
		return nil, err
	}
	refuse := record.Refuse(record.CodeReceiveWithout, "no such hand-over is open and final here")
	if in == nil || !d.mine(in.To) {
		return nil, refuse
	}
	_, ok, err := d.acts(st, from, in.From)
	if err != nil || !ok {
		return nil, orElse(err, refuse)
	}
	return in, nil
}

// serveOffer makes a one-time recipient for an intent towards us.
func (d *Desk) serveOffer(st *store.State, from string, r *offerRequest) ([]byte, error) {
	if _, err := d.openIntent(st, from, r.Intent); err != nil {
		return nil, err
	}
	defer d.lock(onceID(r.Intent))()
	if here, _ := d.waiting.has(r.Intent); here {
		return canon.Must(&offerAnswer{}), nil
	}
	d.unspend(onceID(r.Intent))
	b, err := d.Vault.Get(onceID(r.Intent))
	if errors.Is(err, vault.ErrNotFound) {
		one, err2 := seal.NewOneTime()
		if err2 != nil {
			return nil, err2
		}
		b = one.Marshal()
		err = d.put(vault.Entry{ID: onceID(r.Intent), Value: slices.Clone(b)})
	}
	if err != nil {
		return nil, err
	}
	defer clear(b)
	one, err := seal.ParseOneTime(b)
	if err != nil {
		return nil, err
	}
	return canon.Must(&offerAnswer{Recipient: one.Recipient().String()}), nil
}

// unspend keeps a transient secret that was about to be destroyed.
func (d *Desk) unspend(at string) {
	d.spentMu.Lock()
	d.spent = slices.DeleteFunc(d.spent, func(s string) bool { return s == at })
	d.spentMu.Unlock()
}

// serveDeliver stores a parcel whose openings fit the intent. It answers when the
// parcel is durable.
func (d *Desk) serveDeliver(st *store.State, from string, r *deliverRequest) ([]byte, error) {
	in, err := d.openIntent(st, from, r.Intent)
	if err != nil {
		return nil, err
	}
	rec, _, err := recordByID(st, r.Intent)
	if err != nil {
		return nil, err
	}
	if rec == nil || rec.Kind != record.KindProvision && rec.Kind != record.KindOptOut || rec.Commitment == nil ||
		!seal.CheckOpening(*rec.Commitment, r.Part.Nonce, r.Part.Part) || !seal.CheckOpening(in.Items, r.Items.Nonce, r.Items.Part) {
		return nil, record.Refuse(record.CodeIntentItems, "the openings are not those of the record")
	}
	if _, err := record.DecodePart(rec.Kind, r.Part.Part); err != nil {
		return nil, err
	}
	if _, err := decodeItems(r.Items.Part); err != nil {
		return nil, record.Refuse(record.CodeIntentItems, "the items")
	}
	defer d.lock(onceID(r.Intent))()
	if here, _ := d.waiting.has(r.Intent); here {
		return nil, nil
	}
	if has, err := d.Vault.Has(onceID(r.Intent)); err != nil || !has {
		return nil, orElse(err, record.Refuse(record.CodeReceiveWithout, "nothing was offered"))
	}
	if err := d.storeParcel(in, rec.Kind, r); err != nil {
		return nil, err
	}
	if d.AutoReceive || d.waiting.unasked(r.Intent) {
		d.spawn(func(ctx context.Context) { d.autoReceive(ctx, r.Intent) })
	}
	return nil, nil
}

func (d *Desk) storeParcel(in *rules.Intent, kind record.Kind, r *deliverRequest) error {
	c := d.transient(boxID(r.Intent))
	if c == nil {
		var entry vault.Entry
		var file store.KV
		var err error
		if c, entry, file, err = d.newClass(boxID(r.Intent), "", "box"); err != nil {
			return err
		}
		if err := d.putBeside([]store.KV{file}, entry); err != nil {
			return err
		}
	}
	d.unspend(boxID(r.Intent))
	plain := canon.Must(&openings{Kind: kind, Part: r.Part, Items: &r.Items})
	defer clear(plain)
	sealed, err := d.sealFor(c.id, sealedWaiting, r.Intent, plain)
	if err != nil {
		return err
	}
	read := readNow(kind, r.Part.Part)
	b := canon.Must(&waitingBlob{Class: c.id, Sealed: sealed, Parcel: r.Parcel, Handle: in.Handle, Read: read})
	if len(b) > maxBlobBytes {
		return record.Refuse(record.CodeRecordOversize, "a parcel of %d bytes", len(r.Parcel))
	}
	if err := d.Blobs.PutMany([]store.KV{{Key: blobKey(kindWaiting, r.Intent[:]), Value: b}}); err != nil {
		return err
	}
	d.waiting.add(r.Intent, in.Handle, read)
	return nil
}

// transient returns a class that belongs to nobody, by its vault entry.
func (d *Desk) transient(at string) *class {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.people.loose[at]
}
