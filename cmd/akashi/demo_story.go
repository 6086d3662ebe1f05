package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/simulations/scenarios"
)

// playbill shows the steps of a story as they are played, and collects what
// people keep.
type playbill struct {
	*production
	kept []string // files of receipts
	errs []error  // receipts that could not be had, or do not verify
}

func newPlaybill(d *production) *playbill { return &playbill{production: d} }

// Widths of columns.
const (
	whenWidth  = 16
	whoWidth   = 6
	jaWidth    = 22
	enWidth    = 16
	leastAside = 104 // below it, action and answer stand on two lines
)

// show prints one step.
func (p *playbill) show(x *scenarios.Played) {
	s, step := p.s, x.Step
	action, _ := scenarios.LookUp(scenarios.Actions, step.Action)
	mark := s.tick(x.Fault == "")
	if x.Skipped != "" {
		mark = s.paint(faint, "·")
	}
	head := fmt.Sprintf("%s  %s  %s", step.When.Format("2006-01-02 15:04"), pad(step.ID, 3), cell(who(step.By), whoWidth))
	faded := func(text string) string {
		if x.Skipped != "" {
			return s.paint(faint, text)
		}
		return text
	}
	if s.width >= leastAside {
		what := cell(action.JA, jaWidth) + " " + cell(step.Action, enWidth)
		room := s.width - 2 - 2 - whenWidth - 2 - 3 - 2 - whoWidth - 2 - jaWidth - 1 - enWidth - 2
		s.line("  %s %s  %s  %s", mark, faded(head), faded(what), p.fit(p.answer(x), room))
	} else {
		s.line("  %s %s  %s", mark, faded(head), faded(cut(action.JA, s.width-columns(head)-6)))
		s.line("      %s  %s", faded(step.Action), p.fit(p.answer(x), s.width-8-len(step.Action)))
	}
	if x.Fault != "" {
		s.wrapped("      ", s.paint(red, x.Fault))
	}
}

// An answer is what the system said, and its colour.
type answer struct {
	text string
	ink  ink
}

func (p *playbill) answer(x *scenarios.Played) answer {
	switch {
	case strings.HasPrefix(x.Skipped, scenarios.NotHere):
		return answer{"— この版にない  " + x.Skipped, faint}
	case x.Skipped != "":
		return answer{"— 前の場面に続くので飛ばした  " + x.Skipped, faint}
	case !x.Got.Accepted():
		code, _ := scenarios.LookUp(scenarios.Reasons, x.Got.Reasons[0])
		return answer{fmt.Sprintf("refused %s %s", strings.Join(x.Got.Reasons, ", "), code.JA), yellow}
	case len(x.Got.Alarms) > 0:
		code, _ := scenarios.LookUp(scenarios.Alarms, x.Got.Alarms[0])
		return answer{fmt.Sprintf("accepted, alarm %s %s", strings.Join(x.Got.Alarms, ", "), code.JA), yellow}
	case x.Got.Value != nil:
		return answer{fmt.Sprintf("answer %v", x.Got.Value), ""}
	}
	return answer{"accepted 受け付け", ""}
}

func (p *playbill) fit(a answer, room int) string {
	text := cut(a.text, max(room, 20))
	if a.ink == "" {
		return text
	}
	return p.s.paint(a.ink, text)
}

func who(a scenarios.Actor) string { return a.Member + a.Person + a.Staff }

// receipts fetches what the person of a step keeps, with the person's own token,
// and leaves it in DIR/receipts.
func (p *playbill) receipts(ctx context.Context, x *scenarios.Played) {
	if x.Person == "" {
		return
	}
	for i, r := range x.Records {
		if !receiptKinds[r.Kind] || r.Code != "" {
			continue
		}
		name := x.Step.ID + "-" + strings.ReplaceAll(r.Kind, ".", "-")
		if len(x.Records) > 1 {
			name += fmt.Sprintf("-%d", i+1)
		}
		b, err := p.receipt(ctx, x, r.ID, r.Kind != "provision.received")
		if b != nil {
			err = errors.Join(err, p.keep(name, b))
		}
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("receipt of %s: %w", name, err))
		}
	}
}

// receipt asks where the record was made, with the person's own token. A
// recipient that does not know the person by this name does not show it; the
// person's own members do.
func (p *playbill) receipt(ctx context.Context, x *scenarios.Played, id string, status bool) (b []byte, err error) {
	members := []int{p.stage.member(x.By)}
	token := p.tokens["subject:"+x.Person]
	if !status { // the recipient's own record: the recipient shows it
		token = p.tokens["app"]
	}
	for i := range p.cast.Members {
		if i != members[0] {
			members = append(members, i)
		}
	}
	for _, i := range members {
		var c *client.Client
		if c, err = p.fleet.client(i, token); err != nil {
			return nil, err
		}
		var f *client.File
		f, err = c.Receipt(ctx, id, status)
		if code := client.CodeOf(err); code == record.CodeNotAuthorised || code == custody.CodePersonUnknown {
			continue
		}
		if f != nil {
			b = f.Bytes
		}
		return b, err
	}
	return nil, err
}

// receiptKinds are the kinds of records of which a person gets a receipt.
var receiptKinds = map[string]bool{"consent": true, "revocation": true, "stop": true, "provision": true, "provision.received": true}

// keep writes a file to DIR/receipts.
func (p *playbill) keep(name string, b []byte) error {
	file := filepath.Join(p.dir, "receipts", name+".akashi.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	p.kept = append(p.kept, file)
	return os.WriteFile(file, b, 0o600)
}

// verifyAll checks every receipt twice: with this ledger's verifier and, for what
// makes the record final, with torchwood's, which shares no code with it.
func (p *playbill) verifyAll(ctx context.Context) error {
	policies, err := readPolicies([]string{policyFile(p.dir)})
	if err != nil {
		return err
	}
	c := p.stage.clients[0]
	for _, file := range p.kept {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var proven struct {
			Leaf  []byte `json:"leaf"`
			Proof string `json:"proof"`
		}
		err = json.Unmarshal(b, &proven)
		if err == nil {
			err = c.VerifyProof(proven.Leaf, proven.Proof)
		}
		if err == nil {
			_, err = receipt.Verify(b, policies...)
		}
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("%s: %w", filepath.Base(file), err))
		}
	}
	for _, err := range p.errs {
		p.s.wrapped("    ", p.s.paint(red, err.Error()))
	}
	p.promised(len(p.errs) == 0 && len(p.kept) > 0, fmt.Sprintf("控え%d枚を、二つの別々の実装で確かめた", len(p.kept)),
		fmt.Sprintf("%d receipts verify with two implementations (this one and torchwood's)", len(p.kept)))
	return ctx.Err()
}

// protagonist is the first person who consents in the story as it was played and
// whose data is still there, with the consent and its service.
func (d *production) protagonist(ctx context.Context) (*scenarios.GiveConsent, *scenarios.Service) {
	for _, x := range d.report.Steps {
		params, err := x.Step.Decode()
		c, ok := params.(*scenarios.GiveConsent)
		if err != nil || !ok || x.Skipped != "" || !x.Got.Accepted() {
			continue
		}
		service := d.story.Service(c.Service)
		if _, err := d.stage.As(service.Member).Person(ctx, custody.Ref(c.Person)); err == nil {
			return c, service
		}
	}
	return nil, nil
}
