package custody

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/node/store"
)

// A class is what lives and dies together: one identity of the vault, and under
// it one data key. Blobs name the class by a random id that only the vault ties
// to a person.
//
// Its vault entry is the marshalled identity (95 bytes) and the id (16 bytes).
type class struct {
	id     [16]byte
	number seal.Number
	at     string // id of the vault entry
	ref    Ref    // "" where it belongs to nobody, or to somebody who was erased
	name   string // within the person: "c/SERVICE", "c/SERVICE@HOLDER", "d/…" (dated.go) or "r/2026-12"
}

const classBytes = 95 + 16

// newClass draws a class, and keeps its data key at hand for what is sealed next. Its
// wrapped data key must be durable no later than its vault entry (putBeside). Nobody knows the class before put entered it into the
// index, so whoever erases it finds the key in the keyring.
func (d *Desk) newClass(at string, ref Ref, name string) (*class, vault.Entry, store.KV, error) {
	c, key, entry, file, err := drawClass(at, ref, name)
	if err == nil {
		d.keys.hold(c.id, key)
	}
	return c, entry, file, err
}

// drawClass is newClass for who seals before put. The caller wipes the key.
func drawClass(at string, ref Ref, name string) (*class, seal.DataKey, vault.Entry, store.KV, error) {
	identity, err := seal.NewIdentity()
	if err != nil {
		return nil, seal.DataKey{}, vault.Entry{}, store.KV{}, err
	}
	c := &class{number: identity.Number, at: at, ref: ref, name: name, id: [16]byte(newID())}
	if isDataset(name) {
		c.id = identity.Number
	}
	key := seal.NewDataKey()
	file, err := key.Wrap(identity.Recipient())
	if err != nil {
		key.Wipe()
		return nil, seal.DataKey{}, vault.Entry{}, store.KV{}, err
	}
	value := append(identity.Marshal(), c.id[:]...)
	return c, key, vault.Entry{ID: at, Value: value}, store.KV{Key: blobKey(kindKey, c.id[:]), Value: file}, nil
}

// readClass takes a vault entry apart.
func readClass(at string, value []byte) (*class, error) {
	if len(value) != classBytes {
		return nil, fmt.Errorf("a class of %d bytes", len(value))
	}
	return &class{at: at, number: seal.Number(value[2:18]), id: [16]byte(value[95:])}, nil
}

// errGone says that a class was erased, or never was.
var errGone = errors.New("its key is gone")

// withKey runs f with the class's data key.
func (d *Desk) withKey(id [16]byte, f func(seal.DataKey) error) error {
	done, err := d.keys.use(id, f)
	if done {
		return err
	}
	c, err := d.people.class(id)
	if err != nil {
		return err
	}
	if c == nil {
		return errGone
	}
	value, err := d.Vault.Get(c.at)
	if errors.Is(err, vault.ErrNotFound) {
		return errGone
	}
	if err != nil {
		return err
	}
	defer clear(value)
	if len(value) != classBytes {
		return errGone
	}
	identity, err := seal.ParseIdentity(value[:95])
	if err != nil {
		return err
	}
	file, found, err := d.Blobs.Get(blobKey(kindKey, id[:]))
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("wrapped key of a class: %w", seal.ErrDamaged)
	}
	key, err := seal.UnwrapDataKey(file, identity)
	if err != nil {
		return err
	}
	return d.keys.add(id, key, func() bool { return d.people.has(id) }, f)
}

func (d *Desk) aad(kind string, about [16]byte) seal.AAD {
	return seal.AAD{Member: d.Self, Kind: kind, Version: 1, Record: about}
}

// sealFor seals bytes under a class.
func (d *Desk) sealFor(id [16]byte, kind string, about [16]byte, plain []byte) (sealed []byte, err error) {
	err = d.withKey(id, func(k seal.DataKey) (err error) {
		sealed, err = seal.SealItem(k, d.aad(kind, about), plain)
		return err
	})
	return sealed, err
}

// openFrom opens what sealFor sealed. The caller clears the result after use.
func (d *Desk) openFrom(id [16]byte, kind string, about [16]byte, sealed []byte) (plain []byte, err error) {
	err = d.withKey(id, func(k seal.DataKey) (err error) {
		plain, err = seal.OpenItem(k, d.aad(kind, about), sealed)
		return err
	})
	return plain, err
}

// maxKeys bounds the data keys in memory.
const maxKeys = 1024

// keyring holds data keys that were unwrapped lately. A key is wiped when it is
// pushed out or its class is erased, never beside a use.
type keyring struct {
	most  int
	clock atomic.Uint64
	mu    sync.RWMutex
	keys  map[[16]byte]*heldKey
}

type heldKey struct {
	key  seal.DataKey
	used atomic.Uint64
}

func newKeyring(most int) *keyring { return &keyring{most: most, keys: map[[16]byte]*heldKey{}} }

// use runs f with a held key; false where it is not held.
func (k *keyring) use(id [16]byte, f func(seal.DataKey) error) (held bool, err error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	h, ok := k.keys[id]
	if !ok {
		return false, nil
	}
	h.used.Store(k.clock.Add(1))
	return true, f(h.key)
}

// add holds a key and runs f with it. A class that was erased meanwhile is gone.
func (k *keyring) add(id [16]byte, key seal.DataKey, alive func() bool, f func(seal.DataKey) error) error {
	k.mu.Lock()
	if !alive() {
		k.mu.Unlock()
		key.Wipe()
		return errGone
	}
	k.insert(id, key)
	k.mu.Unlock()
	if held, err := k.use(id, f); held {
		return err
	}
	return errGone // erased, or pushed out at once: rare enough to be asked again
}

// hold keeps the key of a class that nobody else knows yet.
func (k *keyring) hold(id [16]byte, key seal.DataKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.insert(id, key)
}

// insert holds a key, or wipes it where it is held. k.mu is held.
func (k *keyring) insert(id [16]byte, key seal.DataKey) {
	if _, ok := k.keys[id]; ok {
		key.Wipe()
		return
	}
	if len(k.keys) >= k.most {
		k.evict()
	}
	h := &heldKey{key: key}
	h.used.Store(k.clock.Add(1))
	k.keys[id] = h
}

// evict pushes out the least used of a few.
func (k *keyring) evict() {
	var victim [16]byte
	oldest, seen := ^uint64(0), 0
	for id, h := range k.keys {
		if u := h.used.Load(); u <= oldest {
			victim, oldest = id, u
		}
		if seen++; seen == 32 {
			break
		}
	}
	k.drop(victim)
}

func (k *keyring) drop(id [16]byte) {
	if h, ok := k.keys[id]; ok {
		h.key.Wipe()
		delete(k.keys, id)
	}
}

// wipe forgets keys.
func (k *keyring) wipe(ids ...[16]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		k.drop(id)
	}
}

func (k *keyring) wipeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.keys {
		k.drop(id)
	}
}
