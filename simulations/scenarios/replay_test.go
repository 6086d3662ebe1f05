package scenarios

import (
	"strings"
	"testing"
	"time"
)

func loaded(t *testing.T, name string) *Story {
	t.Helper()
	story, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return story
}

// The twin must agree with every expectation of every story, and every refused step
// must break exactly the one rule that it is about.
func TestReplay(t *testing.T) {
	for _, name := range Names {
		t.Run(name, func(t *testing.T) {
			story := loaded(t, name)
			refused := 0
			for i, outcome := range Replay(story) {
				step := &story.Steps[i]
				if diff := step.Expect.Diff(outcome); diff != "" {
					t.Errorf("%s %s at %s: %s", step.ID, step.Action, step.When.Format(time.RFC3339), diff)
				}
				if !outcome.Accepted() {
					refused++
				}
			}
			if refused < 8 {
				t.Errorf("only %d refusals: the story shows too little", refused)
			}
		})
	}
}

// A twin that waved everything through, or refused everything, must not pass.
func TestDiff(t *testing.T) {
	accepted, refused := Expect{Result: "accepted"}, Expect{Result: "refused", Reason: "revoked"}
	for _, c := range []struct {
		expect  Expect
		outcome Outcome
		want    string // part of the difference; "" for none
	}{
		{accepted, Outcome{}, ""},
		{refused, Outcome{Reasons: []string{"revoked"}}, ""},
		{refused, Outcome{}, "got accepted"},
		{refused, Outcome{Reasons: []string{"expired"}}, "expired"},
		{refused, Outcome{Reasons: []string{"expired", "revoked"}}, "expired, revoked"},
		{accepted, Outcome{Reasons: []string{"revoked"}}, "expected accepted"},
		{accepted, Outcome{Fault: "nonsense"}, "nonsense"},
		{accepted, Outcome{Alarms: []string{"late-erasure"}}, "late-erasure"},
		{Expect{Result: "accepted", Alarms: []string{"late-erasure"}}, Outcome{}, "late-erasure"},
		{Expect{Result: "accepted", Value: []any{"a"}}, Outcome{Value: []string{"a"}}, ""},
		{Expect{Result: "accepted", Value: []any{}}, Outcome{Value: []string{}}, ""},
		{Expect{Result: "accepted", Value: 2.0}, Outcome{Value: 2}, ""},
		{Expect{Result: "accepted", Value: "active"}, Outcome{Value: "expired"}, "expired"},
		{Expect{Result: "accepted", Value: "active"}, Outcome{}, "active"},
	} {
		got := c.expect.Diff(c.outcome)
		if c.want == "" && got != "" || c.want != "" && !strings.Contains(got, c.want) {
			t.Errorf("%+v against %+v: %q, want %q", c.outcome, c.expect, got, c.want)
		}
	}
}

// Replaying does not change the story: a second time gives the same.
func TestReplayTwice(t *testing.T) {
	for _, name := range Names {
		story := loaded(t, name)
		first, second := Replay(story), Replay(story)
		for i := range first {
			if !sameValue(first[i], second[i]) {
				t.Errorf("%s %s: %+v, then %+v", name, first[i].Step, first[i], second[i])
			}
		}
	}
}

// asked asks the twin for one more step after a whole story.
func asked(t *testing.T, story *Story, at string, by Actor, action, params, as string) Outcome {
	t.Helper()
	twin := NewTwin(story)
	for i := range story.Steps {
		twin.Run(&story.Steps[i])
	}
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	return twin.Run(&Step{ID: "extra", When: when.In(JST), By: by, Action: action, Params: RawParams(params), As: as})
}

// Rules that no step of the five stories reaches.
func TestReplayExtra(t *testing.T) {
	for _, c := range []struct {
		name, story, at string
		by              Actor
		action, params  string
		want            string // the only reason; "" for accepted
	}{
		{"no legal ground of that name", "kao", "2027-09-01T10:00:00+09:00", Actor{Member: "store-a"}, "disclose-legal",
			`{"person":"p08","to":"police","items":["name"],"ground":"curiosity","requestRef":"1","fields":{"datetime":"1","recipient":"1","information":"1","purpose":"1","reason":"1"},"necessity":"1","requester":"ma2","approver":"ma1"}`,
			"legal-ground-missing"},
		{"no necessity test", "kao", "2027-09-01T10:00:00+09:00", Actor{Member: "store-a"}, "disclose-legal",
			`{"person":"p08","to":"police","items":["name"],"ground":"public-health","requestRef":"1","fields":{"datetime":"1","recipient":"1","information":"1","purpose":"1","reason":"1"},"requester":"ma2","approver":"ma1"}`,
			"necessity-missing"},
		{"requester approves", "kao", "2027-09-01T10:00:00+09:00", Actor{Member: "store-a"}, "disclose-legal",
			`{"person":"p08","to":"police","items":["name"],"ground":"public-health","requestRef":"1","fields":{"datetime":"1","recipient":"1","information":"1","purpose":"1","reason":"1"},"necessity":"1","requester":"ma2","approver":"ma2"}`,
			"approver-not-independent"},
		{"too few votes to suspend", "sapporo", "2029-01-01T10:00:00+09:00", Actor{Member: "pf"}, "suspend-member", `{"member":"a-sha","votes":2,"of":4}`, "votes-missing"},
		{"unknown erasure", "osaka", "2029-01-01T10:00:00+09:00", Actor{Member: "contractor"}, "attest-erasure", `{"erasure":"er-none","storage":"tpm"}`, "erasure-unknown"},
		{"a match that asserts guilt", "kao", "2027-09-01T10:00:00+09:00", Actor{Member: "store-a"}, "record-match", `{"dataset":"rg1","humanReview":true,"assertsGuilt":true}`, "human-review-missing"},
		{"somebody else's request", "kao", "2027-09-01T10:00:00+09:00", Actor{Person: "p08"}, "rights-request", `{"person":"p01","kind":"disclosure"}`, "not-authorised"},
		{"the guardian's request", "kao", "2027-09-01T10:00:00+09:00", Actor{Person: "p01"}, "rights-request", `{"person":"p03","kind":"disclosure"}`, ""},
		{"a stranger withdraws", "kddi", "2029-01-01T10:00:00+09:00", Actor{Person: "p01"}, "revoke", `{"consent":"c2"}`, "not-authorised"},
		{"withdrawal after the end", "kddi", "2030-01-01T10:00:00+09:00", Actor{Person: "p02"}, "revoke", `{"consent":"c2"}`, "expired"},
		{"twice withdrawn", "kddi", "2029-03-01T10:00:00+09:00", Actor{Person: "p08"}, "revoke", `{"consent":"c8"}`, "already-revoked"},
		{"no such report request", "kddi", "2028-05-01T10:00:00+09:00", Actor{Member: "partner-y"}, "report-submit", `{"request":"none"}`, "report-unknown"},
		{"visit on another day", "kddi", "2028-04-04T10:00:00+09:00", Actor{Member: "telco"}, "audit-visit", `{"notice":"an2","rulesAcknowledged":true}`, "notice-missing"},
		{"notice by word of mouth", "kddi", "2028-03-01T10:00:00+09:00", Actor{Member: "telco"}, "audit-notice", `{"contract":"k-y","report":"rp","visitDate":"2028-04-10","written":false}`, "notice-not-written"},
		{"a retired sensor", "sapporo", "2029-06-01T10:00:00+09:00", Actor{Member: "pf"}, "sensor-commit", `{"sensor":"touch-1","readings":["touches"]}`, "sensor-retired"},
		{"statistics from after a withdrawal", "kddi", "2028-05-01T10:00:00+09:00", Actor{Member: "telco"}, "release-statistics", `{"dataset":"z","meshMetres":125,"cells":[10],"recipients":["town-z"],"consentFilter":"x","usesTimeAfterRevocation":true}`, "revoked"},
		{"a refusal without a reason", "digirow", "2028-05-01T10:00:00+09:00", Actor{Member: "digi"}, "rights-answer", `{"request":"rq7","identityVerified":true,"outcome":"refused"}`, "reason-missing"},
		{"the same terms again", "digirow", "2028-05-01T10:00:00+09:00", Actor{Member: "digi"}, "publish-terms", `{"service":"lab","version":"1"}`, "duplicate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := asked(t, loaded(t, c.story), c.at, c.by, c.action, c.params, "")
			expect := Expect{Result: "accepted"}
			if c.want != "" {
				expect = Expect{Result: "refused", Reason: c.want}
			}
			if diff := expect.Diff(got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReplayFault(t *testing.T) {
	got := asked(t, loaded(t, "kao"), "2027-09-01T10:00:00+09:00", Actor{Member: "store-a"}, "erase", `{"class":"content","dataset":"none"}`, "")
	if got.Accepted() || !strings.Contains(got.Fault, `"none"`) {
		t.Errorf("%+v, want a fault", got)
	}
}
