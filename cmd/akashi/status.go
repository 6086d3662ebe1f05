package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/node"
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
directory, or every member of the local consortium there.
It exits 3 when a node does not answer.`,
		RunE: func(cmd *cobra.Command, where []string) error {
			var urls []string
			switch {
			case len(where) == 1 && dir == "":
				urls = where
			case len(where) == 0 && dir != "":
				var err error
				if urls, err = addressesOf(dir); err != nil {
					return err
				}
			case len(where) == 0:
				urls = []string{"http://127.0.0.1:8080"}
			default:
				return wrongUse(fmt.Errorf("give a URL or --dir, not both"))
			}
			return status(cmd.Context(), e.screen(), urls, tok)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of a member, or of a local consortium")
	cmd.Flags().StringVar(&tok, "token", os.Getenv("AKASHI_TOKEN"), "`TOKEN` (or AKASHI_TOKEN)")
	return cmd
}

// addressesOf returns the API addresses of a member or a local consortium.
func addressesOf(dir string) ([]string, error) {
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
	var urls []string
	for _, home := range homes {
		s, err := node.LoadSettings(home)
		if err != nil {
			return nil, wrongUse(err)
		}
		urls = append(urls, "http://"+s.HTTP)
	}
	return urls, nil
}

func status(ctx context.Context, s *screen, urls []string, tok string) error {
	var down error
	for _, u := range urls {
		c, err := client.New(u, client.Options{Token: tok})
		if err != nil {
			return wrongUse(err)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		st, err := c.Status(ctx)
		cancel()
		if err != nil {
			s.line("%s %s  %v", s.tick(false), u, err)
			down = notPossible(fmt.Errorf("%s does not answer", u), "is it running? its log says why not")
			continue
		}
		showStatus(s, u, st)
	}
	return down
}

// showStatus prints where a node stands.
func showStatus(s *screen, url string, st *rest.Status) {
	s.line("%s %s  %s  %s", s.tick(st.Ready), s.paint(bold, st.Member), url, s.paint(faint, st.Origin))
	if st.Final == nil {
		s.line("    %s", s.paint(yellow, "まだ何も確定していません  nothing is final yet"))
		return
	}
	s.line("    final %d leaves, height %d, last batch %s", st.Final.Size, st.Final.Height, moment(st.Final.TimeMs, st.StoryTime))
	s.line("    fresh %s, leader %s, version %s", moment(st.Final.FreshMs, st.StoryTime), cmp.Or(st.Leader, "none"), st.Version)
}
