package rules

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A tx is the register during a batch: the view beneath, the writes above, and
// a journal to roll a submission back.
type tx struct {
	view    View
	writes  map[string][]byte
	journal []undo
	bytes   int            // that writes take
	seen    map[string]any // decoded values of peek
}

type undo struct {
	key string
	old []byte
	had bool
}

func newTx(v View) *tx { return &tx{view: v, writes: map[string][]byte{}, seen: map[string]any{}} }

func (t *tx) get(key string) ([]byte, error) {
	if v, ok := t.writes[key]; ok {
		return v, nil
	}
	v, err := t.view.Get([]byte(key))
	if err != nil {
		return nil, fmt.Errorf("read register: %w", err)
	}
	return v, nil
}

// writeCost bounds what a store needs for one write beside the value.
const writeCost = 48

// weigh adds to bytes, or with a negative sign takes away, what a write takes.
func (t *tx) weigh(sign int, value []byte) { t.bytes += sign * (writeCost + len(value)) }

// put sets a key; a nil value deletes it.
func (t *tx) put(key string, value []byte) {
	old, had := t.writes[key]
	t.journal = append(t.journal, undo{key: key, old: old, had: had})
	if had {
		t.weigh(-1, old)
	}
	t.weigh(+1, value)
	t.writes[key] = value
	delete(t.seen, key)
}

func (t *tx) mark() int { return len(t.journal) }

func (t *tx) rollback(mark int) {
	for i := len(t.journal) - 1; i >= mark; i-- {
		u := t.journal[i]
		delete(t.seen, u.key)
		t.weigh(-1, t.writes[u.key])
		if u.had {
			t.weigh(+1, u.old)
			t.writes[u.key] = u.old
		} else {
			delete(t.writes, u.key)
		}
	}
	t.journal = t.journal[:mark]
}

// load reads a value of the register, nil where there is none.
func load[T any](t *tx, key string) (*T, error) {
	b, err := t.get(key)
	if err != nil || b == nil {
		return nil, err
	}
	v := new(T)
	if err := canon.Decode(b, v); err != nil { // our own bytes: canonical as written
		return nil, fmt.Errorf("register value of %q: %w", key[:min(len(key), 8)], err)
	}
	return v, nil
}

// peek is need for values that are only read: they are decoded once a batch,
// and must not be changed.
func peek[T any](t *tx, key string, code record.Code) (*T, error) {
	if v, ok := t.seen[key].(*T); ok {
		return v, nil
	}
	v, err := need[T](t, key, code)
	if err == nil {
		t.seen[key] = v
	}
	return v, err
}

func (t *tx) save(key string, v any) { t.put(key, canon.Must(v)) }

// need is load that refuses with a code where there is no value.
func need[T any](t *tx, key string, code record.Code) (*T, error) {
	v, err := load[T](t, key)
	if err == nil && v == nil {
		return nil, &record.Refusal{Code: code}
	}
	return v, err
}

// Load reads a value of the register through any view, nil where there is none.
func Load[T any](v View, key string) (*T, error) { return load[T](&tx{view: v}, key) }
