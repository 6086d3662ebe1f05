package receipt

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// Standing is what the register says of one handle, and what its events are.
type Standing struct {
	For        string        `json:"for,omitempty"` // service or party; "" of an absent handle alone
	Name       record.Text   `json:"name"`
	Generation uint64        `json:"generation"` // in a completeness proof
	Handle     string        `json:"handle"`     // hex
	Present    bool          `json:"present"`    // false: proven absent, there is no record under it
	State      string        `json:"state,omitempty"`
	Scopes     []ScopeStatus `json:"scopes,omitempty"`
	Events     uint64        `json:"events"`   // all records under the handle
	Consents   uint64        `json:"consents"` // consents, revocations, stops and moves among them
	Head       string        `json:"head,omitempty"`
	Kinds      []string      `json:"kinds,omitempty"` // of the events, in order; absent where only the state is shown
}

// ScopeStatus is the state of one scope.
type ScopeStatus struct {
	Purpose string      `json:"purpose"`
	Label   record.Text `json:"label"`
	Version string      `json:"version"`         // of the terms
	State   string      `json:"state"`           // one of the Status constants
	Until   string      `json:"until,omitempty"` // last valid day in JST, 2006-01-02

	said   string // what the file's words say: State, but for the end of an expiry, which depends on the reader's policy
	expiry uint32
}

// standing derives what a present handle's value says at a time. The facts have
// asked for what the handle is towards.
func (f *facts) standing(key sign.PublicKey, h *rules.Handle, ms uint64) (*Standing, error) {
	s := &Standing{For: h.For, Handle: hex.EncodeToString(key[:]), Present: true, State: stateOfHandle(h),
		Events: h.Events, Consents: h.Consents, Head: hex.EncodeToString(h.EventHead[:])}
	s.Name, _ = f.towardsName()
	for i := range h.Scopes {
		sc, err := f.scopeStatus(h, &h.Scopes[i], ms)
		if err != nil {
			return nil, err
		}
		s.Scopes = append(s.Scopes, *sc)
	}
	return s, nil
}

// scopeStatus names a scope by the terms that the service has under its number.
func (f *facts) scopeStatus(h *rules.Handle, st *rules.ScopeState, ms uint64) (*ScopeStatus, error) {
	if f.service == nil || st.Terms == 0 || int(st.Terms) > len(f.service.Terms) {
		return nil, errors.New("the handle names terms that its service has not")
	}
	origin := &f.service.Terms[st.Terms-1]
	terms, err := must[rules.Terms](f.ask, rules.KeyTerms(origin.Hash))
	if err != nil {
		return nil, err
	}
	if int(st.Scope) >= len(terms.Scopes) {
		return nil, errors.New("the terms have no such scope")
	}
	purpose := terms.Scopes[st.Scope].Purpose
	if err := f.purposeLabel(purpose); err != nil {
		return nil, err
	}
	s := &ScopeStatus{Purpose: purpose, Label: f.purposes[purpose], Version: origin.Version, State: scopeState(h, st, ms), said: scopeState(h, st, 0), expiry: st.Expiry}
	if st.Expiry != 0 {
		s.Until = day(st.Expiry).En
	}
	return s, nil
}

// counted checks a handle's events against its counters and heads, which pin
// their content, order and number.
func (s *Standing) counted(events [][]byte, h *rules.Handle) error {
	if uint64(len(events)) != h.Events {
		return fmt.Errorf("%d events, the register counts %d", len(events), h.Events)
	}
	var all, consents record.Digest
	var n uint64
	s.Kinds = []string{}
	for i, leaf := range events {
		rec, err := record.Parse(leaf)
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		hash := record.Digest(merkle.LeafHash(leaf))
		all = rules.Chain(all, hash)
		switch rec.Kind {
		case record.KindConsent, record.KindRevocation, record.KindStop, record.KindHandleMove:
			n++
			consents = rules.Chain(consents, hash)
		}
		s.Kinds = append(s.Kinds, rec.Kind.String())
	}
	switch {
	case all != h.EventHead:
		return errors.New("the events are not those that the register counts, or not in their order")
	case n != h.Consents || consents != h.ConsentHead:
		return fmt.Errorf("%d consents, the register counts %d", n, h.Consents)
	}
	return nil
}

// human writes a handle: what is on, and how many records there are.
func (s *Standing) human(l *lines) {
	head := text(s.Name.Ja, english(s.Name))
	if s.Generation > 0 {
		head = text(fmt.Sprintf("%s（%d代目の鍵）", head.Ja, s.Generation+1), fmt.Sprintf("%s (key number %d)", head.En, s.Generation+1))
	}
	if s.State != StatusActive {
		w := statusWords[s.State]
		l.add(head.Ja+"："+w.Ja, head.En+": "+w.En)
	}
	for _, sc := range s.Scopes {
		w := statusWords[sc.said]
		ja, en := w.Ja, w.En
		if sc.said == StatusActive && sc.Until != "" {
			d := day(sc.expiry)
			ja, en = ja+"（"+d.Ja+"まで）", en+" (until "+d.En+")"
		}
		l.add(fmt.Sprintf("%s・%s（規約 %s）：%s", head.Ja, sc.Label.Ja, sc.Version, ja),
			fmt.Sprintf("%s, %s (terms %s): %s", head.En, english(sc.Label), sc.Version, en))
	}
	l.add(fmt.Sprintf("%s：記録%d件（うち同意・撤回・停止・鍵の引っ越し%d件）", head.Ja, s.Events, s.Consents),
		fmt.Sprintf("%s: records %d (consents, revocations, stops and moves: %d)", head.En, s.Events, s.Consents))
}
