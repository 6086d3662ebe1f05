package rest

import (
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// HoldList is the holds whose text can still be read.
type HoldList struct {
	Holds []custody.HoldView `json:"holds"`
}

// LiftForm ends a hold.
type LiftForm struct {
	Reason string `json:"reason" minLength:"1"`
}

// retentionRoutes are datasets with their deadlines, holds on them, and until when
// what is held of a person lives.
func retentionRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/people/{ref}/dates", name: "dates", tag: "people", text: Sentence{"いつまで持っているか", "Until when what is held of a person lives: content, and records kept by law"},
			roles: staff | subject, result: custody.Dates{}, handle: (*call).dates},
		{method: "POST", path: "/v1/datasets", name: "collect", tag: "datasets", text: Sentence{"期限つきの取得", "Collect data about a person that is kept until a deadline"},
			roles: staff, body: custody.Collection{}, result: custody.Dataset{}, writes: true, handle: (*call).collect},
		{method: "GET", path: "/v1/datasets/{id}", name: "dataset", tag: "datasets", text: Sentence{"保存データの閲覧", "Look at a dataset, for a purpose; each access is noted"},
			roles: admin | manager, query: []parameter{{"purpose", "what it is looked at for"}, {"site", "whose manager looks"}, {"staff", "who looks"}}, result: custody.Dataset{}, handle: (*call).dataset},
		{method: "DELETE", path: "/v1/datasets/{id}", name: "erase-dataset", tag: "datasets", text: Sentence{"保存データの消去", "Destroy a dataset before its deadline, or at it"},
			roles: admin | manager, result: ErasureDone{}, writes: true, handle: (*call).eraseDataset},
		{method: "POST", path: "/v1/holds", name: "place-hold", tag: "holds", text: Sentence{"消去を待たせる", "Hold identities against destruction, with a reason and an end"},
			roles: admin | manager, body: custody.HoldRequest{}, result: custody.HoldView{}, writes: true, whole: true, handle: (*call).placeHold},
		{method: "GET", path: "/v1/holds", name: "holds", tag: "holds", text: Sentence{"保留の一覧", "Holds, also those that are over while what they covered is there"},
			roles: admin | manager, query: []parameter{{"person", "only those on this person"}}, result: HoldList{}, handle: (*call).holds},
		{method: "POST", path: "/v1/holds/{id}/lift", name: "lift-hold", tag: "holds", text: Sentence{"保留を解く", "End a hold before its time"},
			roles: admin | manager, body: LiftForm{}, result: custody.HoldView{}, writes: true, whole: true, handle: (*call).liftHold},
	}
}

// idOf returns the id of the path.
func (c *call) idOf() (string, error) {
	id := c.r.PathValue("id")
	_, err := recordID("id", id)
	return id, err
}

func (c *call) dates() (any, error) {
	ref, err := c.person()
	if err != nil {
		return nil, err
	}
	return some(c.Desk.Dates(c.ctx, ref))
}

func (c *call) collect() (any, error) {
	var r custody.Collection
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	if err := c.ownsService(r.Service); err != nil {
		return nil, err
	}
	return some(c.Desk.Collect(c.ctx, to, r))
}

func (c *call) dataset() (any, error) {
	purpose := c.query.Get("purpose")
	if !record.ValidID(purpose) {
		return nil, faultAt(codeParameter, "purpose")
	}
	id, err := c.idOf()
	if err != nil {
		return nil, err
	}
	by := custody.Reader{Purpose: purpose, Site: c.query.Get("site"), Staff: c.query.Get("staff")}
	return some(c.Desk.ReadDataset(c.ctx, custody.Call{Client: c.client()}, id, by))
}

func (c *call) eraseDataset() (any, error) {
	to, err := c.writing()
	if err != nil {
		return nil, err
	}
	id, err := c.idOf()
	if err != nil {
		return nil, err
	}
	view, d, err := c.Desk.EraseDataset(c.ctx, to, id)
	if err != nil {
		return nil, err
	}
	return erasureDone(to, view, d), nil
}

func (c *call) placeHold() (any, error) {
	var r custody.HoldRequest
	to, err := c.asked(&r)
	if err != nil {
		return nil, err
	}
	if r.Person, err = c.about(r.Person); err != nil {
		return nil, err
	}
	return some(c.Desk.PlaceHold(c.ctx, to, r))
}

func (c *call) holds() (any, error) {
	ref := custody.Ref(c.query.Get("person"))
	if ref != "" && !validRef(string(ref)) {
		return nil, faultAt(codeParameter, "person")
	}
	list, err := c.Desk.Holds(c.ctx, ref)
	if list == nil {
		list = []custody.HoldView{}
	}
	return HoldList{list}, err
}

func (c *call) liftHold() (any, error) {
	var f LiftForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	id, err := c.idOf()
	if err != nil {
		return nil, err
	}
	return some(c.Desk.LiftHold(c.ctx, to, id, f.Reason))
}
