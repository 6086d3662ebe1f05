package web

import (
	"context"
	"errors"
	"iter"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// A Backend is what the pages need of a node.
type Backend interface {
	Sessions
	Ledger
	Desk
	Rights
	Erasures
}

// Sessions say who is looking (package session). A token is secret: a backend
// keeps only its hash, and what it seals under the token itself.
type Sessions interface {
	// Enter redeems a one-time link's code for the token of a new session. agent
	// is how the browser describes itself. It returns ErrNoSession for a code that
	// is unknown, used or too old.
	Enter(ctx context.Context, code, agent string) (token string, err error)
	// Whose returns the person of a link's code and leaves it unused, or ErrNoSession.
	Whose(ctx context.Context, code string) (person string, err error)
	// Account returns by what a person knows their account here, with most of it hidden.
	Account(ctx context.Context, person string) (string, error)
	// Person returns the member's own reference of the person whose session a
	// token is, or ErrNoSession.
	Person(ctx context.Context, token string) (person string, err error)
	// Strong reports whether the person lately showed who they are by more than a
	// link or code, as what cannot be undone needs.
	Strong(ctx context.Context, token string) (bool, error)
	// Leave ends a session; one that has ended is no error.
	Leave(ctx context.Context, token string) error
}

// Ledger is what everyone may see.
type Ledger interface {
	Board(ctx context.Context) (*Board, error)
	// Policy returns the policy in force, as C2SP tlog-policy.
	Policy(ctx context.Context) ([]byte, error)
}

// Desk is what a member shows to one person, and does for them.
type Desk interface {
	View(ctx context.Context, person string) (*View, error)
	// History returns a page of the person's records.
	History(ctx context.Context, person string, q HistoryQuery) (*History, error)
	// Offer returns what the terms in force say of one purpose. It returns
	// ErrNotFound where its consent cannot be given on these pages.
	Offer(ctx context.Context, person, service, purpose string) (*Offer, error)
	// Grant turns one purpose of a service on, as its Offer says; final as in
	// Withdraw. A *Refused says what the ledger or the member does not accept.
	Grant(ctx context.Context, person string, g Grant) (final bool, err error)
	// Withdraw turns one purpose of a service off. final says whether k members
	// have signed it already; it holds in either case.
	Withdraw(ctx context.Context, person string, w Withdrawal) (final bool, err error)
	// Receipt returns the akashi-receipt/v1 of a record that concerns the person,
	// with the newest status. It returns ErrNotFound for one that does not,
	// ErrErased where its content is gone, ErrNotFinal where signatures are
	// missing.
	Receipt(ctx context.Context, person string, index uint64) ([]byte, error)
	// Receipts returns the receipts of several records, in their order, each with
	// what Receipt refuses it with. An error that is none of those ends them.
	Receipts(ctx context.Context, person string, indexes []uint64) iter.Seq2[[]byte, error]
	// Complete returns the akashi-completeness/v1 of the person. It returns
	// ErrNoSecret where no copy of the person's secret is kept.
	Complete(ctx context.Context, person string) ([]byte, error)
}

// Rights are what a person asks the member for by right, and what they stop.
type Rights interface {
	// Requests returns the person's requests, newest first, and the services that
	// one can be about.
	Requests(ctx context.Context, person string) ([]Request, []Service, error)
	FileRequest(ctx context.Context, person string, r NewRequest) error
	// Stops returns the three stops. With signal, Global Privacy Control is heeded
	// first.
	Stops(ctx context.Context, person string, signal bool) ([]Stop, error)
	SetStop(ctx context.Context, person, kind string, stopped bool) error
}

// Erasures are the ends of services and of what was held for them.
type Erasures interface {
	// Ending returns what ending a service would mean.
	Ending(ctx context.Context, person, service string) (*Ending, error)
	// End turns every purpose of a service off and, where erase is set, destroys
	// what is held for it: then id names the erasure.
	End(ctx context.Context, person, service string, erase bool, once string) (id string, final bool, err error)
	// Erasure is how far an erasure has come. It is public: it names no person.
	Erasure(ctx context.Context, id string) (*Erasure, error)
	// Certificate returns its akashi-erasure/v1.
	Certificate(ctx context.Context, id string) ([]byte, error)
}

// What a backend refuses with. Anything else is shown as a fault of the node.
var (
	ErrNoSession = errors.New("no such session")
	ErrNotFound  = errors.New("nothing here for this person")
	ErrNoSecret  = errors.New("the person's secret is not kept here")
	ErrErased    = errors.New("content erased")
	ErrNotFinal  = errors.New("not final yet")
	ErrBusy      = errors.New("busy")
)

// Refused says that the node refused what a person asked for, by its stable code.
type Refused struct{ Code string }

func (r *Refused) Error() string { return "refused: " + r.Code }

// Board is the public side of a node.
type Board struct {
	Consortium record.Text // its name
	Member     record.Text // whose node this is
	StoryTime  bool        // the clock is a story's
	Services   []Service   // in the order to show
	Log        Log
}

// Log is the highest final checkpoint, as the node tells it.
type Log struct {
	Origin  string
	Size    uint64 // 0: none yet
	Root    [32]byte
	K       int   // signatures that are needed
	FinalMs int64 // k-th newest signature, Unix milliseconds
	Members []Cosigner
}

// Cosigner is a member of the current policy.
type Cosigner struct {
	ID     string // as policies and receipts name it
	Name   record.Text
	TimeMs int64 // of its signature under the checkpoint; 0: it has not signed
}

// Service is one service of the consortium.
type Service struct {
	ID       string
	Name     record.Text
	Provider record.Text
	Contact  record.Text
	Purposes []Purpose // of the terms in force
	Here     bool      // consents to it can be given on these pages
}

// Purpose is one thing that can be on or off.
type Purpose struct {
	Code  string
	Label record.Text
}

// View is what a person said to whom, as it stands.
type View struct {
	Name     string // "": the member shows none
	Consents []Consent
	Given    int // hand-overs so far
}

// Consent is the state of one purpose of one service.
type Consent struct {
	Service string
	Purpose Purpose
	State   string // active, revoked, stopped, expired, closed
	Until   string // last valid day in JST, 2006-01-02; "": without end
	Items   []record.Text
	Index   uint64 // of its receipt, 0: none
	UsedMs  int64  // newest hand-over under it; 0: none
	Again   bool   // off, and one tap turns it on as it was: same terms, same items
}

// HistoryQuery chooses a page of the history.
type HistoryQuery struct {
	Before  uint64 // only records with a lower index; 0: from the newest
	Limit   int
	Service string // "": all
	Kinds   []string
}

// History is a page of a person's records, newest first.
type History struct {
	Events []Event
	Older  uint64 // Before of the next page, 0: none
	Count  int    // of what the query chooses
	Flows  []Flow // of all hand-overs, most first
}

// Flow counts hand-overs between two parties.
type Flow struct {
	From, To record.Text
	Kind     string // provision, provision.optout, provision.exception
	Count    int
}

// Event is one record under one of the person's handles.
type Event struct {
	Index   uint64
	Kind    string // of the record
	Service record.Text
	From    record.Text // the issuer
	To      record.Text // zero: none
	Purpose record.Text
	Items   []record.Text
	TimeMs  int64
	Code    string // why, of a refusal
	State   string // of a hand-over: open, overdue, recipient-left, received, undelivered
	Version string // of the terms that it rests on
	Filing  string // that it rests on
	Ground  string // legal ground that it rests on
	Statute string
	Reason  string
	How     string // how a recipient came by it
}

// Offer is what the terms in force say of one purpose.
type Offer struct {
	Service    Service
	Purpose    Purpose
	Version    string
	Required   []Item
	Optional   []Item
	Recipients []record.Text
	Until      string        // last day in JST if given today; "": without end
	Retention  record.Period // zero: not said
	Withdrawal record.Text
	Text       record.Text // in full
	Foreign    string      // ground of a transfer abroad, "": none
	Past       Past
	// Was says the same of the terms that the person's choices in this service stand
	// under: nil where those are these, or nothing was ever chosen. Its Purpose is
	// zero where they did not have it.
	Was *Offer
}

// Past counts what one service did so far with what is this person's.
type Past struct {
	Agreed  int // consents given
	Ended   int // withdrawals, and stops on the person's word
	Given   int // hand-overs
	Refused int
	LastMs  int64 // newest hand-over; 0: none
}

// Any reports whether there is anything to tell.
func (p Past) Any() bool { return p.Agreed+p.Ended+p.Given+p.Refused > 0 }

// Item is one item of information.
type Item struct {
	Code      string
	Label     record.Text
	Sensitive bool
}

// Grant is a person's consent to one purpose.
type Grant struct {
	Service  string
	Purpose  string
	Again    bool     // as it was before: without the rest
	Version  string   // of the terms that were shown
	Items    []string // optional items that were chosen
	Clear    bool     // sensitive items were agreed to by themselves
	Button   string   // words on the button
	Language string   // of the page
	Once     string   // idempotency key, drawn with the page
}

// Withdrawal is a person's wish to stop.
type Withdrawal struct {
	Service string
	Purpose string
	Once    string // idempotency key, drawn with the page
}

// Request is what a person asked for by right.
type Request struct {
	ID         string
	Kind       string // disclosure, records, correction, stop-use, stop-provision
	Service    record.Text
	Note       string
	FiledMs    int64
	Due        string // last day in JST, 2006-01-02
	Public     bool   // to a public body
	Overdue    bool
	State      string // open, done, partly, refused
	Answer     string
	AnsweredMs int64
}

// NewRequest is a request before it is filed.
type NewRequest struct {
	Kind    string
	Service string
	Note    string
	Once    string
}

// Stop is one of the three: marketing, group, mail.
type Stop struct {
	Kind    string
	Stopped bool
	SinceMs int64  // 0: never set
	By      string // person, desk, gpc
}

// Ending is what ending a service means.
type Ending struct {
	Service      Service
	On           []record.Text // purposes that end
	Withdrawal   record.Text   // what the terms say of it
	Items        []record.Text // that are held for it
	Erasable     bool          // what is held for it can be erased here
	Past         Past
	RecordsUntil string // last day on which the law wants the records of hand-overs kept; "": there are none
}

// Erasure is how far an erasure has come.
type Erasure struct {
	ID      string
	Index   uint64
	TimeMs  int64
	Done    []Holder // custodians of copies too
	Pending []record.Text
	Lost    []Lost
}

// Lost is a custodian that reported its copies as lost: it will not attest.
type Lost struct {
	Name   record.Text
	Stolen bool
}

// Holder has attested that it destroyed the keys.
type Holder struct {
	Name   record.Text
	TimeMs int64
	Class  string // of storage
	Until  string // last day of records that it must keep, 2006-01-02; "": none
}
