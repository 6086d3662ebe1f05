package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of a request in JSON.
const (
	maxDepth    = 16
	maxElements = 20_000 // values in one request
)

func init() {
	// Names of fields have one spelling. The library's setting is the program's;
	// nothing else uses it.
	huma.ValidateStrictCasing = true
}

// readBody reads at most maxBytes of a request of a media type.
func readBody(w http.ResponseWriter, r *http.Request, maxBytes int64, types ...string) ([]byte, string, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || !contains(types, media) || charset != "" && charset != "utf-8" || r.Header.Get("Content-Encoding") != "" {
		return nil, "", fault(codeMedia)
	}
	if r.ContentLength > maxBytes {
		return nil, "", fault(codeOversize)
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err = b.ReadFrom(http.MaxBytesReader(w, r.Body, maxBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, "", fault(codeOversize)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, "", fault(codeBodySlow)
	case err != nil:
		return nil, "", fault(codeInvalid)
	}
	return b.Bytes(), media, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// decodeJSON reads one JSON value into v, which follows the schema: fields that
// are not known, stand twice, are missing or of another form are refused.
func decodeJSON(b []byte, registry huma.Registry, schema *huma.Schema, v any) error {
	value, err := parseJSON(b)
	if err != nil {
		return err
	}
	result := &huma.ValidateResult{}
	huma.Validate(registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, result)
	if len(result.Errors) > 0 {
		return faultAt(codeInvalid, topField(registry, schema, result.Errors[0]))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fault(codeInvalid)
	}
	return nil
}

// topField returns the field of the request in which an error lies, "" where it
// is none that the schema knows: a name that a caller made up is not repeated.
func topField(registry huma.Registry, s *huma.Schema, err error) string {
	for s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	detail, ok := err.(*huma.ErrorDetail)
	if !ok {
		return ""
	}
	name := detail.Location
	if i := strings.IndexAny(name, ".["); i >= 0 {
		name = name[:i]
	}
	if _, known := s.Properties[name]; known {
		return name
	}
	for name := range s.Properties { // a required one that is missing
		if strings.Contains(detail.Message, "property "+name+" ") {
			return name
		}
	}
	return ""
}

// parseJSON reads one JSON value (RFC 8259) of bounded depth and size in which
// no name stands twice.
func parseJSON(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, fault(codeJSON)
	}
	p := &jsonParser{d: json.NewDecoder(bytes.NewReader(b))}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault(codeJSON)
	}
	return v, nil
}

type jsonParser struct {
	d     *json.Decoder
	count int
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.d.Token()
	if err != nil {
		return nil, fault(codeJSON)
	}
	if p.count++; p.count > maxElements {
		return nil, fault(codeOversize)
	}
	return t, nil
}

func (p *jsonParser) value(depth int) (any, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	delim, nested := t.(json.Delim)
	switch {
	case !nested:
		return t, nil
	case depth >= maxDepth:
		return nil, fault(codeJSONDepth)
	case delim == '[':
		return p.array(depth)
	}
	return p.object(depth)
}

func (p *jsonParser) array(depth int) (any, error) {
	list := []any{}
	for p.d.More() {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := p.token()
	return list, err
}

func (p *jsonParser) object(depth int) (any, error) {
	m := map[string]any{}
	for p.d.More() {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, fault(codeJSON)
		}
		if _, twice := m[name]; twice {
			return nil, fault(codeJSONDuplicate)
		}
		if m[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := p.token()
	return m, err
}

// schemaOf returns the schema of a value's type.
func schemaOf(registry huma.Registry, v any) *huma.Schema {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return registry.Schema(t, true, t.Name())
}
