package rules

import (
	"slices"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// rule judges one record whose form and signatures are right, and writes its
// effect.
func (b *batch) rule(rec *record.Record, leaf record.Digest) error {
	switch body := rec.Body.(type) {
	case *record.Party:
		return b.party(rec.Issuer, body)
	case *record.KeyChange:
		return b.keyChange(rec.Issuer, body)
	case *record.Service:
		return b.service(rec.Issuer, body)
	case *record.Terms:
		return b.terms(rec.Issuer, body)
	case *record.Consent:
		return b.consent(rec.Issuer, body, leaf)
	case *record.Revocation:
		return b.revocation(body, leaf)
	case *record.Stop:
		return b.stop(body, leaf)
	case *record.HandleOpen:
		return b.handleOpen(rec.Issuer, body, leaf)
	case *record.HandleMove:
		return b.handleMove(body, leaf)
	case *record.HandleClose:
		return b.handleClose(rec.Issuer, body, leaf)
	case *record.Provision:
		return b.provision(rec, body, leaf)
	case *record.Received:
		return b.received(rec.Issuer, body, leaf)
	case *record.Undelivered:
		return b.undelivered(rec.Issuer, body, leaf)
	case *record.OptOut:
		return b.optOut(rec, body, leaf)
	case *record.Filing:
		return b.filing(rec.Issuer, body)
	case *record.Exception:
		return b.exception(rec.Issuer, body, leaf)
	case *record.Denial:
		return b.denial(rec.Issuer, body, leaf)
	case *record.Erasure:
		return b.erasure(rec, body)
	case *record.Attestation:
		return b.attestation(rec.Issuer, body)
	case *record.Custodian:
		return b.custodian(rec.Issuer, body)
	case *record.CustodianLost:
		return b.custodianLost(rec.Issuer, body)
	case *record.SensorApprove:
		return b.sensorApprove(rec.Issuer, body)
	case *record.SensorRetire:
		return b.sensorRetire(rec.Issuer, body)
	case *record.Tree:
		return b.tree(rec, body, leaf)
	case *record.TreeAdvance:
		return b.treeAdvance(rec.Issuer, body)
	case *record.MemberChange:
		return b.member(body)
	case *record.Vote:
		return b.vote(rec.ID, body)
	case *record.Tick:
		return nil
	}
	return record.Refuse(record.CodeGovernance, "kind %v", rec.Kind)
}

// party: a member admits or ends a party that it hosts.
func (b *batch) party(issuer string, body *record.Party) error {
	host, err := need[Party](b.tx, KeyParty(issuer), record.CodeSubmissionIssuer)
	if err != nil {
		return err
	}
	if !host.Member || !host.Active() {
		return record.Refuse(record.CodeNotAuthorised, "only a member hosts parties")
	}
	p, err := load[Party](b.tx, KeyParty(body.ID))
	if err != nil {
		return err
	}
	orphan, err := b.orphan(p)
	if err != nil {
		return err
	}
	switch {
	case body.Leave && (p == nil || p.Member || !p.Active()):
		return record.Refuse(record.CodePartyUnknown, "%s", body.ID)
	case p != nil && (p.Member || p.Host != issuer) && (body.Leave || !orphan):
		return record.Refuse(record.CodeNotAuthorised, "%s is not hosted by %s", body.ID, issuer)
	case !body.Leave && p != nil && p.Active() && !orphan:
		return record.Refuse(record.CodePartyExists, "%s", body.ID)
	case orphan && body.Key != p.Key:
		return record.Refuse(record.CodeNotAuthorised, "the host of %s has left: another admits it with the key that it has", body.ID)
	}
	if s, err := b.get(KeyService(body.ID)); err != nil {
		return err
	} else if s != nil {
		return record.Refuse(record.CodeDuplicate, "%s names a service", body.ID)
	}
	if body.Leave {
		p.Left = b.height
		b.save(KeyParty(p.ID), p)
		return nil
	}
	if err := b.list(body.ID, func(d *Directory) *[]string { return &d.Parties }); err != nil {
		return err
	}
	b.save(KeyParty(body.ID), &Party{ID: body.ID, Host: issuer, Key: body.Key, Joined: b.height,
		Categories: body.Categories, Name: body.Name, Regime: body.Regime, Country: body.Country})
	return nil
}

// orphan reports whether a party's host has left. Another member may admit it, with
// the key that it has: nobody then acts for it who could not before.
func (b *batch) orphan(p *Party) (bool, error) {
	if p == nil || p.Member {
		return false, nil
	}
	host, err := load[Party](b.tx, KeyParty(p.Host))
	return err == nil && (host == nil || !host.Active()), err
}

// list adds an id to one of the directory's lists.
func (b *batch) list(id string, of func(*Directory) *[]string) error {
	d, err := load[Directory](b.tx, KeyDirectory)
	if err != nil {
		return err
	}
	ids := of(d)
	i, there := slices.BinarySearch(*ids, id)
	if !there && len(*ids) >= record.MaxDirectory {
		return record.Refuse(record.CodeRecordOversize, "the consortium has %d of them", len(*ids))
	}
	if !there {
		*ids = slices.Insert(*ids, i, id)
		b.save(KeyDirectory, d)
	}
	return nil
}

// keyChange: a party replaces its own key. A member's takes the votes of the
// others (member): it signs headers, and evidence names it.
func (b *batch) keyChange(issuer string, body *record.KeyChange) error {
	p, err := need[Party](b.tx, KeyParty(issuer), record.CodeSubmissionIssuer)
	if err != nil {
		return err
	}
	if p.Member { // k members say who signs headers and votes
		return record.Refuse(record.CodeKeyMember, "%s is a member", issuer)
	}
	if err := b.freeKey(body.Key); err != nil {
		return err
	}
	b.retire(p.Key, issuer)
	p.Key = body.Key
	b.save(KeyParty(issuer), p)
	return nil
}

func (b *batch) service(issuer string, body *record.Service) error {
	s, err := load[Service](b.tx, KeyService(body.ID))
	if err != nil {
		return err
	}
	if p, err := b.get(KeyParty(body.ID)); err != nil {
		return err
	} else if s != nil || p != nil {
		return record.Refuse(record.CodeDuplicate, "%s names a service or a party", body.ID)
	}
	if err := b.knownItems(body.Fields); err != nil {
		return err
	}
	if err := b.list(body.ID, func(d *Directory) *[]string { return &d.Services }); err != nil {
		return err
	}
	b.save(KeyService(body.ID), &Service{ID: body.ID, Owner: issuer, Name: body.Name, Contact: body.Contact,
		Clauses: body.Clauses, Fields: body.Fields, SelfOnly: body.SelfOnly})
	return nil
}

// knownItems wants every item in the vocabulary.
func (b *batch) knownItems(items []string) error {
	for _, it := range items {
		if _, err := need[record.Attribute](b.tx, KeyAttribute(it), record.CodeItemUnknown); err != nil {
			return err
		}
	}
	return nil
}

// terms: the owner of a service publishes a version (002-10, 002-11: with the
// clauses that the service needs).
func (b *batch) terms(issuer string, body *record.Terms) error {
	screen, err := body.Decode()
	if err != nil {
		return err
	}
	s, err := need[Service](b.tx, KeyService(screen.Service), record.CodeServiceUnknown)
	if err != nil {
		return err
	}
	if s.Owner != issuer {
		return record.Refuse(record.CodeServiceOwner, "service %s belongs to %s", s.ID, s.Owner)
	}
	for _, c := range s.Clauses {
		if !slices.Contains(screen.Clauses, c) {
			return record.Refuse(record.CodeClauseMissing, "%s", c)
		}
	}
	hash := body.Hash()
	known, err := load[Terms](b.tx, KeyTerms(hash))
	if err != nil {
		return err
	}
	if known != nil || slices.ContainsFunc(s.Terms, func(o TermsOrigin) bool { return o.Version == screen.Version }) {
		return record.Refuse(record.CodeDuplicate, "version %s of %s", screen.Version, s.ID)
	}
	if len(s.Terms) >= 1024 {
		return record.Refuse(record.CodeRecordOversize, "more than 1024 versions of terms")
	}
	for i := range screen.Scopes {
		sc := &screen.Scopes[i]
		if _, err := need[record.Purpose](b.tx, KeyPurpose(sc.Purpose), record.CodePurposeNotOnScreen); err != nil {
			return err
		}
		if err := b.knownItems(append(slices.Clone(sc.Required), sc.Optional...)); err != nil {
			return err
		}
	}
	s.Terms = append(s.Terms, TermsOrigin{Hash: hash, EffectiveMs: screen.EffectiveMs, Version: screen.Version})
	b.save(KeyService(s.ID), s)
	b.save(KeyTerms(hash), &Terms{Service: s.ID, Number: uint32(len(s.Terms)), EffectiveMs: screen.EffectiveMs,
		Scopes: screen.Scopes, Height: b.height})
	return nil
}

// vote: more than half of the members set parameters (002-02). It counts once:
// its signatures are public, and would bring old values back.
func (b *batch) vote(id record.ID, body *record.Vote) error {
	if len(body.Votes)*2 <= len(b.policy.Members) {
		return record.Refuse(record.CodeVotesMissing, "%d of %d members", len(body.Votes), len(b.policy.Members))
	}
	if old, err := b.get(KeyVote(id)); err != nil {
		return err
	} else if old != nil {
		return record.Refuse(record.CodeRecordDuplicate, "the vote was counted before")
	}
	for _, p := range body.Sets {
		if _, err := need[Value](b.tx, KeyParameter(p.Name), record.CodeParameterUnknown); err != nil {
			return err
		}
	}
	for _, p := range body.Sets {
		b.save(KeyParameter(p.Name), &Value{p.Value})
	}
	b.save(KeyVote(id), &Vote{Height: b.height})
	return nil
}

func (b *batch) parameter(name string) (string, error) {
	v, err := need[Value](b.tx, KeyParameter(name), record.CodeParameterUnknown)
	if err != nil {
		return "", err
	}
	return v.V, nil
}

// HandleState reads a handle through any view, nil where it is not open.
func HandleState(v View, h sign.PublicKey) (*Handle, error) { return Load[Handle](v, KeyHandle(h)) }
