package record

import (
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// HourMs is an hour in milliseconds: deadlines are whole hours.
const HourMs = 3600_000

// Provision is the intent to hand a subject's items to a recipient under a
// consent (APPI Art. 27(1), record of Art. 29). The items are behind a
// commitment of their own, which identifies nobody, so that the receiving record
// can repeat it.
type Provision struct {
	Handle     sign.PublicKey `cbor:"1,keyasint"`
	Terms      uint32         `cbor:"2,keyasint"` // number of the terms among the service's, from 1
	Scope      uint8          `cbor:"3,keyasint"`
	To         string         `cbor:"4,keyasint"`
	DeadlineMs uint64         `cbor:"5,keyasint"` // Unix milliseconds, a whole hour; overdue after it
	Items      Digest         `cbor:"6,keyasint"` // commitment to the item codes
}

func (p *Provision) check() error {
	if p.Scope >= MaxScopes {
		return refuse(CodeScopeRange, "scope %d", p.Scope)
	}
	if p.Terms == 0 {
		return refuse(CodeTermsUnknown, "terms are numbered from 1")
	}
	return checkHandOver(p.To, p.DeadlineMs)
}

func checkHandOver(to string, deadlineMs uint64) error {
	if deadlineMs == 0 || deadlineMs > MaxTimeMs || deadlineMs%HourMs != 0 {
		return refuse(CodeIntentDeadline, "the deadline is not a whole hour")
	}
	return checkID("recipient", to)
}

// Received is the recipient's record of an intent (APPI Art. 30). It repeats
// the commitment to the items.
type Received struct {
	Intent ID     `cbor:"1,keyasint"`
	Items  Digest `cbor:"2,keyasint"`
}

func (*Received) check() error { return nil }

// Undelivered closes an intent that its recipient did not take.
type Undelivered struct {
	Intent ID   `cbor:"1,keyasint"`
	Reason Code `cbor:"2,keyasint"`
}

func (u *Undelivered) check() error { return checkCode(u.Reason) }

func checkCode(c Code) error {
	if !ValidCode(c) {
		return refuse(CodeRecordMalformed, "%q is not a code", c)
	}
	return nil
}

// OptOut is the intent to hand items over under an opt-out filing (APPI Art.
// 27(2)); refused after a stop.
type OptOut struct {
	Handle     sign.PublicKey `cbor:"1,keyasint"`
	Filing     string         `cbor:"2,keyasint"`
	To         string         `cbor:"3,keyasint"`
	DeadlineMs uint64         `cbor:"4,keyasint"`
	Items      Digest         `cbor:"5,keyasint"`
}

func (o *OptOut) check() error {
	if err := checkID("filing", o.Filing); err != nil {
		return err
	}
	return checkHandOver(o.To, o.DeadlineMs)
}

// Filing says that the issuer's opt-out filing with the authority begins (items
// and a first day) or ends (APPI Art. 27(2)).
type Filing struct {
	Number string   `cbor:"1,keyasint"`
	FromMs uint64   `cbor:"2,keyasint,omitempty"`
	Items  []string `cbor:"3,keyasint,omitempty"` // ascending
	End    bool     `cbor:"4,keyasint,omitempty"`
}

func (f *Filing) check() error {
	if err := checkID("filing", f.Number); err != nil {
		return err
	}
	if f.FromMs > MaxTimeMs || f.End != (len(f.Items) == 0) || f.End && f.FromMs != 0 {
		return refuse(CodeRecordMalformed, "a filing begins with items, or ends")
	}
	return checkIDs("items", f.Items, MaxItems)
}

// Exception is a hand-over on one of a closed list of legal grounds, which is
// sealed with date, recipient, information, purpose and reason. A second
// approver of the issuer signs (domain "approval").
type Exception struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Sig    sign.Signature `cbor:"2,keyasint"`
}

func (*Exception) check() error { return nil }

// Approval returns what the second approver signs.
func Approval(id ID, handle sign.PublicKey, commitment Digest) []byte {
	return canon.Must(&struct {
		ID         ID             `cbor:"1,keyasint"`
		Handle     sign.PublicKey `cbor:"2,keyasint"`
		Commitment Digest         `cbor:"3,keyasint"`
	}{id, handle, commitment})
}

// Denial says that a node refused to hand out data under a handle, and why.
type Denial struct {
	Handle sign.PublicKey `cbor:"1,keyasint"`
	Reason Code           `cbor:"2,keyasint"`
}

func (d *Denial) check() error { return checkCode(d.Reason) }

// A KeyNumber is the random number that a sealed identity carries. It is
// published when the identity is to be destroyed.
type KeyNumber [16]byte

// Erasure asks every holder to destroy the identities of one person, by their
// numbers and by nothing else.
type Erasure struct {
	Numbers []KeyNumber `cbor:"1,keyasint"`
	Holders []string    `cbor:"2,keyasint"` // party ids, ascending
	Cause   string      `cbor:"3,keyasint"` // request, withdrawal, retention
}

func (e *Erasure) check() error {
	if len(e.Numbers) == 0 || len(e.Numbers) > MaxNumbers || len(e.Holders) == 0 {
		return refuse(CodeRecordMalformed, "%d numbers, %d holders", len(e.Numbers), len(e.Holders))
	}
	if e.Cause != "request" && e.Cause != "withdrawal" && e.Cause != "retention" {
		return refuse(CodeRecordMalformed, "cause %q", e.Cause)
	}
	return checkIDs("holders", e.Holders, MaxParties)
}

// Attestation is a holder's word that it destroyed the identities of an
// erasure, with the numbers of further identities of its own.
type Attestation struct {
	Erasure    ID          `cbor:"1,keyasint"`
	Class      string      `cbor:"2,keyasint"` // storage class of the destroyed root key
	Generation uint64      `cbor:"3,keyasint"` // of the holder's vault after the destruction
	Numbers    []KeyNumber `cbor:"4,keyasint,omitempty"`

	// For is the member of whose keys the issuer destroyed its copies, as a
	// custodian; "" where it speaks for itself.
	For string `cbor:"5,keyasint,omitempty"`

	Kept   *Kept    `cbor:"6,keyasint,omitempty"` // what the holder keeps; nil where it does not say
	Onward []string `cbor:"7,keyasint,omitempty"` // to whom it passed the data on meanwhile: further holders, ascending
}

// Kept is what a holder keeps of a person after an erasure because the law wants
// it (APPI Art. 29(2), 30(4)). It is a day and no list of months: those would say
// when the person's data moved.
type Kept struct {
	Records uint32 `cbor:"1,keyasint,omitempty"` // last day in JST of the last record identity; 0: it keeps none
}

func (a *Attestation) check() error {
	if len(a.Numbers) > MaxNumbers || a.For != "" && (len(a.Numbers) > 0 || !ValidID(a.For)) {
		return refuse(CodeRecordMalformed, "%d numbers, for %q", len(a.Numbers), a.For)
	}
	if a.For != "" && (a.Kept != nil || len(a.Onward) > 0) {
		return refuse(CodeRecordMalformed, "a custodian speaks for copies only")
	}
	if a.Kept != nil && uint64(a.Kept.Records) > MaxTimeMs/86400_000 {
		return refuse(CodeRecordMalformed, "records kept beyond the year 9999")
	}
	if err := checkIDs("onward", a.Onward, MaxParties); err != nil {
		return err
	}
	return checkClass(a.Class)
}
