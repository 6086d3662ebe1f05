package record

import "slices"

// MaxCustodians bounds the members that keep copies of one member's keys.
const MaxCustodians = 8

// Custodian is about the copies that one member keeps of another's keys. The
// owner of the keys names the custodian (Class and Generation empty) or ends it.
// The custodian then says with which vault it keeps the copies: at first, and
// whenever it began a new vault; or, after the owner's end, that it destroyed all
// of them (End).
type Custodian struct {
	Owner      string `cbor:"1,keyasint"`
	Custodian  string `cbor:"2,keyasint"`
	Class      string `cbor:"3,keyasint,omitempty"` // storage class of the custodian's vault
	Generation uint64 `cbor:"4,keyasint,omitempty"` // of that vault now
	End        bool   `cbor:"5,keyasint,omitempty"`
}

func (c *Custodian) check() error {
	if err := checkPair(c.Owner, c.Custodian); err != nil {
		return err
	}
	if (c.Class == "") != (c.Generation == 0) {
		return refuse(CodeRecordMalformed, "storage class and generation go together")
	}
	if c.Class == "" {
		return nil
	}
	return checkClass(c.Class)
}

// Why the copies of a custodian are lost.
const (
	LostDestroyed = "destroyed" // nobody has them
	LostStolen    = "stolen"    // somebody may have them: a breach (APPI Art. 26)
)

var lostReasons = []string{LostDestroyed, LostStolen}

// CustodianLost says that a custodian no longer holds its copies of a member's
// keys, and cannot attest their destruction. It closes the copies' part of every
// erasure before it, as an exception that stays visible.
type CustodianLost struct {
	Owner     string `cbor:"1,keyasint"`
	Custodian string `cbor:"2,keyasint"`
	Reason    string `cbor:"3,keyasint"` // destroyed, stolen
}

func (l *CustodianLost) check() error {
	if err := checkPair(l.Owner, l.Custodian); err != nil {
		return err
	}
	if !slices.Contains(lostReasons, l.Reason) {
		return refuse(CodeRecordMalformed, "reason %q", l.Reason)
	}
	return nil
}

func checkPair(owner, custodian string) error {
	if err := checkID("owner", owner); err != nil {
		return err
	}
	if err := checkID("custodian", custodian); err != nil {
		return err
	}
	if owner == custodian {
		return refuse(CodeRecordMalformed, "a member is not its own custodian")
	}
	return nil
}

// checkClass wants the name of a storage class: 1 to 64 printable ASCII letters.
func checkClass(class string) error {
	if len(class) == 0 || len(class) > 64 {
		return refuse(CodeRecordMalformed, "storage class of %d bytes", len(class))
	}
	for i := range len(class) {
		if c := class[i]; c <= ' ' || c > '~' {
			return refuse(CodeRecordMalformed, "storage class is not printable ASCII")
		}
	}
	return nil
}
