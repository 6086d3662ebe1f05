package web_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// formatVectors is the input of testdata/formats.mjs: the published vectors that
// Go is held against, too.
func formatVectors(t testing.TB) string {
	b, err := json.Marshal(map[string]json.RawMessage{"formats": vector(t, "formats.json"), "register": vector(t, "register.json"), "records": vector(t, "record.json"), "passkeys": vector(t, "passkey.json")})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The modules of the formats in a browser, against the published vectors.
func TestFormatsInBrowser(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	harness, err := os.ReadFile("testdata/formats.mjs")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(string(harness), "export async function run", "async function run", 1)
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"))
	faults := get(t, ctx, chromedp.Evaluate[[]string](fmt.Sprintf(`(async () => { %s
		const [bytes, cbor, complete, log, passkey, record] = await Promise.all(["bytes", "cbor", "complete", "log", "passkey", "record"].map((m) => import("/assets/" + m + ".js")));
		return run({ bytes, cbor, complete, log, passkey, record }, %s) })()`, script, formatVectors(t)), chromedp.EvalAwaitPromise))
	for _, f := range faults {
		t.Error(f)
	}
}

// The same in node, where there is one.
func TestFormatsInNode(t *testing.T) {
	inNode(t, formatVectors(t), `import fs from "node:fs";
import * as bytes from "./bytes.js";
import * as cbor from "./cbor.js";
import * as complete from "./complete.js";
import * as log from "./log.js";
import * as passkey from "./passkey.js";
import * as record from "./record.js";
import { run } from "./formats.mjs";
const input = JSON.parse(fs.readFileSync("input.json", "utf8"));
for (const f of await run({ bytes, cbor, complete, log, passkey, record }, input)) console.log(f);
`)
}
