package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
)

// vocabulary is what a consortium's records may speak of: item and purpose
// codes, levels of granularity and parameters.
type vocabulary struct {
	Attributes []struct {
		Code        string   `json:"code"`
		Class       string   `json:"class"`
		Granularity string   `json:"granularity,omitempty"`
		Brackets    []string `json:"brackets,omitempty"`
		Label       words    `json:"label"`
	} `json:"attributes"`
	Purposes []struct {
		Code  string `json:"code"`
		Label words  `json:"label"`
	} `json:"purposes"`
	Levels     []string          `json:"levels,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// words is a text in both languages, as files have it.
type words struct {
	Ja string `json:"ja"`
	En string `json:"en"`
}

func (w words) text() record.Text { return record.Text{Ja: w.Ja, En: w.En} }

//go:embed vocabulary.json
var defaultVocabulary []byte

// readVocabulary reads a vocabulary file, or the built-in one where there is
// none.
func readVocabulary(file string) (*vocabulary, error) {
	b := defaultVocabulary
	if file != "" {
		var err error
		if b, err = os.ReadFile(file); err != nil {
			return nil, wrongUse(fmt.Errorf("vocabulary: %w", err))
		}
	}
	v := new(vocabulary)
	if err := strictJSON(b, v); err != nil {
		return nil, wrongUse(fmt.Errorf("vocabulary %s: %w", file, err))
	}
	return v, nil
}

// strictJSON reads one JSON value without unknown fields.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

// put fills in a founding's vocabulary.
func (v *vocabulary) put(f *record.Founding) {
	for _, a := range v.Attributes {
		f.Attributes = append(f.Attributes, record.Attribute{Code: a.Code, Class: a.Class, Granularity: a.Granularity,
			Brackets: a.Brackets, Label: a.Label.text()})
	}
	for _, p := range v.Purposes {
		f.Purposes = append(f.Purposes, record.Purpose{Code: p.Code, Label: p.Label.text()})
	}
	slices.SortFunc(f.Purposes, func(a, b record.Purpose) int { return strings.Compare(a.Code, b.Code) })
	f.Levels = v.Levels
	for name, value := range v.Parameters {
		f.Parameters = append(f.Parameters, record.Parameter{Name: name, Value: value})
	}
	slices.SortFunc(f.Parameters, func(a, b record.Parameter) int { return strings.Compare(a.Name, b.Name) })
}

// localConsortium founds a consortium on this machine: member i has the data
// directory dir/member-i and three ports from base+10i. The members are in the
// order of their ids.
func localConsortium(dir string, base int, f record.Founding) error {
	log := sign.NewKey()
	f.LogKey = log.Public()
	keys := make([]*node.Keys, len(f.Members))
	for i := range f.Members {
		keys[i] = node.NewKeys(log)
		f.Members[i].Addr = address(base, i, portP2P)
		f.Members[i] = keys[i].MemberOf(f.Members[i], f.Origin)
	}
	if !slices.IsSortedFunc(f.Members, func(a, b record.MemberInfo) int { return strings.Compare(a.ID, b.ID) }) {
		return errors.New("members are not in the order of their ids")
	}
	if f.CreatedMs == 0 {
		f.CreatedMs = uint64(time.Now().UnixMilli())
	}
	sigs := make([]sign.Signature, len(keys))
	for i, k := range keys {
		sigs[i] = k.SignFounding(&f)
	}
	leaf, err := node.GenesisLeaf(&f, sigs)
	if err != nil {
		return err
	}
	for i, k := range keys {
		home := memberDir(dir, i)
		if err := os.MkdirAll(home, 0o700); err != nil {
			return err
		}
		s := node.Settings{Member: f.Members[i].ID, HTTP: address(base, i, portHTTP), GRPC: address(base, i, portGRPC),
			P2P: address(base, i, portP2P), OpenEntries: true, PublicURL: strings.TrimSuffix(browserURL(base, i), "/"),
			Codes: node.CodeSetting{File: codesFile}}
		if err := errors.Join(k.Save(home), s.Save(home), node.SaveGenesis(home, leaf)); err != nil {
			return err
		}
	}
	policy, err := policyOf(leaf)
	if err != nil {
		return err
	}
	return os.WriteFile(policyFile(dir), policy, 0o644)
}

// policyOf derives the consortium and returns its first policy (tlog-policy).
func policyOf(genesis []byte) ([]byte, error) {
	r, err := rules.Found(genesis)
	if err != nil {
		return nil, err
	}
	p, err := rules.Load[rules.Policy](founded(r.Writes), rules.KeyPolicy)
	if err != nil || p == nil {
		return nil, fmt.Errorf("the founding has no policy: %w", err)
	}
	return p.Sign().Format(), nil
}

// founded is the register right after the founding (rules.View).
type founded []register.Write

// Get implements rules.View.
func (f founded) Get(key []byte) ([]byte, error) {
	for _, w := range f {
		if string(w.Key) == string(key) {
			return w.Value, nil
		}
	}
	return nil, nil
}
