// Package custody is what a member does for people: it keeps their data and
// keys, brings their consents into the ledger, hands data over under consent,
// and erases it. docs/spec/custody.md has its formats and messages.
//
// # Invariants
//
//   - Personal data and keys stay here: what enters the ledger is canonical
//     record bytes with commitments. Nothing personal is in errors or logs, in
//     the name of a blob, or in a blob in clear.
//   - Data leaves only under a consent that the member's own re-derivation
//     shows as on, or an opt-out filing that it shows as in force and not stopped,
//     at a final checkpoint no older than 30 s, after the intent is final, sealed
//     to a one-time key of the recipient's vault. This is checked when it is asked
//     for and again when the parcel is sent. Or it leaves on a legal ground that a
//     second approver signed for, once that record is final (exception.go).
//   - A recipient opens a parcel only when its receiving record is final, and
//     takes in no item that the record does not announce.
//   - Items are sealed under the person's content identity of one service;
//     openings of consents too; openings of hand-overs under the record identity
//     of their month. Both are secrets of the vault: once shredded, every copy of
//     the data is unreadable.
//   - What must survive a crash between two steps is in the blobs before the
//     first of them: erasures, closings of handles, parcels. The order of effects
//     stands in front of Provide, receive.go and erase.go.
//   - A call with an Idempotency-Key takes effect once; repeated, it gets the
//     answer that it got, also where it would be refused now.
//
// # What it does not do
//
// It does not check who asks: api does, and Call says who. It does not copy keys
// to custodians: node/escrow does. Leaves of commitment trees are kept by the member whose
// sensors they are; replicating them to every member through Raft comes later,
// until when nobody else can check an advance. It does not know contracts: that an
// onward hand-over needs approval follows from the contract that the sealed part
// names.
//
// An error that wraps vault.ErrStopped or store.ErrStopped means that the node must
// stop.
package custody

import (
	"context"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/outbox"
)

// A Ref is a member's own reference of a person, such as "p01": 1 to 64 of
// a–z, 0–9 and hyphen. It is personal data and stays in the vault.
type Ref string

// Call says who asks, for idempotency: the same client and key with the same
// content gives the same answer.
type Call struct {
	Client    string // token name
	Key       string // Idempotency-Key, "" for none
	Committed bool   // answer at Raft commit, not at finality
	As        string // party that acts; "" for the member itself. It must be the member or a party it hosts
}

// Registration is a person's registration with a service.
type Registration struct {
	Person  Ref               `json:"person"`
	Service string            `json:"service"`
	Items   map[string]string `json:"items"`            // item code → value
	Lookup  map[string]string `json:"lookup,omitempty"` // such as phone → number: finds the person again
	Source  string            `json:"source"`           // self, other
	Secret  []byte            `json:"secret,omitempty"` // K_s that the person brings, 32 bytes

	Guardian Ref  `json:"guardian,omitempty"` // who must take part while the person is under 16
	Open     bool `json:"open,omitempty"`     // data is held without consent: opens the handle in the ledger
}

// ConsentRequest is what a person chose on a screen.
type ConsentRequest struct {
	Person    Ref      `json:"person"`
	Service   string   `json:"service"`
	Version   string   `json:"version"`
	Items     []string `json:"items"`
	Purposes  []string `json:"purposes"`        // each is one scope of the terms
	Until     string   `json:"until,omitempty"` // last valid day, 2006-01-02 in JST; "": as long as the screen says
	Button    string   `json:"button,omitempty"`
	Language  string   `json:"language,omitempty"`
	Guardian  Ref      `json:"guardian,omitempty"`
	Foreign   bool     `json:"foreignInfoShown,omitempty"`
	Sensitive bool     `json:"sensitiveAgreed,omitempty"`
	Screen    []byte   `json:"screen,omitempty"` // SHA-256 of the bytes of the screen that was shown

	// Chosen are the items for each purpose, where they differ: Items is then empty.
	Chosen map[string][]string `json:"chosen,omitempty"`

	// Passkey confirms the consents, where the person has one. It is no part of what
	// makes a repeated request the same: an authenticator never answers twice alike.
	Passkey *Confirmation `json:"-"`

	// ByChoice makes a repeated request the same that chooses the same, whichever screen
	// showed it: what is sealed stays what the first one answered. The tick for sensitive
	// data is part of what is chosen.
	ByChoice bool `json:"-"`
}

// asked is what makes a repeated request the same.
func (r ConsentRequest) asked() string {
	if r.ByChoice {
		r.Screen, r.Button, r.Language, r.Foreign = nil, "", "", false
	}
	return jsonOf(r)
}

// A Confirmation is a passkey's answer to the challenge of a Drawn.
type Confirmation struct {
	Drawn
	sign.Assertion
}

// DeclineRequest is a person who saw a screen and did not agree.
type DeclineRequest struct {
	Person  Ref    `json:"person"`
	Service string `json:"service"`
	Version string `json:"version"`
	Screen  []byte `json:"screen"`          // SHA-256 of the bytes of the screen that was shown
	Later   bool   `json:"later,omitempty"` // the person put the decision off
}

// WithdrawRequest turns scopes of a service off: those of some purposes, or
// all.
type WithdrawRequest struct {
	Person   Ref      `json:"person"`
	Service  string   `json:"service"`
	Purposes []string `json:"purposes,omitempty"`
	Stop     bool     `json:"stop,omitempty"` // without the person's key, posted by the member
}

// ProvideRequest hands items over under a consent to a service.
type ProvideRequest struct {
	Person   Ref               `json:"person"`
	Service  string            `json:"service"` // whose consent covers it
	To       string            `json:"to"`
	Items    []string          `json:"items"`
	Purpose  string            `json:"purpose"`
	Levels   map[string]string `json:"levels,omitempty"` // granularity of an item
	Values   map[string]string `json:"values,omitempty"` // overrides what is stored, such as a bracket
	Contract string            `json:"contract,omitempty"`
	OnwardOf string            `json:"onwardOf,omitempty"` // record id of the provision that this passes on, hex
	Method   string            `json:"method,omitempty"`
	Dataset  string            `json:"dataset,omitempty"` // whose items these are, of the service's owner; "": registered ones

	// Continues is the record id, hex, of an earlier hand-over to the same recipient
	// with which this one is kept as one bulk record (一括記録).
	Continues string `json:"continues,omitempty"`
}

// OptOutRequest hands items over under an opt-out filing (APPI Art. 27(2)).
type OptOutRequest struct {
	Person  Ref               `json:"person"`
	Service string            `json:"service"` // of the caller's, under which the person is known
	Filing  string            `json:"filing"`  // number of the filing
	To      string            `json:"to"`
	Items   []string          `json:"items"`
	Purpose string            `json:"purpose"`
	Levels  map[string]string `json:"levels,omitempty"`
	Values  map[string]string `json:"values,omitempty"`
	Method  string            `json:"method,omitempty"`
}

// ExceptionRequest asks to disclose items on a legal ground. Who asks and who
// approves are two: see Desk.ApproveException. Texts are at most maxTextBytes.
type ExceptionRequest struct {
	Person    Ref      `json:"person"`
	Service   string   `json:"service"`           // of the caller's, under which the items are held
	To        string   `json:"to"`                // recipient in words, or a party
	Dataset   string   `json:"dataset,omitempty"` // id of that from which the items are; "": what is registered
	Items     []string `json:"items"`
	Purpose   string   `json:"purpose"`           // in words
	Date      string   `json:"date"`              // 2006-01-02 in JST, or RFC 3339
	Ground    string   `json:"ground"`            // of record.LegalGrounds
	Statute   string   `json:"statute,omitempty"` // that the ground names
	Request   string   `json:"request,omitempty"` // the paper that asked for it
	Reason    string   `json:"reason"`
	Necessity string   `json:"necessity"`           // why no less would do
	Requester string   `json:"requester,omitempty"` // who asked
}

// ExceptionView is a disclosure on a legal ground, as whoever approves it sees it.
type ExceptionView struct {
	ID        string   `json:"id"` // of its record, hex
	State     string   `json:"state"`
	AskedBy   string   `json:"askedBy"` // the token that asked: another must approve
	Person    Ref      `json:"person"`
	Service   string   `json:"service"`
	To        string   `json:"to"`
	Items     []string `json:"items"`
	Purpose   string   `json:"purpose"`
	TimeMs    uint64   `json:"timeMs"` // of the disclosure, as asked
	Ground    string   `json:"ground"`
	Statute   string   `json:"statute,omitempty"`
	Request   string   `json:"request,omitempty"`
	Reason    string   `json:"reason"`
	Necessity string   `json:"necessity"`
	Requester string   `json:"requester,omitempty"`
	Statement []byte   `json:"statement"` // that the second approver signs, in the domain "approval"
}

// ReceiveRequest confirms a hand-over that waits at the recipient.
type ReceiveRequest struct {
	Intent      string `json:"intent"` // record id, hex
	HowAcquired string `json:"howAcquired"`
}

// EraseRequest destroys a person's content at this member and at everyone who
// received it from here: all of it, or that of one service.
type EraseRequest struct {
	Person  Ref    `json:"person"`
	Cause   string `json:"cause"`             // request, withdrawal, retention
	Service string `json:"service,omitempty"` // leaves what is held for other services; "": everything
}

// Done is what became of one or more records.
type Done struct {
	Key     string   `json:"idempotencyKey"`
	Final   bool     `json:"final"`
	Records []Posted `json:"records"`
	Late    bool     `json:"late,omitempty"` // received after the consortium's receive-hours
}

// Posted is one record that entered the ledger.
type Posted struct {
	ID      string      `json:"id"` // hex
	Kind    string      `json:"kind"`
	Index   uint64      `json:"index"`
	Height  uint64      `json:"height"`
	TimeMs  uint64      `json:"timeMs"`
	Purpose string      `json:"purpose,omitempty"`
	Code    record.Code `json:"code,omitempty"` // of a refused record
}

// ConsentView is one scope of one service as it stands for a person.
type ConsentView struct {
	Service string         `json:"service"`
	Terms   string         `json:"terms"`
	Version string         `json:"version"`
	Scope   uint8          `json:"scope"`
	Purpose string         `json:"purpose"`
	On      bool           `json:"on"`
	State   string         `json:"state"`           // active, revoked, stopped, expired, closed
	Until   string         `json:"until,omitempty"` // last valid day in JST
	Items   []string       `json:"items,omitempty"`
	Handle  sign.PublicKey `json:"-"`
	Index   uint64         `json:"index"`           // of the consent's record
	Again   bool           `json:"again,omitempty"` // off, and Resume turns it on as it was

	part *record.ConsentPart // nil where it cannot be opened
}

// Event is one record under one of a person's handles, as the person may see
// it.
type Event struct {
	Index   uint64         `json:"index"`
	Kind    string         `json:"kind"`
	ID      string         `json:"id"`
	Service string         `json:"service"`
	Issuer  string         `json:"issuer"`
	TimeMs  uint64         `json:"timeMs"`
	To      string         `json:"to,omitempty"`
	Purpose string         `json:"purpose,omitempty"`
	Items   []string       `json:"items,omitempty"`
	Code    record.Code    `json:"code,omitempty"`    // of a denial
	State   string         `json:"state,omitempty"`   // of a hand-over: open, overdue, recipient-left, received, undelivered, closed (with its handle)
	Version string         `json:"version,omitempty"` // of the terms that a hand-over rests on
	Filing  string         `json:"filing,omitempty"`  // number of the filing that it rests on
	Ground  string         `json:"ground,omitempty"`  // of record.LegalGrounds
	Statute string         `json:"statute,omitempty"` // that the ground names
	Reason  string         `json:"reason,omitempty"`  // of a disclosure on a legal ground
	How     string         `json:"how,omitempty"`     // how a recipient came by the items, as it recorded it
	Opening map[string]any `json:"-"`
}

// ErasureView is the progress of an erasure.
type ErasureView struct {
	ID      string         `json:"id"`
	Issuer  string         `json:"issuer"`
	TimeMs  uint64         `json:"timeMs"`
	Pending []string       `json:"pending"`
	Done    []HolderErased `json:"done"`
	Copies  []CopyErased   `json:"copies,omitempty"` // at the holders' custodians
	Index   uint64         `json:"index"`

	// RecordsUntil are the days, 2006-01-02 in JST, with whose end the record
	// identities die that the law obliges this member to keep; told while the
	// erasure is under way.
	RecordsUntil []string `json:"recordsUntil,omitempty"`

	// DueMs is when the period of the dataset had ended that was erased, or the last
	// hold on it.
	DueMs uint64 `json:"dueMs,omitempty"`
}

// CopyErased is what became of the copies of a member's keys at one custodian:
// TimeMs and Lost absent, it has not attested.
type CopyErased struct {
	Member    string `json:"member"` // whose keys they are of
	Custodian string `json:"custodian"`
	TimeMs    uint64 `json:"timeMs,omitempty"`
	Class     string `json:"class,omitempty"`
	Lost      string `json:"lost,omitempty"` // destroyed, stolen: reported, and never to be attested
}

// HolderErased is one holder's attestation.
type HolderErased struct {
	Holder       string `json:"holder"`
	TimeMs       uint64 `json:"timeMs"`
	Class        string `json:"class"`
	Generation   uint64 `json:"generation"`
	RecordsUntil string `json:"recordsUntil,omitempty"` // last day of the last record identity that it keeps; "": none, or it does not say
}

// Reading is one reading of a sensor.
type Reading struct {
	Sensor string         `json:"sensor"`
	TimeMs uint64         `json:"timeMs,omitempty"`
	Values map[string]any `json:"values"`
}

// Network is how desks of members reach each other. Requests and answers are
// bounded by the transport.
type Network interface {
	// Call asks the desk of another member.
	Call(ctx context.Context, member, what string, request []byte) ([]byte, error)
}

// Poster is the way into the ledger.
type Poster interface {
	Submit(ctx context.Context, r outbox.Request) (*outbox.Result, error)
	SubmitCommitted(ctx context.Context, r outbox.Request) (*outbox.Result, error)
}
