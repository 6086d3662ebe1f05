package rest

import "github.com/akashi-ledger/akashi/node/evidence"

// EvidenceView is one file of evidence that the node keeps.
type EvidenceView struct {
	ID      string   `json:"id" doc:"of what it shows; /v1/evidence/{id} is the file"`
	Kind    string   `json:"kind" doc:"as docs/spec/evidence.md has it"`
	Signers []string `json:"signers" doc:"members whom it proves to have signed what contradicts itself; none for a fork"`
	FoundMs uint64   `json:"foundMs" doc:"by the clock of this machine"`
	Bytes   int64    `json:"bytes"`
}

// EvidenceList is what the node keeps, oldest first. It is bounded.
type EvidenceList struct {
	Evidence []EvidenceView `json:"evidence"`
}

// Kept is the evidence against members that the node keeps (evidence.Store).
type Kept interface {
	Items() []evidence.Item
	File(id string) ([]byte, bool, error)
}

// keptRoutes are open to everyone: what they show is signed by who it is about,
// and holds no personal data.
func keptRoutes() []*route {
	return []*route{
		{method: "GET", path: "/v1/evidence", name: "evidence", tag: "log", text: Sentence{"加盟企業の不正の証拠", "Evidence against members that this node keeps"},
			result: EvidenceList{}, early: true, handle: (*call).kept},
		{method: "GET", path: "/v1/evidence/{id}", name: "evidence-file", tag: "log", text: Sentence{"証拠のファイル", "One file of evidence, for akashi verify"},
			result: "application/json", early: true, handle: (*call).keptFile},
	}
}

func (c *call) kept() (any, error) {
	l := EvidenceList{Evidence: []EvidenceView{}}
	for _, it := range c.Kept.Items() {
		l.Evidence = append(l.Evidence, EvidenceView{ID: it.ID, Kind: it.Kind, Signers: list(it.Signers),
			FoundMs: uint64(it.Found.UnixMilli()), Bytes: it.SizeBytes})
	}
	return l, nil
}

func (c *call) keptFile() (any, error) {
	if _, err := recordID("id", c.r.PathValue("id")); err != nil { // of the same form
		return nil, err
	}
	b, ok, err := c.Kept.File(c.r.PathValue("id"))
	if err == nil && !ok {
		err = fault(codeEvidenceUnknown)
	}
	return file{media: "application/json", name: c.r.PathValue("id") + ".evidence.json", bytes: b}, err
}
