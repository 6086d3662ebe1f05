package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
)

// collect has the person's handle opened, since nobody consented, and collects.
func (m *moved) collect(ctx context.Context) error {
	p, org := m.params.(*Collect), m.actor()
	service, _ := m.heldUnder(org, p.Person)
	if err := m.openFor(ctx, service, p.Person); err != nil {
		return err
	}
	r := custody.Collection{Person: custody.Ref(p.Person), Service: service, Purpose: p.Purpose, Items: map[string]string{}, Reason: said(p.Reason),
		Sensor: p.Sensor, Site: p.Site, Staff: m.p.Step.By.Staff}
	if p.Retention != nil {
		r.Retention = p.Retention.String()
	}
	for _, item := range p.Items {
		r.Items[item] = m.Value(m.Person(p.Person), item)
	}
	from := m.named(p.RegisteredFrom)
	if from != nil {
		r.From = from.id
	}
	v, err := m.at(org).Collect(ctx, r)
	if err != nil {
		return byItself(err, from)
	}
	m.p.Person = p.Person
	m.made = &asMade{id: v.ID, person: p.Person, service: service, org: org, items: p.Items}
	return nil
}

// byItself is the answer about a dataset that no step erased: its node destroyed it
// when it was due, before anybody asked, and the story says so in other words.
func byItself(err error, d *asMade) error {
	if client.CodeOf(err) == record.CodeErased && d != nil && !d.erased {
		return &client.Problem{Status: http.StatusGone, Code: custody.CodeRetention}
	}
	return err
}

// look asks at the organisation that holds the dataset, whoever looks.
func (m *moved) look(ctx context.Context) error {
	p := m.params.(*View)
	d := m.named(p.Dataset)
	v, err := m.at(d.org).Dataset(ctx, d.id, custody.Reader{Purpose: p.Purpose, Site: p.Site, Staff: m.p.Step.By.Staff})
	if err != nil {
		return byItself(err, d)
	}
	if len(v.Items) != len(d.items) {
		return fmt.Errorf("%d items are shown, %d were collected", len(v.Items), len(d.items))
	}
	for _, it := range v.Items {
		if it.Value != m.Value(m.Person(d.person), it.Code) {
			return fmt.Errorf("%s is shown otherwise than it was collected", it.Code)
		}
	}
	return nil
}

// eraseDataset erases, or finds that the node has done so by itself.
func (m *moved) eraseDataset(ctx context.Context) error {
	d := m.named(m.params.(*Erase).Dataset)
	done, err := m.at(d.org).EraseDataset(ctx, d.id)
	if client.CodeOf(err) == record.CodeErased && !d.erased {
		d.erased = true
		return nil
	}
	if err != nil {
		return err
	}
	d.erased = true
	m.p.Records, m.p.Person = done.Records, d.person
	m.made = &asMade{id: done.Erasure.ID, person: d.person}
	return nil
}

func (m *moved) placeHold(ctx context.Context) error {
	p := m.params.(*PlaceHold)
	d := m.named(p.Dataset)
	r := custody.HoldRequest{Person: custody.Ref(d.person), Kind: custody.HoldDisclosure, Datasets: []string{d.id}, Reason: "開示の請求", Until: p.Until}
	if rq := m.named(p.Request); rq != nil {
		r.Request = rq.id
	}
	_, err := m.at(d.org).PlaceHold(ctx, r)
	return byItself(err, d)
}

// rightsRequest asks where data about the person was collected.
func (m *moved) rightsRequest(ctx context.Context) error {
	p := m.params.(*RightsRequest)
	i := slices.IndexFunc(m.played, collectedOf(p.Person))
	d := m.named(m.played[i].As)
	v, err := m.at(d.org).FileRight(ctx, custody.Ref(p.Person), rest.RightForm{Kind: custody.RightDisclosure, Service: d.service, Items: ascending(p.Items)})
	if err != nil {
		return err
	}
	m.p.Person = p.Person
	m.made = &asMade{id: v.ID, person: p.Person, service: d.service, org: d.org}
	return nil
}

// collectedOf finds steps that collected data about a person.
func collectedOf(person string) func(*Step) bool {
	return func(s *Step) bool {
		params, err := s.Decode()
		c, ok := params.(*Collect)
		return err == nil && ok && c.Person == person && s.As != "" && !s.Expect.Refused()
	}
}

func (m *moved) rightsAnswer(ctx context.Context) error {
	p := m.params.(*RightsAnswer)
	rq := m.named(p.Request)
	f := rest.AnswerForm{State: map[string]string{"fulfilled": custody.RightDone}[p.Outcome]}
	if p.IdentityVerified {
		f.Identity = said(p.Method)
		if f.Identity == "" { // the story says that, not how
			f.Identity = "本人と確かめた"
		}
	}
	_, err := m.at(rq.org).AnswerRight(ctx, rq.id, f)
	return err
}

func (m *moved) assignManager(ctx context.Context) error {
	p := m.params.(*AssignManager)
	_, err := m.at(m.actor()).AssignManager(ctx, p.Site, rest.ManagerForm{Staff: p.Staff, Replaces: p.Replaces})
	return err
}

func (m *moved) rotateCredential(ctx context.Context) error {
	_, err := m.at(m.actor()).RotateCredential(ctx, m.params.(*RotateCredential).Staff)
	return err
}

func (m *moved) staffLeave(ctx context.Context) error {
	_, err := m.at(m.actor()).StaffLeave(ctx, m.params.(*StaffLeave).Staff)
	return err
}

func (m *moved) postSign(ctx context.Context) error {
	p := m.params.(*PostSign)
	_, err := m.at(m.actor()).PostSign(ctx, p.Sensor, custody.Sign{Photo: p.Photo, SaysFaceRecognition: p.SaysFaceRecognition == nil || *p.SaysFaceRecognition})
	return err
}

// unplayableData is unplayable for steps about data with a deadline.
func (r *runner) unplayableData(step *Step, params any) string {
	switch p := params.(type) {
	case *Collect:
		if p.Person == "" || p.Consent != "" {
			return "collecting under a consent, or about nobody"
		}
	case *View:
		if p.Dataset == "" {
			return "looking at what is no dataset"
		}
	case *Erase:
		if p.Dataset == "" {
			return "erasing without a dataset"
		}
	case *AssignManager:
		if m := r.StaffMember(p.Staff); m == nil || m.Member != step.By.Member {
			return "staff of another organisation"
		}
	case *RightsRequest:
		if p.Kind != "disclosure" || !slices.ContainsFunc(r.played, collectedOf(p.Person)) {
			return "requests about what is no dataset"
		}
	case *RightsAnswer:
		if p.Outcome != "fulfilled" {
			return "answers that refuse"
		}
	}
	return ""
}
