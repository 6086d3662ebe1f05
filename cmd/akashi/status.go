package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/evidence"
	"github.com/spf13/cobra"
)

func statusCommand(e *env) *cobra.Command {
	var dir, tok string
	cmd := &cobra.Command{
		Use:     "status [URL] [--dir DIR]",
		Short:   "Show what a node, or a local consortium, is doing",
		GroupID: groupRun,
		Args:    args(cobra.MaximumNArgs(1)),
		Long: `status asks a node for its state. With --dir it asks the node of that data
directory, or every member of the local consortium there, and shows the evidence
that a node keeps against members also where the node does not run.
It exits 3 when a node does not answer.`,
		RunE: func(cmd *cobra.Command, where []string) error {
			var urls []nodeAt
			switch {
			case len(where) == 1 && dir == "":
				urls = []nodeAt{{http: where[0]}}
			case len(where) == 0 && dir != "":
				var err error
				if urls, err = addressesOf(dir); err != nil {
					return err
				}
			case len(where) == 0:
				urls = []nodeAt{{http: "http://127.0.0.1:8080"}}
			default:
				return wrongUse(fmt.Errorf("give a URL or --dir, not both"))
			}
			return status(cmd.Context(), e.screen(), urls, tok)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of a member, or of a local consortium")
	tokenFlag(cmd, &tok, "`TOKEN` (or AKASHI_TOKEN)")
	return cmd
}

// nodeAt is where a node answers, and its data directory where that is here.
type nodeAt struct{ http, dir string }

// addressesOf returns the API addresses of a member or a local consortium.
func addressesOf(dir string) ([]nodeAt, error) {
	n, err := localMembers(dir)
	if err != nil {
		return nil, err
	}
	homes := []string{dir}
	if n > 0 {
		homes = nil
		for i := range n {
			homes = append(homes, memberDir(dir, i))
		}
	}
	var at []nodeAt
	for _, home := range homes {
		s, err := node.LoadSettings(home)
		if err != nil {
			return nil, wrongUse(err)
		}
		at = append(at, nodeAt{"http://" + s.HTTP, home})
	}
	return at, nil
}

func status(ctx context.Context, s *screen, urls []nodeAt, tok string) error {
	var down, hints []string
	for _, u := range urls {
		c, err := client.New(u.http, client.Options{Token: tok})
		if err != nil {
			return wrongUse(err)
		}
		if err := showNode(ctx, s, c, u.http); err != nil {
			s.line("%s %s  %v", s.tick(false), u.http, err)
			if err := showKept(s, u.dir); err != nil {
				return err
			}
			down = append(down, u.http)
			if u.dir != "" {
				hints = append(hints, "akashi serve --dir "+u.dir+" starts it; "+filepath.Join(u.dir, "log")+" may say why it ended")
			}
		}
	}
	switch {
	case len(down) == 0:
		return nil
	case len(hints) == 0:
		hints = []string{"is it running? its log says why not"}
	}
	return notPossible(fmt.Errorf("no answer from %s", strings.Join(down, ", ")), hints...)
}

// showNode asks a node and prints what it answers.
func showNode(ctx context.Context, s *screen, c *client.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	showStatus(s, url, st)
	if st.Evidence > 0 {
		return showEvidence(ctx, s, c)
	}
	return nil
}

// showStatus prints where a node stands.
func showStatus(s *screen, url string, st *rest.Status) {
	s.line("%s %s  %s  %s", s.tick(st.Ready), s.paint(bold, st.Member), url, s.paint(faint, st.Origin))
	if st.Final == nil {
		s.line("    %s", s.paint(yellow, "まだ何も確定していません  nothing is final yet"))
		return
	}
	s.line("    final %s, height %d, last batch %s", counted(st.Final.Size, "leaf", "leaves"), st.Final.Height, moment(st.Final.TimeMs, st.StoryTime))
	s.line("    fresh %s, leader %s, version %s", moment(st.Final.FreshMs, st.StoryTime), cmp.Or(st.Leader, "none"), st.Version)
	for _, w := range st.Witnesses {
		s.line("    %s", showWitness(s, w))
	}
	s.line("    %s", showKeys(s, st.Keys))
}

// showKeys says what would be lost with the machine's disk.
func showKeys(s *screen, k rest.KeyCopies) string {
	age := (time.Duration(k.AgeMs) * time.Millisecond).Round(time.Second)
	switch {
	case k.Custodians == 0:
		return s.paint(faint, "keys have no custodian: they are on this disk only")
	case k.Degraded && k.Unknown:
		return s.paint(red, fmt.Sprintf("写しなし  keys may be on this disk only, for %s: no custodian answers", age))
	case k.Degraded:
		return s.paint(red, fmt.Sprintf("写しなし  %s on this disk only, for %s", counted(uint64(k.Waiting), "key is", "keys are"), age))
	case k.Unknown:
		return fmt.Sprintf("keys at %s: being compared", counted(uint64(k.Custodians), "custodian", "custodians"))
	case k.Waiting > 0:
		return fmt.Sprintf("keys at %s, %s for %s", counted(uint64(k.Custodians), "custodian", "custodians"), counted(uint64(k.Waiting), "waits", "wait"), age)
	}
	return fmt.Sprintf("keys at %s, all copied", counted(uint64(k.Custodians), "custodian", "custodians"))
}

func showWitness(s *screen, w rest.WitnessView) string {
	line := "witness " + w.Name
	if w.Required {
		line += " (required)"
	}
	if w.Size > 0 {
		line += fmt.Sprintf(" cosigned %d leaves %s ago", w.Size, (time.Duration(w.AgeMs) * time.Millisecond).Round(time.Second))
	} else {
		line += " has cosigned nothing for this node yet"
	}
	if w.Failing {
		line += s.paint(yellow, ", the last request failed")
	}
	return line
}

// showEvidence lists what a node keeps against members.
func showEvidence(ctx context.Context, s *screen, c *client.Client) error {
	list, err := c.Evidence(ctx)
	for _, e := range list {
		showItem(s, e.Kind, e.Signers, "/v1/evidence/"+e.ID)
	}
	return err
}

// showKept lists what lies in the data directory of a node that does not answer.
func showKept(s *screen, dir string) error {
	if dir == "" {
		return nil
	}
	items, err := evidence.List(dir)
	for _, it := range items {
		showItem(s, it.Kind, it.Signers, filepath.Join(dir, evidence.Dir, it.ID+".json"))
	}
	return err
}

func showItem(s *screen, kind string, signers []string, where string) {
	who := "だれの誤りかは不明  names nobody"
	if len(signers) > 0 {
		who = strings.Join(signers, ", ")
	}
	s.line("    %s %s: %s  %s", s.paint(red, "証拠  evidence"), kind, who, s.paint(faint, where))
}
