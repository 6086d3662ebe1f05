package custody

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// FormatPerson is the format of what a person takes along.
const FormatPerson = "akashi-person/v1"

// Portable is everything that a member holds of a person, as the person takes it
// along: JSON, under the keys that the API uses. K_s is not in it; the person has
// it, or gets it by itself (Secret).
type Portable struct {
	Format   string           `json:"format"` // FormatPerson
	Origin   string           `json:"origin"` // the log's name
	Member   string           `json:"member"` // who holds it
	MadeMs   uint64           `json:"madeMs"` // Unix milliseconds
	Size     uint64           `json:"size"`   // of the log at the checkpoint that consents and records are of
	Held     *Disclosure      `json:"held"`
	Consents []ConsentView    `json:"consents"`
	Records  []PortableRecord `json:"records"` // in the order of the log
}

// PortableRecord is a record under one of the person's handles, with what the
// member can open of it.
type PortableRecord struct {
	Event
	Opening map[string]any `json:"opening,omitempty"`
}

// CodeRecipient says that a text is no age recipient.
const CodeRecipient record.Code = "recipient.malformed"

// Export returns everything held of a person, encrypted to an age recipient of the
// person's own (X25519 or hybrid). Who asks was checked by the caller.
func (d *Desk) Export(ctx context.Context, ref Ref, recipient string) ([]byte, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	p := &Portable{Format: FormatPerson, Origin: d.Origin, Member: d.Self, MadeMs: d.nowMs(), Size: st.Size, Records: []PortableRecord{}}
	if p.Held, err = d.Disclose(ctx, ref); err != nil {
		return nil, err
	}
	if p.Consents, err = d.Consents(ctx, ref); err != nil {
		return nil, err
	}
	events, err := d.Events(ctx, ref)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		p.Records = append(p.Records, PortableRecord{Event: e, Opening: e.Opening})
	}
	plain, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	file, err := seal.SealPortable(plain, recipient)
	if errors.Is(err, seal.ErrPortable) {
		err = record.Refuse(CodeRecipient, "neither an X25519 nor a hybrid age recipient")
	}
	return file, err
}
