package record

import "github.com/akashi-ledger/akashi/crypto/sign"

// HandleOf returns the handle that a record names in the open, and whether it
// names one. A move names the new handle; receiving records name an intent.
func HandleOf(b Body) (sign.PublicKey, bool) {
	switch b := b.(type) {
	case *Consent:
		return b.Handle, true
	case *Revocation:
		return b.Handle, true
	case *Stop:
		return b.Handle, true
	case *HandleOpen:
		return b.Handle, true
	case *HandleMove:
		return b.New, true
	case *HandleClose:
		return b.Handle, true
	case *Provision:
		return b.Handle, true
	case *OptOut:
		return b.Handle, true
	case *Exception:
		return b.Handle, true
	case *Denial:
		return b.Handle, true
	}
	return sign.PublicKey{}, false
}
