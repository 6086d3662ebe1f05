package scenarios

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

//go:embed data/*.json
var data embed.FS

// Names lists the stories in the order of the documents behind them.
var Names = []string{"osaka", "digirow", "sapporo", "kao", "kddi"}

// Load reads and checks one of the built-in stories.
func Load(name string) (*Story, error) {
	if !slices.Contains(Names, name) {
		return nil, fmt.Errorf("scenario %q unknown: there are %s", name, strings.Join(Names, ", "))
	}
	b, err := data.ReadFile("data/" + name + ".json")
	if err != nil {
		return nil, err
	}
	story, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	return story, nil
}

// Parse reads a story, resolves its times and checks its references.
// A malformed file gives the first fault; a well-formed one gives all broken
// references at once (errors.Join).
func Parse(b []byte) (*Story, error) {
	story := new(Story)
	if err := strictJSON(b, story); err != nil {
		return nil, err
	}
	if err := errors.Join(story.resolveTimes(), story.checkReferences()); err != nil {
		return nil, err
	}
	return story, nil
}

// resolveTimes sets When of every step and refuses a story that goes back in time.
func (s *Story) resolveTimes() error {
	var errs []error
	byID := map[string]*Step{}
	var last *Step
	for i := range s.Steps {
		step := &s.Steps[i]
		switch {
		case (step.At == nil) == (step.After == nil):
			errs = append(errs, fmt.Errorf("step %s: want either at or after", step.ID))
			continue
		case step.At != nil:
			step.When = *step.At
		case byID[step.After.Step] == nil:
			errs = append(errs, fmt.Errorf("step %s: after %q, which is no earlier step", step.ID, step.After.Step))
			continue
		default:
			step.When = EndOf(byID[step.After.Step].When, step.After.Duration)
		}
		step.When = step.When.In(JST)
		if last != nil && step.When.Before(last.When) {
			errs = append(errs, fmt.Errorf("step %s goes back in time, to before %s", step.ID, last.ID))
		}
		byID[step.ID], last = step, step
	}
	return errors.Join(errs...)
}

// strictJSON decodes b into v and insists that b says exactly what v holds: no field
// unknown, missing, misspelt or given twice. (encoding/json alone lets the last three
// pass.) null counts as absent where v may leave the field out.
func strictJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	if path := repeatedField(b); path != "" {
		return fmt.Errorf("field %q appears twice", path)
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var want, have any
	if err := json.Unmarshal(b, &want); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &have); err != nil {
		return err
	}
	return sameJSON("", want, have)
}

// sameJSON reports the first place where two JSON values differ.
func sameJSON(path string, read, held any) error {
	readMap, ok1 := read.(map[string]any)
	heldMap, ok2 := held.(map[string]any)
	if ok1 && ok2 {
		for key, value := range readMap {
			other, ok := heldMap[key]
			if !ok && !isEmpty(value) {
				return fmt.Errorf("field %q unknown", path+"/"+key)
			}
			if ok {
				if err := sameJSON(path+"/"+key, value, other); err != nil {
					return err
				}
			}
		}
		for key := range heldMap {
			if _, ok := readMap[key]; !ok {
				return fmt.Errorf("field %q missing", path+"/"+key)
			}
		}
		return nil
	}
	readList, ok1 := read.([]any)
	heldList, ok2 := held.([]any)
	if ok1 && ok2 && len(readList) == len(heldList) {
		for i := range readList {
			if err := sameJSON(fmt.Sprintf("%s/%d", path, i), readList[i], heldList[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(read, held) {
		return fmt.Errorf("field %q: %v is not what it should be", path, read)
	}
	return nil
}

// isEmpty reports whether a field with omitempty would be left out.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case float64:
		return v == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// repeatedField returns a field name that one object of b holds twice, or "".
// b is known to be valid JSON.
func repeatedField(b []byte) string {
	dec := json.NewDecoder(bytes.NewReader(b))
	type level struct {
		seen    map[string]bool // nil in a list
		wantKey bool
	}
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].seen != nil {
			top := &stack[n-1]
			if top.wantKey {
				key := token.(string)
				if top.seen[key] {
					return key
				}
				top.seen[key], top.wantKey = true, false
				continue
			}
			top.wantKey = true
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{seen: map[string]bool{}, wantKey: true})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}
