package rest

import (
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/node/custody"
)

// RightForm is what a person asks for.
type RightForm struct {
	Kind    string   `json:"kind" enum:"disclosure,records,correction,stop-use,stop-provision"`
	Service string   `json:"service"`
	Items   []string `json:"items,omitempty" doc:"item codes that it is about; none: all"`
	Note    string   `json:"note,omitempty" doc:"in the person's words"`
}

// AnswerForm is the member's word on a request.
type AnswerForm struct {
	State string `json:"state" enum:"done,partly,refused"`
	Text  string `json:"text,omitempty" doc:"to the person; needed unless done (APPI Art. 36)"`

	Identity string `json:"identity,omitempty" maxLength:"2000" doc:"how it was checked that whoever asked is the person; needed unless refused. The way, never a document's number"`
}

// RightList is requests, newest first.
type RightList struct {
	Requests []custody.RightView `json:"requests"`
}

// StopForm stops one kind of hand-over, or lets it go on.
type StopForm struct {
	State string `json:"state" enum:"stopped,on"`
}

// StopList is a person's three stops.
type StopList struct {
	Stops []custody.StopView `json:"stops"`
}

// rightRoutes are what people ask for by right, and what they stop.
func rightRoutes() []*route {
	own := staff | subject
	return []*route{
		{method: "POST", path: "/v1/people/{ref}/requests", name: "file-request", tag: "rights", text: Sentence{"開示などの請求", "Ask for disclosure, correction or a stop by right (APPI Arts. 33 to 35)"},
			roles: own, body: RightForm{}, result: custody.RightView{}, writes: true, whole: true, early: true, handle: (*call).fileRight},
		{method: "GET", path: "/v1/people/{ref}/requests", name: "person-requests", tag: "rights", text: Sentence{"本人の請求", "A person's requests, newest first"},
			roles: own, result: RightList{}, handle: (*call).rights},
		{method: "GET", path: "/v1/requests", name: "requests", tag: "rights", text: Sentence{"寄せられた請求", "Requests to this member, newest first"},
			roles: staff, query: []parameter{{"open", "true: only those that are not answered"}}, result: RightList{}, handle: (*call).allRights},
		{method: "POST", path: "/v1/requests/{id}/answer", name: "answer-request", tag: "rights", text: Sentence{"請求に答える", "Answer a request"},
			roles: admin | manager, body: AnswerForm{}, result: custody.RightView{}, handle: (*call).answerRight},
		{method: "GET", path: "/v1/people/{ref}/stops", name: "stops", tag: "rights", text: Sentence{"本人が止めたもの", "What a person stopped: marketing, group, mail"},
			roles: own, result: StopList{}, handle: (*call).stops},
		{method: "PUT", path: "/v1/people/{ref}/stops/{kind}", name: "set-stop", tag: "rights", text: Sentence{"止める・再開する", "Stop marketing, group or mail, or let it go on"},
			roles: own, body: StopForm{}, result: StopList{}, handle: (*call).setStop},
	}
}

func (c *call) fileRight() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	var f RightForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return some(c.Desk.FileRight(c.ctx, to, custody.RightRequest{Person: ref, Kind: f.Kind, Service: f.Service, Items: f.Items, Note: f.Note}))
}

// some turns a nil answer into none.
func some[T any](v *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (c *call) rights() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	return rightList(c.Desk.Rights(c.ctx, ref))
}

func rightList(list []custody.RightView, err error) (any, error) {
	if list == nil {
		list = []custody.RightView{}
	}
	return RightList{list}, err
}

func (c *call) allRights() (any, error) {
	open, err := c.flag("open")
	if err != nil {
		return nil, err
	}
	return rightList(c.Desk.AllRights(c.ctx, open))
}

func (c *call) answerRight() (any, error) {
	id := c.r.PathValue("id")
	if _, err := recordID("id", id); err != nil {
		return nil, err
	}
	var f AnswerForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	return some(c.Desk.AnswerRight(c.ctx, id, custody.RightAnswer{State: f.State, Text: f.Text, Identity: f.Identity}))
}

func (c *call) stops() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	list, err := c.Desk.Stops(c.ctx, ref)
	return StopList{list}, err
}

func (c *call) setStop() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	var f StopForm
	if err := c.body(&f); err != nil {
		return nil, err
	}
	by := custody.StopByDesk
	if c.caller.Role == token.Subject {
		by = custody.StopByPerson
	}
	list, err := c.Desk.SetStop(c.ctx, ref, c.r.PathValue("kind"), f.State == "stopped", by)
	return StopList{list}, err
}
