package rest

import (
	"context"
	"iter"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/akashi-ledger/akashi/node/witness"
)

// A Backend is what the API needs of one member's node. All of it but Witnesses is
// required.
type Backend struct {
	Self     string
	Founding *record.Founding
	Clock    Clock
	Desk     Desk
	Outbox   Outbox
	Trees    Trees
	Kept     Kept
	Custody  Custody

	Final     func() *Final                                                             // what is final now, nil before the first
	Changed   func() <-chan struct{}                                                    // closed when the next checkpoint becomes final
	Closing   <-chan struct{}                                                           // closed when the node begins to stop
	Leader    func() string                                                             // who leads, "" where nobody does
	Ready     func() error                                                              // why the node cannot serve
	Refresh   func(context.Context) error                                               // asks for fresh cosignatures
	Witnesses func() []witness.Status                                                   // how external witnesses stand; nil where there are none
	Host      func(party string) (sign.PublicKey, error)                                // makes a party's signing key
	Sign      func(d sign.Domain, payload []byte) (sign.Signature, error)               // with the member's record key
	Candidate func(*record.MemberInfo) error                                            // refuses who could not join the network
	Network   func() Network                                                            // who belongs to the network
	Prepare   func(role string) (sign.PublicKey, error)                                 // makes the member's next key in a role
	Prove     func(role string, k sign.PublicKey, ballot []byte) (sign.Signature, bool) // with a key that was prepared
}

// Final is the highest final checkpoint and the ledger at it.
type Final struct {
	State   *store.State
	Note    func() []byte // the signed note, as the policy has it
	Shown   func() []byte // the same, with the lines of all witnesses
	FreshAt uint64        // k-th newest cosignature, Unix seconds
}

// Clock is the consortium's clock at this node (node.Clock).
type Clock interface {
	Now() time.Time
	Set(time.Time) bool
	Story() bool
}

// Outbox is the way into the ledger (outbox.Outbox).
type Outbox interface {
	Submit(ctx context.Context, r outbox.Request) (*outbox.Result, error)
	SubmitCommitted(ctx context.Context, r outbox.Request) (*outbox.Result, error)
	Held() int
}

// Desk is what the member does for people (custody.Desk).
type Desk interface {
	People
	Consents
	HandOvers
	Legal
	Evidence
	Erasures
	Rights
	Retention
	Managers
	Sensors
}

// People is registration and what is held.
type People interface {
	Register(ctx context.Context, c custody.Call, r custody.Registration) (*custody.Done, error)
	PutItems(ctx context.Context, c custody.Call, ref custody.Ref, service string, items map[string]string) error
	Disclose(ctx context.Context, ref custody.Ref) (*custody.Disclosure, error)
	Export(ctx context.Context, ref custody.Ref, recipient string) ([]byte, error)
	Secret(ctx context.Context, ref custody.Ref) (sign.Secret, error)
}

// Consents are given and withdrawn.
type Consents interface {
	Consent(ctx context.Context, c custody.Call, r custody.ConsentRequest) (*custody.Done, error)
	Decline(ctx context.Context, c custody.Call, r custody.DeclineRequest) (*custody.Done, error)
	Withdraw(ctx context.Context, c custody.Call, r custody.WithdrawRequest) (*custody.Done, error)
	Consents(ctx context.Context, ref custody.Ref) ([]custody.ConsentView, error)
}

// HandOvers are provisions between members.
type HandOvers interface {
	Provide(ctx context.Context, c custody.Call, r custody.ProvideRequest) (*custody.Done, error)
	Receive(ctx context.Context, c custody.Call, r custody.ReceiveRequest) (*custody.Done, error)
	Undeliver(ctx context.Context, c custody.Call, intent string, reason record.Code) (*custody.Done, error)
	ApproveOnward(ctx context.Context, c custody.Call, intent, to string) error
}

// Legal is hand-overs without consent.
type Legal interface {
	ProvideOptOut(ctx context.Context, c custody.Call, r custody.OptOutRequest) (*custody.Done, error)
	AskException(ctx context.Context, c custody.Call, r custody.ExceptionRequest) (*custody.ExceptionView, error)
	Exceptions(ctx context.Context) ([]custody.ExceptionView, error)
	Exception(ctx context.Context, c custody.Call, id string) (*custody.ExceptionView, error)
	ApproveException(ctx context.Context, c custody.Call, id string, signature []byte) (*custody.Done, error)
	ExceptionItems(ctx context.Context, c custody.Call, id string) (map[string]string, error)
}

// Evidence is what people and auditors read.
type Evidence interface {
	Events(ctx context.Context, ref custody.Ref) ([]custody.Event, error)
	Handles(ctx context.Context, ref custody.Ref) ([]custody.HandleOf, error)
	Openings(ctx context.Context, who string, from, to uint64) iter.Seq2[custody.RecordOpening, error]
	OpeningsAt(ctx context.Context, who string, indexes []uint64) (map[uint64]custody.RecordOpening, error)
}

// Erasures destroy keys.
type Erasures interface {
	Erase(ctx context.Context, c custody.Call, r custody.EraseRequest) (*custody.ErasureView, *custody.Done, error)
	Erasure(ctx context.Context, id string) (*custody.ErasureView, error)
}

// Rights are what people ask for by right, and what they stop.
type Rights interface {
	FileRight(ctx context.Context, c custody.Call, r custody.RightRequest) (*custody.RightView, error)
	Rights(ctx context.Context, ref custody.Ref) ([]custody.RightView, error)
	AllRights(ctx context.Context, open bool) ([]custody.RightView, error)
	AnswerRight(ctx context.Context, id string, a custody.RightAnswer) (*custody.RightView, error)
	Stops(ctx context.Context, ref custody.Ref) ([]custody.StopView, error)
	SetStop(ctx context.Context, ref custody.Ref, kind string, stopped bool, by string) ([]custody.StopView, error)
}

// Retention is data with a deadline, and holds.
type Retention interface {
	Holds
	Dates(ctx context.Context, ref custody.Ref) (*custody.Dates, error)
	Collect(ctx context.Context, c custody.Call, r custody.Collection) (*custody.Dataset, error)
	ReadDataset(ctx context.Context, c custody.Call, id string, by custody.Reader) (*custody.Dataset, error)
	EraseDataset(ctx context.Context, c custody.Call, id string) (*custody.ErasureView, *custody.Done, error)
}

// Managers are who may look at the datasets of a site.
type Managers interface {
	AssignManager(ctx context.Context, c custody.Call, site, staff, replaces string) error
	RotateCredential(ctx context.Context, c custody.Call, staff string) error
	StaffLeave(ctx context.Context, c custody.Call, staff string) error
	PostSign(ctx context.Context, c custody.Call, sensor string, s custody.Sign) error
}

// Holds keep identities from being destroyed.
type Holds interface {
	PlaceHold(ctx context.Context, c custody.Call, r custody.HoldRequest) (*custody.HoldView, error)
	Holds(ctx context.Context, ref custody.Ref) ([]custody.HoldView, error)
	LiftHold(ctx context.Context, c custody.Call, id, reason string) (*custody.HoldView, error)
}

// Sensors commit readings.
type Sensors interface {
	CommitReadings(ctx context.Context, c custody.Call, readings []custody.Reading) (*custody.CommittedReadings, error)
	ProveReading(ctx context.Context, c custody.Call, site string, index uint64) (*custody.ReadingProof, error)
}
