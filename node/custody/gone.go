package custody

import (
	"crypto/hmac"
	"crypto/sha256"

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
// time a person; a crash in between is for Known and KnownHandle to find. Only one may
// be named.
func (d *Desk) OnGone(tell func(Gone)) { d.tellGone.Store(&tell) }

func (d *Desk) gone(g Gone) {
	if tell := d.tellGone.Load(); tell != nil {
		(*tell)(g)
	}
}

// Known reports whether anything of a person is held at this member. It is true while
// an erasure is under way: that may be of one service, or be refused yet.
func (d *Desk) Known(ref Ref) (bool, error) {
	_, release, err := d.use(ref)
	switch codeOf(err) {
	case CodePersonLeaving:
		return true, nil
	case record.CodeErased, CodePersonUnknown:
		return false, nil
	}
	if err != nil {
		return false, err
	}
	release()
	return true, nil
}

// Name returns a secret name of a person at this member, which dies with their data: it
// follows from K_s. Refusals: as of any call about a person; person.unknown also where
// no secret is kept here.
func (d *Desk) Name(ref Ref) (name [32]byte, err error) {
	secret, err := d.Secret(d.ctx, ref)
	if err != nil {
		return name, err
	}
	defer clear(secret[:])
	m := hmac.New(sha256.New, secret[:])
	m.Write([]byte("akashi/name/v1/" + d.Self))
	return [32]byte(m.Sum(nil)), nil
}

// KnownHandle reports whether a handle is a person's here: with the erasure of a
// service go the handles towards it.
func (d *Desk) KnownHandle(k sign.PublicKey, ref Ref) (bool, error) {
	is, found, err := d.personOf(k)
	return found && is.Ref == ref, err
}
