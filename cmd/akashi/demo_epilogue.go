package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/simulations/scenarios"
)

// epilogue is what the story does not tell: erasure, a sensor's reading, and an
// audit of files alone.
func (d *production) epilogue(ctx context.Context) error {
	d.s.title("終幕", "Epilogue: not of the story; what its records are good for")
	for _, act := range []func(context.Context) error{d.proveAll, d.erase, d.proveReading, d.auditFiles} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// proveAll asks for the proof that a person's records are all there are.
func (d *production) proveAll(ctx context.Context) error {
	consent, service := d.protagonist(ctx)
	if consent == nil {
		return nil // nobody consents in this story as it was played
	}
	person := consent.Person
	app, err := d.fleet.client(d.stage.member(service.Member), d.tokens["app"])
	if err != nil {
		return err
	}
	secret, err := app.Secret(ctx, custody.Ref(person))
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	me, err := d.fleet.client(d.stage.member(service.Member), d.tokens["subject:"+person])
	if err != nil {
		return err
	}
	f, err := me.Completeness(ctx, custody.Ref(person), &secret)
	if f == nil {
		return err
	}
	events := uint64(0)
	if f.Verdict != nil {
		for _, c := range f.Verdict.Handles {
			events += c.Events
		}
	}
	held := err == nil && events > 0
	if err := errors.Join(d.save(person+"-complete", f.Bytes), d.saveSecret(person, secret)); err != nil {
		return err
	}
	d.promised(held, fmt.Sprintf("%sの記録は%d件。これで全部だと証明した", d.story.Person(person).Name, events),
		fmt.Sprintf("%s's records: %d, and proven to be all there are", person, events))
	return nil
}

// erase destroys the keys of a person's data and looks for the data in copies of
// all data directories, from before and after.
func (d *production) erase(ctx context.Context) error {
	consent, service := d.protagonist(ctx)
	if consent == nil {
		return nil // nobody consents in this story as it was played
	}
	person := consent.Person
	owner := d.stage.member(service.Member)
	other := d.others(person)
	d.guest, d.guestAt = other, owner
	if err := d.register(ctx, service, other); err != nil {
		return fmt.Errorf("register %s: %w", other, err)
	}
	if err := d.hold(ctx, d.stage.As(service.Member), service, person); err != nil {
		return fmt.Errorf("items of %s: %w", person, err)
	}
	before, after := filepath.Join(d.dir, "copies", "before"), filepath.Join(d.dir, "copies", "after")
	defer os.RemoveAll(filepath.Join(d.dir, "copies"))
	w := d.s.wait("全ノードの写しをとる  copy every data directory")
	err := d.copyAll(before)
	w.end()
	if err != nil {
		return err
	}

	erasure, err := d.stage.As(service.Member).Erase(ctx, custody.Ref(person), "request")
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	cert, err := d.attested(ctx, owner, erasure.Records[0].ID)
	if err != nil {
		return err
	}
	if err := d.copyAll(after); err != nil {
		return err
	}
	var holders []string
	for _, h := range cert.Verdict.Erasure.Done {
		holders = append(holders, h.Holder)
	}
	d.promised(len(cert.Verdict.Erasure.Pending) == 0 && len(holders) > 0,
		fmt.Sprintf("%sの鍵を、持っていた%sが消し、署名した", d.story.Person(person).Name, strings.Join(holders, "・")),
		fmt.Sprintf("the keys of %s were destroyed by %s, each with a signature", person, strings.Join(holders, ", ")))
	return d.compare(ctx, copies{before: before, after: after, person: person, other: other, owner: owner, service: service})
}

// register brings another person in, who consents to the screen of the day and
// whose data must stay readable.
func (d *production) register(ctx context.Context, service *scenarios.Service, person string) error {
	c := d.stage.As(service.Member)
	if err := d.hold(ctx, c, service, person); err != nil {
		return err
	}
	view, err := c.Service(ctx, service.ID)
	if err != nil {
		return err
	}
	var now *scenarios.Terms // the newest version in effect
	for _, v := range view.Terms {
		if t := service.Version(v.Version); t != nil && !t.Effective.After(d.stage.now) && (now == nil || t.Effective.After(now.Effective)) {
			now = t
		}
	}
	if now == nil {
		return errors.New("no terms are in effect")
	}
	_, err = c.Consent(ctx, custody.ConsentRequest{Person: custody.Ref(person), Service: service.ID, Version: now.Version,
		Items: append(slices.Clone(now.Items.Required), now.Items.Optional...), Purposes: now.Purposes, Language: "ja", Foreign: true, Sensitive: true})
	return err
}

// hold lets a member hold items of a person, where it does not hold any.
func (d *production) hold(ctx context.Context, c *client.Client, service *scenarios.Service, person string) error {
	ref := custody.Ref(person)
	if held, err := c.Person(ctx, ref); err == nil {
		for _, class := range held.Classes {
			if len(class.Items) > 0 {
				return nil
			}
		}
	}
	of := func(items []string) map[string]string {
		values := map[string]string{}
		for _, item := range items {
			values[item] = d.story.Value(d.story.Person(person), item)
		}
		return values
	}
	_, err := c.Register(ctx, custody.Registration{Person: ref, Service: service.ID, Items: of(service.RegistrationFields), Source: "self"})
	if err == nil && len(service.RegistrationFields) == 0 { // it asks for nothing at registration, and comes to hold items later
		err = c.PutItems(ctx, ref, service.ID, of(service.Terms[0].Items.Required))
	}
	return err
}

func (d *production) copyAll(to string) error {
	for i := range d.cast.Members {
		if err := copyMember(memberDir(d.dir, i), memberDir(to, i)); err != nil {
			return err
		}
	}
	return nil
}

// attested waits until every holder has signed, and keeps the certificate.
func (d *production) attested(ctx context.Context, owner int, id string) (*client.File, error) {
	c := d.stage.clients[owner]
	late := time.Now().Add(20 * time.Second)
	for {
		v, err := c.Erasure(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(v.Pending) == 0 || time.Now().After(late) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	f, err := c.Certificate(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return f, d.save("erasure", f.Bytes)
}

// copies are those of all data directories, from before and after an erasure.
type copies struct {
	before, after string
	person, other string
	owner         int
	service       *scenarios.Service
}

// compare looks for the person in the copies. Each look has a control, so that a
// look that finds nothing because it is blind does not pass.
func (d *production) compare(ctx context.Context, c copies) error {
	who, public := d.story.Person(c.person), c.service.Name.JA
	words := []string{who.Name, who.Email, who.Phone}
	blind, leaked := true, []string{}
	for _, dir := range []string{c.before, c.after} {
		found, err := contains(dir, append(slices.Clone(words), public)...)
		if err != nil {
			return err
		}
		blind = blind && !slices.Contains(found, public)
		leaked = append(leaked, slices.DeleteFunc(found, func(w string) bool { return w == public })...)
	}
	d.promised(len(leaked) == 0 && !blind, fmt.Sprintf("どの写しにも、名前・メール・電話はそのままの形では一度も出てこない（公開の「%s」は見つかる）", public),
		"no copy holds the name, e-mail or phone in clear, ever (control: a public name is found)")

	// Whoever copied everything before the erasure, slot and all, can read: so the
	// look is not blind. The slot is the one thing that no backup holds.
	had, opened := 0, 0
	for i, id := range d.cast.Members {
		if items, err := disclose(ctx, memberDir(c.before, i), d.report.Ref(id, c.person)); err == nil {
			had, opened = had+len(items), opened+1
		}
	}
	readable, err := d.readable(ctx, c)
	if err != nil {
		return err
	}
	for _, r := range readable {
		d.s.wrapped("    ", d.s.paint(red, r))
	}
	d.promised(had > 0 && len(readable) == 0,
		fmt.Sprintf("消す前の写しからは読めた（%d社、%d項目）。鍵が消えた今、前の写しも後の写しも読めない", opened, had),
		fmt.Sprintf("copies from before could be read (%d members, %d items); with the keys gone none can, old or new", opened, had))

	kept, err := disclose(ctx, memberDir(c.after, c.owner), custody.Ref(c.other))
	d.promised(err == nil && len(kept) > 0,
		fmt.Sprintf("ほかの人（%s）のデータは、そのまま読める", d.story.Person(c.other).Name),
		fmt.Sprintf("another person's data (%s) is read as before: %s", c.other, whatIs(kept, err)))
	return nil
}

// readable lists the copies in which the person can still be read, or where the
// look failed for another reason than that the keys are gone: each member's copy
// from after, and its copy from before with the slot as it is now.
func (d *production) readable(ctx context.Context, c copies) (list []string, err error) {
	for i, id := range d.cast.Members {
		ref := d.report.Ref(id, c.person)
		items, err := disclose(ctx, memberDir(c.after, i), ref)
		if !isGone(err) {
			list = append(list, fmt.Sprintf("%s, from after: %s", id, whatIs(items, err)))
		}
		stale := memberDir(c.before, i)
		if err := copyFile(filepath.Join(memberDir(c.after, i), slotFile), filepath.Join(stale, slotFile)); err != nil {
			return nil, err
		}
		if items, err = disclose(ctx, stale, ref); !isGone(err) {
			list = append(list, fmt.Sprintf("%s, from before: %s", id, whatIs(items, err)))
		}
	}
	return list, nil
}

// proveReading proves one reading of a sensor from the value to the checkpoint.
func (d *production) proveReading(ctx context.Context) error {
	i := slices.IndexFunc(d.report.Steps, func(p *scenarios.Played) bool {
		return p.Step.Action == "sensor-commit" && p.Skipped == "" && p.Got.Accepted()
	})
	if i < 0 {
		d.s.pairs(pair{"  · ", "この物語には、記録されたセンサーの値がない", "this story has no committed readings"})
		return nil
	}
	by := d.report.Steps[i].By
	r, err := d.stage.As(by).As(by).Reading(ctx, "", 0)
	if r == nil {
		return fmt.Errorf("reading: %w", err)
	}
	var values []string
	if r.Reading != nil {
		for _, name := range slices.Sorted(maps.Keys(r.Reading.Values)) {
			values = append(values, fmt.Sprintf("%s %v", name, r.Reading.Values[name]))
		}
	}
	value := strings.Join(values, ", ")
	d.promised(err == nil && r.Reading != nil, fmt.Sprintf("センサー%sの値（%s）を、値から確定点まで証明した。%d個のうちの1個", r.Sensor, value, r.Size),
		fmt.Sprintf("a reading of %s (%s), one of %d, proven up to the final checkpoint", r.Sensor, value, r.Size))
	return nil
}

// auditFiles exports the log, audits the files with the openings that members
// disclose, and audits them again with one byte changed.
func (d *production) auditFiles(ctx context.Context) error {
	if err := d.stage.SetTime(ctx, d.stage.now.Add(2*time.Hour)); err != nil { // handles of erased people are closed within an hour
		return err
	}
	w := d.s.wait("台帳を書き出し、最初から確かめる  export and audit")
	report, size, err := d.audit(ctx)
	took := w.end()
	if err != nil {
		return err
	}
	rules := 0
	for _, c := range report.Checks {
		if c.Name == audit.CheckRules {
			rules = c.Holds
		}
	}
	d.promised(report.OK && rules > 0, fmt.Sprintf("書き出したファイルだけから、%d枚の葉と%d件の記録を確かめた。破れなし（%s）", size, rules, seconds(took)),
		fmt.Sprintf("from exported files alone: %d leaves, %d records by every rule, nothing broken (%s)", size, rules, seconds(took)))
	p := report.Provisions
	d.s.pairs(pair{"    ", fmt.Sprintf("提供した項目：開いた%d、双方が証明%d、消去%d、開いていない%d", p.Opened, p.Attested, p.Erased, p.Unopened),
		fmt.Sprintf("items handed over: opened %d, attested by both sides %d, erased %d, unopened %d", p.Opened, p.Attested, p.Erased, p.Unopened)})
	for _, f := range report.Findings {
		d.s.wrapped("    ", d.s.paint(red, fmt.Sprintf("%s leaf %d: %s", f.Code, f.Index, f.Detail.En)))
	}
	return d.tamper(ctx, size)
}

func (d *production) logDir() string { return filepath.Join(d.dir, "log") }

// audit exports the log and the members' openings, and audits both.
func (d *production) audit(ctx context.Context) (*audit.Report, uint64, error) {
	policies, err := readPolicies([]string{policyFile(d.dir)})
	if err != nil {
		return nil, 0, err
	}
	from, err := openLog("http://"+address(d.base, 0, portHTTP), d.tokens["auditor"])
	if err != nil {
		return nil, 0, err
	}
	x := &export{log: &logSource{logFiles: from}, dir: d.logDir(), policies: policies}
	if err := x.run(ctx); err != nil {
		return nil, 0, err
	}
	openings := filepath.Join(d.dir, "openings")
	if err := os.MkdirAll(openings, 0o700); err != nil {
		return nil, 0, err
	}
	for i, id := range d.cast.Members {
		c, err := d.fleet.client(i, d.tokens["auditor"])
		if err != nil {
			return nil, 0, err
		}
		b, err := c.Openings(ctx, 0, x.at.Size)
		if err != nil {
			return nil, 0, fmt.Errorf("openings of %s: %w", id, err)
		}
		if err := os.WriteFile(filepath.Join(openings, id+".ndjson"), b, 0o600); err != nil {
			return nil, 0, err
		}
	}
	r, err := runAudit(ctx, auditOptions{where: d.logDir(), openings: openings, policies: policies})
	return r, x.at.Size, err
}

// tamper changes one byte of one record in a copy of the exported log.
func (d *production) tamper(ctx context.Context, size uint64) error {
	dir := filepath.Join(d.dir, "log-tampered")
	if err := copyTree(d.logDir(), dir); err != nil {
		return err
	}
	index := size / 2
	bundle := index / merkle.TileWidth
	file := filepath.Join(dir, filepath.FromSlash(merkle.EntriesPath(bundle, int(min(size-bundle*merkle.TileWidth, merkle.TileWidth)))))
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	leaves, err := merkle.SplitBundle(b)
	if err != nil {
		return err
	}
	leaf := leaves[index%merkle.TileWidth]
	at := bytes.Index(b, leaf) + len(leaf)/2
	b[at] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	policies, err := readPolicies([]string{policyFile(d.dir)})
	if err != nil {
		return err
	}
	r, err := runAudit(ctx, auditOptions{where: dir, policies: policies})
	if err != nil {
		return err
	}
	named := slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Index == index })
	what := ""
	if len(r.Findings) > 0 {
		what = r.Findings[0].Code
	}
	d.promised(!r.OK && named, fmt.Sprintf("写しの1バイトを変えると、監査は葉%dを名指しする", index),
		fmt.Sprintf("one byte changed in a copy: the audit names leaf %d (%s)", index, what))
	return nil
}

// save writes a file to DIR/receipts.
func (d *production) save(name string, b []byte) error {
	return (&playbill{production: d}).keep(name, b)
}

// saveSecret keeps the person's secret, for akashi verify --secret.
func (d *production) saveSecret(person string, secret sign.Secret) error {
	return os.WriteFile(filepath.Join(d.dir, "receipts", person+".secret"), []byte(fmt.Sprintf("%x\n", secret[:])), 0o600)
}
