package custody

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// Blobs is the durable store of sealed bytes (store.Blobs).
type Blobs interface {
	Get(key []byte) (value []byte, found bool, err error)
	PutMany(entries []store.KV) error
	Delete(keys ...[]byte) error
	Scan(prefix []byte, fn func(key, value []byte) error) error
}

// Config is what a Desk needs. All but Copies, MaxPeople, AutoReceive, CloseDelay
// and Wall is required.
type Config struct {
	Self     string          // this member
	Origin   string          // the log's name
	Hosted   func() []string // parties whose keys this node keeps
	Vault    *vault.Vault    // secrets; the caller closes it after the desk
	Blobs    Blobs
	Poster   Poster
	Network  Network
	Trees    Trees
	State    func() *store.State                  // the newest final state, never an older one; nil before the first
	FreshAt  func() (unixSeconds uint64)          // how fresh the final checkpoint is
	Refresh  func(context.Context) error          // asks for fresh cosignatures
	Now      func() time.Time                     // the consortium's clock
	Approve  func([]byte) sign.Signature          // with the second approver's key, in the domain "approval"
	SignHold func([]byte) (sign.Signature, error) // with this member's key, in the domain "hold"
	Log      *slog.Logger

	Copies      Copies               // hears of what custodians are to be sent; nil for none
	MaxPeople   int                  // registered or received; 0: a million
	AutoReceive bool                 // confirm hand-overs without being asked
	CloseDelay  func() time.Duration // before a handle is closed; nil: random, at most an hour
	Wall        func() time.Time     // the machine's clock, by which that delay is counted; nil: time.Now
}

// freshFor is how old the newest final checkpoint may be where data leaves.
const freshFor = 30 * time.Second

// maxPeople is how many people a member's vault is measured for: see
// docs/decisions/0004-vault.md.
const maxPeople = 1_000_000

// maxWorkers bounds what the desk does at once without being waited for.
const maxWorkers = 32

// Desk (窓口) is what a member does for people. Its methods may be called from
// several goroutines.
type Desk struct {
	Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	work   chan struct{} // a place for each worker

	people *people
	keys   *keyring
	mac    [32]byte // key of what must be recognised and not guessed

	locks locks // of persons and intents, by name

	screens screenCache
	parcels parcelQueue
	waiting waitingRoom
	erasing erasures
	silent  silence
	duties  [6]sync.Mutex // one pass of each kind of duty at a time

	retiring retirements
	holds    holds
	bulk     bulk

	tellGone    atomic.Pointer[func(Gone)]
	uncommitted atomic.Bool // leaves of readings may wait for their tree

	found   []string // while New runs: vault ids of transient secrets
	spentMu sync.Mutex
	spent   []string  // vault ids of transient secrets that have done their work
	spendAt time.Time // not before, unless somebody waits for it
}

// New returns a desk that goes on with what an earlier one left unfinished.
func New(c Config) (*Desk, error) {
	for what, missing := range map[string]bool{"Self": c.Self == "", "Origin": c.Origin == "", "Hosted": c.Hosted == nil,
		"Vault": c.Vault == nil, "Blobs": c.Blobs == nil, "Poster": c.Poster == nil, "Network": c.Network == nil, "Trees": c.Trees == nil, "State": c.State == nil,
		"FreshAt": c.FreshAt == nil, "Refresh": c.Refresh == nil, "Now": c.Now == nil, "Approve": c.Approve == nil, "SignHold": c.SignHold == nil, "Log": c.Log == nil} {
		if missing {
			return nil, fmt.Errorf("custody: %s is required", what)
		}
	}
	if c.MaxPeople == 0 {
		c.MaxPeople = maxPeople
	}
	if c.CloseDelay == nil {
		c.CloseDelay = upToAnHour
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	d := &Desk{Config: c, work: make(chan struct{}, maxWorkers), people: newPeople(c.Vault), keys: newKeyring(maxKeys)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.uncommitted.Store(true)
	for _, step := range []struct {
		what string
		do   func() error
	}{{"vault", d.loadPeople}, {"desk key", d.loadMac}, {"parcels", d.loadParcels}, {"waiting parcels", d.loadWaiting}, {"erasures", d.loadErasures},
		{"retention", d.loadRetirements}, {"holds", d.loadHolds}, {"series", d.loadSeries}} {
		if err := step.do(); err != nil {
			d.cancel()
			return nil, fmt.Errorf("custody: read %s back: %w", step.what, err)
		}
	}
	d.found = nil
	return d, nil
}

func upToAnHour() time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(time.Hour))
}

// Close waits for what is under way and wipes the keys in memory. What is
// durable goes on at the next New.
func (d *Desk) Close() error {
	d.cancel()
	d.wg.Wait()
	d.keys.wipeAll()
	return nil
}

// spawn does work that nobody waits for, at most maxWorkers at a time; what finds
// no place is left to the next Tick.
func (d *Desk) spawn(f func(ctx context.Context)) {
	select {
	case d.work <- struct{}{}:
	default:
		return
	}
	if d.ctx.Err() != nil {
		<-d.work
		return
	}
	d.wg.Go(func() {
		defer func() { <-d.work }()
		f(d.ctx)
	})
}

// locks are mutexes by name. Whoever holds several takes them in the order
// receive, take, handle, person, parcel.
type locks struct {
	mu   sync.Mutex
	held map[string]*namedLock
}

type namedLock struct {
	sync.Mutex
	users int
}

// lock holds one person, intent or erasure, by name.
func (d *Desk) lock(name string) (unlock func()) {
	l := &d.locks
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*namedLock{}
	}
	n := l.held[name]
	if n == nil {
		n = new(namedLock)
		l.held[name] = n
	}
	n.users++
	l.mu.Unlock()
	n.Lock()
	return func() {
		n.Unlock()
		l.mu.Lock()
		if n.users--; n.users == 0 {
			delete(l.held, name)
		}
		l.mu.Unlock()
	}
}

// CodeNotFinal says that the node's newest final checkpoint is missing or too
// old to hand data out.
const (
	CodeNotFinal       record.Code = "final.stale"
	CodeItemAbsent     record.Code = "item.absent"            // the member holds no value of the item
	CodePersonUnknown  record.Code = "person.unknown"         // nobody is registered under this reference
	CodePersonLeaving  record.Code = "person.leaving"         // an erasure is under way, of all or of one service: try again
	CodeParcelAbsent   record.Code = "parcel.absent"          // the hand-over has not arrived yet: try again
	CodeRetention      record.Code = "retention-exceeded"     // past the deadline of the record or dataset
	CodeRetentionLong  record.Code = "retention.too-long"     // longer than the terms or a parameter allow
	CodeRetentionSet   record.Code = "retention.dataset-only" // has a voted period, which registered items do not end by
	CodeDatasetUnknown record.Code = "dataset.unknown"
	CodeDatasetsFull   record.Code = "dataset.full" // the person has too many
	CodeHoldUnknown    record.Code = "hold.unknown"
	CodeHoldLong       record.Code = "hold.too-long" // a hold that would last too long
	CodeHoldNothing    record.Code = "hold.nothing"  // nothing that a hold of this kind may cover
	CodeMalformed      record.Code = "request.malformed"
	CodeAskedUnknown   record.Code = "exception.unknown" // no such disclosure was asked for, or it was too long ago
	CodeAskedOpen      record.Code = "exception.open"    // not approved yet, or not final
)

// malformed refuses a request for one of its fields.
func malformed(field, format string, args ...any) error {
	return &record.Refusal{Code: CodeMalformed, Detail: fmt.Sprintf(format, args...), At: field}
}

// errNoState says that nothing is final yet.
var errNoState = &record.Refusal{Code: CodeNotFinal, Detail: "no checkpoint is final yet"}

func (d *Desk) state() (*store.State, error) {
	if st := d.State(); st != nil {
		return st, nil
	}
	return nil, errNoState
}

// freshState returns a final state that was cosigned within freshFor.
func (d *Desk) freshState(ctx context.Context) (*store.State, error) {
	if !d.fresh() {
		if err := d.Refresh(ctx); err != nil || !d.fresh() {
			return nil, record.Refuse(CodeNotFinal, "no final checkpoint within %v", freshFor)
		}
	}
	return d.state()
}

func (d *Desk) fresh() bool {
	return d.State() != nil && d.Now().Unix()-int64(d.FreshAt()) <= int64(freshFor/time.Second)
}

func (d *Desk) nowMs() uint64 { return uint64(d.Now().UnixMilli()) }

// wallMs counts delays that nobody may shorten: a story's clock jumps.
func (d *Desk) wallMs() uint64 { return uint64(d.Wall().UnixMilli()) }

// mine reports whether a party's key is kept here.
func (d *Desk) mine(party string) bool {
	return party == d.Self || slices.Contains(d.Hosted(), party)
}

// actor returns the party that acts: the one the call names, or the one given.
func (d *Desk) actor(c Call, party string) (string, error) {
	if c.As != "" && c.As != party && party != "" {
		return "", record.Refuse(record.CodeNotAuthorised, "%s acts where %s must", c.As, party)
	}
	if c.As != "" {
		party = c.As
	}
	if party == "" {
		party = d.Self
	}
	if !d.mine(party) {
		return "", record.Refuse(record.CodeNotAuthorised, "%s is not of this node", party)
	}
	return party, nil
}

// service returns a service and, where the caller may act for it, its owner.
func (d *Desk) service(st *store.State, id string) (*rules.Service, error) {
	if !record.ValidID(id) {
		return nil, record.Refuse(record.CodeServiceUnknown, "")
	}
	s, err := rules.Load[rules.Service](st, rules.KeyService(id))
	if err == nil && s == nil {
		err = record.Refuse(record.CodeServiceUnknown, "%s", id)
	}
	return s, err
}

// ownService is service where this node must keep the owner's key.
func (d *Desk) ownService(st *store.State, c Call, id string) (*rules.Service, error) {
	s, err := d.service(st, id)
	if err != nil {
		return nil, err
	}
	if !d.mine(s.Owner) || c.As != "" && c.As != s.Owner {
		return nil, record.Refuse(record.CodeServiceOwner, "service %s belongs to %s", s.ID, s.Owner)
	}
	return s, nil
}

// forService is where calls for an own service begin: the newest final state, and
// the service in it.
func (d *Desk) forService(c Call, id string) (*store.State, *rules.Service, error) {
	st, err := d.state()
	if err != nil {
		return nil, nil, err
	}
	s, err := d.ownService(st, c, id)
	return st, s, err
}

// forPerson is where calls about a person begin: the newest final state, and what is
// held of the person, in use until release.
func (d *Desk) forPerson(ref Ref) (st *store.State, q *person, release func(), err error) {
	if st, err = d.state(); err != nil {
		return nil, nil, nil, err
	}
	q, release, err = d.use(ref)
	return st, q, release, err
}

func (d *Desk) party(st *store.State, id string) (*rules.Party, error) {
	if !record.ValidID(id) {
		return nil, nil
	}
	return rules.Load[rules.Party](st, rules.KeyParty(id))
}

// here returns a party and whether it takes part now: it and its host have not
// left.
func (d *Desk) here(st *store.State, id string) (*rules.Party, bool, error) {
	p, err := d.party(st, id)
	if err != nil || p == nil {
		return nil, false, err
	}
	there, err := rules.Here(st, p)
	return p, there, err
}

// hostOf returns the member at whose node a party is reached.
func (d *Desk) hostOf(st *store.State, id string) (string, error) {
	p, err := d.party(st, id)
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", record.Refuse(record.CodePartyUnknown, "%s", id)
	}
	return p.Host, nil
}

func newID() record.ID {
	var id record.ID
	rand.Read(id[:])
	return id
}

func codeOf(err error) record.Code {
	var r *record.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}
