package rest

import (
	"crypto/rand"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// ItemsForm sets items that a member came to hold otherwise than by
// registration.
type ItemsForm struct {
	Service string            `json:"service"`
	Items   map[string]string `json:"items" doc:"item code to value"`
}

// SecretView is a person's K_s.
type SecretView struct {
	Secret []byte `json:"secret" doc:"32 bytes; whoever has them can act as the person"`
}

// ConsentList is every scope of a person.
type ConsentList struct {
	Consents []custody.ConsentView `json:"consents"`
}

// EventList is every record under a person's handles, in the order of the log.
type EventList struct {
	Events []custody.Event `json:"events"`
}

// ErasureForm asks for an erasure.
type ErasureForm struct {
	Cause   string `json:"cause" enum:"request,withdrawal,retention"`
	Service string `json:"service,omitempty" doc:"only what is held for this service; everything where absent"`
}

// ExportForm says to whose key a person's data is encrypted.
type ExportForm struct {
	Recipient string `json:"recipient" maxLength:"4096" doc:"an age recipient of the person: age1… (X25519) or age1pq1… (hybrid)"`
}

// LinkForm asks for a one-time login link.
type LinkForm struct {
	Seconds int `json:"seconds,omitempty" minimum:"1" maximum:"86400" doc:"how long it lives; 600 where absent"`
}

// LinkView is a one-time code by which a person opens the pages.
type LinkView struct {
	Code    string `json:"code" doc:"counts once"`
	Seconds int    `json:"seconds"`
}

const defaultLinkSeconds = 600

func peopleRoutes() []*route {
	own := staff | subject
	return []*route{
		{method: "POST", path: "/v1/people", name: "register-person", tag: "people", text: Sentence{"本人の登録", "Register a person with a service"},
			roles: admin | app | subject, body: custody.Registration{}, result: custody.Done{}, writes: true, handle: (*call).registerPerson},
		{method: "GET", path: "/v1/people/{ref}", name: "person", tag: "people", text: Sentence{"本人について持っているもの", "What is held about a person"},
			roles: own, result: custody.Disclosure{}, handle: (*call).disclose},
		{method: "PUT", path: "/v1/people/{ref}/items", name: "put-items", tag: "people", text: Sentence{"項目の登録・訂正", "Set items"},
			roles: own, body: ItemsForm{}, result: custody.Done{}, writes: true, handle: (*call).putItems},
		{method: "GET", path: "/v1/people/{ref}/secret", name: "secret", tag: "people", text: Sentence{"本人の秘密の控え", "The recovery copy of the person's secret"},
			roles: app | subject, result: SecretView{}, handle: (*call).secret},
		{method: "GET", path: "/v1/people/{ref}/consents", name: "consents", tag: "people", text: Sentence{"本人の同意の状態", "A person's consents as they stand"},
			roles: own, result: ConsentList{}, handle: (*call).consents},
		{method: "GET", path: "/v1/people/{ref}/events", name: "events", tag: "people", text: Sentence{"本人の記録", "A person's records"},
			roles: own, result: EventList{}, handle: (*call).events},
		{method: "GET", path: "/v1/people/{ref}/completeness", name: "completeness", tag: "people", text: Sentence{"これで全部という証明", "Proof that these are all the records"},
			roles: own, result: "application/json", handle: (*call).completeness},
		{method: "POST", path: "/v1/people/{ref}/export", name: "export-person", tag: "people", text: Sentence{"本人のデータの持ち出し", "Everything held about a person as JSON, encrypted to the person's own age key"},
			roles: own, body: ExportForm{}, result: "application/octet-stream", bulk: true, handle: (*call).export},
		{method: "POST", path: "/v1/people/{ref}/erasure", name: "erase-person", tag: "people", text: Sentence{"消去を求める", "Erase a person's content"},
			roles: own, body: ErasureForm{}, result: ErasureDone{}, writes: true, whole: true, handle: (*call).erase},
		{method: "POST", path: "/v1/people/{ref}/link", name: "link", tag: "people", text: Sentence{"一度だけ使えるログインのリンク", "A one-time login link"},
			roles: admin | app, body: LinkForm{}, result: LinkView{}, handle: (*call).link},
		{method: "POST", path: "/v1/consents", name: "consent", tag: "consents", text: Sentence{"同意", "Give consent"},
			roles: admin | app | subject, body: custody.ConsentRequest{}, result: custody.Done{}, writes: true, handle: (*call).consent},
		{method: "POST", path: "/v1/refusals", name: "decline", tag: "consents", text: Sentence{"同意しない・あとで決める", "Record that a person saw a screen and did not agree, or put the decision off"},
			roles: admin | app | subject, body: custody.DeclineRequest{}, result: custody.Done{}, writes: true, handle: (*call).decline},
		{method: "POST", path: "/v1/revocations", name: "revoke", tag: "consents", text: Sentence{"同意の撤回", "Withdraw consent, signed with the person's key"},
			roles: own, body: custody.WithdrawRequest{}, result: custody.Done{}, writes: true, handle: (*call).revoke},
		{method: "POST", path: "/v1/stops", name: "stop", tag: "consents", text: Sentence{"申し出による停止", "Stop on request, without the person's key"},
			roles: staff, body: custody.WithdrawRequest{}, result: custody.Done{}, writes: true, handle: (*call).stop},
	}
}

func (c *call) registerPerson() (any, error) {
	var r custody.Registration
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	named(&to)
	return done(c.Desk.Register(c.ctx, to, r))
}

// asked reads who asks for a write, and for what.
func (c *call) asked(body any) (custody.Call, error) {
	to, err := c.writing()
	if err == nil {
		err = c.body(body)
	}
	return to, err
}

// named makes an Idempotency-Key for a call that may enter nothing into the ledger:
// otherwise the outbox makes one.
func named(to *custody.Call) {
	if to.Key == "" {
		to.Key = rand.Text()
	}
}

// ownsService refuses a token that is bound to a party what concerns another's
// service.
func (c *call) ownsService(id string) error {
	if c.caller.Party == "" || !record.ValidID(id) {
		return nil // the desk judges it
	}
	s, err := rules.Load[rules.Service](c.final.State, rules.KeyService(id))
	if err == nil && s != nil && s.Owner != c.caller.Party {
		err = fault(codeRole)
	}
	return err
}

// done turns an answer of the desk into that of a handler: a nil one is none.
func done(d *custody.Done, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &custody.Done{Final: true}
	}
	if d.Records == nil {
		d.Records = []custody.Posted{}
	}
	return d, nil
}

func (c *call) disclose() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	d, err := c.Desk.Disclose(c.ctx, ref)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (c *call) putItems() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	var f ItemsForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	named(&to)
	if err := c.Desk.PutItems(c.ctx, to, ref, f.Service, f.Items); err != nil {
		return nil, err
	}
	return done(&custody.Done{Key: to.Key, Final: true}, nil)
}

func (c *call) secret() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	s, err := c.Desk.Secret(c.ctx, ref)
	if err != nil {
		return nil, err
	}
	return SecretView{s[:]}, nil
}

func (c *call) consents() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	list, err := c.Desk.Consents(c.ctx, ref)
	if list == nil {
		list = []custody.ConsentView{}
	}
	return ConsentList{list}, err
}

func (c *call) events() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	list, err := c.Desk.Events(c.ctx, ref)
	if list == nil {
		list = []custody.Event{}
	}
	return EventList{list}, err
}

func (c *call) export() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	var f ExportForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	b, err := c.Desk.Export(c.ctx, ref, f.Recipient)
	if err != nil {
		return nil, err
	}
	return file{media: "application/octet-stream", name: "akashi-person.json.age", bytes: b}, nil
}

func (c *call) erase() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	var f ErasureForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return c.erasePerson(to, custody.EraseRequest{Person: ref, Cause: f.Cause, Service: f.Service})
}

func (c *call) link() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	f := LinkForm{}
	if err := c.body(&f); err != nil {
		return nil, err
	}
	if f.Seconds == 0 {
		f.Seconds = defaultLinkSeconds
	}
	if _, err := c.Desk.Disclose(c.ctx, ref); err != nil { // nobody is let in who is not there
		return nil, err
	}
	code, err := c.tokens.Link(string(ref), min(time.Duration(f.Seconds)*time.Second, token.MaxLink))
	return LinkView{code, f.Seconds}, err
}

func (c *call) consent() (any, error) {
	var r custody.ConsentRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	return done(c.Desk.Consent(c.ctx, to, r))
}

func (c *call) decline() (any, error) {
	var r custody.DeclineRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	return done(c.Desk.Decline(c.ctx, to, r))
}

func (c *call) revoke() (any, error) { return c.withdraw(false) }

func (c *call) stop() (any, error) { return c.withdraw(true) }

func (c *call) withdraw(stop bool) (any, error) {
	var r custody.WithdrawRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	if r.Stop && !stop {
		return nil, faultAt(codeInvalid, "stop")
	}
	if err := c.ownsService(r.Service); err != nil {
		return nil, err
	}
	r.Stop = stop
	return done(c.Desk.Withdraw(c.ctx, to, r))
}
