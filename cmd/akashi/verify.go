package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/spf13/cobra"
)

func verifyCommand(e *env) *cobra.Command {
	var policies []string
	var secretFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "verify FILE... --policy FILE [--policy FILE]",
		Short:   "Check receipts, completeness proofs, erasure certificates and evidence offline",
		GroupID: groupCheck,
		Long: `verify checks files that a person keeps, without any network and without
trusting a single member: receipts with or without a status proof
(akashi-receipt/v1), proofs of one handle's state and records (akashi-handle/v1),
completeness proofs (akashi-completeness/v1), leaves of commitment trees
(akashi-committed/v1), erasure certificates (akashi-erasure/v1), and evidence
against members that a node kept (akashi-evidence/v1): it then says who signed what
contradicts itself.

The policy file (C2SP tlog-policy) says which log it is and whose signatures
count. Take it from somewhere you trust, not from who gave you the receipt. Where
keys of members were replaced, give one for each policy epoch, or the first one
and the policy chain that any member serves at /log/policy/chain: each later
policy is verified from the one before.

It exits 1 when a file is refused and names the part that does not hold.`,
		Example: "  akashi verify consent.akashi.json --policy policy\n  akashi verify consent.akashi.json --policy policy --policy chain.json",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			ps, err := readPolicies(policies)
			if err != nil {
				return err
			}
			var secret *sign.Secret
			if secretFile != "" {
				if secret, err = readSecret(secretFile); err != nil {
					return err
				}
			}
			return verify(e, files, ps, secret, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "policy `FILE` (tlog-policy) or policy chain; may be repeated")
	cmd.Flags().StringVar(&secretFile, "secret", "", "`FILE` with the person's secret (hex, base64, or a node's answer): are a completeness proof's handles all of theirs?")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdicts as JSON, one a line")
	return cmd
}

// readPolicies reads the policies that the user trusts.
func readPolicies(files []string) ([]*sign.Policy, error) {
	if len(files) == 0 {
		return nil, wrongUse(errors.New("no policy was given"),
			"--policy FILE says whose signatures count; a consortium publishes it at /log/policy")
	}
	var out []*sign.Policy
	var chains []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, wrongUse(fmt.Errorf("policy: %w", err))
		}
		if bytes.HasPrefix(b, []byte("{")) {
			if err := isChain(b); err != nil {
				return nil, wrongUse(fmt.Errorf("policy %s: %w", f, err),
					"--policy FILE is what a consortium publishes at /log/policy (text), or at /log/policy/chain")
			}
			chains = append(chains, f)
			continue
		}
		p, err := sign.ParsePolicy(b)
		if err != nil {
			return nil, wrongUse(fmt.Errorf("policy %s: %w", f, err))
		}
		out = append(out, p)
	}
	for _, f := range chains {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, wrongUse(fmt.Errorf("policy: %w", err))
		}
		if out, err = receipt.FollowChain(b, out); err != nil {
			return nil, wrongUse(fmt.Errorf("policy chain %s: %w", f, err),
				"a chain says nothing by itself: give it with a policy that you trust, such as the one of the founding")
		}
	}
	return out, nil
}

// isChain reports why a JSON file is no policy chain, by what it says of itself.
func isChain(b []byte) error {
	var f struct{ Format string }
	switch err := json.Unmarshal(b, &f); {
	case err != nil:
		return errors.New("neither a policy nor a policy chain")
	case f.Format == receipt.FormatChain:
		return nil
	case strings.HasPrefix(f.Format, "akashi-"):
		return fmt.Errorf("a file to check (%s), not a policy", f.Format)
	}
	return errors.New("neither a policy nor a policy chain")
}

func readSecret(file string) (*sign.Secret, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUse(fmt.Errorf("secret: %w", err))
	}
	text := strings.TrimSpace(string(b))
	var answer struct{ Secret string }
	if json.Unmarshal(b, &answer) == nil { // as GET /v1/people/{ref}/secret gives it
		text = answer.Secret
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if raw, err := decode(text); err == nil && len(raw) == len(sign.Secret{}) {
			return (*sign.Secret)(raw), nil
		}
	}
	return nil, wrongUse(fmt.Errorf("secret: %s does not hold %d bytes in hex or base64", file, len(sign.Secret{})))
}

// fileVerdict is one line of --json.
type fileVerdict struct {
	File    string           `json:"file"`
	OK      bool             `json:"ok"`
	Part    string           `json:"part,omitempty"` // that does not hold
	Code    string           `json:"code,omitempty"`
	For     string           `json:"for,omitempty"` // service or party whose handle does not hold
	Error   string           `json:"error,omitempty"`
	Verdict *receipt.Verdict `json:"verdict,omitempty"`
}

func verify(e *env, files []string, policies []*sign.Policy, secret *sign.Secret, asJSON bool) error {
	s, refused := e.screen(), 0
	var hints []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return wrongUse(err)
		}
		v, err := verifyOne(b, policies, secret)
		fv := &fileVerdict{File: name, OK: err == nil, Verdict: v}
		if err != nil {
			refused++
			fv.Error = err.Error()
			var part *receipt.Error
			if errors.As(err, &part) {
				fv.Part, fv.Code, fv.For = part.Part, part.Code(), part.For
			}
			if errors.Is(err, receipt.ErrNotFinal) {
				hints = []string{hintEpoch}
			}
		}
		if asJSON {
			if err := json.NewEncoder(e.stdout).Encode(fv); err != nil {
				return err
			}
			continue
		}
		showVerdict(s, fv)
	}
	switch {
	case refused == 0:
		return nil
	case len(files) == 1:
		return unmet(errors.New("the file is refused"), hints...)
	}
	return unmet(fmt.Errorf("%d of %d files are refused", refused, len(files)), hints...)
}

// hintEpoch is for files that are not final under the policies given: keys may
// have been replaced since.
const hintEpoch = "where keys of members were replaced since that policy, add the policy chain, which any member serves at /log/policy/chain: --policy chain.json"

func verifyOne(b []byte, policies []*sign.Policy, secret *sign.Secret) (*receipt.Verdict, error) {
	if secret != nil {
		return receipt.VerifyComplete(b, *secret, policies...)
	}
	return receipt.Verify(b, policies...)
}

// showVerdict prints what a file proves: what people read, the steps, and what
// was not checked.
func showVerdict(s *screen, f *fileVerdict) {
	s.line("%s", s.paint(bold, f.File))
	v := f.Verdict
	if v != nil && f.OK {
		var human []pair
		for i, ja := range v.Human.Ja {
			human = append(human, pair{"    ", ja, v.Human.En[i]})
		}
		s.pairs(human...)
		if len(human) > 0 {
			s.line("")
		}
	}
	if v != nil {
		var steps []pair
		for _, step := range v.Steps {
			detail := step.Detail
			if !step.OK { // why, the last line says
				detail = record.Text{Ja: "確かめられません", En: "does not hold"}
			}
			steps = append(steps, pair{"  " + s.tick(step.OK) + " " + pad(step.Name, 12) + " ", detail.Ja, detail.En})
		}
		s.pairs(steps...)
	}
	s.line("")
	if !f.OK {
		s.wrapped("  "+s.tick(false)+" ", s.paint(red, "認められません  refused")+"  "+f.Error)
		s.line("")
		return
	}
	showFindings(s, v)
	s.line("  %s %s", s.tick(true), s.paint(green, "確かめました  verified"))
	where := fmt.Sprintf("log %s, %s", v.Origin, counted(v.Size, "leaf", "leaves"))
	if v.FinalMs > 0 { // checkpoints in evidence need not be final
		where += ", final; fresh as of " + moment(v.FinalMs, v.StoryTime) + ", by the k-th newest cosignature"
	}
	s.wrapped("    ", where)
	if v.OwnHandles {
		s.wrapped("    ", "every handle follows from the person's secret")
	}
	var open []pair
	for _, n := range v.NotChecked {
		open = append(open, pair{"    · ", n.Ja, n.En})
	}
	if len(open) > 0 {
		s.line("  %s", s.paint(faint, "確かめていないこと  not checked"))
		s.pairs(open...)
	}
	s.line("")
}

// showFindings prints what a file says beyond its text.
func showFindings(s *screen, v *receipt.Verdict) {
	switch {
	case v.Status != nil:
		s.pairs(pair{"  → ", v.Status.Detail.Ja, v.Status.Detail.En})
	case v.Evidence != nil && len(v.Evidence.Signers) > 0:
		s.pairs(pair{"  → ", "署名した者：" + strings.Join(v.Evidence.Signers, "、"), "signed by " + strings.Join(v.Evidence.Signers, ", ")})
	case v.Evidence != nil:
		s.pairs(pair{"  → ", "だれの誤りかは、これだけでは分かりません", "this alone names nobody"})
	case v.Erasure != nil:
		showErasure(s, v.Erasure, v.StoryTime)
	}
	for _, h := range v.Handles {
		showHandle(s, &h)
	}
}

// showErasure prints what became of each holder's keys, and of each copy at a
// custodian.
func showErasure(s *screen, x *receipt.Erased, story bool) {
	s.wrapped("  → ", fmt.Sprintf("erasure %s (%s) by %s, %s: %s", x.ID, x.Cause, x.Issuer, moment(x.TimeMs, story), counted(x.Numbers, "key", "keys")))
	waits := s.paint(yellow, "まだ答えていません  not answered yet")
	for _, h := range x.Done {
		s.line("    %s  %s", cell(h.Name.Ja, 36), moment(h.TimeMs, story))
	}
	for _, h := range x.Pending {
		s.line("    %s  %s", cell(h.Name.Ja, 36), waits)
	}
	for _, c := range x.Copies {
		said := waits
		switch {
		case c.TimeMs != 0:
			said = moment(c.TimeMs, story)
		case c.Lost == record.LostStolen:
			said = s.paint(red, "盗まれた写し  copies stolen")
		case c.Lost != "":
			said = s.paint(yellow, "失われた写し  copies destroyed, not attested")
		}
		s.line("    %s  %s", cell(c.Name.Ja+"（"+c.MemberName.Ja+"の鍵の写し）", 36), said)
	}
}

// showHandle prints what is proven of one handle: each scope's state, and its
// records in order, or that there are none.
func showHandle(s *screen, h *receipt.Standing) {
	name := h.Name.Ja + "  " + h.Name.En
	if h.Generation > 0 {
		name = fmt.Sprintf("%s (%d)", name, h.Generation+1)
	}
	switch {
	case !h.Present && h.Generation == 0:
		s.line("  · %s  %s", cell(name, 48), s.paint(faint, "記録なし  proven absent"))
	case h.Present:
		s.line("  → %s  %s  %s", cell(name, 48), counted(h.Events, "event", "events"), strings.Join(h.Kinds, " "))
		for _, sc := range h.Scopes {
			s.line("      %s  %s", cell(sc.Label.Ja+"  "+sc.Label.En, 46), scopeWords(&sc))
		}
	}
}

// scopeWords is a scope's state, with its last day where that is what it says: of
// a consent that was withdrawn it would read as the day of the withdrawal.
func scopeWords(sc *receipt.ScopeStatus) string {
	switch {
	case sc.Until == "":
		return sc.State
	case sc.State == receipt.StatusActive:
		return sc.State + ", until " + sc.Until
	case sc.State == receipt.StatusExpired:
		return sc.State + ", last day " + sc.Until
	}
	return sc.State
}

// counted is a number with its noun.
func counted[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// moment shows a time in Japan; a story's time is marked as such.
func moment(ms uint64, story bool) string {
	t := time.UnixMilli(int64(ms)).In(record.JST).Format("2006-01-02 15:04:05 JST")
	if story {
		t += " (story time)"
	}
	return t
}
