package rest

import (
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// FilingForm announces an opt-out filing with the authority.
type FilingForm struct {
	Number string    `json:"number"`
	From   time.Time `json:"from" doc:"RFC 3339: from then on items may be handed over"`
	Items  []string  `json:"items" minItems:"1"`
}

// FilingView is a filing that has not ended.
type FilingView struct {
	Number string   `json:"number"`
	FromMs uint64   `json:"fromMs"`
	Items  []string `json:"items"`
}

// ExceptionList is what was asked for on a legal ground.
type ExceptionList struct {
	Exceptions []custody.ExceptionView `json:"exceptions"`
}

// ApprovalForm is the second approver's word.
type ApprovalForm struct {
	Signature []byte `json:"signature,omitempty" doc:"over statement, in the domain approval; the node signs where absent"`
}

// ExceptionItems is what is disclosed.
type ExceptionItems struct {
	ID    string            `json:"id"`
	Items map[string]string `json:"items" doc:"item code to value"`
}

// legalRoutes are hand-overs without consent: under a filing, and on a legal
// ground, where who asks and who approves are two.
func legalRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/filings", name: "file-optout", tag: "provisions", text: Sentence{"オプトアウトの届出", "Announce an opt-out filing"},
			roles: admin | manager, body: FilingForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).fileOptOut},
		{method: "GET", path: "/v1/filings/{number}", name: "filing", tag: "provisions", text: Sentence{"届出の内容", "An opt-out filing of this member"},
			roles: known, result: FilingView{}, handle: (*call).filing},
		{method: "DELETE", path: "/v1/filings/{number}", name: "end-filing", tag: "provisions", text: Sentence{"届出をやめる", "End an opt-out filing"},
			roles: admin | manager, result: custody.Done{}, writes: true, explain: true, handle: (*call).endFiling},
		{method: "POST", path: "/v1/provisions/optout", name: "provide-optout", tag: "provisions", text: Sentence{"オプトアウトによる提供", "Hand items over under an opt-out filing"},
			roles: staff, body: custody.OptOutRequest{}, result: custody.Done{}, writes: true, handle: (*call).provideOptOut},
		{method: "POST", path: "/v1/exceptions", name: "ask-exception", tag: "provisions", text: Sentence{"法令による提供を求める", "Ask to disclose on a legal ground: nothing is recorded yet"},
			roles: staff, body: custody.ExceptionRequest{}, result: custody.ExceptionView{}, writes: true, handle: (*call).askException},
		{method: "GET", path: "/v1/exceptions", name: "exceptions", tag: "provisions", text: Sentence{"求められている法令による提供", "Disclosures that were asked for"},
			roles: staff, result: ExceptionList{}, handle: (*call).exceptions},
		{method: "GET", path: "/v1/exceptions/{id}", name: "exception", tag: "provisions", text: Sentence{"求められた法令による提供", "A disclosure that was asked for"},
			roles: staff, result: custody.ExceptionView{}, handle: (*call).exception},
		{method: "POST", path: "/v1/exceptions/{id}/approval", name: "approve-exception", tag: "provisions", text: Sentence{"法令による提供を決める", "Approve and record a disclosure that another asked for"},
			roles: admin | manager, body: ApprovalForm{}, result: custody.Done{}, writes: true, handle: (*call).approveException},
		{method: "GET", path: "/v1/exceptions/{id}/items", name: "exception-items", tag: "provisions", text: Sentence{"渡す情報を受け取る", "The items, for whoever asked, once the record is final"},
			roles: staff, result: ExceptionItems{}, handle: (*call).exceptionItems},
	}
}

func (c *call) fileOptOut() (any, error) {
	var f FilingForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if f.From.UnixMilli() < 0 || f.From.UnixMilli() > record.MaxTimeMs {
		return nil, faultAt(codeInvalid, "from")
	}
	return done(c.post(to, record.KindFiling, &record.Filing{Number: f.Number, FromMs: uint64(f.From.UnixMilli()), Items: ordered(f.Items)}))
}

// filingNumber returns the filing of the path.
func (c *call) filingNumber() (string, error) {
	n := c.r.PathValue("number")
	if !record.ValidID(n) {
		return "", record.Refuse(record.CodeOptOutNotFiled, "")
	}
	return n, nil
}

func (c *call) filing() (any, error) {
	n, err := c.filingNumber()
	if err != nil {
		return nil, err
	}
	as, err := c.as()
	if err != nil {
		return nil, err
	}
	f, err := rules.Load[rules.Filing](c.final.State, rules.KeyFiling(c.acting(custody.Call{As: as}), n))
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, record.Refuse(record.CodeOptOutNotFiled, "")
	}
	return FilingView{n, f.FromMs, f.Items}, nil
}

func (c *call) endFiling() (any, error) {
	n, err := c.filingNumber()
	if err != nil {
		return nil, err
	}
	to, err := c.writing()
	if err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindFiling, &record.Filing{Number: n, End: true}))
}

func (c *call) provideOptOut() (any, error) {
	var r custody.OptOutRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	return done(c.Desk.ProvideOptOut(c.ctx, to, r))
}

func (c *call) askException() (any, error) {
	var r custody.ExceptionRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	v, err := c.Desk.AskException(c.ctx, to, r)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (c *call) exceptions() (any, error) {
	list, err := c.Desk.Exceptions(c.ctx)
	if list == nil {
		list = []custody.ExceptionView{}
	}
	return ExceptionList{list}, err
}

// theException returns who asks, and the disclosure of the path.
func (c *call) theException() (custody.Call, string, error) {
	to, err := c.writing()
	if err != nil {
		return to, "", err
	}
	id := c.r.PathValue("id")
	_, err = recordID("id", id)
	return to, id, err
}

func (c *call) exception() (any, error) {
	to, id, err := c.theException()
	if err != nil {
		return nil, err
	}
	v, err := c.Desk.Exception(c.ctx, to, id)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (c *call) approveException() (any, error) {
	to, id, err := c.theException()
	if err != nil {
		return nil, err
	}
	var f ApprovalForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	if n := len(f.Signature); n != 0 && n != sign.SignatureSize {
		return nil, faultAt(codeInvalid, "signature")
	}
	named(&to)
	return done(c.Desk.ApproveException(c.ctx, to, id, f.Signature))
}

func (c *call) exceptionItems() (any, error) {
	to, id, err := c.theException()
	if err != nil {
		return nil, err
	}
	items, err := c.Desk.ExceptionItems(c.ctx, to, id)
	if err != nil {
		return nil, err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return ExceptionItems{id, items}, nil
}
