package record

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/canon"
)

// The sealed parts: what a record says beyond its leaf. A part is canonical
// CBOR; its commitment is crypto/seal.Commit(nonce, part). The subject, the
// recipient and the auditor get the opening: nonce and part.

// ItemsPart is behind Provision.Items and OptOut.Items. It identifies nobody.
type ItemsPart struct {
	Items []string `cbor:"1,keyasint" json:"items"` // item codes, ascending
}

// ConsentPart is behind a consent: the choice that was made on the screen.
type ConsentPart struct {
	Items    []string `cbor:"1,keyasint" json:"items"`                          // chosen item codes, ascending
	Person   string   `cbor:"2,keyasint" json:"person"`                         // the member's own reference of the person
	TimeMs   uint64   `cbor:"3,keyasint" json:"timeMs"`                         // when the button was pressed
	Button   string   `cbor:"4,keyasint,omitempty" json:"button,omitempty"`     // words on the button
	Language string   `cbor:"5,keyasint,omitempty" json:"language,omitempty"`   // of the screen
	Guardian string   `cbor:"6,keyasint,omitempty" json:"guardian,omitempty"`   // who took part for a child
	Keys     string   `cbor:"7,keyasint,omitempty" json:"keys,omitempty"`       // own, or assisted: who holds K_s
	Evidence []byte   `cbor:"8,keyasint,omitempty" json:"evidence,omitempty"`   // canonical bytes of Evidence: a passkey confirmed the consent
	Foreign  bool     `cbor:"9,keyasint,omitempty" json:"foreign,omitempty"`    // the country's information was shown
	Clear    bool     `cbor:"10,keyasint,omitempty" json:"sensitive,omitempty"` // explicit for sensitive items
	Screen   []byte   `cbor:"11,keyasint,omitempty" json:"screen,omitempty"`    // SHA-256 of the bytes of the screen that was shown
}

// HandOverPart is behind a provision, an opt-out hand-over and an exception.
type HandOverPart struct {
	Person    string   `cbor:"1,keyasint" json:"person"`
	Purpose   string   `cbor:"2,keyasint" json:"purpose"`
	TimeMs    uint64   `cbor:"3,keyasint" json:"timeMs"`
	Method    string   `cbor:"4,keyasint,omitempty" json:"method,omitempty"`
	Contract  string   `cbor:"5,keyasint,omitempty" json:"contract,omitempty"`
	Levels    []Level  `cbor:"6,keyasint,omitempty" json:"levels,omitempty"`
	To        string   `cbor:"7,keyasint,omitempty" json:"to,omitempty"`         // recipient of an exception
	Basis     string   `cbor:"8,keyasint,omitempty" json:"basis,omitempty"`      // legal ground of an exception
	Reason    string   `cbor:"9,keyasint,omitempty" json:"reason,omitempty"`     // of an exception
	Items     []string `cbor:"10,keyasint,omitempty" json:"items,omitempty"`     // information of an exception
	Onward    []byte   `cbor:"11,keyasint,omitempty" json:"onwardOf,omitempty"`  // provision that this passes on
	Requester string   `cbor:"12,keyasint,omitempty" json:"requester,omitempty"` // who asked, of an exception
	Statute   string   `cbor:"13,keyasint,omitempty" json:"statute,omitempty"`   // that an exception's ground names
	Request   string   `cbor:"14,keyasint,omitempty" json:"request,omitempty"`   // incoming paper of an exception
	Necessity string   `cbor:"15,keyasint,omitempty" json:"necessity,omitempty"` // why no less would do, of an exception
	Series    []byte   `cbor:"16,keyasint,omitempty" json:"series,omitempty"`    // first provision of the bulk record that this goes on with

	Dataset *DatasetPart `cbor:"17,keyasint,omitempty" json:"dataset,omitempty"` // whose items these are; nil: what is registered
}

// DatasetPart says of a hand-over of what dataset it is: the recipient keeps it no
// longer, and destroys it with it.
type DatasetPart struct {
	Number    []byte `cbor:"1,keyasint" json:"number"`    // of its identity, 16 bytes
	Retention string `cbor:"2,keyasint" json:"retention"` // ISO 8601
	UntilMs   uint64 `cbor:"3,keyasint" json:"untilMs"`   // its deadline
}

// LegalGrounds is the closed list of grounds for a hand-over without consent or
// filing: APPI Arts. 18(3), 27(1), 27(5) and 69(2), and payment, which the members'
// policies name.
var LegalGrounds = []string{
	"law", "investigation", "life-body-property", "public-health", "state-cooperation", "payment", "succession",
	"own-internal-use", "other-public-body", "statistics-research", "special-reason",
}

// CheckGround says what is missing of an exception's ground: one of the list, a
// statute where the ground is one, and the paper that asked for it unless a public
// body uses the data itself.
func (p *HandOverPart) CheckGround() error {
	needsStatute := p.Basis == "law" || p.Basis == "investigation"
	switch {
	case !slices.Contains(LegalGrounds, p.Basis):
		return refuse(CodeLegalGround, "not on the list")
	case needsStatute && p.Statute == "":
		return refuse(CodeLegalGround, "the statute")
	case p.Request == "" && p.Basis != "own-internal-use":
		return refuse(CodeRequestMissing, "")
	case p.To == "" || len(p.Items) == 0 || p.Purpose == "" || p.Reason == "" || p.TimeMs == 0:
		return refuse(CodeDisclosureFields, "date, recipient, information, purpose and reason are needed")
	case p.Necessity == "":
		return refuse(CodeNecessity, "")
	}
	return nil
}

// Level is the granularity at which an item is handed over.
type Level struct {
	Item  string `cbor:"1,keyasint" json:"item"`
	Level string `cbor:"2,keyasint" json:"level"`
}

// ReceivedPart is behind a receiving record (APPI Art. 30(1): who, and how they
// came by the data).
type ReceivedPart struct {
	Person      string `cbor:"1,keyasint" json:"person"`
	From        string `cbor:"2,keyasint" json:"from"`
	HowAcquired string `cbor:"3,keyasint" json:"howAcquired"`
	TimeMs      uint64 `cbor:"4,keyasint" json:"timeMs"`
}

// NotePart is behind revocations, stops, denials and erasures where the member
// keeps a note of its own.
type NotePart struct {
	Person string `cbor:"1,keyasint" json:"person"`
	TimeMs uint64 `cbor:"2,keyasint" json:"timeMs"`
	Note   string `cbor:"3,keyasint,omitempty" json:"note,omitempty"`
}

// An Opening opens a commitment.
type Opening struct {
	Nonce [32]byte `cbor:"1,keyasint"`
	Part  []byte   `cbor:"2,keyasint"`
}

// PartOf returns an empty sealed part of a kind, nil where it has none.
func PartOf(k Kind) any {
	switch k {
	case KindConsent:
		return new(ConsentPart)
	case KindProvision, KindOptOut, KindException:
		return new(HandOverPart)
	case KindReceived:
		return new(ReceivedPart)
	case KindRevocation, KindStop, KindHandleOpen, KindUndelivered, KindDenial, KindErasure:
		return new(NotePart)
	}
	return nil
}

// DecodePart decodes a sealed part of a kind.
func DecodePart(k Kind, part []byte) (any, error) {
	v := PartOf(k)
	if v == nil {
		return nil, refuse(CodeRecordMalformed, "kind %v has no sealed part", k)
	}
	if err := canon.UnmarshalMax(part, MaxLeafBytes, v); err != nil {
		return nil, refusedForm(err)
	}
	if p, is := v.(*HandOverPart); is && len(p.Series) > 0 && (k != KindProvision || len(p.Series) != len(ID{})) {
		return nil, refuse(CodeRecordMalformed, "a series of hand-overs: only of provisions (Rules Art. 19(2))")
	}
	return v, nil
}
