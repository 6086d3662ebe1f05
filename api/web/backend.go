package web

import (
	"context"
	"errors"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// A Backend is what the pages need of a node.
type Backend interface {
	Sessions
	Ledger
	Desk
}

// Sessions say who is looking (package session). A token is secret: a backend
// keeps only its hash, and what it seals under the token itself.
type Sessions interface {
	// Enter redeems a one-time link's code for the token of a new session. agent
	// is how the browser describes itself. It returns ErrNoSession for a code that
	// is unknown, used or too old.
	Enter(ctx context.Context, code, agent string) (token string, err error)
	// Person returns the member's own reference of the person whose session a
	// token is, or ErrNoSession.
	Person(ctx context.Context, token string) (person string, err error)
	// Leave ends a session; one that has ended is no error.
	Leave(ctx context.Context, token string) error
}

// Ledger is what everyone may see.
type Ledger interface {
	Board(ctx context.Context) (*Board, error)
}

// Desk is what a member shows to one person, and does for them.
type Desk interface {
	View(ctx context.Context, person string) (*View, error)
	// Withdraw turns one purpose of a service off. final says whether k members
	// have signed it already; it holds in either case.
	Withdraw(ctx context.Context, person string, w Withdrawal) (final bool, err error)
	// Receipt returns the akashi-receipt/v1 of a record that concerns the person,
	// with the newest status. It returns ErrNotFound for one that does not,
	// ErrErased where its content is gone, ErrNotFinal where signatures are
	// missing.
	Receipt(ctx context.Context, person string, index uint64) ([]byte, error)
	// Complete returns the akashi-completeness/v1 of the person. It returns
	// ErrNoSecret where no copy of the person's secret is kept.
	Complete(ctx context.Context, person string) ([]byte, error)
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
}

// Purpose is one thing that can be on or off.
type Purpose struct {
	Code  string
	Label record.Text
}

// View is all that a member shows to one person.
type View struct {
	Name     string // "": the member shows none
	Consents []Consent
	Events   []Event   // newest first
	Receipts []Receipt // newest first
}

// Consent is the state of one purpose of one service.
type Consent struct {
	Service string
	Purpose Purpose
	State   string // active, revoked, stopped, expired, closed
	Until   string // last valid day in JST, 2006-01-02; "": without end
	Items   []record.Text
	Index   uint64 // of its receipt, 0: none
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
	State   string // of a hand-over: open, overdue, received, undelivered
}

// Receipt is one line of the list.
type Receipt struct {
	Index   uint64
	Kind    string
	Service record.Text
	TimeMs  int64
}

// Withdrawal is a person's wish to stop.
type Withdrawal struct {
	Service string
	Purpose string
	Once    string // idempotency key, drawn with the page
}
