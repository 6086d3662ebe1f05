package seal

import (
	"bytes"
	"fmt"
)

const parcelDomain = "akashi/seal/parcel/v1\n"

// ParcelHeader is what a parcel is bound to: the intent that announced it and
// the two members by name.
type ParcelHeader struct {
	Intent    [16]byte
	Sender    string // 1 to 255 bytes
	Recipient string // 1 to 255 bytes
}

func (h ParcelHeader) bytes() ([]byte, error) {
	b := append([]byte(parcelDomain), h.Intent[:]...)
	b, err := appendName(b, h.Sender)
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if b, err = appendName(b, h.Recipient); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	return b, nil
}

// maxParcelBody leaves room for the header and for padding.
const maxParcelBody = MaxPlaintextBytes/9*8 - 1024

// SealParcel encrypts body to the one-time recipient that the receiving member
// made for this intent. Errors: ErrName, ErrTooLarge (above 3.7 MB), ErrRecipients.
func SealParcel(header ParcelHeader, body []byte, to Recipient) ([]byte, error) {
	if len(body) > maxParcelBody {
		return nil, fmt.Errorf("seal parcel of %d bytes: %w", len(body), ErrTooLarge)
	}
	plaintext, err := header.bytes()
	if err != nil {
		return nil, fmt.Errorf("seal parcel: %w", err)
	}
	plaintext = pad(plaintext, body)
	defer clear(plaintext)
	file, err := Seal(plaintext, to)
	if err != nil {
		return nil, fmt.Errorf("seal parcel: %w", err)
	}
	return file, nil
}

// OpenParcel decrypts a parcel and returns its body if it was sealed under
// exactly the expected header. The caller destroys the one-time identity
// afterwards, whatever the outcome. Errors: those of Open, ErrName; ErrDamaged
// where the header is another.
func OpenParcel(file []byte, expected ParcelHeader, identity OneTime) ([]byte, error) {
	header, err := expected.bytes()
	if err != nil {
		return nil, fmt.Errorf("open parcel: %w", err)
	}
	plaintext, err := Open(file, identity.identity)
	if err != nil {
		return nil, fmt.Errorf("open parcel: %w", err)
	}
	padded, ok := bytes.CutPrefix(plaintext, header)
	if !ok {
		return nil, fmt.Errorf("open parcel: header: %w", ErrDamaged)
	}
	body, ok := unpad(padded)
	if !ok || len(body) > maxParcelBody {
		return nil, fmt.Errorf("open parcel: padding: %w", ErrDamaged)
	}
	return body, nil
}
