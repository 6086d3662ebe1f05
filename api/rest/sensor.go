package rest

import (
	"encoding/hex"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// SensorForm registers a sensor.
type SensorForm struct {
	Sensor   string   `json:"sensor"`
	Operator string   `json:"operator" doc:"who may commit its readings"`
	Type     string   `json:"type"`
	Readings []string `json:"readings" doc:"names of values"`
	Personal bool     `json:"personal,omitempty"`
	Site     string   `json:"site,omitempty" doc:"where it stands, an id: its operator has one commitment tree for each site"`
}

// RetireForm ends a sensor.
type RetireForm struct{}

// ReadingsForm commits readings of sensors at one site.
type ReadingsForm struct {
	Sensor   string        `json:"sensor,omitempty" doc:"of readings that name none"`
	Readings []ReadingForm `json:"readings" minItems:"1" maxItems:"4096"`
}

// ReadingForm is one reading.
type ReadingForm struct {
	Sensor string         `json:"sensor,omitempty"`
	TimeMs uint64         `json:"timeMs,omitempty"`
	Values map[string]any `json:"values"`
}

// ReadingsDone says where readings stand in a commitment tree.
type ReadingsDone struct {
	Key     string           `json:"idempotencyKey"`
	Final   bool             `json:"final"`
	Records []custody.Posted `json:"records"`
	Tree    string           `json:"tree" doc:"hex"`
	First   uint64           `json:"first" doc:"index in the tree of the first reading"`
	Indexes []uint64         `json:"indexes" doc:"in the tree, in the order of the readings"`
	Size    uint64           `json:"size" doc:"of the tree at the final advance that covers them; with wait=committed, after the last of them"`
	Root    string           `json:"root,omitempty" doc:"hex, at that advance"`
}

// ReadingView proves that a reading was committed: opening → leaf → root of the
// tree → tree.advance record → final checkpoint.
type ReadingView struct {
	Tree    string       `json:"tree" doc:"hex"`
	Index   uint64       `json:"index" doc:"in the tree"`
	Leaf    []byte       `json:"leaf"`
	Opening *OpeningView `json:"opening,omitempty"`
	Path    [][]byte     `json:"path"`
	Size    uint64       `json:"size"`
	Root    []byte       `json:"root"`
	Advance string       `json:"advance" doc:"id of the tree.advance record"`
	LogAt   uint64       `json:"logIndex"`
	Record  []byte       `json:"advanceLeaf"`
	Proof   string       `json:"advanceProof" doc:"tlog-proof@v1 of the tree.advance record"`
}

// OpeningView opens a commitment.
type OpeningView struct {
	Nonce []byte `json:"nonce"`
	Part  []byte `json:"part"`
}

func openingView(o *record.Opening) *OpeningView {
	if o == nil {
		return nil
	}
	return &OpeningView{o.Nonce[:], o.Part}
}

func sensorRoutes() []*route {
	return []*route{
		{method: "POST", path: "/v1/sensors", name: "approve-sensor", tag: "sensors", text: Sentence{"センサーの承認", "Approve a sensor"},
			roles: admin | manager, body: SensorForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).approveSensor},
		{method: "POST", path: "/v1/sensors/{id}/retire", name: "retire-sensor", tag: "sensors", text: Sentence{"センサーをやめる", "Retire a sensor"},
			roles: admin | manager, body: RetireForm{}, result: custody.Done{}, writes: true, explain: true, handle: (*call).retireSensor},
		{method: "POST", path: "/v1/readings", name: "readings", tag: "sensors", text: Sentence{"センサーの値を記録", "Commit readings"},
			roles: staff, body: ReadingsForm{}, result: ReadingsDone{}, limit: 2 << 20, writes: true, bulk: true, handle: (*call).readings},
		{method: "GET", path: "/v1/readings/{id}/proof", name: "reading-proof", tag: "sensors", text: Sentence{"センサーの値の証明", "Prove a reading"},
			roles: staff | auditor, query: []parameter{{"as", "the party whose tree it is; the member where absent"},
				{"site", "whose tree it is; absent for sensors that were approved without a site"}}, result: ReadingView{}, handle: (*call).readingProof},
	}
}

func (c *call) approveSensor() (any, error) {
	var f SensorForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	return done(c.post(to, record.KindSensorApprove, &record.SensorApprove{Sensor: f.Sensor, Operator: f.Operator, Type: f.Type,
		Readings: ordered(f.Readings), Personal: f.Personal, Site: f.Site}))
}

func (c *call) retireSensor() (any, error) {
	var f RetireForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("id")
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeSensorUnknown, "")
	}
	return done(c.post(to, record.KindSensorRetire, &record.SensorRetire{Sensor: id}))
}

func (c *call) readings() (any, error) {
	var f ReadingsForm
	to, err := c.asked(&f)
	if err != nil {
		return nil, err
	}
	readings := make([]custody.Reading, len(f.Readings))
	for i, r := range f.Readings {
		if r.Sensor == "" {
			r.Sensor = f.Sensor
		}
		if !record.ValidID(r.Sensor) {
			return nil, faultAt(codeInvalid, "sensor")
		}
		readings[i] = custody.Reading{Sensor: r.Sensor, TimeMs: r.TimeMs, Values: r.Values}
	}
	d, err := c.Desk.CommitReadings(c.ctx, to, readings)
	if err != nil {
		return nil, err
	}
	out := ReadingsDone{Key: to.Key, Final: true, Records: []custody.Posted{}, Tree: treeName(d.Tree), Indexes: d.Indexes, Size: d.Size, Root: d.Root}
	if len(d.Indexes) > 0 {
		out.First = d.Indexes[0]
	}
	if d.Done != nil {
		out.Key, out.Final = d.Done.Key, d.Done.Final
		out.Records = append(out.Records, d.Done.Records...)
	}
	return out, nil
}

// treeName writes a tree's number, which does not fit a number of JSON.
func treeName(id uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(id >> (56 - 8*i))
	}
	return hex.EncodeToString(b[:])
}

func (c *call) readingProof() (any, error) {
	index, err := decimal("id", c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	to := custody.Call{Client: c.client(), As: c.query.Get("as")}
	if to.As == "" {
		if to.As, err = c.as(); err != nil {
			return nil, err
		}
	} else if !record.ValidID(to.As) {
		return nil, faultAt(codeParameter, "as")
	}
	site := c.query.Get("site")
	if site != "" && !record.ValidID(site) {
		return nil, faultAt(codeParameter, "site")
	}
	p, err := c.Desk.ProveReading(c.ctx, to, site, index)
	if err != nil {
		return nil, err
	}
	v := ReadingView{Tree: treeName(p.Tree), Index: p.Index, Leaf: p.Leaf, Opening: openingView(p.Opening), Path: bytesOf(p.Path),
		Size: p.Size, Root: p.Root[:], Advance: hex.EncodeToString(p.Advance[:]), LogAt: p.LogAt}
	if c.caller.Role == token.Auditor {
		v.Opening = nil // openings are handed to auditors where the access is recorded
	}
	f := c.Final() // at least as new as what the desk read
	if v.Record, err = f.State.Leaf(p.LogAt); err != nil {
		return nil, err
	}
	path, err := f.State.Inclusion(p.LogAt, f.State.Size)
	if err != nil {
		return nil, err
	}
	v.Proof = f.proofText(p.LogAt, path)
	return v, nil
}
