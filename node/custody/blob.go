package custody

import (
	"encoding/hex"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/canon"
)

// Blobs of the desk. None of their keys follows from a person: the ids are
// random (of classes and records), or authentication codes under a key of the
// vault (marks and memos).
//
//	desk/k/CLASS        wrapped data key (age file)
//	desk/i/CLASS        sealed sheet of items
//	desk/o/RECORD       opening: class, sealed
//	desk/y/MAC          memo of an Idempotency-Key
//	desk/x/MAC          mark of an erased reference
//	desk/q/INTENT       parcel to be sent, until its intent is closed
//	desk/w/INTENT       parcel that waits to be received
//	desk/v/INTENT       receiving record that opens it
//	desk/n/INTENT/PARTY approval of an onward hand-over
//	desk/g/RECORD       disclosure on a legal ground that was asked for
//	desk/e/ERASURE/STEP erasure under way
//	desk/r/ERASURE      retention under way
//	desk/h/HOLD         hold
//	desk/a/TIME         access to openings
//	desk/t/PARTY/…      commitment tree
//	desk/u/CLASS/ID     what a person asks for by right
//	desk/p/CLASS        what a person stopped
//	desk/m/staff        managers, staff and signs
//	desk/d/CLASS/RANDOM to whom a dataset was handed over
//	desk/b/RECORD       series of hand-overs that a record belongs to
const (
	kindKey      = 'k'
	kindSheet    = 'i'
	kindOpening  = 'o'
	kindMemo     = 'y'
	kindMark     = 'x'
	kindParcel   = 'q'
	kindWaiting  = 'w'
	kindReceived = 'v'
	kindOnward   = 'n'
	kindAsked    = 'g'
	kindErasure  = 'e'
	kindRetire   = 'r'
	kindHold     = 'h'
	kindAccess   = 'a'
	kindTree     = 't'
	kindRight    = 'u'
	kindStops    = 'p'
	kindBook     = 'm'
	kindSeries   = 'b'
	kindGiven    = 'd'
)

const blobRoot = "desk/"

func blobPrefix(kind byte) []byte { return append([]byte(blobRoot), kind, '/') }

func blobKey(kind byte, id []byte) []byte { return hex.AppendEncode(blobPrefix(kind), id) }

func blobKeyOf(kind byte, rest string) []byte { return append(blobPrefix(kind), rest...) }

// idOfKey reads the id at the end of a blob's key.
func idOfKey(kind byte, key []byte) (id [16]byte, err error) {
	b, err := hex.DecodeString(string(key[len(blobPrefix(kind)):]))
	if err != nil || len(b) != 16 {
		return id, fmt.Errorf("a key of kind %c is damaged", kind)
	}
	return [16]byte(b), nil
}

// loadBlob reads a canonical value, nil where there is none.
func loadBlob[T any](d *Desk, key []byte) (*T, error) {
	b, found, err := d.Blobs.Get(key)
	if err != nil || !found {
		return nil, err
	}
	v := new(T)
	if err := canon.UnmarshalMax(b, maxBlobBytes, v); err != nil {
		return nil, fmt.Errorf("a stored value of kind %c: %w", key[len(blobRoot)], err)
	}
	return v, nil
}

// A sealedBlob is sealed under a class.
type sealedBlob struct {
	Class  [16]byte `cbor:"1,keyasint"`
	Sealed []byte   `cbor:"2,keyasint"`
}

const maxBlobBytes = 1<<20 - 1
