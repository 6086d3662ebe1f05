package custody

import (
	"context"
	"slices"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// LiveTerms is a version of a service's terms under which consents can be given.
type LiveTerms struct {
	Version string
	Hash    record.Digest
	Screen  *record.Screen
}

// Live returns the versions of a service's terms that are in force, oldest first.
func (d *Desk) Live(_ context.Context, service string) ([]LiveTerms, error) {
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	s, err := d.service(st, service)
	if err != nil {
		return nil, err
	}
	var out []LiveTerms
	for i := range s.Terms {
		if s.Live(uint32(i+1), d.nowMs()) != "" {
			continue
		}
		screen, _, err := d.screen(st, s.Terms[i].Hash)
		if err != nil {
			return nil, err
		}
		out = append(out, LiveTerms{s.Terms[i].Version, s.Terms[i].Hash, screen})
	}
	return out, nil
}

// ResumeRequest turns a purpose on again as it was agreed to before.
type ResumeRequest struct {
	Person   Ref
	Service  string
	Purpose  string
	Button   string // words on the button
	Language string // of the page
}

// Resume brings a consent into the ledger that says what the person's earlier one
// said: the same terms, still in force, and the same items. Where there is none,
// or where a guardian took part, the person is to be asked anew.
func (d *Desk) Resume(ctx context.Context, c Call, r ResumeRequest) (*Done, error) {
	views, err := d.Consents(ctx, r.Person)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(views, func(v ConsentView) bool { return v.Service == r.Service && v.Purpose == r.Purpose && (v.Again || v.On) })
	if i < 0 || views[i].part == nil {
		return nil, record.Refuse(record.CodeNoConsent, "nothing to go on from")
	}
	v := &views[i]
	return d.Consent(ctx, c, ConsentRequest{Person: r.Person, Service: r.Service, Version: v.Version, Items: v.Items, Purposes: []string{r.Purpose},
		Button: r.Button, Language: r.Language, Foreign: v.part.Foreign, Sensitive: v.part.Clear})
}

// resumable reports whether a scope that is off can be turned on again as it was.
func (d *Desk) resumable(s *rules.Service, h *rules.Handle, sc *rules.ScopeState, part *record.ConsentPart) bool {
	return d.mine(s.Owner) && h.Closed == 0 && s.Live(sc.Terms, d.nowMs()) == "" && part.Guardian == ""
}
