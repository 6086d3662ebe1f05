// Package scenarios holds five stories of Japanese organisations as data, and what
// is needed to run and to judge them: the calendar, the invented people, and a
// deliberately naive twin of the rules (Replay) whose answers the real system must
// give too.
//
// Load returns a story only when its file says exactly what the types below say (no
// field unknown, none missing, none twice), every id in it resolves and its steps go
// forward in time. A loaded Story is shared and must not be changed. docs/spec/scenarios.md explains
// the files; data/scenario.schema.json is their JSON Schema.
//
// All people, companies and events are invented. Nothing here talks to a node.
package scenarios

import "time"

// Text is one sentence or name in both languages.
type Text struct {
	JA string `json:"ja"`
	EN string `json:"en"`
}

// Story is one organisation's consortium, its people and what happens to them.
type Story struct {
	Schema     string      `json:"schema"`
	Consortium Consortium  `json:"consortium"`
	Calendar   Calendar    `json:"calendar"`
	Members    []Member    `json:"members"`
	Staff      []Staff     `json:"staff"`
	Attributes []Attribute `json:"attributes"`
	Purposes   []Purpose   `json:"purposes"`
	Services   []Service   `json:"services"`
	Policies   []Policy    `json:"policies"`
	Sensors    []Sensor    `json:"sensors"`
	Contracts  []Contract  `json:"contracts"`
	People     People      `json:"people"`
	Steps      []Step      `json:"steps"`
}

// Consortium names the log and holds its parameters.
type Consortium struct {
	Origin     string     `json:"origin"`
	Name       Text       `json:"name"`
	Regime     string     `json:"regime"` // ch4, ch5, telecom or mixed
	Summary    Text       `json:"summary"`
	Document   *string    `json:"document"` // the public document behind it, 000 to 004
	Parameters Parameters `json:"parameters"`
}

// Parameters are what the consortium has agreed on; a vote may set them anew. What
// is absent does not bind, except ReceiveHours, which is then 24.
type Parameters struct {
	ReceiveHours           int      `json:"receiveHours,omitempty"`
	CredentialRotationDays int      `json:"credentialRotationDays,omitempty"`
	MeshMetres             int      `json:"meshMetres,omitempty"`
	MinCount               int      `json:"minCount,omitempty"`
	StatisticsNeedConsent  bool     `json:"statisticsNeedConsent,omitempty"`
	NoticeDaysBeforeChange int      `json:"noticeDaysBeforeChange,omitempty"`
	CollectPurposes        []string `json:"collectPurposes,omitempty"`
	ViewPurposes           []string `json:"viewPurposes,omitempty"`
	ProcessorClauses       []string `json:"processorClauses,omitempty"`
	DirectIdentifiers      []string `json:"directIdentifiers,omitempty"`
	Levels                 []string `json:"levels,omitempty"` // coarse to fine
	Phase                  string   `json:"phase,omitempty"`
}

// Member takes part from 00:00 JST of Joined. The stories call every organisation a
// member; which of them run nodes is the runner's choice.
type Member struct {
	ID             string   `json:"id"`
	Name           Text     `json:"name"`
	Regime         string   `json:"regime"`
	Role           string   `json:"role"` // platform, company, city, store or agency
	Country        string   `json:"country"`
	Address        Text     `json:"address"`
	Representative Text     `json:"representative"`
	Joined         Date     `json:"joined"` // 2099-12-31: a step admits it
	Categories     []string `json:"categories"`
}

// Staff is a person who acts for a member.
type Staff struct {
	ID     string `json:"id"`
	Member string `json:"member"`
	Role   string `json:"role"`
}

// Attribute is one kind of item with the finest value that is allowed.
type Attribute struct {
	Code        string   `json:"code"`
	Label       Text     `json:"label"`
	DPV         *string  `json:"dpv"`
	Class       string   `json:"class"` // normal, sensitive, biometric or location
	Granularity string   `json:"granularity"`
	Brackets    []string `json:"brackets"` // the only allowed values, if any
	CodeList    *string  `json:"codeList"`
}

// Purpose is one purpose of use. OptOutScope is the person's switch that stops it.
type Purpose struct {
	Code        string  `json:"code"`
	Label       Text    `json:"label"`
	DPV         *string `json:"dpv"`
	PIARequired bool    `json:"piaRequired"`
	OptOutScope *string `json:"optOutScope"`
}

// Service is what a member offers, with every version of its terms.
type Service struct {
	ID                 string   `json:"id"`
	Member             string   `json:"member"`
	Name               Text     `json:"name"`
	Contact            Text     `json:"contact"`
	RegistrationFields []string `json:"registrationFields"`
	SourceSelfOnly     bool     `json:"sourceSelfOnly"`
	RequiredClauses    []string `json:"requiredClauses"`
	Terms              []Terms  `json:"terms"`
}

// Terms is one version of what a consent screen says. A step publishes it.
type Terms struct {
	Version   string    `json:"version"`
	Effective time.Time `json:"effective"`
	Text      Text      `json:"text"`
	Items     struct {
		Required []string `json:"required"`
		Optional []string `json:"optional"`
	} `json:"items"`
	Purposes   []string `json:"purposes"`
	Recipients struct {
		Named      []string `json:"named"`
		Categories []string `json:"categories"`
	} `json:"recipients"`
	Retention     Period   `json:"retention"`
	ConsentPeriod *Period  `json:"consentPeriod"` // nil: until withdrawn
	Withdrawal    Text     `json:"withdrawal"`
	Foreign       *Foreign `json:"foreign"`
	Clauses       []string `json:"clauses"`
}

// Foreign is what the screen says of a recipient abroad (APPI Art. 28).
type Foreign struct {
	Ground   string `json:"ground"` // consent, equivalent-measures or de-identified
	Country  string `json:"country"`
	System   Text   `json:"system"`
	Measures Text   `json:"measures"`
}

// Policy is one promise of the organisation's own document.
type Policy struct {
	Obligation string         `json:"obligation"` // 000-01 and so on
	Sentence   Text           `json:"sentence"`
	Check      string         `json:"check"`
	Parameters map[string]any `json:"parameters"`
}

// Sensor needs approval before its values count.
type Sensor struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Place      Text   `json:"place"`
	Member     string `json:"member"`
	ApprovedBy string `json:"approvedBy"`
	Readings   []struct {
		Name string  `json:"name"`
		Type string  `json:"type"` // integer, number, string, boolean or hash
		Unit *string `json:"unit"`
	} `json:"readings"`
	Interval     Period         `json:"interval"`
	Personal     bool           `json:"personal"`
	Output       map[string]any `json:"output"`
	Retention    *Period        `json:"retention"`
	SignRequired bool           `json:"signRequired"`
}

// Contract is between members; it is in force on every day of its term.
type Contract struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"` // third-party, entrustment or joint-use
	Parties []string `json:"parties"`
	Clauses Clauses  `json:"clauses"`
}

// Clauses are the terms of a contract that a machine can check.
type Clauses struct {
	Purposes []string `json:"purposes"`
	Items    []string `json:"items"`
	Term     struct {
		From Date `json:"from"`
		To   Date `json:"to"`
	} `json:"term"`
	AuditNoticeBusinessDays int      `json:"auditNoticeBusinessDays"`
	AuditMaxPerYear         int      `json:"auditMaxPerYear"`
	AuditYear               string   `json:"auditYear"` // rolling, fiscal or contract
	Report                  Period   `json:"report"`
	OnwardTransfer          string   `json:"onwardTransfer"` // prior-written, free or forbidden
	BreachNotice            Period   `json:"breachNotice"`
	Heads                   []string `json:"heads"`
}

// InForce reports whether the contract is in force on a day, both ends included.
func (c *Contract) InForce(d Date) bool {
	return !d.Before(c.Clauses.Term.From) && !c.Clauses.Term.To.Before(d)
}

// People are the twelve that steps name and the recipe for the crowd around them.
type People struct {
	Generator Generator `json:"generator"`
	Explicit  []Person  `json:"explicit"`
}

// Person is an invented person. Values are by attribute code.
type Person struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Kana      string            `json:"kana"`
	BirthDate Date              `json:"birthDate"`
	Gender    string            `json:"gender"`
	Phone     string            `json:"phone"`
	Email     string            `json:"email"`
	Household *string           `json:"household"` // nil: lives alone, or unknown
	Guardian  *string           `json:"guardian"`
	Values    map[string]string `json:"values"`
	Trait     Text              `json:"trait"`
	Habits    map[string]string `json:"-"` // generated people only: what is no attribute
}

// Step is one thing that happens, and what must come of it.
type Step struct {
	ID          string     `json:"id"`
	At          *time.Time `json:"at,omitempty"` // either At or After
	After       *After     `json:"after,omitempty"`
	By          Actor      `json:"by"`
	Action      string     `json:"action"`
	Params      RawParams  `json:"params"`       // read with Decode
	As          string     `json:"as,omitempty"` // a name for later steps
	Expect      Expect     `json:"expect"`
	Obligations []string   `json:"obligations"`
	Note        Text       `json:"note"`

	// When is At, or the end of the period that After names. Load resolves it.
	When time.Time `json:"-"`
}

// After is a time relative to an earlier step.
type After struct {
	Step     string `json:"step"`
	Duration Period `json:"duration"`
}

// Actor is who acts: exactly one of the three.
type Actor struct {
	Member string `json:"member,omitempty"`
	Person string `json:"person,omitempty"`
	Staff  string `json:"staff,omitempty"`
}

// Expect is what must come of a step.
type Expect struct {
	Result string   `json:"result"` // accepted or refused
	Reason string   `json:"reason,omitempty"`
	Alarms []string `json:"alarms,omitempty"`
	Value  any      `json:"value,omitempty"` // the answer to a query: string, number or list of strings
}

// Refused reports whether the step must be refused.
func (e Expect) Refused() bool { return e.Result == "refused" }
