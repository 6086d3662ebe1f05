package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/spf13/cobra"
)

func joinCommand(e *env) *cobra.Command {
	var o joinOptions
	cmd := &cobra.Command{
		Use:     "join --dir DIR --genesis FILE",
		Short:   "Start the node of a member that joins a running consortium",
		GroupID: groupRun,
		Long: `join starts the node of a member that is none of the founders.

  akashi init …            makes its keys and its public member file
  akashi join request …    signs the request that the members vote on
                           (akashi vote, each at their own node)
  akashi join …            waits for their votes to be final, gets from the
                           members what the genesis does not say, and serves

The node is sent the whole log and derives it itself; then it gets its vote.
Afterwards akashi serve --dir DIR is enough. See docs/guide/joining.md.`,
		Example: `  akashi join request --dir d-sha --policy policy
  akashi join --dir d-sha --genesis genesis`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return join(cmd.Context(), e, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.genesis, "genesis", "", "genesis `FILE` of the consortium")
	f.StringVar(&o.members, "members", "", "`FILE` with the answer of GET /v1/members, where no founder can be reached any more")
	o.flags(cmd)
	cmd.AddCommand(requestCommand(e))
	return cmd
}

type joinOptions struct {
	serveOptions
	genesis, members string
}

func join(ctx context.Context, e *env, o joinOptions) error {
	if err := needDir(o.dir); err != nil {
		return err
	}
	const whose = "any member or auditor has the genesis of the consortium: the file genesis of a member's directory"
	if o.genesis == "" {
		return wrongUse(errors.New("--genesis is missing"), whose)
	}
	genesis, err := os.ReadFile(o.genesis)
	if err != nil {
		return wrongUse(err, whose)
	}
	if _, err := rules.Found(genesis); err != nil {
		return unmet(fmt.Errorf("%s is no genesis: %w", o.genesis, err), whose)
	}
	further, err := readSeats(o.members)
	if err != nil {
		return err
	}
	ctx, cancel := leashed(ctx, e, o.leash)
	defer cancel()
	o.leash = false
	if err := node.Join(ctx, o.dir, genesis, further, logTo(e.stderr, o.verbose)); err != nil {
		return notPossible(fmt.Errorf("the node does not join: %w", err))
	}
	return serve(ctx, e, o.serveOptions)
}

// readSeats reads the members that a node told, none where no file is given.
func readSeats(file string) ([]node.Seat, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUse(err)
	}
	var list rest.MemberList
	if err := json.Unmarshal(b, &list); err != nil || len(list.Members) == 0 {
		return nil, wrongUse(fmt.Errorf("%s is not an answer of GET /v1/members", file))
	}
	var seats []node.Seat
	for _, m := range list.Members {
		seats = append(seats, node.Seat{Member: m.Member, Key: m.Key, Address: m.Address})
	}
	return seats, nil
}

func requestCommand(e *env) *cobra.Command {
	var dir, policy, out string
	cmd := &cobra.Command{
		Use:   "request --dir DIR --policy FILE",
		Short: "Sign the request to join that the members vote on",
		Long: `request writes the form that k members vote on (akashi vote), each at their own
node. It is signed with the candidate's four keys: that proves that
it has them, and is its consent. It counts for one policy epoch, that of the
policy file: take https://a-member/log/policy, and ask anew where a change of
members came first.`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return request(e, dir, policy, out) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of the candidate (akashi init)")
	cmd.Flags().StringVar(&policy, "policy", "", "`FILE` with the consortium's present policy")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write (default: DIR/ID.join.json)")
	return cmd
}

func request(e *env, dir, policyFile, out string) error {
	if err := needDir(dir); err != nil {
		return err
	}
	settings, err := node.LoadSettings(dir)
	if err != nil {
		return wrongUse(err)
	}
	keys, err := node.LoadKeys(dir)
	if err != nil {
		return wrongUse(err)
	}
	var m memberFile
	if err := readJSON(filepath.Join(dir, settings.Member+".member.json"), memberFormat, &m); err != nil {
		return err
	}
	info, err := m.info()
	if err != nil {
		return wrongUse(err)
	}
	if own := keys.MemberOf(info, m.Origin); own.Key != info.Key || own.CosignKey != info.CosignKey || own.Peer != info.Peer || own.Approver != info.Approver {
		return unmet(fmt.Errorf("the member file does not have the keys of %s", dir))
	}
	if policyFile == "" {
		return wrongUse(errors.New("--policy is missing"), "curl -o policy https://a-member/log/policy")
	}
	policies, err := readPolicies([]string{policyFile})
	if err != nil {
		return err
	}
	p := policies[len(policies)-1]
	if p.Origin != m.Origin {
		return unmet(fmt.Errorf("the policy is of the log %q, the member file of %q", p.Origin, m.Origin))
	}
	id, b := keys.Request(info, m.Origin, epochOf(p))
	if out == "" {
		out = filepath.Join(dir, m.Member+".join.json")
	}
	if err := writeJSON(out, rest.JoinFormOf(id, b)); err != nil {
		return wrongUse(err)
	}
	s := e.screen()
	s.line("%s  %s", s.paint(bold, m.Member), m.Name.Ja)
	s.line("  request  %s  %s", out, s.paint(faint, fmt.Sprintf("for policy epoch %d, key %s…", b.Epoch, info.Key.String()[:16])))
	s.line("  %s", s.paint(faint, "next: k members vote on it (akashi vote --form), the last with --submit; meanwhile akashi join --dir "+dir+" --genesis FILE waits for them"))
	return nil
}

func epochOf(p *sign.Policy) uint64 {
	if p.Range == nil {
		return 0 // that of the founding has none
	}
	return p.Range.Epoch
}
