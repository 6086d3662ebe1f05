package oauth_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/fxamacker/cbor/v2"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// passkey makes an authenticator in software and has the person of a session
// register it.
func (b *browser) passkey(t *testing.T, name string) *ledgertest.Passkey {
	t.Helper()
	p := ledgertest.New(t, ledgertest.Options{}).NewPasskey(name, sign.AlgorithmES256, b.m.url)
	_, page := b.get("/signin/sessions")
	form := url.Values{"form": fields(page)["form"], "add": {"1"}}
	_, said := b.post("/signin/passkey/begin", form)
	var options struct {
		PublicKey struct{ Challenge string }
	}
	if err := json.Unmarshal([]byte(said), &options); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	challenge, err := base64.RawURLEncoding.DecodeString(options.PublicKey.Challenge)
	fatal(t, err)
	k := p.Public()
	cose, err := cbor.CoreDetEncOptions().EncMode()
	fatal(t, err)
	key, err := cose.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: k[1:33], -3: k[33:]})
	fatal(t, err)
	data := p.AuthenticatorData()
	data[32] |= 1 << 6 // a credential follows: AAGUID, id, key
	data = append(binary.BigEndian.AppendUint16(append(data, make([]byte, 16)...), uint16(len(p.ID))), append(p.ID, key...)...)
	object, err := cose.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	fatal(t, err)
	credential, _ := json.Marshal(map[string]any{"id": b64(p.ID), "rawId": b64(p.ID), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": b64(p.ClientData("webauthn.create", challenge)), "attestationObject": b64(object)}})
	form.Set("credential", string(credential))
	if resp, said := b.post("/signin/passkey/end", form); resp.StatusCode != 200 {
		t.Fatalf("register: %s %s", resp.Status, said)
	}
	return p
}

// prepared sends a screen's form to be confirmed and returns the challenge, and the
// form that gives.
func (b *browser) prepared(t *testing.T, f *flow, ref string, purposes ...string) (path string, form url.Values, challenge [32]byte) {
	t.Helper()
	_, page := f.screen(b, ref)
	if !strings.Contains(page, "/oauth/assets/confirm.js") {
		t.Fatalf("the screen does not ask for the passkey:\n%s", page)
	}
	path, form = action.FindStringSubmatch(page)[1], fields(page)
	form["purpose"], form["act"] = purposes, []string{"prepare"}
	resp, said := b.post(path, form)
	var options struct {
		PublicKey struct {
			Challenge, UserVerification string
			AllowCredentials            []struct{ ID string }
		}
	}
	if err := json.Unmarshal([]byte(said), &options); err != nil {
		t.Fatalf("%s: %s", resp.Status, said)
	}
	c, err := base64.RawURLEncoding.DecodeString(options.PublicKey.Challenge)
	if err != nil || len(c) != 32 || options.PublicKey.UserVerification != "required" || len(options.PublicKey.AllowCredentials) == 0 {
		t.Fatalf("%s", said)
	}
	form.Set("act", "give")
	return path, form, [32]byte(c)
}

// credential is what a browser sends of an answer.
func credential(a *sign.Assertion) string {
	b, _ := json.Marshal(map[string]any{"id": b64(a.Credential), "rawId": b64(a.Credential), "type": "public-key", "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": b64(a.ClientData), "authenticatorData": b64(a.Authenticator), "signature": b64(a.Signature)}})
	return string(b)
}

// consented are the receipts of a person's consents, verified.
func (m *site) consented(t *testing.T, ref string) (out []*receipt.Verdict) {
	t.Helper()
	st := m.n.FinalState()
	policy, err := rules.PolicyAt(st, st.Height)
	fatal(t, err)
	for _, e := range m.events(ref) {
		if e.Kind != "consent" {
			continue
		}
		resp, b := m.try("app", "GET", "/v1/records/"+e.ID+"/receipt", nil)
		if resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, b)
		}
		v, err := receipt.Verify(b, policy.Sign())
		fatal(t, err)
		out = append(out, v)
	}
	return out
}

// TestConfirm: a consent that a passkey confirmed carries its answer, which the
// receipt shows to anybody; nobody is held to it.
func TestConfirm(t *testing.T) {
	m := newSiteOn(t, "localhost")
	b := m.enter("p01", session.Link)
	p := b.passkey(t, "p01")
	f := m.flow(m.client(nil))
	path, form, challenge := b.prepared(t, f, "p01", "service", "survey")
	form.Set("credential", credential(p.Answer(challenge)))
	resp, page := b.post(path, form)
	f.code(t, resp, page)
	all := m.consented(t, "p01")
	if len(all) != 2 || all[0].Passkey != m.url || all[1].Passkey != m.url {
		t.Fatalf("%+v", all)
	}
	m.withdraw("p01", "survey")
	resp, page = m.flow(m.client(nil), "survey").decide(b, "p01", give("survey"))
	if all = m.consented(t, "p01"); resp.StatusCode != http.StatusSeeOther || len(all) != 3 || all[2].Passkey != "" {
		t.Errorf("without the passkey: %s, %d consents\n%s", resp.Status, len(all), page)
	}
}

// TestConfirmRefused: an answer that is not this person's passkey's, to this choice,
// now, gives nothing, and says why with its code.
func TestConfirmRefused(t *testing.T) {
	m := newSiteOn(t, "localhost")
	m.person("p02")
	b := m.enter("p01", session.Link)
	p := b.passkey(t, "p01")
	other := m.enter("p02", session.Link)
	theirs := other.passkey(t, "p02")
	c := m.client(nil)
	try := func(name string, want record.Code, answer func(challenge [32]byte, form url.Values) string) {
		t.Helper()
		path, form, challenge := b.prepared(t, m.flow(c), "p01", "service")
		if text := answer(challenge, form); text != "" {
			form.Set("credential", text)
		}
		resp, page := b.post(path, form)
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, ">"+string(want)+"<") {
			t.Errorf("%s: %s, no %s\n%s", name, resp.Status, want, page)
		}
	}
	at := func(change func(*ledgertest.Passkey)) func([32]byte, url.Values) string {
		return func(c [32]byte, _ url.Values) string {
			q := *p
			change(&q)
			p.Counter++
			return credential(q.Answer(c))
		}
	}
	try("another challenge", record.CodePasskeyChallenge, func([32]byte, url.Values) string { return credential(p.Answer([32]byte{1})) })
	try("other purposes", record.CodePasskeyChallenge, func(c [32]byte, form url.Values) string {
		form.Add("purpose", "survey")
		return credential(p.Answer(c))
	})
	try("other items", record.CodePasskeyChallenge, func(c [32]byte, form url.Values) string {
		form.Add("item", "service/name")
		return credential(p.Answer(c))
	})
	try("another origin", record.CodePasskeyOrigin, at(func(p *ledgertest.Passkey) { p.Site = "https://localhost" }))
	try("another party", record.CodePasskeyOrigin, at(func(p *ledgertest.Passkey) { p.Party = "evil.example" }))
	try("inside a page", record.CodePasskeyOrigin, at(func(p *ledgertest.Passkey) { p.Cross = true }))
	try("nobody verified", record.CodePasskeyOrigin, at(func(p *ledgertest.Passkey) { p.Flags = 1 }))
	try("another person's", record.CodePasskeyPerson, func(c [32]byte, _ url.Values) string { return credential(theirs.Answer(c)) })
	try("another person's under this id", record.CodePasskeySignature, func(c [32]byte, _ url.Values) string {
		a := theirs.Answer(c)
		a.Credential = p.ID
		return credential(a)
	})
	try("not a credential", record.CodePasskeyForm, func([32]byte, url.Values) string { return "{}" })
	try("a huge one", record.CodePasskeyForm, func([32]byte, url.Values) string { return strings.Repeat("x", 8<<10) })
	var last string
	try("a changed signature", record.CodePasskeySignature, func(c [32]byte, _ url.Values) string {
		a := p.Answer(c)
		last = credential(a)
		a.Signature[len(a.Signature)-1] ^= 1
		return credential(a)
	})
	try("an old answer", record.CodePasskeyChallenge, func([32]byte, url.Values) string { return last })
	if n := len(m.consented(t, "p01")); n != 0 {
		t.Errorf("%d consents were given", n)
	}
	f := m.flow(c)
	path, form, challenge := b.prepared(t, f, "p01", "service")
	form.Set("credential", credential(p.Answer(challenge)))
	resp, page := b.post(path, form)
	f.code(t, resp, page)
	if resp, page := b.post(path, form); resp.StatusCode == http.StatusSeeOther && strings.Contains(resp.Header.Get("Location"), "code=") {
		t.Errorf("one answer gave twice: %s", page)
	}
	m.withdraw("p01")
	try("a counter that went back", record.CodePasskeyCounter, func(c [32]byte, _ url.Values) string {
		q := *p
		q.Counter = 1
		return credential(q.Answer(c))
	})
	path, form, challenge = b.prepared(t, m.flow(c), "p01", "service")
	_, err := m.n.Desk().Consent(t.Context(), custody.Call{}, custody.ConsentRequest{Person: "p01", Service: "portal", Version: "1", Items: []string{"email"}, Purposes: []string{"survey"}})
	fatal(t, err)
	form.Set("credential", credential(p.Answer(challenge)))
	if resp, page := b.post(path, form); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, ">passkey.challenge<") {
		t.Errorf("a consent came between: %s\n%s", resp.Status, page)
	}
}

// TestConfirmTooNew: a passkey that was added with a code shows no more than the code
// for its 72 hours: the screen does not ask for it, and its answer does not count.
func TestConfirmTooNew(t *testing.T) {
	m := newSiteOn(t, "localhost")
	b := m.browser()
	b.signIn("p01", "/signin/sessions")
	p := b.passkey(t, "p01")
	c := m.client(nil)
	_, page := m.flow(c).screen(b, "p01")
	if strings.Contains(page, "/oauth/assets/confirm.js") {
		t.Fatalf("the screen asks for a passkey that is too new:\n%s", page)
	}
	path, form := action.FindStringSubmatch(page)[1], fields(page)
	form["purpose"], form["act"] = []string{"service"}, []string{"prepare"}
	if resp, said := b.post(path, form); resp.StatusCode != http.StatusNoContent {
		t.Errorf("prepared: %s %s", resp.Status, said)
	}
	strong := m.enter("p01", session.Link)
	strong.passkey(t, "another")
	path, form, challenge := b.prepared(t, m.flow(c), "p01", "service")
	form.Set("credential", credential(p.Answer(challenge)))
	if resp, page := b.post(path, form); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, ">"+string(record.CodePasskeyPerson)+"<") {
		t.Errorf("its answer: %s\n%s", resp.Status, page)
	}
	if n := len(m.consented(t, "p01")); n != 0 {
		t.Errorf("%d consents were given", n)
	}
}
