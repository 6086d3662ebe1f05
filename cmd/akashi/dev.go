package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/spf13/cobra"
)

func devCommand(e *env) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:     "dev --dir DIR [--base-port P] [--members 4]",
		Short:   "A local consortium that stays up: one process per member",
		GroupID: groupTry,
		Long: `dev founds a consortium in DIR, unless one is there, and runs it until Ctrl-C:
one process per member, on this machine only, with the real clock.

  DIR/member-i/    data directory of member i; member-i/pid its process
  DIR/policy       whose signatures count (tlog-policy)
  DIR/tokens.json  API tokens by role: admin, app, manager, auditor,
                   subject:NAME; valid at every member
  DIR/member-i/codes.log
                   one-time codes for signing in, in clear: only here, where
                   nobody has to own a telephone

Member i has HTTP on P+10i, Trillian's protocol (gRPC) on P+10i+1 and the
consortium's network on P+10i+2. A member that is killed stays down; akashi serve
--dir DIR/member-i brings it back.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return dev(cmd.Context(), e, o) },
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "`DIR`ectory of the consortium")
	cmd.Flags().IntVar(&o.base, "base-port", 8080, "first port `P`")
	cmd.Flags().IntVar(&o.members, "members", 4, "`N`umber of members, at founding")
	cmd.Flags().StringSliceVar(&o.people, "subject", []string{"p01", "p02", "p03"}, "people who get a token, at founding")
	cmd.Flags().StringVar(&o.witnesses, "witnesses", "", "`FILE` with external witnesses, at founding (docs/guide/founding.md)")
	return cmd
}

type devOptions struct {
	dir     string
	base    int
	members int
	people  []string

	witnesses string // file, "" for none
}

func dev(ctx context.Context, e *env, o devOptions) error {
	switch {
	case o.dir == "":
		return wrongUse(errors.New("no directory was given"), "--dir DIR is where the consortium lives; a new one is founded there")
	case o.members < 1 || o.members > 16:
		return wrongUse(fmt.Errorf("%d members, 1 to 16", o.members))
	}
	there, err := localMembers(o.dir)
	if err != nil {
		return err
	}
	prepare := func() error { return foundDev(o) }
	if there == 0 {
		err = emptyDir(o.dir)
	} else {
		o.members, prepare = there, func() error { return movePorts(o) }
		err = unserved(o.dir, there)
	}
	if err != nil {
		return err
	}
	if err := portsFree(o.base, o.members); err != nil { // before settings change that a running consortium may use
		return err
	}
	if err := prepare(); err != nil {
		return err
	}
	s := e.screen()
	f, err := startFleet(o.dir, o.base, o.members, func(i int, err error) {
		s.line("  %s member-%d ended (%v); akashi serve --dir %s brings it back", s.paint(yellow, "!"), i, err, memberDir(o.dir, i))
	})
	if err != nil {
		return err
	}
	defer f.stop()
	w := s.wait("members start")
	err = f.ready(ctx)
	took := w.end()
	if err != nil {
		return err
	}
	s.title("手もとのコンソーシアム", "Local consortium in "+o.dir)
	for i := range f.members {
		s.line("  member-%d  %s  %s", i, pad(browserURL(o.base, i), 36), s.paint(faint, "grpc "+address(o.base, i, portGRPC)+"  p2p "+address(o.base, i, portP2P)))
	}
	s.line("  %s %s, ready in %s", s.tick(true), counted(o.members, "member", "members"), seconds(took))
	s.line("  policy %s, tokens %s", policyFile(o.dir), tokensFile(o.dir))
	s.line("  %s", s.paint(faint, "Ctrl-C で終わります  Ctrl-C ends it"))
	<-ctx.Done()
	s.line("")
	return nil
}

// foundDev founds a consortium with the built-in vocabulary.
func foundDev(o devOptions) error {
	v, err := readVocabulary("")
	if err != nil {
		return err
	}
	f := record.Founding{Origin: "dev.akashi.example"}
	v.put(&f)
	if err := putWitnesses(&f, o.witnesses); err != nil {
		return err
	}
	for i := range o.members {
		m := record.MemberInfo{ID: fmt.Sprintf("member-%d", i), Regime: "ch4", Country: "JP", Categories: []string{"partner"},
			Name: record.Text{Ja: fmt.Sprintf("加盟企業%d", i), En: fmt.Sprintf("Member %d", i)}}
		if i == 0 {
			m.Categories = []string{"operator", "public-body"} // may approve sensors
		}
		f.Members = append(f.Members, m)
	}
	if o.members > 10 { // ids are in the order of text
		for i := range f.Members {
			f.Members[i].ID = fmt.Sprintf("member-%02d", i)
		}
	}
	if err := localConsortium(o.dir, o.base, f); err != nil {
		return err
	}
	_, err = localTokens(o.dir, o.members, o.people)
	return err
}

// unserved wants that no node serves the first n members' directories.
func unserved(dir string, n int) error {
	for i := range n {
		err := store.Unused(filepath.Join(memberDir(dir, i), "blobs"))
		if errors.Is(err, store.ErrLocked) {
			return notPossible(fmt.Errorf("a node serves %s already", memberDir(dir, i)), "end it first; akashi status --dir "+dir+" shows which members run")
		}
		if err != nil {
			return notPossible(err)
		}
	}
	return nil
}

// movePorts gives the members of a consortium that is there the ports that were
// asked for. Addresses in the genesis stay; settings go before them.
func movePorts(o devOptions) error {
	members := make([]string, o.members)
	settings := make([]*node.Settings, o.members)
	for i := range o.members {
		s, err := node.LoadSettings(memberDir(o.dir, i))
		if err != nil {
			return wrongUse(err)
		}
		settings[i], members[i] = s, s.Member
	}
	for i, s := range settings {
		s.PublicURL = strings.TrimSuffix(browserURL(o.base, i), "/")
		s.HTTP, s.GRPC, s.P2P = address(o.base, i, portHTTP), address(o.base, i, portGRPC), address(o.base, i, portP2P)
		s.Peers = map[string]string{}
		for j, id := range members {
			s.Peers[id] = address(o.base, j, portP2P)
		}
		if err := s.Save(memberDir(o.dir, i)); err != nil {
			return err
		}
		os.Remove(filepath.Join(memberDir(o.dir, i), "pid")) // of a process that was killed
	}
	return nil
}
