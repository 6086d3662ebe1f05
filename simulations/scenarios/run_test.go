package scenarios

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
)

// TestFoundings: every story founds a consortium of four that the rules accept, in
// which everybody is a member or hosted by one.
func TestFoundings(t *testing.T) {
	for _, name := range Names {
		story := loaded(t, name)
		cast, err := story.Cast()
		if err != nil {
			t.Fatal(name, err)
		}
		if len(cast.Members) != nodes || !slices.IsSorted(cast.Members) {
			t.Errorf("%s: members %v", name, cast.Members)
		}
		for _, m := range story.Members {
			if !slices.Contains(cast.Members, cast.Host[m.ID]) {
				t.Errorf("%s: %s is hosted by %q, which has no node", name, m.ID, cast.Host[m.ID])
			}
			if slices.Contains(cast.Members, m.ID) && cast.Host[m.ID] != m.ID {
				t.Errorf("%s: member %s is hosted by %s", name, m.ID, cast.Host[m.ID])
			}
		}
		f := story.Founding(cast)
		log := sign.NewKey()
		f.LogKey = log.Public()
		var keys []*node.Keys
		for i := range f.Members {
			k := node.NewKeys(log)
			f.Members[i] = k.MemberOf(f.Members[i], f.Origin)
			keys = append(keys, k)
		}
		var sigs []sign.Signature
		for _, k := range keys {
			sigs = append(sigs, k.SignFounding(&f))
		}
		leaf, err := node.GenesisLeaf(&f, sigs)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := rules.Found(leaf); err != nil {
			t.Error(name, err)
		}
		if begin := time.UnixMilli(int64(f.CreatedMs)); !begin.Before(story.Steps[0].When) {
			t.Errorf("%s: founded at %v, after its first step", name, begin)
		}
	}
}

// TestSapporoCast: the platform and the three companies run nodes; city and
// university take part through the platform, and so will D.
func TestSapporoCast(t *testing.T) {
	cast, err := loaded(t, "sapporo").Cast()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a-sha", "b-sha", "c-sha", "pf"}; !slices.Equal(cast.Members, want) {
		t.Errorf("members %v, want %v", cast.Members, want)
	}
	for _, id := range []string{"city", "uni", "d-sha"} {
		if cast.Host[id] != "pf" {
			t.Errorf("%s is hosted by %s", id, cast.Host[id])
		}
	}
}

// TestScreens: every version of terms has one scope a purpose, within the bounds
// of the format.
func TestScreens(t *testing.T) {
	for _, name := range Names {
		story := loaded(t, name)
		for i := range story.Services {
			v := &story.Services[i]
			for j := range v.Terms {
				f := v.screen(&v.Terms[j])
				if len(f.Scopes) != len(v.Terms[j].Purposes) || len(f.Scopes) > record.MaxScopes {
					t.Errorf("%s %s %s: %d scopes of %d purposes", name, v.ID, f.Version, len(f.Scopes), len(v.Terms[j].Purposes))
				}
				for _, s := range f.Scopes {
					if _, err := record.ParsePeriod(s.MaxExpiry); s.MaxExpiry != "" && err != nil {
						t.Errorf("%s %s %s: %v", name, v.ID, f.Version, err)
					}
				}
			}
		}
	}
}

// TestVocabularyOfTheRunner: actions and reasons of the runner are the stories'.
func TestVocabularyOfTheRunner(t *testing.T) {
	for a := range actions {
		if _, ok := LookUp(Actions, a); !ok {
			t.Errorf("action %q is none", a)
		}
	}
	for _, r := range reasons {
		if _, ok := LookUp(Reasons, r); !ok {
			t.Errorf("reason %q is none", r)
		}
	}
	for _, a := range alarms {
		if _, ok := LookUp(Alarms, a); !ok {
			t.Errorf("alarm %q is none", a)
		}
	}
}

// deaf is a consortium that answers nothing.
type deaf struct{ asked int }

func (d *deaf) As(string) *client.Client       { panic("asked") }
func (d *deaf) Approver(string) *client.Client { panic("asked") }
func (d *deaf) SetTime(context.Context, time.Time) error {
	d.asked++
	return context.DeadlineExceeded
}

// TestRunNeedsTheConsortium: who cannot be asked is an error, no outcome.
func TestRunNeedsTheConsortium(t *testing.T) {
	d := new(deaf)
	report, err := Run(t.Context(), loaded(t, "sapporo"), d, nil)
	if err == nil || report != nil || d.asked != 1 {
		t.Errorf("report %v, error %v after %d questions", report, err, d.asked)
	}
}

// TestAbsentActions: every action of the stories that is not played says why, and none
// that is played does.
func TestAbsentActions(t *testing.T) {
	for _, name := range []string{"osaka", "digirow", "sapporo", "kao", "kddi"} {
		for _, step := range loaded(t, name).Steps {
			_, played := actions[step.Action]
			if _, is := absent[step.Action]; is == played {
				t.Errorf("%s %s %s: played %v, and said to be absent %v", name, step.ID, step.Action, played, is)
			}
		}
	}
}

// TestHowMuchIsPlayed: what this version plays of each story does not get less.
func TestHowMuchIsPlayed(t *testing.T) {
	for name, want := range map[string]int{"osaka": 37, "digirow": 36, "sapporo": 36, "kao": 49, "kddi": 24} {
		story := loaded(t, name)
		r, played := &runner{Story: story, skipped: map[string]*Step{}, names: map[string]*asMade{}}, 0
		for i := range story.Steps {
			step := &story.Steps[i]
			if r.why(step) == "" {
				r.played = append(r.played, step)
				played++
				continue
			}
			r.skip(step)
		}
		if played < want {
			t.Errorf("%s: %d steps are played, want %d", name, played, want)
		}
	}
}

// TestWhatIsSkipped: a step is skipped for its action, its rule, what it names, or
// what it depends on, and the reason says which.
func TestWhatIsSkipped(t *testing.T) {
	story := loaded(t, "sapporo")
	r := &runner{Story: story, skipped: map[string]*Step{}, names: map[string]*asMade{}}
	skipped := map[string]string{}
	for i := range story.Steps {
		step := &story.Steps[i]
		if why := r.why(step); why != "" {
			skipped[step.ID] = why
			r.left = append(r.left, step)
			if step.As != "" {
				r.skipped[step.As] = step
			}
			continue
		}
		r.played = append(r.played, step)
	}
	for id, want := range map[string]string{
		"s26": NotHere + ": " + absent["report-request"],
		"s50": NotHere + ": " + absent["expel-member"],
		"s51": "it depends on s50 (expel-member), which was skipped",
	} {
		if skipped[id] != want {
			t.Errorf("%s: %q, want %q", id, skipped[id], want)
		}
	}
	for _, id := range []string{"s01", "s12", "s15", "s22", "s38", "s44", "s55"} {
		if skipped[id] != "" {
			t.Errorf("%s is skipped: %s", id, skipped[id])
		}
	}
	if played := len(r.played); played < 36 {
		t.Errorf("%d steps of the story are played, want 36", played)
	}
}
