package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/spf13/cobra"
)

func auditCommand(e *env) *cobra.Command {
	var o auditOptions
	var policies []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "audit URL|DIR --policy FILE [--token TOKEN] [--openings DIR] [--since FILE] [--json]",
		Short:   "Re-derive the whole history of a log and check every rule",
		GroupID: groupCheck,
		Long: `audit reads a log entry by entry, from a node or from exported files, derives
the consortium's whole state anew and checks every signature and every rule. It
trusts the policy and nothing else.

With --openings it also checks what is sealed: the directory holds answers of
/v1/openings (JSON). What could not be checked is counted and said.
With --since (an earlier checkpoint) it checks that nothing before it has
changed.

It exits 1 when something is broken, and says which leaf, batch and member.`,
		Example: "  akashi audit log --policy policy",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, where []string) error {
			var err error
			if o.policies, err = readPolicies(policies); err != nil {
				return err
			}
			o.where = where[0]
			s := e.screen()
			meanwhile := s
			if asJSON { // what is printed is the report and nothing else
				meanwhile = newScreen(e.stderr)
			}
			w := meanwhile.wait("audit " + o.where)
			r, err := runAudit(cmd.Context(), o)
			took := w.end()
			if err != nil {
				return err
			}
			if asJSON {
				_, err = e.stdout.Write(r.JSON())
			} else {
				showAudit(s, r)
				s.line("  %s", s.paint(faint, seconds(took)))
			}
			if err == nil && !r.OK {
				err = unmet(fmt.Errorf("the audit found %d broken places", len(r.Findings)+r.MoreFindings))
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "policy `FILE` (tlog-policy); may be repeated")
	tokenFlag(cmd, &o.token, "`TOKEN` of a member or an auditor (or AKASHI_TOKEN)")
	cmd.Flags().StringVar(&o.openings, "openings", "", "`DIR` with answers of /v1/openings")
	cmd.Flags().StringVar(&o.since, "since", "", "`FILE` with an earlier checkpoint of the log")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

type auditOptions struct {
	where    string
	token    string
	openings string
	since    string
	policies []*sign.Policy
}

// runAudit audits a log. An error means that it could not be read.
func runAudit(ctx context.Context, o auditOptions) (*audit.Report, error) {
	files, err := openLog(o.where, o.token)
	if err != nil {
		return nil, err
	}
	src := &logSource{logFiles: files}
	if src.note, err = files.LogFile(ctx, "checkpoint", 1<<20); err != nil {
		return nil, incomplete(err)
	}
	if o.since != "" {
		if err := grewFrom(ctx, src, o); err != nil {
			return nil, err
		}
	}
	var with audit.Options
	if o.openings != "" {
		if with.Openings, err = readOpenings(o.openings); err != nil {
			return nil, err
		}
	}
	r, err := audit.Run(ctx, src, o.policies, with)
	return r, incomplete(err)
}

// incomplete explains a part that is missing.
func incomplete(err error) error {
	if errors.Is(err, errAbsent) {
		return wrongUse(err, "an export ends with its checkpoint: run akashi export again, it goes on where it stopped")
	}
	return err
}

// grewFrom checks that an earlier checkpoint is of the same log.
func grewFrom(ctx context.Context, src *logSource, o auditOptions) error {
	b, err := os.ReadFile(o.since)
	if err != nil {
		return wrongUse(fmt.Errorf("--since: %w", err))
	}
	old, err := client.OpenCheckpoint(b, o.policies)
	if err != nil {
		return wrongUse(fmt.Errorf("--since %s: %w", o.since, err))
	}
	now, err := client.OpenCheckpoint(src.note, o.policies)
	if err != nil {
		return unmet(err)
	}
	if now.Size < old.Size {
		return unmet(fmt.Errorf("the log has %d leaves, fewer than the %d of %s", now.Size, old.Size, o.since))
	}
	tree := merkle.New()
	for leaf, err := range src.Leaves(ctx, 0, old.Size) {
		if err != nil {
			return incomplete(err)
		}
		tree.Append(merkle.LeafHash(leaf))
	}
	if tree.Size() != old.Size || tree.Root() != merkle.Hash(old.Root) {
		return unmet(fmt.Errorf("the first %d leaves are not those of %s", old.Size, o.since),
			"two checkpoints that do not agree are evidence: keep both files")
	}
	return nil
}

// showAudit prints a report calmly: what was checked, what was not, what is
// broken and where.
func showAudit(s *screen, r *audit.Report) {
	s.title("台帳の監査", "Audit of "+r.Origin)
	last := ""
	if r.LastMs > 0 {
		last = ", last " + moment(r.LastMs, r.StoryTime)
	}
	s.line("  %s, %s%s", counted(r.Size, "leaf", "leaves"), counted(r.Batches, "batch", "batches"), last)
	s.line("")
	for _, c := range r.Checks {
		if c.Holds+c.Broken+c.Waiting+c.Unchecked == 0 {
			continue
		}
		mark := s.tick(c.Broken == 0)
		if c.Holds == 0 && c.Broken == 0 {
			mark = s.paint(faint, "·")
		}
		w := audit.CheckWords(c.Name)
		line := fmt.Sprintf("  %s %s %s %6d hold", mark, pad(w.Ja, 26), cell(w.En, 26), c.Holds)
		if c.Broken > 0 {
			line += s.paint(red, fmt.Sprintf(", %d broken", c.Broken))
		}
		if c.Waiting > 0 {
			line += fmt.Sprintf(", %d waiting", c.Waiting)
		}
		if c.Unchecked > 0 {
			line += s.paint(faint, fmt.Sprintf(", %d not checked", c.Unchecked))
		}
		s.line("%s", line)
	}
	s.line("")
	p := r.Provisions
	s.line("  %s", fmt.Sprintf("提供した項目 items handed over: %d opened, %d attested by both sides, %d erased, %d unopened", p.Opened, p.Attested, p.Erased, p.Unopened))
	for _, o := range r.Overdue {
		w := o.Words()
		s.line("  %s %s", s.paint(yellow, w.Ja+" "+w.En+":"), fmt.Sprintf("%s → %s, leaf %d, due %s", o.From, o.To, o.Index, moment(o.DeadlineMs, r.StoryTime)))
	}
	for _, f := range r.Findings {
		where := fmt.Sprintf("leaf %d, batch %d", f.Index, f.Height)
		if f.Member != "" {
			where += ", " + f.Member
		}
		s.line("")
		s.line("  %s %s  %s", s.tick(false), s.paint(red, f.Code), where)
		s.pairs(pair{"    ", f.Detail.Ja, f.Detail.En})
	}
	if r.MoreFindings > 0 {
		s.line("  … and %d more", r.MoreFindings)
	}
	if len(r.Unchecked) > 0 {
		s.line("")
		s.line("  %s", s.paint(faint, "確かめていないこと  not checked"))
		var open []pair
		for _, u := range r.Unchecked {
			open = append(open, pair{"    · ", u.Ja, u.En})
		}
		s.pairs(open...)
	}
	s.line("")
	if r.OK {
		s.line("  %s %s", s.tick(true), s.paint(green, "破れはありません  nothing is broken"))
	} else {
		s.line("  %s %s", s.tick(false), s.paint(red, "破れがあります  something is broken"))
	}
}
