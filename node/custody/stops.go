package custody

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// What a person can stop at a member by itself, whatever they consented to.
const (
	StopMarketing = "marketing" // every hand-over for a purpose of marketing
	StopGroup     = "group"     // every hand-over to a company of the group, and every one under an opt-out filing
	StopMail      = "mail"      // every hand-over for a purpose of mail
)

// StopKinds are the three, in the order in which they are shown.
var StopKinds = []string{StopMarketing, StopGroup, StopMail}

// How a stop came to be as it is.
const (
	StopByPerson = "person"
	StopByDesk   = "desk" // the member, after the person asked
	StopBySignal = "gpc"  // Global Privacy Control, where the person had said nothing
)

// groupCategory is the category of parties that belong to the member's group.
const groupCategory = "group"

// stopPurposes are how the codes of purposes begin that a stop is about.
var stopPurposes = map[string][]string{
	StopMarketing: {"marketing", "advertising", "ads"},
	StopMail:      {"mail", "newsletter"},
}

// A StopView is one of the three as it stands.
type StopView struct {
	Kind    string `json:"kind"`
	Stopped bool   `json:"stopped"`
	SinceMs uint64 `json:"sinceMs,omitempty"` // 0: never set
	By      string `json:"by,omitempty"`
}

// stops is kept with every content of the person, so that it lives as long as the
// last of them.
type stops struct {
	List []stop `cbor:"1,keyasint"`
}

type stop struct {
	Kind    string `cbor:"1,keyasint"`
	Stopped bool   `cbor:"2,keyasint,omitempty"`
	SinceMs uint64 `cbor:"3,keyasint"`
	By      string `cbor:"4,keyasint"`
}

// Stops returns a person's three stops.
func (d *Desk) Stops(_ context.Context, ref Ref) ([]StopView, error) {
	q, release, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	return d.stopsOf(q)
}

// SetStop stops one kind of hand-over, or lets it go on. It takes effect before
// the call returns: from then on the node refuses, and records the denial.
func (d *Desk) SetStop(_ context.Context, ref Ref, kind string, stopped bool, by string) ([]StopView, error) {
	if !slices.Contains(StopKinds, kind) || by != StopByPerson && by != StopByDesk {
		return nil, record.Refuse(CodeMalformed, "a stop")
	}
	return d.setStops(ref, func(v *StopView) bool {
		if v.Kind != kind || v.Stopped == stopped && v.SinceMs != 0 {
			return false
		}
		v.Stopped, v.By = stopped, by
		return true
	})
}

// SignalStop heeds Global Privacy Control: it stops marketing and the group, where
// the person never said anything about them. What a person said counts more.
func (d *Desk) SignalStop(_ context.Context, ref Ref) ([]StopView, error) {
	return d.setStops(ref, func(v *StopView) bool {
		if v.SinceMs != 0 || v.Kind == StopMail {
			return false
		}
		v.Stopped, v.By = true, StopBySignal
		return true
	})
}

func (d *Desk) setStops(ref Ref, change func(*StopView) bool) ([]StopView, error) {
	defer d.lock(string(ref))()
	q, release, err := d.use(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	views, err := d.stopsOf(q)
	if err != nil {
		return nil, err
	}
	changed := false
	for i := range views {
		if change(&views[i]) {
			views[i].SinceMs, changed = d.nowMs(), true
		}
	}
	if !changed {
		return views, nil
	}
	return views, d.keepStops(q, views)
}

func (d *Desk) keepStops(q *person, views []StopView) error {
	var v stops
	for _, s := range views {
		if s.SinceMs != 0 {
			v.List = append(v.List, stop(s))
		}
	}
	classes := d.classesOf(q, "c/")
	if len(classes) == 0 {
		return record.Refuse(CodePersonUnknown, "nothing is held")
	}
	var entries []store.KV
	for _, c := range classes {
		sealed, err := d.sealFor(c.id, sealedStops, c.id, canon.Must(&v))
		if errors.Is(err, errGone) { // its time is over
			continue
		}
		if err != nil {
			return err
		}
		entries = append(entries, store.KV{Key: blobKey(kindStops, c.id[:]), Value: sealed})
	}
	return d.Blobs.PutMany(entries)
}

// stopsOf merges what is kept with each content: what was said last counts.
func (d *Desk) stopsOf(q *person) ([]StopView, error) {
	var views []StopView
	for _, kind := range StopKinds {
		views = append(views, StopView{Kind: kind})
	}
	for _, c := range d.classesOf(q, "c/") {
		sealed, found, err := d.Blobs.Get(blobKey(kindStops, c.id[:]))
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		plain, err := d.openFrom(c.id, sealedStops, c.id, sealed)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var v stops
		if err := canon.Unmarshal(plain, &v); err != nil {
			return nil, err
		}
		for _, s := range v.List {
			if i := slices.Index(StopKinds, s.Kind); i >= 0 && s.SinceMs > views[i].SinceMs {
				views[i] = StopView(s)
			}
		}
	}
	return views, nil
}

// stoppedBy refuses a hand-over that the person stopped.
func (d *Desk) stoppedBy(q *person, purpose string, to *rules.Party, filed bool) error {
	views, err := d.stopsOf(q)
	if err != nil {
		return err
	}
	for _, v := range views {
		if v.Stopped && (isFor(v.Kind, purpose) || v.Kind == StopGroup && (filed || slices.Contains(to.Categories, groupCategory))) {
			return record.Refuse(record.CodeOptedOut, "%s", v.Kind)
		}
	}
	return nil
}

// isFor reports whether a purpose is one that a stop is about: its code begins
// with a word of the stop.
func isFor(kind, purpose string) bool {
	return slices.ContainsFunc(stopPurposes[kind], func(word string) bool {
		return purpose == word || strings.HasPrefix(purpose, word+"-")
	})
}
