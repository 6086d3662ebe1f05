package custody

import (
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Gone says what an erasure of this member's has destroyed.
type Gone struct {
	Person  Ref
	Handles []sign.PublicKey // that were the person's here
	All     bool             // nothing of the person is left at this member
}

// OnGone names who hears of erasures, when the keys are destroyed: what others keep
// beside the vault about a person goes then. It is told once, by one goroutine at a
// time a person; a crash in between is for Known to find. Only one may be named.
func (d *Desk) OnGone(tell func(Gone)) { d.tellGone.Store(&tell) }

func (d *Desk) gone(g Gone) {
	if tell := d.tellGone.Load(); tell != nil {
		(*tell)(g)
	}
}

// Known reports whether a person is registered at this member.
func (d *Desk) Known(ref Ref) (bool, error) {
	_, release, err := d.use(ref)
	if code := codeOf(err); code == record.CodeErased || code == CodePersonUnknown {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	release()
	return true, nil
}
