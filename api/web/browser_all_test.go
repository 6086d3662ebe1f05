package web_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserAll: a person sees that nothing is missing, for the handles as
// given and with their secret; what the node withholds is named.
func TestBrowserAll(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	w := watched(t, ctx)
	run(t, ctx, entry(srv.URL, "once"), chromedp.Navigate(srv.URL+"/all"), settled("ok"))
	if got := textOf(t, ctx, "#check"); !strings.Contains(got, "一件も欠けていない") || !strings.Contains(got, "鍵はファイルにあるまま") || !strings.Contains(got, "時点の状態です") {
		t.Errorf("steps: %s", got)
	}
	got := textOf(t, ctx, "#rows")
	for _, want := range []string{"まちなかクーポン", "おくすり手帳れんけい", "しずかな図書館", "記録はありません", "同意中"} {
		if !strings.Contains(got, want) {
			t.Errorf("rows without %q: %s", want, got)
		}
	}
	eventually(t, ctx, "#claim", "同じでした")
	shot(t, ctx, "all", 360, 768, 1280)
	narrow(t, ctx, "all")

	secret := s.c.Person("hana")
	for _, c := range []struct{ text, state, want string }{
		{hex.EncodeToString(secret[:]), "ok", "あなたの秘密から作られたものでした"}, {strings.Repeat("0", 64), "ng", "completeness.handles"}, {"zz", "un", "秘密として読めませんでした"},
	} {
		run(t, ctx, chromedp.Navigate(srv.URL+"/all"), settled("ok"), click("#own summary"), chromedp.SendKeys(chromedp.CSS("#secret"), c.text), click("#own button"), settled(c.state))
		if got := textOf(t, ctx, "#check"); !strings.Contains(got, c.want) {
			t.Errorf("secret %.4s: %s", c.text, got)
		}
	}

	// The node withholds the newest record of one service, or leaves one out.
	for name, change := range map[string]func([]byte) []byte{
		"まちなかクーポン": withholdNewest(t), "しずかな図書館": leaveOut("library"),
	} {
		s.mangle = change
		run(t, ctx, chromedp.Navigate(srv.URL+"/all"), settled("ng"))
		if got := textOf(t, ctx, ".res"); !strings.Contains(got, "「"+name+"」の記録が、台帳の数えたものと合いません") {
			t.Errorf("%s: %s", name, got)
		}
		eventually(t, ctx, "#claim", "信じないでください")
		if name == "まちなかクーポン" {
			shot(t, ctx, "all-broken", 360, 1280)
		}
	}
	s.mangle = nil
	run(t, ctx, chromedp.Navigate(srv.URL+"/all?lang=en"), settled("ok"))
	eventually(t, ctx, "#claim", "same as those derived")
	w.Check(t, srv.URL)
}

// withholdNewest drops the last record of the first handle that has any.
func withholdNewest(t *testing.T) func([]byte) []byte {
	return func(b []byte) []byte {
		at := bytes.Index(b, []byte(`"events": [`))
		end := at + bytes.Index(b[at:], []byte("\n      ]"))
		last := at + bytes.LastIndex(b[at:end], []byte(",\n"))
		if last <= at {
			t.Fatal("one record only")
		}
		return append(bytes.Clone(b[:last]), b[end:]...)
	}
}

// leaveOut drops a service with its handle.
func leaveOut(id string) func([]byte) []byte {
	return func(b []byte) []byte {
		at := bytes.Index(b, []byte("    {\n      \"for\": \""+id+"\""))
		end := at + bytes.Index(b[at:], []byte("    },\n")) + len("    },\n")
		return append(bytes.Clone(b[:at]), b[end:]...)
	}
}

// In easy Japanese what is computed is said in easy words, too, and the heading of a
// step that fails keeps its readings.
func TestBrowserVerifyEasy(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	good, err := s.build(s.view.Consents[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	w := watched(t, ctx)
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify?lang=ja-easy"), chromedp.WaitEnabled(chromedp.CSS("#file")),
		upload("#policyfile", file("policy", s.c.Policy().Format())), upload("#file", file("good.akashi.json", good)), settled("ok"))
	for _, want := range []string{"けいさんは、ぜんぶ あいました", "ひかえは、かわっていません", "あなたが わたした ものです"} {
		eventually(t, ctx, "#check", want)
	}
	narrow(t, ctx, "verified in easy Japanese")
	accessible(t, ctx, "verified in easy Japanese")
	run(t, ctx, upload("#file", file("bad.akashi.json", bytes.Replace(good, []byte("まちなか"), []byte("むらなか"), 1))), settled("ng"), seen("#steps .st.ng + div h3 ruby"))
	eventually(t, ctx, ".res", "4ばんめ")
	w.Check(t, srv.URL)
}

// The published proofs verify on the page for saved files, too, without a
// network and without a session.
func TestBrowserVerifyBundles(t *testing.T) {
	ctx := browser(t)
	srv := serve(t, newStory(t), newStory(t).c.Policy())
	w := watched(t, ctx)
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"), chromedp.WaitEnabled(chromedp.CSS("#file")))
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`Promise.all([import("/assets/complete.js"), import("/assets/rows.js")]).then(() => undefined)`, chromedp.EvalAwaitPromise))
	srv.CloseClientConnections()
	srv.Close()
	path := func(name string) string {
		p, err := filepath.Abs(filepath.Join(vectors, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run(t, ctx, upload("#policyfile", path("receipt-consent.policy")))
	for _, c := range [][2]string{{"completeness.akashi.json", "一件も欠けていない"}, {"handle.akashi.json", "鍵の状態と記録は、そのとおり"},
		{"handle-state.akashi.json", "鍵の状態は、そのとおり"}, {"erasure.akashi.json", "消した者の証明"}, {"completeness-empty.akashi.json", "記録0件"},
		{"evidence-advance.json", "署名した者：c-sha"}, {"evidence-fork.json", "だれの誤りかは"}, {"receipt-consent.akashi.json", "記録のとおり"}} {
		run(t, ctx, upload("#file", path(c[0])), chromedp.WaitVisible(chromedp.CSS(`#check[data-state="ok"]`)))
		eventually(t, ctx, "#check", c[1])
	}
	var list []struct {
		Name, File, Insert, Code, For string
		At, Remove                    int
	}
	if err := json.Unmarshal(vector(t, "changed.json"), &list); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, c := range list {
		if c.Name != "withhold one of b-app" && c.Name != "drop service of c-card" && c.Name != "one handle: reorder" {
			continue
		}
		b, bad := vector(t, c.File), filepath.Join(dir, itoa(uint64(i))) // another name: a browser is silent about the same file again
		if err := os.WriteFile(bad, append(append(bytes.Clone(b[:c.At]), c.Insert...), b[c.At+c.Remove:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, ctx, upload("#file", bad))
		eventually(t, ctx, "#check", "合いません")
		eventually(t, ctx, "#check", c.Code+map[bool]string{true: " · " + c.For}[c.For != ""])
	}
	w.Check(t, srv.URL)
}

// A receipt of a later policy epoch verifies under the reader's old list of keys
// and the chain; without the chain the page says what is missing.
func TestBrowserChain(t *testing.T) {
	ctx := browser(t)
	s := newStory(t)
	srv := serve(t, s, s.c.Policy())
	path := func(name string) string {
		p, err := filepath.Abs(filepath.Join(vectors, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run(t, ctx, chromedp.Navigate(srv.URL+"/verify"), chromedp.WaitEnabled(chromedp.CSS("#file")),
		upload("#policyfile", path("policy-chain.first")), upload("#file", path("policy-chain-new.akashi.json")), settled("ng"))
	eventually(t, ctx, "#check", "鎖（/log/policy/chain のファイル）も選んでください")
	run(t, ctx, upload("#policyfile", path("policy-chain.json")), settled("ok"))
	eventually(t, ctx, "#check", "鍵の替わりをたどって導きました")
	accessible(t, ctx, "a file of a later policy epoch")
	run(t, ctx, upload("#policyfile", path("receipt-consent.policy")), settled("un"))
	eventually(t, ctx, "#check", "鍵の替わりを、たどれませんでした")
	run(t, ctx, upload("#policyfile", path("policy-chain.first")), settled("ok"), upload("#file", path("policy-chain-old.akashi.json")))
	eventually(t, ctx, "#words", "記録の時刻")
}

// eventually waits until an element says something.
func eventually(t *testing.T, ctx context.Context, selector, want string) {
	t.Helper()
	js, err := json.Marshal([]string{selector, want})
	if err != nil {
		t.Fatal(err)
	}
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`(async ([s, want]) => {
		for (let i = 0; i < 500; i++) {
			if (document.querySelector(s).textContent.includes(want)) return;
			await new Promise((r) => setTimeout(r, 20));
		}
		throw new Error("never said " + want + ": " + document.querySelector(s).textContent);
	})(`+string(js)+`)`, chromedp.EvalAwaitPromise))
}
