package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/spf13/cobra"
)

func voteCommand(e *env) *cobra.Command {
	var token, file string
	var submit bool
	cmd := &cobra.Command{
		Use:     "vote --form FILE | vote URL --form FILE [--submit]",
		Short:   "Vote on who joins, who leaves, or whose keys are replaced",
		GroupID: groupRun,
		Long: `k members decide together who is a member and by which keys. A form goes round:

  1. it begins with akashi join request (the candidate), akashi remove (any
     member) or akashi rotate (the member whose keys are replaced);
  2. each further member: --form FILE alone shows what is asked for, and who has
     voted. Compare the keys with whose they are by another way. With the URL of
     the member's own node it adds the vote, and prints the form for the next;
  3. the k-th with --submit: it votes, and posts the record.

The change counts from the next batch on. A
form is for one policy epoch: where another change came first, begin again.`,
		Example: "  akashi vote --form e-sha.join.json\n" +
			"  akashi vote https://a.example --token $(cat token) --form e-sha.join.json >form\n" +
			"  akashi vote https://b.example --token $(cat token) --form form >form2\n" +
			"  akashi vote https://c.example --token $(cat token) --form form2 --submit",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, where []string) error {
			if file == "" {
				return wrongUse(errors.New("--form is missing"), "akashi vote --help says where a form comes from")
			}
			f, err := readForm(file)
			if err != nil {
				return err
			}
			if len(where) == 0 {
				if submit {
					return wrongUse(errors.New("no node was given"), "the URL is that of the member's own node")
				}
				show(e.stdout, f, 0)
				return nil
			}
			c, err := memberNode(where[0], token)
			if err != nil {
				return err
			}
			return vote(cmd.Context(), e, c, f, submit)
		},
	}
	tokenFlag(cmd, &token, "`TOKEN` of an admin at that node (or AKASHI_TOKEN)")
	cmd.Flags().StringVar(&file, "form", "", "the form as the one before wrote it: `FILE`")
	cmd.Flags().BoolVar(&submit, "submit", false, "post the record, as the k-th member")
	return cmd
}

// memberNode returns the client of a member's own node.
func memberNode(where, token string) (*client.Client, error) {
	if !isURL(where) {
		return nil, wrongUse(fmt.Errorf("%q is no URL", where), "such as http://127.0.0.1:8080")
	}
	c, err := client.New(where, client.Options{Token: token})
	if err != nil {
		return nil, wrongUse(err)
	}
	return c, nil
}

// A form is a change that members vote on, as a file that goes round. Its JSON is
// the next member's file.
type form interface {
	asks(w io.Writer)      // what for, and the keys to compare
	voters() []rest.VoteOf // who has voted
	// cast sends the form to a member's node, which votes and, with submit, posts the
	// record. The form is then as it stands.
	cast(ctx context.Context, c *client.Client, submit bool) (*cast, error)
}

// A cast vote: what became of it.
type cast struct {
	tolerance *rest.Tolerance // nil where the change does not touch it
	final     bool            // with submit
	leaf      uint64
	epoch     uint64 // that the change ended
	done      string // what has happened
}

// readForm reads a form of any change.
func readForm(file string) (form, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUse(fmt.Errorf("form: %w", err))
	}
	var is struct {
		Format    string
		Candidate json.RawMessage
	}
	var f interface {
		form
		valid() bool
	}
	json.Unmarshal(b, &is) // what is no JSON has no format either
	switch {
	case is.Format == formatKeysForm:
		f = new(keysForm)
	case is.Format == formatRemovalForm:
		f = new(removalForm)
	case is.Format == "" && is.Candidate != nil:
		f = new(joinForm)
	}
	if f == nil || strictly(b, f) != nil || !f.valid() {
		return nil, wrongUse(fmt.Errorf("%s is no form to vote on", file),
			"it is what akashi join request, akashi remove or akashi rotate wrote, or akashi vote at the member before")
	}
	return f, nil
}

// strictly reads JSON without unknown fields.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// show says what a form asks for, and who has voted of so many that are needed, 0
// where that is not known.
func show(w io.Writer, f form, needed int) {
	f.asks(w)
	var voted []string
	for _, v := range f.voters() {
		voted = append(voted, printable(v.Member))
	}
	if len(voted) == 0 {
		voted = []string{"nobody yet"}
	}
	line := "votes: " + strings.Join(voted, ", ")
	if needed > 0 {
		line += fmt.Sprintf(" (%d of %d that are needed)", len(f.voters()), needed)
	}
	fmt.Fprintln(w, line)
}

// printable is text of others as a terminal may show it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}

// vote casts a member's vote, and prints the form as it then stands, or what became
// of it.
func vote(ctx context.Context, e *env, c *client.Client, f form, submit bool) error {
	now, err := c.Members(ctx)
	if err != nil {
		return refusedBy(c, err)
	}
	got, err := f.cast(ctx, c, submit)
	if submit && client.CodeOf(err) == record.CodeVotesMissing {
		return unmet(err, fmt.Sprintf("%d must vote: give your vote without --submit, and hand the form on", now.K))
	}
	if err != nil {
		return refusedBy(c, err)
	}
	out := e.stderr
	if submit {
		out = e.stdout
	}
	show(out, f, now.K)
	if got.tolerance != nil {
		fmt.Fprintf(out, "%s\n%s\n", got.tolerance.Says.Ja, got.tolerance.Says.En)
	}
	if submit {
		s := e.screen()
		s.line("%s %s, in leaf %d; policy epoch %d has begun", s.tick(got.final), got.done, got.leaf, got.epoch+1)
		return nil
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		_, err = e.stdout.Write(append(b, '\n'))
	}
	return err
}

// refusedBy says what a node answered, or that it did not.
func refusedBy(c *client.Client, err error) error {
	var p *client.Problem
	if errors.As(err, &p) {
		return unmet(err, p.Hint)
	}
	return notPossible(err, "is the node running? akashi status "+c.URL())
}
