package rest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/custody"
)

// desk remembers the last call and answers what it is told to.
type desk struct {
	c     *ledgertest.Consortium
	mu    sync.Mutex
	what  string
	call  custody.Call
	asked any
	err   error
	open  map[uint64]custody.RecordOpening
	who   []string
}

func (d *desk) note(what string, c custody.Call, asked any) (*custody.Done, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.what, d.call, d.asked = what, c, asked
	if d.err != nil {
		return nil, d.err
	}
	return &custody.Done{Key: c.Key, Final: !c.Committed, Records: []custody.Posted{{ID: strings.Repeat("ab", 16), Kind: what, Index: 1}}}, nil
}

func (d *desk) Register(_ context.Context, c custody.Call, r custody.Registration) (*custody.Done, error) {
	return d.note("register", c, r)
}

func (d *desk) PutItems(_ context.Context, c custody.Call, ref custody.Ref, service string, items map[string]string) error {
	_, err := d.note("items", c, fmt.Sprint(ref, service, len(items)))
	return err
}

func (d *desk) Export(_ context.Context, ref custody.Ref, recipient string) ([]byte, error) {
	_, err := d.note("export", custody.Call{}, string(ref)+" "+recipient)
	return []byte("for " + recipient), err
}

func (d *desk) Disclose(_ context.Context, ref custody.Ref) (*custody.Disclosure, error) {
	if _, err := d.note("disclose", custody.Call{}, ref); err != nil {
		return nil, err
	}
	return &custody.Disclosure{Person: ref, Classes: []custody.HeldClass{}}, nil
}

func (d *desk) Secret(_ context.Context, ref custody.Ref) (sign.Secret, error) {
	_, err := d.note("secret", custody.Call{}, ref)
	return d.c.Person(string(ref)), err
}

func (d *desk) Consent(_ context.Context, c custody.Call, r custody.ConsentRequest) (*custody.Done, error) {
	return d.note("consent", c, r)
}

func (d *desk) Decline(_ context.Context, c custody.Call, r custody.DeclineRequest) (*custody.Done, error) {
	return d.note("decline", c, r)
}

func (d *desk) Withdraw(_ context.Context, c custody.Call, r custody.WithdrawRequest) (*custody.Done, error) {
	return d.note("withdraw", c, r)
}

func (d *desk) Consents(_ context.Context, ref custody.Ref) ([]custody.ConsentView, error) {
	_, err := d.note("consents", custody.Call{}, ref)
	return nil, err
}

func (d *desk) Provide(_ context.Context, c custody.Call, r custody.ProvideRequest) (*custody.Done, error) {
	return d.note("provide", c, r)
}

func (d *desk) ProvideOptOut(_ context.Context, c custody.Call, r custody.OptOutRequest) (*custody.Done, error) {
	return d.note("provide-optout", c, r)
}

func (d *desk) AskException(_ context.Context, c custody.Call, r custody.ExceptionRequest) (*custody.ExceptionView, error) {
	if _, err := d.note("ask-exception", c, r); err != nil {
		return nil, err
	}
	return &custody.ExceptionView{ID: strings.Repeat("ef", 16), State: "asked", Items: r.Items, Statement: []byte{1}}, nil
}

func (d *desk) Exceptions(context.Context) ([]custody.ExceptionView, error) {
	_, err := d.note("exceptions", custody.Call{}, nil)
	return nil, err
}

func (d *desk) Exception(_ context.Context, c custody.Call, id string) (*custody.ExceptionView, error) {
	if _, err := d.note("exception", c, id); err != nil {
		return nil, err
	}
	return &custody.ExceptionView{ID: id, Items: []string{}, Statement: []byte{1}}, nil
}

func (d *desk) ApproveException(_ context.Context, c custody.Call, id string, signature []byte) (*custody.Done, error) {
	return d.note("approve-exception", c, len(signature))
}

func (d *desk) ExceptionItems(_ context.Context, c custody.Call, id string) (map[string]string, error) {
	_, err := d.note("exception-items", c, id)
	return map[string]string{"name": "n"}, err
}

func (d *desk) Receive(_ context.Context, c custody.Call, r custody.ReceiveRequest) (*custody.Done, error) {
	return d.note("receive", c, r)
}

func (d *desk) Undeliver(_ context.Context, c custody.Call, intent string, reason record.Code) (*custody.Done, error) {
	return d.note("undeliver", c, reason)
}

func (d *desk) ApproveOnward(_ context.Context, c custody.Call, intent, to string) error {
	_, err := d.note("onward", c, to)
	return err
}

func (d *desk) Events(_ context.Context, ref custody.Ref) ([]custody.Event, error) {
	_, err := d.note("events", custody.Call{}, ref)
	return nil, err
}

// Handles are those of a person of the model towards every service and party.
func (d *desk) Handles(_ context.Context, ref custody.Ref) ([]custody.HandleOf, error) {
	dir := d.directory()
	var out []custody.HandleOf
	for _, id := range dir {
		for g := uint64(0); ; g++ {
			h := d.c.Person(string(ref)).Handle(id, g).Public()
			open := d.c.State(h) != nil
			out = append(out, custody.HandleOf{For: id, Generation: g, Key: h, Open: open})
			if !open {
				break
			}
		}
	}
	return out, nil
}

func (d *desk) OpeningsAt(_ context.Context, who string, indexes []uint64) (map[uint64]custody.RecordOpening, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.who = append(d.who, who)
	out := map[uint64]custody.RecordOpening{}
	for _, i := range indexes {
		if o, ok := d.open[i]; ok {
			out[i] = o
		}
	}
	return out, d.err
}

func (d *desk) Openings(_ context.Context, who string, from, to uint64) iter.Seq2[custody.RecordOpening, error] {
	d.mu.Lock()
	d.who = append(d.who, who)
	open := maps.Clone(d.open)
	err := d.err
	d.mu.Unlock()
	return func(yield func(custody.RecordOpening, error) bool) {
		if err != nil {
			yield(custody.RecordOpening{}, err)
			return
		}
		for i := from; i < to; i++ {
			if o, ok := open[i]; ok && !yield(o, nil) {
				return
			}
		}
	}
}

func (d *desk) AssignManager(_ context.Context, c custody.Call, site, staff, replaces string) error {
	_, err := d.note("assign-manager", c, site+" "+staff+" "+replaces)
	return err
}

func (d *desk) RotateCredential(_ context.Context, c custody.Call, staff string) error {
	_, err := d.note("rotate-credential", c, staff)
	return err
}

func (d *desk) StaffLeave(_ context.Context, c custody.Call, staff string) error {
	_, err := d.note("staff-leave", c, staff)
	return err
}

func (d *desk) PostSign(_ context.Context, c custody.Call, sensor string, s custody.Sign) error {
	_, err := d.note("sign", c, sensor+" "+s.Photo)
	return err
}

func (d *desk) CommitReadings(_ context.Context, c custody.Call, readings []custody.Reading) (*custody.CommittedReadings, error) {
	done, err := d.note("readings", c, readings)
	return &custody.CommittedReadings{Done: done, Tree: 1 << 60, Size: uint64(len(readings))}, err
}

func (d *desk) ProveReading(_ context.Context, c custody.Call, site string, index uint64) (*custody.ReadingProof, error) {
	if _, err := d.note("prove", c, []any{site, index}); err != nil {
		return nil, err
	}
	return &custody.ReadingProof{Tree: 7, Index: index, Leaf: []byte{1}, Opening: &record.Opening{}, Size: 1, LogAt: 0}, nil
}

func (d *desk) directory() []string {
	dir := ledgertest.Value[rules.Directory](d.c, rules.KeyDirectory)
	return append(append([]string{}, dir.Services...), dir.Parties...)
}
