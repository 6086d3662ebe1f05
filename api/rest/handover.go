package rest

import (
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// ReceivedForm confirms a hand-over.
type ReceivedForm struct {
	Intent      string `json:"intent,omitempty" doc:"that of the path, if given"`
	HowAcquired string `json:"howAcquired"`
}

// UndeliveredForm closes a hand-over that is not taken.
type UndeliveredForm struct {
	Reason string `json:"reason" doc:"a refusal code"`
}

// OnwardForm approves that a recipient passes data on.
type OnwardForm struct {
	To string `json:"to" doc:"a party, or * for any that the consent lists"`
}

// OnwardView is what was approved.
type OnwardView struct {
	Intent string `json:"intent"`
	To     string `json:"to"`
}

func handOverRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/provisions", name: "provide", tag: "provisions", text: Sentence{"第三者提供", "Hand items over under a consent"},
			roles: staff, body: custody.ProvideRequest{}, result: custody.Done{}, writes: true, handle: (*call).provide},
		{method: "POST", path: "/v1/provisions/{id}/received", name: "received", tag: "provisions", text: Sentence{"受領の確認と記録", "Confirm a hand-over"},
			roles: staff, body: ReceivedForm{}, result: custody.Done{}, writes: true, handle: (*call).received},
		{method: "POST", path: "/v1/provisions/{id}/undelivered", name: "undelivered", tag: "provisions", text: Sentence{"受け取らない", "Do not take a hand-over"},
			roles: staff, body: UndeliveredForm{}, result: custody.Done{}, writes: true, handle: (*call).undelivered},
		{method: "POST", path: "/v1/provisions/{id}/onward", name: "approve-onward", tag: "provisions", text: Sentence{"再提供の承諾", "Approve an onward hand-over"},
			roles: staff, body: OnwardForm{}, result: OnwardView{}, writes: true, handle: (*call).onward},
	}
}

func (c *call) provide() (any, error) {
	var r custody.ProvideRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	return done(c.Desk.Provide(c.ctx, to, r))
}

// intent returns the hand-over of the path.
func (c *call) intent() (string, error) {
	id := c.r.PathValue("id")
	_, err := recordID("id", id)
	return id, err
}

func (c *call) received() (any, error) {
	id, err := c.intent()
	if err != nil {
		return nil, err
	}
	var f ReceivedForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if f.Intent != "" && f.Intent != id {
		return nil, faultAt(codeInvalid, "intent")
	}
	return done(c.Desk.Receive(c.ctx, to, custody.ReceiveRequest{Intent: id, HowAcquired: f.HowAcquired}))
}

func (c *call) undelivered() (any, error) {
	id, err := c.intent()
	if err != nil {
		return nil, err
	}
	var f UndeliveredForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	if !record.ValidCode(record.Code(f.Reason)) {
		return nil, faultAt(codeInvalid, "reason")
	}
	return done(c.Desk.Undeliver(c.ctx, to, id, record.Code(f.Reason)))
}

func (c *call) onward() (any, error) {
	id, err := c.intent()
	if err != nil {
		return nil, err
	}
	var f OnwardForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return OnwardView{id, f.To}, c.Desk.ApproveOnward(c.ctx, to, id, f.To)
}
