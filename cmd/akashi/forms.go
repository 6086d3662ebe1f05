package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/spf13/cobra"
)

// Formats of forms. A joining has none: its form is the candidate's request, the
// body of POST /v1/members as it stands.
const (
	formatKeysForm    = "akashi-keys-form/v1"
	formatRemovalForm = "akashi-removal-form/v1"
)

// replaceable are the keys that a member replaces while it stays.
var replaceable = []string{record.RoleApprover, record.RoleCosigner, record.RoleRecord}

// posted reads what became of a form that was posted.
func posted(c *cast, final bool, records []custody.Posted) *cast {
	if c.final = final; len(records) > 0 {
		c.leaf = records[0].Index
	}
	return c
}

func printKey(w io.Writer, role string, key []byte) {
	fmt.Fprintf(w, "  %-8s  %s\n", printable(role), base64.StdEncoding.EncodeToString(key))
}

// joinForm is a candidate's request, with votes.
type joinForm struct{ rest.JoinForm }

func (f *joinForm) valid() bool           { return record.ValidID(f.Candidate.ID) && len(f.Keys) == 4 }
func (f *joinForm) voters() []rest.VoteOf { return f.Votes }

func (f *joinForm) asks(w io.Writer) {
	p := f.Candidate
	fmt.Fprintf(w, "%s joins, at the end of policy epoch %d:\n", p.ID, f.Epoch)
	fmt.Fprintf(w, "  name      %s  %s\n  law       %s, %s\n", printable(p.Name.Ja), printable(p.Name.En), printable(p.Regime), printable(p.Country))
	for _, c := range p.Categories {
		fmt.Fprintf(w, "  category  %s\n", printable(c))
	}
	fmt.Fprintf(w, "  address   %s\n", printable(p.Address))
	for _, k := range f.Keys {
		printKey(w, k.Role, k.Key)
	}
}

func (f *joinForm) cast(ctx context.Context, c *client.Client, submit bool) (*cast, error) {
	ask := f.JoinForm
	ask.Submit = submit
	done, err := c.AdmitMember(ctx, ask)
	if err != nil {
		return nil, err
	}
	f.JoinForm = rest.JoinForm{ID: done.ID, Epoch: done.Epoch, Candidate: done.Candidate, Keys: done.Keys, Votes: done.Votes}
	return posted(&cast{tolerance: done.Tolerance, epoch: done.Epoch, done: f.Candidate.ID + " is a member"}, done.Final, done.Records), nil
}

// removalForm ends a membership.
type removalForm struct {
	Format string        `json:"format"`
	Member string        `json:"member"`
	ID     string        `json:"id"`
	Epoch  uint64        `json:"epoch"`
	Votes  []rest.VoteOf `json:"votes"`
}

func (f *removalForm) valid() bool           { return record.ValidID(f.Member) && f.ID != "" }
func (f *removalForm) voters() []rest.VoteOf { return f.Votes }
func (f *removalForm) asks(w io.Writer) {
	fmt.Fprintf(w, "%s leaves, at the end of policy epoch %d\n", f.Member, f.Epoch)
}

func (f *removalForm) cast(ctx context.Context, c *client.Client, submit bool) (*cast, error) {
	ask := rest.RemovalForm{ID: f.ID, Votes: f.Votes, Submit: submit}
	if f.ID != "" {
		ask.Epoch = &f.Epoch
	}
	done, err := c.RemoveMember(ctx, f.Member, ask)
	if err != nil {
		return nil, err
	}
	f.ID, f.Epoch, f.Votes = done.ID, done.Epoch, done.Votes
	return posted(&cast{tolerance: done.Tolerance, epoch: done.Epoch, done: f.Member + " is no member any more"}, done.Final, done.Records), nil
}

// keysForm replaces keys of a member.
type keysForm struct {
	Format string        `json:"format"`
	Member string        `json:"member"`
	ID     string        `json:"id"`
	Epoch  uint64        `json:"epoch"`
	Keys   []rest.KeyOf  `json:"keys"`
	Votes  []rest.VoteOf `json:"votes"`

	roles []string // at the beginning: whose keys the node is to make
}

func (f *keysForm) valid() bool           { return record.ValidID(f.Member) && len(f.Keys) > 0 }
func (f *keysForm) voters() []rest.VoteOf { return f.Votes }

func (f *keysForm) asks(w io.Writer) {
	fmt.Fprintf(w, "keys of %s are replaced, at the end of policy epoch %d, by\n", f.Member, f.Epoch)
	for _, k := range f.Keys {
		printKey(w, k.Role, k.Key)
	}
}

func (f *keysForm) cast(ctx context.Context, c *client.Client, submit bool) (*cast, error) {
	ask := rest.KeysForm{ID: f.ID, Roles: f.roles, Keys: f.Keys, Votes: f.Votes, Submit: submit}
	if f.ID != "" {
		ask.Epoch = &f.Epoch
	}
	done, err := c.ReplaceKeys(ctx, f.Member, ask)
	if err != nil {
		return nil, err
	}
	f.ID, f.Epoch, f.Keys, f.Votes = done.ID, done.Epoch, done.Keys, done.Votes
	return posted(&cast{epoch: done.Epoch, done: "keys of " + f.Member + " replaced"}, done.Final, done.Records), nil
}

func rotateCommand(e *env) *cobra.Command {
	var token string
	var roles []string
	cmd := &cobra.Command{
		Use:     "rotate URL --keys ROLE,...",
		Short:   "Begin to replace keys of a member; the members vote on it",
		GroupID: groupRun,
		Long: `rotate begins to replace keys of a member while the log runs: cosigner, record
(what it signs its records with), approver (of exceptions). At the member's own
node it makes the next keys and prints the form that the members vote on (akashi
vote), with this member's vote. Keep a copy of the node's file "keys" now.`,
		Example: "  akashi rotate https://a.example --token $(cat token) --keys cosigner >form",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, where []string) error {
			if len(roles) == 0 {
				return wrongUse(errors.New("--keys is missing"), "of cosigner, record, approver; to vote on a form: akashi vote")
			}
			for _, r := range roles {
				if !slices.Contains(replaceable, r) {
					return wrongUse(fmt.Errorf("--keys: no key %q can be replaced", r), "of cosigner, record, approver; who needs another network key leaves and joins")
				}
			}
			c, err := memberNode(where[0], token)
			if err != nil {
				return err
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return refusedBy(c, err)
			}
			return vote(cmd.Context(), e, c, &keysForm{Format: formatKeysForm, Member: st.Member, roles: roles}, false)
		},
	}
	tokenFlag(cmd, &token, "`TOKEN` of an admin at that node (or AKASHI_TOKEN)")
	cmd.Flags().StringSliceVar(&roles, "keys", nil, "the `ROLES` whose keys are replaced, of cosigner, record, approver")
	return cmd
}

func removeCommand(e *env) *cobra.Command {
	var token string
	cmd := &cobra.Command{
		Use:     "remove URL MEMBER",
		Short:   "Begin to end a membership; the members vote on it",
		GroupID: groupRun,
		Long: `remove begins the end of a membership, at the node of any member: it prints the
form that the members vote on (akashi vote), with this member's vote, and says
what the consortium bears afterwards. The vote of who leaves is not needed.`,
		Example: "  akashi remove https://a.example b-sha --token $(cat token) >form",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if !record.ValidID(given[1]) {
				return wrongUse(fmt.Errorf("%q is no member's id", given[1]), "akashi status "+given[0]+" names this one; GET /v1/members lists all")
			}
			c, err := memberNode(given[0], token)
			if err != nil {
				return err
			}
			return vote(cmd.Context(), e, c, &removalForm{Format: formatRemovalForm, Member: given[1]}, false)
		},
	}
	tokenFlag(cmd, &token, "`TOKEN` of an admin at that node (or AKASHI_TOKEN)")
	return cmd
}
