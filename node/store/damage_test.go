package store

import (
	"errors"
	"testing"
)

// TestReadsTellOfDamage: a panic of Badger is damage, and told; one of a caller's
// own function is a bug, and is not.
func TestReadsTellOfDamage(t *testing.T) {
	var told error
	l := new(Ledger)
	l.OnDamage(func(err error) { told = err })
	read := func(badger func() error) (err error) {
		defer l.guard(&err)
		return badger()
	}
	if err := read(func() error { panic("checksum mismatch") }); !errors.Is(err, ErrCorrupt) || told != err {
		t.Errorf("error %v, told %v", err, told)
	}
	told = nil
	if err := read(func() error { return ErrClosed }); err != ErrClosed || told != nil {
		t.Errorf("error %v, told %v", err, told)
	}
	beside := func(fn func()) (err error) {
		called := false
		defer l.guardBeside(&called, &err)
		called = true
		fn()
		called = false
		panic("checksum mismatch")
	}
	if err := beside(func() {}); !errors.Is(err, ErrCorrupt) || told == nil {
		t.Errorf("error %v, told %v", err, told)
	}
	told = nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a bug of the caller is taken for damage")
			}
		}()
		beside(func() { panic("a bug") })
	}()
	if told != nil {
		t.Errorf("told of %v", told)
	}
}
