package escrow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// Poster is the way into the ledger.
type Poster interface {
	Submit(ctx context.Context, r outbox.Request) (*outbox.Result, error)
}

// KeeperConfig is what a Keeper needs; everything is required.
type KeeperConfig struct {
	Self    string
	Vault   *vault.Vault        // of copies and nothing else; the caller closes it afterwards
	State   func() *store.State // the newest final state, never an older one; nil before the first
	Newest  *store.State        // the state that this node has derived when it starts
	Poster  Poster
	Accepts func(owner string) bool // whether this member agreed to keep a member's copies
	Log     *slog.Logger
}

// Keeper keeps copies for other members. Its methods may be called from several
// goroutines.
type Keeper struct {
	KeeperConfig
	from uint64 // height: what was derived at the start

	mu     sync.Mutex // held while copies come, go, or are compared with tombstones
	passed time.Time  // when all copies were last compared with the tombstones; Duty's

	pendingMu sync.Mutex
	pending   map[record.ID][]Number // erasures to be attested, with numbers of since the start

	offersMu sync.Mutex
	offers   map[[16]byte]offer
	lists    map[string][]Label
}

type offer struct {
	owner string
	key   seal.OneTime
	until time.Time
}

// Bounds of a keeper's memory and pace.
const (
	maxOffers  = 64 // of one owner; a sender needs two at once
	offerLives = time.Minute
	passEvery  = time.Hour
)

// NewKeeper returns a keeper that goes on with the erasures that its custodian has
// not attested.
func NewKeeper(c KeeperConfig) (*Keeper, error) {
	if c.Self == "" || c.Vault == nil || c.State == nil || c.Newest == nil || c.Poster == nil || c.Accepts == nil || c.Log == nil {
		return nil, errors.New("escrow: the keeper's config is not whole")
	}
	k := &Keeper{KeeperConfig: c, from: c.Newest.Height, pending: map[record.ID][]Number{}, offers: map[[16]byte]offer{}, lists: map[string][]Label{}}
	err := c.Newest.Listed("erasure/", func(key string, value []byte) error { return k.note(key, value) })
	if err != nil {
		return nil, fmt.Errorf("escrow: read the erasures: %w", err)
	}
	return k, nil
}

// note remembers an erasure that this custodian has a part in.
func (k *Keeper) note(key string, value []byte) error {
	e := new(rules.Erasure)
	if err := canon.Decode(value, e); err != nil {
		return err
	}
	if slices.ContainsFunc(e.Copies, func(c rules.CopyErase) bool { return c.Custodian == k.Self && c.TimeMs == 0 }) {
		id := record.ID([]byte(key[len("erasure/"):]))
		k.pending[id] = append([]Number{}, k.pending[id]...)
	}
	return nil
}

// serving returns the custodian's entry of an owner, and refuses where the keeper
// may not answer it.
func (k *Keeper) serving(owner string) (*store.State, error) {
	st := k.State()
	if st == nil {
		return nil, record.Refuse(record.CodeCustodianStale, "nothing is final yet")
	}
	custody, err := rules.Load[rules.Custody](st, rules.KeyCustody(owner))
	if err != nil {
		return nil, err
	}
	c := custody.Of(k.Self)
	if c == nil || !c.Holds() {
		return nil, record.Refuse(record.CodeCustodianUnknown, "no custody of %s", owner)
	}
	now, err := k.Vault.Shred()
	if err != nil {
		return nil, err
	}
	if now.Generation < c.Generation {
		return nil, record.Refuse(record.CodeCustodianStale, "generation %d, it attested %d", now.Generation, c.Generation)
	}
	return st, nil
}

// Handle answers an owner, whom the transport has authenticated.
func (k *Keeper) Handle(_ context.Context, owner string, req []byte) ([]byte, error) {
	m := new(message)
	if err := canon.UnmarshalMax(req, MaxRequest, m); err != nil {
		return nil, record.Refuse(record.CodeRecordMalformed, "the request's form")
	}
	if _, err := k.serving(owner); err != nil {
		return nil, err
	}
	switch m.What {
	case callOffer:
		return k.offer(owner)
	case callPut:
		return serve(m.Body, func(r *putRequest) ([]byte, error) { return k.put(owner, r) })
	case callList:
		return serve(m.Body, func(r *listRequest) ([]byte, error) { return k.list(owner, r) })
	case callGet:
		return serve(m.Body, func(r *getRequest) ([]byte, error) { return k.get(owner, r) })
	case callDrop:
		return serve(m.Body, func(r *dropRequest) ([]byte, error) { return nil, k.drop(owner, r) })
	}
	return nil, record.Refuse(record.CodeRecordMalformed, "no such request")
}

func serve[T any](body []byte, f func(*T) ([]byte, error)) ([]byte, error) {
	r := new(T)
	if err := canon.UnmarshalMax(body, MaxRequest, r); err != nil {
		return nil, record.Refuse(record.CodeRecordMalformed, "the request's form")
	}
	return f(r)
}

// offer draws a key for one parcel.
func (k *Keeper) offer(owner string) ([]byte, error) {
	key, err := seal.NewOneTime()
	if err != nil {
		return nil, err
	}
	k.offersMu.Lock()
	defer k.offersMu.Unlock()
	k.tidyOffers(owner)
	id := [16]byte(key.Number())
	k.offers[id] = offer{owner: owner, key: key, until: time.Now().Add(offerLives)}
	return canon.Must(&offerAnswer{Offer: id, Recipient: key.Recipient().String()}), nil
}

// tidyOffers forgets offers that are over, and makes room for one more of an owner: in
// the place of its oldest, for which nobody waits any more. k.offersMu is held.
func (k *Keeper) tidyOffers(owner string) {
	var own [][16]byte
	for id, o := range k.offers {
		if time.Now().After(o.until) {
			delete(k.offers, id)
		} else if o.owner == owner {
			own = append(own, id)
		}
	}
	if len(own) >= maxOffers {
		delete(k.offers, slices.MinFunc(own, func(a, b [16]byte) int { return k.offers[a].until.Compare(k.offers[b].until) }))
	}
}

func (k *Keeper) take(owner string, id [16]byte) (seal.OneTime, bool) {
	k.offersMu.Lock()
	defer k.offersMu.Unlock()
	o, ok := k.offers[id]
	if !ok || o.owner != owner {
		return seal.OneTime{}, false
	}
	delete(k.offers, id)
	return o.key, time.Now().Before(o.until)
}

// put takes copies in, but for those with a tombstone.
func (k *Keeper) put(owner string, r *putRequest) ([]byte, error) {
	key, ok := k.take(owner, r.Offer)
	if !ok {
		return nil, record.Refuse(record.CodeRecordMalformed, "no such offer, or it is over")
	}
	copies, err := unpacked(r.Offer, owner, k.Self, r.Parcel, key)
	if err != nil {
		return nil, record.Refuse(record.CodeRecordMalformed, "the parcel does not open")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st, err := k.serving(owner) // again, under the lock: what became a tombstone before is seen
	if err != nil {
		return nil, err
	}
	var entries []vault.Entry
	answer := putAnswer{}
	for _, c := range copies {
		dead, err := buried(st, c.Label.Number)
		if err != nil {
			return nil, err
		}
		if dead {
			answer.Buried++
			continue
		}
		entries = append(entries, vault.Entry{ID: entryOf(owner, c.Label), Value: c.Sealed, Replace: true})
	}
	if answer.Untaken, err = k.putSome(entries); err != nil {
		return nil, err
	}
	return canon.Must(&answer), nil
}

// putSome puts what it can, and returns the labels of the rest: too long, or in a bucket
// that is full or damaged.
func (k *Keeper) putSome(entries []vault.Entry) (untaken []byte, err error) {
	err = k.Vault.Put(entries...)
	if !slices.ContainsFunc([]error{vault.ErrInvalid, vault.ErrTooLarge, vault.ErrFull, vault.ErrBlock}, func(e error) bool { return errors.Is(err, e) }) {
		return nil, err
	}
	if len(entries) == 1 {
		_, l, _ := labelAt(entries[0].ID)
		b := l.bytes()
		return b[:], nil
	}
	for _, half := range [][]vault.Entry{entries[:len(entries)/2], entries[len(entries)/2:]} {
		some, err := k.putSome(half)
		if err != nil {
			return nil, err
		}
		untaken = append(untaken, some...)
	}
	return untaken, nil
}

// buried reports whether a number has a tombstone.
func buried(st *store.State, n Number) (bool, error) {
	if n == (Number{}) {
		return false, nil
	}
	t, err := rules.Load[rules.Tombstone](st, rules.KeyTombstone(record.KeyNumber(n)))
	return t != nil, err
}

// list answers the labels of an owner's copies, page by page of what there was when
// the first page was asked for.
func (k *Keeper) list(owner string, r *listRequest) ([]byte, error) {
	if len(r.After) == 0 {
		labels, err := k.labels(owner)
		if err != nil {
			return nil, err
		}
		k.offersMu.Lock()
		k.lists[owner] = labels
		k.offersMu.Unlock()
	}
	k.offersMu.Lock()
	defer k.offersMu.Unlock()
	labels, known := k.lists[owner]
	at := 0
	if len(r.After) != 0 {
		if len(r.After) != labelBytes || !known {
			return nil, record.Refuse(record.CodeRecordMalformed, "ask for the first page")
		}
		i, found := slices.BinarySearchFunc(labels, labelOf([labelBytes]byte(r.After)), compareLabels)
		if at = i; found {
			at++
		}
	}
	page := labels[at:min(at+maxLabels, len(labels))]
	answer := listAnswer{More: at+len(page) < len(labels)}
	for _, l := range page {
		b := l.bytes()
		answer.Labels = append(answer.Labels, b[:]...)
	}
	if !answer.More {
		delete(k.lists, owner)
	}
	return canon.Must(&answer), nil
}

func compareLabels(a, b Label) int {
	x, y := a.bytes(), b.bytes()
	return slices.Compare(x[:], y[:])
}

// labels reads the whole vault, and returns the owner's part in ascending order.
func (k *Keeper) labels(owner string) ([]Label, error) {
	var out []Label
	for bucket := range k.Vault.Buckets() {
		err := k.Vault.EachIn(bucket, func(id string, _ []byte) error {
			if o, l, ok := labelAt(id); ok && o == owner {
				out = append(out, l)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, compareLabels)
	return out, nil
}

// get hands copies back to their owner, but for those with a tombstone.
func (k *Keeper) get(owner string, r *getRequest) ([]byte, error) {
	labels, ok := labelsOf(r.Labels, maxCopies)
	if !ok {
		return nil, record.Refuse(record.CodeRecordMalformed, "the labels")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st, err := k.serving(owner)
	if err != nil {
		return nil, err
	}
	var copies []sealedCopy
	done, size := 0, 0
	for _, l := range labels {
		if size > maxBatchBytes {
			break
		}
		done++
		dead, err := buried(st, l.Number)
		if err != nil {
			return nil, err
		}
		if dead {
			continue
		}
		value, err := k.Vault.Get(entryOf(owner, l))
		if errors.Is(err, vault.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		copies, size = append(copies, sealedCopy{Label: l, Sealed: value}), size+len(value)
	}
	file, err := packed(r.Session, k.Self, owner, copies, r.Recipient)
	if err != nil {
		return nil, record.Refuse(record.CodeRecordMalformed, "the recipient")
	}
	return canon.Must(&getAnswer{Parcel: file, Done: done}), nil
}

// drop destroys copies of what the owner has no more.
func (k *Keeper) drop(owner string, r *dropRequest) error {
	labels, ok := labelsOf(r.Labels, maxCopies)
	if !ok {
		return record.Refuse(record.CodeRecordMalformed, "the labels")
	}
	ids := make([]string, len(labels))
	for i, l := range labels {
		ids[i] = entryOf(owner, l)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.Vault.Shred(ids...)
	return err
}
