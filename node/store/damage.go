package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// OnDamage has f called with every read that met damage: whoever runs the ledger
// must stop, since the next read may not notice. f must not block; it may be called
// more than once. It is set before anybody reads.
func (l *Ledger) OnDamage(f func(error)) { l.damage.Store(&f) }

// guard ends a read that calls nothing of ours: Badger answers a damaged block with
// a panic, and a value that contradicts another is damage as well.
func (l *Ledger) guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
	}
	l.met(*err)
}

// guardBeside is guard for a read that calls back: what panics while called is set
// is not Badger.
func (l *Ledger) guardBeside(called *bool, err *error) {
	if r := recover(); r != nil {
		if *called {
			panic(r)
		}
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
	}
	l.met(*err)
}

// met tells of an error that is damage.
func (l *Ledger) met(err error) {
	if err == nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrCorrupt) {
		return
	}
	if f := l.damage.Load(); f != nil {
		(*f)(err)
	}
}

// readFault is an error of a read of the ledger state: damage, unless the database
// was closed meanwhile.
func readFault(err error) error {
	if errors.Is(err, badger.ErrDBClosed) {
		return ErrClosed
	}
	return readError(err)
}

// OnDamage has f called when the database stops or a read met damage, see
// Ledger.OnDamage.
func (b *Blobs) OnDamage(f func(error)) { b.damage.Store(&f) }

// met stops the database after damage: it answers nothing more.
func (b *Blobs) met(err error) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	b.log.Error("database stopped: damaged", "error", err.Error())
	b.stop(err)
	return err
}
