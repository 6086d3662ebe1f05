package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"rsc.io/qr"
)

// A kept receipt is one HTML file that a person saves: the slip, its code, and the
// program that verifies it, with the receipt and the list of keys inside. It opens
// without a network and cannot use one: see keptPolicy. Its modules are the assets
// as they are served, with their imports by name, which an import map leads to the
// bytes in the same file.

// keptPolicy is the policy of the file itself.
const keptPolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:; img-src data:"

// imported are the names by which modules import each other.
var imported = regexp.MustCompile(`(["\x60])\./([a-z0-9-]+|text-\$\{wording\})\.js(["\x60])`)

// kept draws the file.
func (s *server) kept(p *page, file, policy []byte, code *qr.Code) ([]byte, error) {
	var b bytes.Buffer
	if err := s.pages["kept"].ExecuteTemplate(&b, "kept", p); err != nil {
		return nil, fmt.Errorf("kept receipt: %w", err)
	}
	data := func(kind string, b []byte) string {
		return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)
	}
	modules := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		name, ok := strings.CutSuffix(strings.TrimPrefix(path, "/assets/"), ".js")
		if ok {
			modules["akashi/"+name] = data("text/javascript", imported.ReplaceAll(s.files[path].body, []byte("${1}akashi/${2}${3}")))
		}
	}
	image := ""
	if code != nil {
		image = `<div class="qr"><img src="` + data("image/svg+xml", drawCode(code)) + `" width="240" height="240" alt="QR"></div>`
	}
	// None of these holds a "<": base64, and JSON as encoding/json writes it.
	script := `<script type="application/json" id="kept">` + keptJSON(map[string][]byte{"file": file, "policy": policy}) + `</script>` +
		`<script type="importmap">` + keptJSON(map[string]any{"imports": modules}) + `</script><script type="module">import "akashi/page";</script>`
	return []byte(strings.NewReplacer("@@policy@@", keptPolicy, "@@style@@", "<style>"+string(s.files["/assets/akashi.css"].body)+"</style>",
		"@@code@@", image, "@@script@@", script).Replace(b.String())), nil
}

func keptJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("web: " + err.Error()) // maps of strings and bytes
	}
	return string(b)
}
