package scenarios

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	for _, name := range Names {
		story := loaded(t, name)
		if len(story.People.Explicit) != 12 || len(story.Steps) < 30 {
			t.Errorf("%s: %d people, %d steps", name, len(story.People.Explicit), len(story.Steps))
		}
		for i := range story.Steps {
			if step := &story.Steps[i]; step.When.IsZero() || step.When.Location() != JST {
				t.Errorf("%s %s: when %v", name, step.ID, step.When)
			}
		}
	}
	if _, err := Load("nara"); err == nil || !strings.Contains(err.Error(), "osaka") {
		t.Errorf("%v, want the names that there are", err)
	}
}

// When is resolved from an earlier step with an exact period.
func TestWhen(t *testing.T) {
	story := loaded(t, "kao")
	for i := range story.Steps {
		if step := &story.Steps[i]; step.ID == "s54" { // 180 days after s22
			if got := step.When.Format(time.RFC3339); got != "2027-08-05T11:05:00+09:00" {
				t.Errorf("%s", got)
			}
			return
		}
	}
	t.Fatal("no s54")
}

// tree is a story as plain JSON, to plant errors in.
type tree = map[string]any

func path(root any, keys ...any) any {
	for _, key := range keys {
		switch key := key.(type) {
		case string:
			root = root.(tree)[key]
		case int:
			root = root.([]any)[key]
		}
	}
	return root
}

func TestParseFindsPlantedErrors(t *testing.T) {
	original, err := data.ReadFile("data/sapporo.json")
	if err != nil {
		t.Fatal(err)
	}
	set := func(value any, keys ...any) func(tree) {
		return func(root tree) {
			last := len(keys) - 1
			switch parent := path(root, keys[:last]...).(type) {
			case tree:
				parent[keys[last].(string)] = value
			case []any:
				parent[keys[last].(int)] = value
			}
		}
	}
	remove := func(key string, keys ...any) func(tree) {
		return func(root tree) { delete(path(root, keys...).(tree), key) }
	}
	for _, c := range []struct {
		name  string
		plant func(tree)
		want  []string // each part must appear: all faults at once
	}{
		{"nothing", func(tree) {}, nil},
		{"schema", set("other/1", "schema"), []string{`schema "other/1"`}},
		{"unknown field", set(1, "extra"), []string{"extra"}},
		{"unknown field deep down", set(1, "services", 0, "terms", 0, "items", "hidden"), []string{"hidden"}},
		{"misspelt field", func(root tree) { m := path(root, "members", 0).(tree); m["Joined"] = m["joined"]; delete(m, "joined") }, []string{"oined"}},
		{"missing field", remove("calendar"), []string{"calendar"}},
		{"missing field deep down", remove("auditYear", "contracts", 0, "clauses"), []string{"auditYear"}},
		{"missing list", remove("obligations", "steps", 0), []string{"obligations"}},
		{"two members of one id", set("pf", "members", 1, "id"), []string{`member "pf"`}},
		{"service of nobody", set("nobody", "services", 0, "member"), []string{"nobody"}},
		{"registration field", set("shoe-size", "services", 0, "registrationFields", 0), []string{"shoe-size"}},
		{"item of terms", set("shoe-size", "services", 0, "terms", 0, "items", "required", 0), []string{"shoe-size"}},
		{"purpose of terms", set("fun", "services", 0, "terms", 0, "purposes", 0), []string{"fun"}},
		{"recipient of terms", set("nobody", "services", 0, "terms", 0, "recipients", "named", 0), []string{"nobody"}},
		{"party of a contract", set("nobody", "contracts", 0, "parties", 0), []string{"nobody"}},
		{"purpose of a contract", set("fun", "contracts", 0, "clauses", "purposes", 0), []string{"fun"}},
		{"term of a contract", set("2020-01-01", "contracts", 0, "clauses", "term", "to"), []string{"ends before"}},
		{"audit year", set("lunar", "contracts", 0, "clauses", "auditYear"), []string{"lunar"}},
		{"approver of a sensor", set("nobody", "sensors", 0, "approvedBy"), []string{"nobody"}},
		{"guardian", set("p99", "people", "explicit", 0, "guardian"), []string{"p99"}},
		{"value of nothing", set("1", "people", "explicit", 0, "values", "shoe-size"), []string{"shoe-size"}},
		{"value outside brackets", set("435", "people", "explicit", 0, "values", "income"), []string{"brackets"}},
		{"a name that cannot be read", set(1, "people", "generator", "names", "family", "龘"), []string{"龘"}},
		{"action", set("dance", "steps", 0, "action"), []string{`"dance"`}},
		{"parameter missing", remove("version", "steps", 1, "params"), []string{"version"}},
		{"parameter unknown", set(1, "steps", 1, "params", "colour"), []string{"colour"}},
		{"parameter of another type", set(1, "steps", 1, "params", "service"), []string{"s02"}},
		{"terms unknown", set("9", "steps", 1, "params", "version"), []string{`"id@9"`}},
		{"person unknown", set("p99", "steps", 11, "params", "person"), []string{"p99"}},
		{"item unknown", set("shoe-size", "steps", 11, "params", "items", 0), []string{"shoe-size"}},
		{"sensor unknown", set("nose", "steps", 4, "params", "sensor"), []string{"nose"}},
		{"consent not given", set("c9", "steps", 14, "params", "consent"), []string{`"c9"`}},
		{"consent given later", func(root tree) { set("c1", "steps", 13, "as")(root); set("later", "steps", 11, "as")(root) }, []string{"s15", "s38"}},
		{"name taken", set("c1", "steps", 13, "as"), []string{"taken"}},
		{"level", set("nanometre", "steps", 14, "params", "levels", "birth-year"), []string{"nanometre"}},
		{"actor unknown", set(tree{"member": "nobody"}, "steps", 0, "by"), []string{"nobody"}},
		{"two actors", set(tree{"member": "pf", "person": "p01"}, "steps", 0, "by"), []string{"exactly one"}},
		{"no actor", set(tree{}, "steps", 0, "by"), []string{"exactly one"}},
		{"reason", set("mood", "steps", 0, "expect", "reason"), []string{"mood"}},
		{"reason without refusal", set("accepted", "steps", 0, "expect", "result"), []string{"with a reason"}},
		{"alarm", set([]any{"fire"}, "steps", 1, "expect", "alarms"), []string{"fire"}},
		{"back in time", set("2026-11-20T09:59:59+09:00", "steps", 1, "at"), []string{"back in time"}},
		{"at and after", set(tree{"step": "s01", "duration": "P1D"}, "steps", 1, "after"), []string{"either at or after"}},
		{"after a later step", func(root tree) {
			set(tree{"step": "s40", "duration": "P1D"}, "steps", 1, "after")(root)
			remove("at", "steps", 1)(root)
		}, []string{"no earlier step"}},
		{"period", set("1 week", "services", 0, "terms", 0, "retention"), []string{"1 week"}},
		{"vote on nothing", set(tree{"weather": "fine"}, "steps", 46, "params", "sets"), []string{"weather"}},
		{"several at once", func(root tree) {
			set("nobody", "services", 0, "member")(root)
			set("nose", "steps", 4, "params", "sensor")(root)
			set("p99", "people", "explicit", 0, "guardian")(root)
		}, []string{"nobody", "nose", "p99"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var root tree
			if err := json.Unmarshal(original, &root); err != nil {
				t.Fatal(err)
			}
			c.plant(root)
			b, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(b)
			if len(c.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestParseRefusesMalformed(t *testing.T) {
	original, err := data.ReadFile("data/kao.json")
	if err != nil {
		t.Fatal(err)
	}
	twice := bytes.Replace(original, []byte(`"schema"`), []byte(`"schema": "consent-ledger-scenario/1", "schema"`), 1)
	for name, b := range map[string][]byte{
		"empty": nil, "null": []byte("null"), "list": []byte("[]"), "cut": original[:len(original)/2],
		"two values": append(slices.Clone(original), "{}"...), "a field twice": twice,
	} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The code's vocabulary is the schema's, and every action has its parameters.
func TestVocabulary(t *testing.T) {
	b, err := data.ReadFile("data/scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	step := path(schema, "properties", "steps", "items", "properties")
	expect := path(step, "expect", "oneOf")
	for _, c := range []struct {
		name string
		have []Code
		want any
	}{
		{"actions", Actions, path(step, "action", "enum")},
		{"reasons", Reasons, path(expect, 1, "properties", "reason", "enum")},
		{"alarms", Alarms, path(expect, 0, "properties", "alarms", "items", "enum")},
	} {
		var have, want []string
		for _, code := range c.have {
			have = append(have, code.Code)
			if code.JA == "" || code.EN == "" {
				t.Errorf("%s %s: no words for it", c.name, code.Code)
			}
		}
		for _, w := range c.want.([]any) {
			want = append(want, w.(string))
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%s: code has %q, schema %q", c.name, have, want)
		}
	}
	for _, action := range Actions {
		if params[action.Code] == nil {
			t.Errorf("no parameters for %s", action.Code)
		}
	}
	if len(params) != len(Actions) {
		t.Errorf("%d kinds of parameters for %d actions: %q", len(params), len(Actions), slices.Sorted(maps.Keys(params)))
	}
}

// What the schema requires of each action's parameters, the types require too.
func TestRequiredParams(t *testing.T) {
	b, err := data.ReadFile("data/scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	rules := path(schema, "properties", "steps", "items", "allOf").([]any)
	if len(rules) < 50 {
		t.Fatalf("only %d rules found", len(rules))
	}
	for _, rule := range rules {
		action := path(rule, "if", "properties", "action", "const").(string)
		zero, err := json.Marshal(params[action]())
		if err != nil {
			t.Fatal(err)
		}
		var fields tree
		if err := json.Unmarshal(zero, &fields); err != nil {
			t.Fatal(err)
		}
		for _, field := range path(rule, "then", "properties", "params", "required").([]any) {
			if _, ok := fields[field.(string)]; !ok {
				t.Errorf("%s: %s may be left out", action, field)
			}
		}
	}
}
