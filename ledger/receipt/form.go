package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// partNames are the parts of all formats by their field, where the code is not
// the field's own name.
var partNames = map[string]string{"storyTime": "story-time"}

// knownParts are the fields of each format.
var knownParts = map[string]string{
	"receipt":      "format kind human payload storyTime leaf proof opening items screen seal submission key state register status",
	"handle":       "format human storyTime handle state register events",
	"completeness": "format human storyTime state register handles",
	"erasure":      "format human storyTime leaf proof attestations state register",
	"committed":    "format human tree index value path extra extraPath leaf proof",
	"evidence":     "format kind human signers headers checkpoints receipts past extraPast previous entry seal state register neighbours",
	"policy-chain": "format links",
}

// render returns the one spelling of a file: JSON with two spaces of
// indentation, no escapes that are not needed, and a newline at the end.
func render(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decode reads a file into v and refuses every spelling but render's.
func decode(format string, b []byte, maxBytes int, v any) error {
	if len(b) > maxBytes {
		return &Error{Format: format, Part: "file", Err: fmt.Errorf("%d bytes, at most %d", len(b), maxBytes)}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Error{Format: format, Part: culprit(format, b, err, v), Err: fmt.Errorf("not a %s: %w", format, err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &Error{Format: format, Part: "file", Err: errors.New("something follows the file's end")}
	}
	if at := nullAt(b); at >= 0 {
		return &Error{Format: format, Part: partAt(format, b, at), Err: errors.New("null is no spelling of an empty list or of anything else")}
	}
	again, err := render(v)
	if err != nil {
		return &Error{Format: format, Part: "file", Err: err}
	}
	if bytes.HasPrefix(b, again) && len(bytes.TrimSpace(b[len(again):])) == 0 && len(b) > len(again) {
		return &Error{Format: format, Part: "file", Err: errors.New("empty lines were added at its end, as editors do: take them away, or fetch it again")}
	}
	if bytes.Equal(again, append(bytes.Clone(b), '\n')) {
		return &Error{Format: format, Part: "file", Err: errors.New("the newline at its end was taken away, as editors do: put it back, or fetch it again")}
	}
	if n := min(len(b), len(again)); len(b) != len(again) && bytes.Equal(b[:n], again[:n]) {
		return &Error{Format: format, Part: "file", Err: fmt.Errorf("%d bytes, and it ends after %d with one newline", len(b), len(again))}
	}
	if at := firstDifference(b, again); at >= 0 {
		return &Error{Format: format, Part: partAt(format, b, at), Err: fmt.Errorf("not the canonical spelling, from byte %d on", at)}
	}
	return nil
}

// nullAt returns where a null ends in well-formed JSON, -1 where there is none.
func nullAt(b []byte) int {
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		switch t, err := d.Token(); {
		case err != nil:
			return -1
		case t == nil:
			return int(d.InputOffset()) - 1
		}
	}
}

// culprit names the part for which the JSON library refused a file.
func culprit(format string, b []byte, err error, v any) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return partAt(format, b, int(syntax.Offset)-1)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil {
		return "file"
	}
	for _, name := range strings.Fields(knownParts[format]) {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		d := json.NewDecoder(strings.NewReader(fmt.Sprintf("{%q:%s}", name, raw)))
		d.DisallowUnknownFields()
		if d.Decode(reflect.New(reflect.TypeOf(v).Elem()).Interface()) != nil {
			return partName(name)
		}
	}
	return "file"
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// partAt names the part that an offset lies in: fields of the file begin on
// lines of their own with two spaces and a quotation mark.
func partAt(format string, b []byte, at int) string {
	at = max(0, min(at, len(b)))
	if end := bytes.IndexByte(b[at:], '\n'); end >= 0 {
		at += end
	} else {
		at = len(b)
	}
	head := b[:at]
	for len(head) > 0 {
		line := head[bytes.LastIndexByte(head, '\n')+1:]
		if rest, ok := bytes.CutPrefix(line, []byte(`  "`)); ok {
			name, _, _ := strings.Cut(string(rest), `"`)
			for _, known := range strings.Fields(knownParts[format]) {
				if known == name {
					return partName(name)
				}
			}
			return "file"
		}
		head = head[:max(0, len(head)-len(line)-1)]
	}
	return "file"
}

func partName(field string) string {
	if s, ok := partNames[field]; ok {
		return s
	}
	return field
}

// formatOf returns the format that a file claims, "" where it claims none.
// Where it claims one that is not known, it is judged by its fields, so that the
// refusal names the right part.
func formatOf(b []byte) string {
	var f struct {
		Format     *string         `json:"format"`
		Signers    json.RawMessage `json:"signers"`
		Handle     json.RawMessage `json:"handle"`
		Handles    json.RawMessage `json:"handles"`
		Submission json.RawMessage `json:"submission"`
		Tree       json.RawMessage `json:"tree"`
	}
	if len(b) > MaxBundleBytes {
		return ""
	}
	switch err := json.Unmarshal(b, &f); {
	case err != nil: // the first lines of a broken file
		for _, s := range []string{FormatHandle, FormatCompleteness, FormatErasure, FormatEvidence, FormatCommitted} {
			if bytes.Contains(b[:min(len(b), 200)], []byte(s)) {
				return s
			}
		}
		if !bytes.HasPrefix(b, []byte("{\n  \"format\": ")) {
			return ""
		}
	case f.Format == nil:
		return ""
	case slices.Contains([]string{FormatReceipt, FormatHandle, FormatCompleteness, FormatErasure, FormatEvidence, FormatCommitted}, *f.Format):
		return *f.Format
	case f.Signers != nil:
		return FormatEvidence
	case f.Tree != nil:
		return FormatCommitted
	case f.Handles != nil:
		return FormatCompleteness
	case f.Handle != nil:
		return FormatHandle
	case f.Submission == nil:
		return FormatErasure
	}
	return FormatReceipt
}
