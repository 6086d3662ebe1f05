package oauth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// The consent screen has two layers. The sheet (sheet.go) is all that consent is given
// to; its bytes are kept under their hash, and the hash goes into the sealed part of the
// consent. Around it stands what is this person's own: whose account it is, what they
// chose before, and the number that their app shows too.

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
	Account string // in whose name one decides, as its person knows it
	Before  []before
	Problem string // key
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
	if err == nil {
		p.Account, err = s.Desk.Hint(custody.Ref(who.Person))
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
	if n.err != nil {
		s.cannot(w, r, n.err)
		return
	}
	if to, err := url.Parse(as.RedirectURI); err == nil { // a browser holds the redirect after the form against the policy
		w.Header().Set("Content-Security-Policy", policy(to.Scheme+"://"+to.Host))
	}
	s.show(w, what.status, "consent", p)
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
