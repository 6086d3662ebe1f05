package oauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// The consent screen has two layers. The sheet is all that consent is given to:
// who, what, for what, until when, to whom, how to stop, and the full text. It is
// the same for everybody who reads it in one language on one day; its bytes are
// kept under their hash, and the hash goes into the sealed part of the consent. Around
// it stands what is this person's own: what they chose before, what is new in the
// terms, and the number that their app shows too.

// sheet is what the template sheet.html gets.
type sheet struct {
	language
	Service, Provider, App, To record.Text
	Contact                    record.Text
	Version                    string
	Purposes                   []sheetPurpose
	Sensitive                  []record.Text
	Retention                  string // in words
	Foreign                    string // ground, "" for none
	Withdrawal, Full           record.Text
	Deadline                   string // until when the record of a hand-over is kept
}

type sheetPurpose struct {
	Code       string
	Label      record.Text
	Needed     bool // the app cannot serve without it
	Required   []record.Text
	Optional   []sheetItem
	Recipients []record.Text
	Categories []string
	Until      string // last day, "" without end
}

type sheetItem struct {
	Name  string // of the field
	Label record.Text
}

// sheet renders the bytes of a screen that consent is given to.
func (s *Server) sheet(a *ask, l language) ([]byte, error) {
	st := s.State()
	if st == nil {
		return nil, record.Refuse(CodeNotFinal, "")
	}
	n := names{st: st}
	scr := a.shown.Screen
	service := n.service(a.Service)
	v := sheet{language: l, Service: service.Name, Contact: service.Contact, Provider: n.party(a.shown.Owner), App: a.client.Name, To: n.party(a.client.Party),
		Version: a.Version, Foreign: scr.Foreign, Withdrawal: scr.Withdrawal, Full: scr.Text, Retention: l.period(scr.Retention)}
	for _, i := range a.scopes {
		v.Purposes = append(v.Purposes, s.purpose(&n, a, &scr.Scopes[i]))
		for _, it := range slices.Concat(scr.Scopes[i].Required, scr.Scopes[i].Optional) {
			if label, class := n.item(it); class == "sensitive" && !slices.Contains(v.Sensitive, label) {
				v.Sensitive = append(v.Sensitive, label)
			}
		}
	}
	if n.err != nil {
		return nil, n.err
	}
	var b bytes.Buffer
	err := s.pages["sheet"].ExecuteTemplate(&b, "sheet", v)
	return b.Bytes(), err
}

func (s *Server) purpose(n *names, a *ask, sc *record.Scope) sheetPurpose {
	p := sheetPurpose{Code: sc.Purpose, Label: n.purpose(sc.Purpose), Needed: slices.Contains(a.Required, sc.Purpose), Categories: sc.Categories}
	for _, it := range sc.Required {
		label, _ := n.item(it)
		p.Required = append(p.Required, label)
	}
	for _, it := range sc.Optional {
		label, _ := n.item(it)
		p.Optional = append(p.Optional, sheetItem{itemName(sc.Purpose, it), label})
	}
	for _, id := range sc.Recipients {
		p.Recipients = append(p.Recipients, n.party(id))
	}
	if period, err := record.ParsePeriod(sc.MaxExpiry); err == nil && sc.MaxExpiry != "" {
		last := period.LastDay(record.DayOf(uint64(s.Now().UnixMilli())))
		p.Until = time.Unix(int64(last)*86400, 0).UTC().Format(time.DateOnly)
	}
	return p
}

// endOfIntro ends the part of a sheet that says who asks. What is this person's own
// stands between it and the rest: a number is to be compared before one decides.
// Names are escaped, so that it is in a sheet once.
const endOfIntro = "</header>"

// keepScreen keeps the bytes that consent was given to, so that their hash can be
// opened. They name nobody.
func (s *Server) keepScreen(hash [sha256.Size]byte, sheet []byte) error {
	key := []byte(root + "x/" + hex.EncodeToString(hash[:]))
	if _, ok, err := s.Blobs.Get(key); err != nil || ok {
		return err
	}
	return s.Blobs.PutMany([]store.KV{{Key: key, Value: sheet}})
}

// screenPage is what the template consent.html gets.
type screenPage struct {
	frame
	Intro   template.HTML // the sheet as far as its question
	Terms   template.HTML // the rest of it
	Hash    string
	Form    string
	Number  string
	Before  []before
	Changes []string // keys of texts
	Problem string   // key
	Code    record.Code
	Passkey bool // the person has one, to confirm with
}

// before is what a person chose earlier.
type before struct {
	Label record.Text
	On    bool
	Items []record.Text
}

func (s *Server) showScreen(w http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, a *ask, who *visit, stands []custody.ScopeNow, what said) {
	p := screenPage{frame: s.frame(w, r), Form: session.FormToken(who.token), Problem: what.problem, Code: what.code}
	sheet, err := s.sheet(a, p.language)
	if err == nil {
		p.Passkey, err = s.canConfirm(who.Person)
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	hash := sha256.Sum256(sheet)
	intro, terms, _ := strings.Cut(string(sheet), endOfIntro)
	p.Intro, p.Terms, p.Hash = template.HTML(intro+endOfIntro), template.HTML(terms), hex.EncodeToString(hash[:])
	p.Title, p.Path = p.text("consent.title"), pathAuthorize+"/"+as.ID
	number := sha256.Sum256([]byte(as.CodeChallenge))
	p.Number = session.MatchNumber(number[:])
	n := names{st: s.State()}
	for _, sc := range stands {
		var items []record.Text
		for _, it := range sc.Items {
			label, _ := n.item(it)
			items = append(items, label)
		}
		p.Before = append(p.Before, before{n.purpose(sc.Purpose), sc.On, items})
	}
	if p.Changes, err = s.changes(r, a, stands); err == nil {
		err = n.err
	}
	if err != nil {
		s.cannot(w, r, err)
		return
	}
	if to, err := url.Parse(as.RedirectURI); err == nil { // a browser holds the redirect after the form against the policy
		w.Header().Set("Content-Security-Policy", policy(to.Scheme+"://"+to.Host))
	}
	s.show(w, what.status, "consent", p)
}

// changes says what is new in the terms since the person last agreed.
func (s *Server) changes(r *http.Request, a *ask, stands []custody.ScopeNow) ([]string, error) {
	i := slices.IndexFunc(stands, func(sc custody.ScopeNow) bool { return sc.Version != a.Version })
	if i < 0 {
		return nil, nil
	}
	old, err := s.Desk.Screen(r.Context(), a.Service, stands[i].Version)
	if codeOf(err) != "" && old == nil {
		return nil, err
	}
	was, now := old.Screen, a.shown.Screen
	var out []string
	for _, n := range a.scopes {
		sc := now.Scopes[n]
		j := slices.IndexFunc(was.Scopes, func(o record.Scope) bool { return o.Purpose == sc.Purpose })
		if j < 0 {
			out = append(out, "changed.purposes")
			continue
		}
		o := was.Scopes[j]
		for key, same := range map[string]bool{
			"changed.items":      slices.Equal(o.Required, sc.Required) && slices.Equal(o.Optional, sc.Optional),
			"changed.recipients": slices.Equal(o.Recipients, sc.Recipients) && slices.Equal(o.Categories, sc.Categories),
			"changed.until":      o.MaxExpiry == sc.MaxExpiry,
		} {
			if !same {
				out = append(out, key)
			}
		}
	}
	for key, same := range map[string]bool{"changed.retention": was.Retention == now.Retention, "changed.withdrawal": was.Withdrawal == now.Withdrawal,
		"changed.foreign": was.Foreign == now.Foreign, "changed.text": was.Text == now.Text} {
		if !same {
			out = append(out, key)
		}
	}
	return set(out), nil
}

// names reads public names at one state; err is the first error.
type names struct {
	st  *store.State
	err error
}

func named[T any](n *names, key string) *T {
	if n.st == nil {
		n.err = errors.Join(n.err, record.Refuse(CodeNotFinal, ""))
		return nil
	}
	v, err := rules.Load[T](n.st, key)
	if err != nil && n.err == nil {
		n.err = err
	}
	return v
}

func (n *names) service(id string) rules.Service {
	if s := named[rules.Service](n, rules.KeyService(id)); s != nil {
		return *s
	}
	return rules.Service{ID: id, Name: record.Text{Ja: id, En: id}}
}

func (n *names) party(id string) record.Text {
	if p := named[rules.Party](n, rules.KeyParty(id)); p != nil {
		return p.Name
	}
	return record.Text{Ja: id, En: id}
}

func (n *names) purpose(code string) record.Text {
	if p := named[record.Purpose](n, rules.KeyPurpose(code)); p != nil {
		return p.Label
	}
	return record.Text{Ja: code, En: code}
}

func (n *names) item(code string) (label record.Text, class string) {
	if a := named[record.Attribute](n, rules.KeyAttribute(code)); a != nil {
		return a.Label, a.Class
	}
	return record.Text{Ja: code, En: code}, ""
}
