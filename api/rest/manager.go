package rest

import (
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// ManagerForm names the one manager of a site.
type ManagerForm struct {
	Staff    string `json:"staff"`
	Replaces string `json:"replaces,omitempty" doc:"who was the manager until now"`
}

// managerRoutes are who may look at the datasets of a site, and signs at sensors.
func managerRoutes() []*route {
	return []*route{
		{method: "PUT", path: "/v1/sites/{id}/manager", name: "assign-manager", tag: "datasets", text: Sentence{"管理責任者を置く", "Name the one manager of a site, who alone looks at its datasets"},
			roles: admin, body: ManagerForm{}, result: custody.Done{}, writes: true, handle: (*call).assignManager},
		{method: "POST", path: "/v1/staff/{id}/credential", name: "rotate-credential", tag: "datasets", text: Sentence{"ログイン情報の変更", "Note that a member of staff has a new credential"},
			roles: admin | manager, result: custody.Done{}, writes: true, handle: (*call).rotateCredential},
		{method: "POST", path: "/v1/staff/{id}/leave", name: "staff-leave", tag: "datasets", text: Sentence{"退職", "Note that a member of staff has left"},
			roles: admin, result: custody.Done{}, writes: true, handle: (*call).staffLeave},
		{method: "PUT", path: "/v1/sensors/{id}/sign", name: "post-sign", tag: "sensors", text: Sentence{"表示を出す", "Note the sign at a sensor"},
			roles: admin | manager, body: custody.Sign{}, result: custody.Done{}, writes: true, handle: (*call).postSign},
	}
}

// note answers a call that notes something under the name in the path, and enters
// nothing into the ledger.
func (c *call) note(to custody.Call, err error, enter func(id string) error) (any, error) {
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("id")
	if !record.ValidID(id) {
		return nil, faultAt(codeParameter, "id")
	}
	if err := enter(id); err != nil {
		return nil, err
	}
	return done(&custody.Done{Key: to.Key, Final: true}, nil)
}

func (c *call) assignManager() (any, error) {
	var f ManagerForm
	to, err := c.asked(&f)
	return c.note(to, err, func(site string) error { return c.Desk.AssignManager(c.ctx, to, site, f.Staff, f.Replaces) })
}

func (c *call) rotateCredential() (any, error) {
	to, err := c.writing()
	return c.note(to, err, func(staff string) error { return c.Desk.RotateCredential(c.ctx, to, staff) })
}

func (c *call) staffLeave() (any, error) {
	to, err := c.writing()
	return c.note(to, err, func(staff string) error { return c.Desk.StaffLeave(c.ctx, to, staff) })
}

func (c *call) postSign() (any, error) {
	var s custody.Sign
	to, err := c.asked(&s)
	return c.note(to, err, func(sensor string) error { return c.Desk.PostSign(c.ctx, to, sensor, s) })
}
