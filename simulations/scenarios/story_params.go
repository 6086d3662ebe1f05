package scenarios

import (
	"encoding/json"
	"fmt"
	"time"
)

// RawParams are a step's parameters before they are typed.
type RawParams = json.RawMessage

// Saying is a text that a story gives in both languages or in one word, or leaves
// out (null). Where it must be given, an empty one breaks a rule.
type Saying struct {
	Text
	plain bool
}

// Given reports whether anything was said.
func (s *Saying) Given() bool { return s != nil && s.JA != "" }

// UnmarshalJSON takes a string or {ja, en}.
func (s *Saying) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		s.plain = true
		if err := json.Unmarshal(b, &s.JA); err != nil {
			return err
		}
		s.EN = s.JA
		return nil
	}
	return strictJSON(b, &s.Text)
}

// MarshalJSON writes what was read.
func (s Saying) MarshalJSON() ([]byte, error) {
	if s.plain {
		return json.Marshal(s.JA)
	}
	return json.Marshal(s.Text)
}

// The parameters of each action. A field without omitempty must be there.
type (
	PublishTerms struct {
		Service string `json:"service"`
		Version string `json:"version"`
	}
	NotifyChange struct {
		Service  string   `json:"service"`
		Version  string   `json:"version"`
		Audience int      `json:"audience"`
		Channels []string `json:"channels,omitempty"`
	}
	RegisterPerson struct {
		Person  string   `json:"person"`
		Service string   `json:"service"`
		Items   []string `json:"items"`
		Source  string   `json:"source"`
	}
	GiveConsent struct {
		Person           string   `json:"person"`
		Service          string   `json:"service"`
		Version          string   `json:"version"`
		Items            []string `json:"items"`
		Purposes         []string `json:"purposes"`
		Guardian         string   `json:"guardian,omitempty"`
		SensitiveAgreed  bool     `json:"sensitiveAgreed,omitempty"`
		ForeignInfoShown bool     `json:"foreignInfoShown,omitempty"`
		Until            *Date    `json:"until,omitempty"` // last valid day
		Screen           string   `json:"screen,omitempty"`
		Button           string   `json:"button,omitempty"`
		Channel          string   `json:"channel,omitempty"`
		OAuth            bool     `json:"oauth,omitempty"`
		Benefit          *Saying  `json:"benefit,omitempty"`
	}
	RefuseConsent struct {
		Person  string `json:"person"`
		Service string `json:"service"`
		Version string `json:"version"`
	}
	Revoke struct {
		Consent string `json:"consent"`
		Channel string `json:"channel,omitempty"`
		Place   string `json:"place,omitempty"`
	}
	OptOut struct {
		Person string `json:"person"`
		Scope  string `json:"scope"`
	}
	OptIn struct {
		Person string `json:"person"`
		Scope  string `json:"scope"`
	}
	WithdrawMembership struct {
		Person  string `json:"person"`
		Service string `json:"service"`
		All     bool   `json:"all,omitempty"`
	}
	// Provide hands items to another party. Basis is consent when empty.
	Provide struct {
		Person   string            `json:"person"`
		To       string            `json:"to"`
		Service  string            `json:"service,omitempty"`
		Items    []string          `json:"items"`
		Purpose  string            `json:"purpose"`
		Basis    string            `json:"basis,omitempty"` // consent, optout, entrustment or contract
		Consent  string            `json:"consent,omitempty"`
		Contract string            `json:"contract,omitempty"`
		Dataset  string            `json:"dataset,omitempty"`
		OnwardOf string            `json:"onwardOf,omitempty"`
		Method   string            `json:"method,omitempty"`
		Values   map[string]string `json:"values,omitempty"`
		Levels   map[string]string `json:"levels,omitempty"`
	}
	Receive struct {
		Provision       string  `json:"provision"`
		HowAcquired     *Saying `json:"howAcquired"`
		FilingPublished bool    `json:"filingPublished,omitempty"`
	}
	Use struct {
		Person   string            `json:"person"`
		Items    []string          `json:"items"`
		Purpose  string            `json:"purpose"`
		Basis    string            `json:"basis,omitempty"`
		Consent  string            `json:"consent,omitempty"`
		Contract string            `json:"contract,omitempty"`
		Dataset  string            `json:"dataset,omitempty"`
		Values   map[string]string `json:"values,omitempty"`
		Levels   map[string]string `json:"levels,omitempty"`
	}
	SSOLogin struct {
		Person  string   `json:"person"`
		To      string   `json:"to"`
		Purpose string   `json:"purpose"`
		Consent string   `json:"consent,omitempty"`
		Items   []string `json:"items,omitempty"`
	}
	SSOEnd struct {
		Person string `json:"person"`
		To     string `json:"to"`
	}
	ApproveOnward struct {
		Provision string `json:"provision"`
		To        string `json:"to"`
		Written   bool   `json:"written"`
	}
	ForwardStop struct {
		Person string `json:"person"`
		To     string `json:"to"`
		Kind   string `json:"kind"` // stop or erase
	}
	FileOptOut struct {
		Items  []string  `json:"items"`
		From   time.Time `json:"from"`
		Number string    `json:"number"`
	}
	StopFiling struct {
		Number string `json:"number"`
	}
	DiscloseLegal struct {
		Person     string   `json:"person"`
		To         string   `json:"to"`
		Items      []string `json:"items"`
		Ground     string   `json:"ground"`
		Statute    *Saying  `json:"statute,omitempty"`
		RequestRef *Saying  `json:"requestRef,omitempty"`
		Fields     struct {
			DateTime    string  `json:"datetime"`
			Recipient   *Saying `json:"recipient"`
			Information *Saying `json:"information"`
			Purpose     *Saying `json:"purpose"`
			Reason      *Saying `json:"reason"`
		} `json:"fields"`
		Necessity *Saying `json:"necessity,omitempty"`
		Requester string  `json:"requester"`
		Approver  string  `json:"approver"`
		Dataset   string  `json:"dataset,omitempty"`
	}
	Collect struct {
		Person         string   `json:"person,omitempty"`
		Items          []string `json:"items"`
		Purpose        string   `json:"purpose"`
		Retention      *Period  `json:"retention,omitempty"`
		Consent        string   `json:"consent,omitempty"`
		Channel        string   `json:"channel,omitempty"`
		Sensor         string   `json:"sensor,omitempty"`
		Site           string   `json:"site,omitempty"`
		RegisteredFrom string   `json:"registeredFrom,omitempty"`
		Reason         *Saying  `json:"reason,omitempty"`
	}
	View struct {
		Purpose string   `json:"purpose"`
		Dataset string   `json:"dataset,omitempty"`
		Site    string   `json:"site,omitempty"`
		Person  string   `json:"person,omitempty"`
		Items   []string `json:"items,omitempty"`
	}
	DenyView struct {
		Purpose string `json:"purpose"`
		Reason  string `json:"reason"`
		Dataset string `json:"dataset,omitempty"`
		Site    string `json:"site,omitempty"`
	}
	Correct struct {
		Person string   `json:"person"`
		Items  []string `json:"items"`
	}
	RecordMatch struct {
		Dataset      string  `json:"dataset"`
		Person       string  `json:"person,omitempty"`
		HumanReview  bool    `json:"humanReview"`
		AssertsGuilt bool    `json:"assertsGuilt"`
		Outcome      *Saying `json:"outcome,omitempty"`
	}
	Deidentify struct {
		Dataset string   `json:"dataset"`
		Rule    string   `json:"rule"`
		Keeps   []string `json:"keeps"`
	}
	Reidentify struct {
		Dataset string  `json:"dataset"`
		Reason  *Saying `json:"reason"`
	}
	// Erase destroys keys: of a dataset, of a provision's record, or of a person.
	Erase struct {
		Class     string   `json:"class"` // content or record
		Dataset   string   `json:"dataset,omitempty"`
		Person    string   `json:"person,omitempty"`
		Provision string   `json:"provision,omitempty"`
		Keep      *Period  `json:"keep,omitempty"` // record keys; P3Y when absent
		CopiesAt  []string `json:"copiesAt,omitempty"`
	}
	AttestErasure struct {
		Erasure string `json:"erasure"`
		Storage string `json:"storage"`
	}
	RestoreBackup struct {
		Member     string `json:"member"`
		Generation string `json:"generation"`
	}
	PlaceHold struct {
		Dataset string    `json:"dataset"`
		Until   time.Time `json:"until"`
		Request string    `json:"request,omitempty"`
	}
	ReleaseHold struct {
		Dataset string `json:"dataset"`
	}
	SensorApprove struct {
		Sensor string `json:"sensor"`
	}
	PostSign struct {
		Sensor              string `json:"sensor"`
		Photo               string `json:"photo"`
		SaysFaceRecognition *bool  `json:"saysFaceRecognition,omitempty"` // nil: the sign is of another kind
	}
	SensorCommit struct {
		Sensor   string   `json:"sensor"`
		Readings []string `json:"readings"`
		N        int      `json:"n,omitempty"`
		Consent  string   `json:"consent,omitempty"`
		NoPerson bool     `json:"noPerson,omitempty"`
	}
	SensorRetire struct {
		Sensor string `json:"sensor"`
	}
	ReleaseStatistics struct {
		Dataset                 string   `json:"dataset"`
		MeshMetres              int      `json:"meshMetres"`
		Cells                   []int    `json:"cells"`
		Recipients              []string `json:"recipients"`
		Purpose                 string   `json:"purpose,omitempty"`
		ConsentFilter           string   `json:"consentFilter,omitempty"`
		UsesTimeAfterRevocation bool     `json:"usesTimeAfterRevocation,omitempty"`
	}
	AssignManager struct {
		Site     string `json:"site"`
		Staff    string `json:"staff"`
		Replaces string `json:"replaces,omitempty"`
	}
	RotateCredential struct {
		Staff string `json:"staff"`
	}
	StaffLeave struct {
		Staff string `json:"staff"`
	}
	Acknowledge struct {
		Rule    string `json:"rule"`
		Version string `json:"version"`
	}
	RegisterProcessor struct {
		Processor     string   `json:"processor"`
		Parent        string   `json:"parent,omitempty"`
		Clauses       []string `json:"clauses"`
		Selection     string   `json:"selection,omitempty"`
		OwnPurposeUse bool     `json:"ownPurposeUse,omitempty"`
	}
	FilePIA struct {
		Purpose      string  `json:"purpose"`
		HarmToPeople *Saying `json:"harmToPeople,omitempty"`
		Dissent      int     `json:"dissent,omitempty"`
	}
	ReportRequest struct {
		Contract string `json:"contract"`
		To       string `json:"to"`
	}
	ReportSubmit struct {
		Request string `json:"request"`
	}
	ReportJudge struct {
		Report     string  `json:"report"`
		Sufficient bool    `json:"sufficient"`
		Criterion  *Saying `json:"criterion,omitempty"`
	}
	AuditNotice struct {
		Contract  string `json:"contract"`
		Report    string `json:"report,omitempty"`
		VisitDate Date   `json:"visitDate"`
		Written   bool   `json:"written"`
	}
	AuditVisit struct {
		Notice            string `json:"notice"`
		RulesAcknowledged bool   `json:"rulesAcknowledged"`
	}
	AuditFinding struct {
		Contract string  `json:"contract"`
		Finding  *Saying `json:"finding"`
	}
	BreachOpen struct {
		Kind         string    `json:"kind"`
		Persons      int       `json:"persons"`
		DiscoveredAt time.Time `json:"discoveredAt"`
		Items        []string  `json:"items,omitempty"`
	}
	BreachNotify struct {
		Breach string `json:"breach"`
		To     string `json:"to"`
	}
	BreachReport struct {
		Breach string   `json:"breach"`
		Stage  string   `json:"stage"` // preliminary or final
		Fields []string `json:"fields,omitempty"`
	}
	BreachClose struct {
		Breach string `json:"breach"`
	}
	RightsRequest struct {
		Person string   `json:"person"`
		Kind   string   `json:"kind"`
		Items  []string `json:"items,omitempty"`
	}
	RightsAnswer struct {
		Request          string  `json:"request"`
		IdentityVerified bool    `json:"identityVerified"`
		Outcome          string  `json:"outcome"` // fulfilled or refused
		Method           *Saying `json:"method,omitempty"`
		Reason           *Saying `json:"reason,omitempty"`
	}
	JoinMember struct {
		Member string `json:"member"`
	}
	LeaveMember struct {
		Member string `json:"member"`
	}
	SuspendMember struct {
		Member string `json:"member"`
		Votes  int    `json:"votes"`
		Of     int    `json:"of"`
	}
	RestoreMember struct {
		Member string `json:"member"`
	}
	ExpelMember struct {
		Member string `json:"member"`
		Votes  int    `json:"votes"`
		Of     int    `json:"of"`
	}
	Vote struct {
		Topic string          `json:"topic"`
		For   int             `json:"for"`
		Of    int             `json:"of"`
		Sets  json.RawMessage `json:"sets,omitempty"` // some of Parameters
	}
	// Query asks for What as of now: consent-status, linked-external-services,
	// members, provision-count, business-days or valid-until.
	Query struct {
		What    string `json:"what"`
		Consent string `json:"consent,omitempty"`
		Person  string `json:"person,omitempty"`
		From    *Date  `json:"from,omitempty"`
		To      *Date  `json:"to,omitempty"`
	}
	AdvanceTime struct{}
)

// params makes an empty value for each action.
var params = map[string]func() any{
	"publish-terms": fresh[PublishTerms], "notify-change": fresh[NotifyChange],
	"register-person": fresh[RegisterPerson], "give-consent": fresh[GiveConsent],
	"refuse-consent": fresh[RefuseConsent], "revoke": fresh[Revoke],
	"opt-out": fresh[OptOut], "opt-in": fresh[OptIn],
	"withdraw-membership": fresh[WithdrawMembership], "provide": fresh[Provide],
	"receive": fresh[Receive], "use": fresh[Use],
	"sso-login": fresh[SSOLogin], "sso-end": fresh[SSOEnd],
	"approve-onward": fresh[ApproveOnward], "forward-stop": fresh[ForwardStop],
	"file-optout": fresh[FileOptOut], "stop-filing": fresh[StopFiling],
	"disclose-legal": fresh[DiscloseLegal], "collect": fresh[Collect],
	"view": fresh[View], "deny-view": fresh[DenyView],
	"correct": fresh[Correct], "record-match": fresh[RecordMatch],
	"deidentify": fresh[Deidentify], "reidentify": fresh[Reidentify],
	"erase": fresh[Erase], "attest-erasure": fresh[AttestErasure],
	"restore-backup": fresh[RestoreBackup], "place-hold": fresh[PlaceHold],
	"release-hold": fresh[ReleaseHold], "sensor-approve": fresh[SensorApprove],
	"post-sign": fresh[PostSign], "sensor-commit": fresh[SensorCommit],
	"sensor-retire": fresh[SensorRetire], "release-statistics": fresh[ReleaseStatistics],
	"assign-manager": fresh[AssignManager], "rotate-credential": fresh[RotateCredential],
	"staff-leave": fresh[StaffLeave], "acknowledge": fresh[Acknowledge],
	"register-processor": fresh[RegisterProcessor], "file-pia": fresh[FilePIA],
	"report-request": fresh[ReportRequest], "report-submit": fresh[ReportSubmit],
	"report-judge": fresh[ReportJudge], "audit-notice": fresh[AuditNotice],
	"audit-visit": fresh[AuditVisit], "audit-finding": fresh[AuditFinding],
	"breach-open": fresh[BreachOpen], "breach-notify": fresh[BreachNotify],
	"breach-report": fresh[BreachReport], "breach-close": fresh[BreachClose],
	"rights-request": fresh[RightsRequest], "rights-answer": fresh[RightsAnswer],
	"join-member": fresh[JoinMember], "leave-member": fresh[LeaveMember],
	"suspend-member": fresh[SuspendMember], "restore-member": fresh[RestoreMember],
	"expel-member": fresh[ExpelMember], "vote": fresh[Vote],
	"query": fresh[Query], "advance-time": fresh[AdvanceTime],
}

func fresh[T any]() any { return new(T) }

// Decode returns the step's parameters as a pointer to the type of its action, such
// as *GiveConsent. It cannot fail for a step of a loaded story.
func (s *Step) Decode() (any, error) {
	newParams, ok := params[s.Action]
	if !ok {
		return nil, fmt.Errorf("step %s: action %q unknown", s.ID, s.Action)
	}
	p := newParams()
	if err := strictJSON(s.Params, p); err != nil {
		return nil, fmt.Errorf("step %s %s: %w", s.ID, s.Action, err)
	}
	return p, nil
}
