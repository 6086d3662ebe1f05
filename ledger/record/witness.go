package record

import (
	"net/url"

	"github.com/akashi-ledger/akashi/crypto/sign"
)

// Witness is an external witness of the log (C2SP tlog-witness) that the founders
// agree on. Where it is required, nothing is final without enough of those that
// are; the others' cosignatures are shown beside the members'.
type Witness struct {
	Name     string         `cbor:"1,keyasint"` // of its key
	Key      sign.PublicKey `cbor:"2,keyasint"`
	URL      string         `cbor:"3,keyasint"` // submission prefix
	Required bool           `cbor:"4,keyasint,omitempty"`
}

func (w *Witness) check() error {
	if !sign.ValidName(w.Name) || !ValidURL(w.URL) {
		return refuse(CodeRecordMalformed, "witness %q: name or URL", w.Name)
	}
	return checkKey("the key of witness "+w.Name, w.Key)
}

// ValidURL reports whether s is an HTTP prefix to which a path can be added.
func ValidURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && len(s) <= MaxNameBytes
}

// checkWitnesses wants keys and names that are nobody else's: a policy that
// counts one key twice would be refused by its readers.
func (f *Founding) checkWitnesses(keys map[sign.PublicKey]bool, names map[string]bool) error {
	if len(f.Witnesses) > MaxWitnesses {
		return refuse(CodeRecordMalformed, "%d witnesses", len(f.Witnesses))
	}
	required := 0
	for i := range f.Witnesses {
		w := &f.Witnesses[i]
		if err := w.check(); err != nil {
			return err
		}
		if i > 0 && f.Witnesses[i-1].Name >= w.Name {
			return refuse(CodeRecordMalformed, "witnesses are not in ascending order")
		}
		if keys[w.Key] || names[w.Name] {
			return refuse(CodeRecordMalformed, "witness %s: a key or a name that stands twice", w.Name)
		}
		keys[w.Key] = true
		if w.Required {
			required++
		}
	}
	if f.WitnessK < min(required, 1) || f.WitnessK > required {
		return refuse(CodeRecordMalformed, "%d of %d required witnesses", f.WitnessK, required)
	}
	return nil
}
