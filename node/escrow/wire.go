package escrow

import (
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
)

// What a member asks of its custodian. The transport says who asks.
const (
	callOffer = "offer" // a one-time key for a parcel of copies
	callPut   = "put"   // a parcel of copies
	callList  = "list"  // labels of the copies that are kept
	callGet   = "get"   // copies, in a parcel to the owner's one-time key
	callDrop  = "drop"  // copies that the owner has no more
)

// Bounds of messages.
const (
	MaxRequest  = 2 << 20
	MaxResponse = 2 << 20

	maxCopies     = 500       // of one put, get or drop
	maxBatchBytes = 384 << 10 // of the copies of one parcel
	maxLabels     = 16_384    // of one page of a list
)

type message struct {
	What string `cbor:"1,keyasint"`
	Body []byte `cbor:"2,keyasint,omitempty"`
}

type offerAnswer struct {
	Offer     [16]byte `cbor:"1,keyasint"`
	Recipient string   `cbor:"2,keyasint"`
}

type putRequest struct {
	Offer  [16]byte `cbor:"1,keyasint"`
	Parcel []byte   `cbor:"2,keyasint"`
}

type putAnswer struct {
	Buried  int    `cbor:"1,keyasint,omitempty"` // copies with a tombstone, which were not taken
	Untaken []byte `cbor:"2,keyasint,omitempty"` // labels of copies for which there is no place: the others are taken
}

type listRequest struct {
	After []byte `cbor:"1,keyasint,omitempty"` // last label of the page before
}

type listAnswer struct {
	Labels []byte `cbor:"1,keyasint,omitempty"` // ascending, 32 bytes each
	More   bool   `cbor:"2,keyasint,omitempty"`
}

type getRequest struct {
	Labels    []byte   `cbor:"1,keyasint"`
	Session   [16]byte `cbor:"2,keyasint"` // random: the parcel is bound to it
	Recipient string   `cbor:"3,keyasint"`
}

type getAnswer struct {
	Parcel []byte `cbor:"1,keyasint"`
	Done   int    `cbor:"2,keyasint"` // of the labels asked for; the rest did not fit
}

type dropRequest struct {
	Labels []byte `cbor:"1,keyasint"`
}

// sealedCopy is a copy on its way.
type sealedCopy struct {
	Label  Label  `cbor:"1,keyasint"`
	Sealed []byte `cbor:"2,keyasint"`
}

type parcel struct {
	Copies []sealedCopy `cbor:"1,keyasint"`
}

func packed(session [16]byte, from, to string, copies []sealedCopy, recipient string) ([]byte, error) {
	r, err := seal.ParseRecipient(recipient)
	if err != nil {
		return nil, err
	}
	return seal.SealParcel(seal.ParcelHeader{Intent: session, Sender: from, Recipient: to}, canon.Must(&parcel{copies}), r)
}

func unpacked(session [16]byte, from, to string, file []byte, key seal.OneTime) ([]sealedCopy, error) {
	body, err := seal.OpenParcel(file, seal.ParcelHeader{Intent: session, Sender: from, Recipient: to}, key)
	if err != nil {
		return nil, err
	}
	p := new(parcel)
	if err := canon.UnmarshalMax(body, MaxRequest, p); err != nil {
		return nil, err
	}
	if len(p.Copies) > maxCopies {
		return nil, fmt.Errorf("%d copies in one parcel, at most %d", len(p.Copies), maxCopies)
	}
	return p.Copies, nil
}

// labelsOf takes a list apart, false where its form is wrong.
func labelsOf(b []byte, most int) ([]Label, bool) {
	if len(b)%labelBytes != 0 || len(b)/labelBytes > most {
		return nil, false
	}
	var out []Label
	for ; len(b) > 0; b = b[labelBytes:] {
		out = append(out, labelOf([labelBytes]byte(b[:labelBytes])))
	}
	return out, true
}
