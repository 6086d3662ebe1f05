package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/spf13/cobra"
)

// formatKeysForm is the form of a change of keys, as a file that goes round the
// members.
const formatKeysForm = "akashi-keys-form/v1"

type keysForm struct {
	Format string        `json:"format"`
	Member string        `json:"member"`
	ID     string        `json:"id"`
	Epoch  uint64        `json:"epoch"`
	Keys   []rest.KeyOf  `json:"keys"`
	Votes  []rest.VoteOf `json:"votes"`
}

func rotateCommand(e *env) *cobra.Command {
	var token, form string
	var roles []string
	var submit bool
	cmd := &cobra.Command{
		Use:     "rotate URL --keys ROLE,... | rotate --form FILE | rotate URL --form FILE [--submit]",
		Short:   "Replace keys of a member, by the votes of k members",
		GroupID: groupRun,
		Long: `rotate replaces keys of a member while the log runs: cosigner, record (what it
signs its records with), approver (of exceptions). The form goes round the members:

  1. the member itself, at its own node: --keys makes the next keys and prints
     the form. Keep a copy of the node's file "keys" now;
  2. each further member: --form FILE alone shows whose keys it replaces, and by
     which. Compare them with that member by another way. With the URL of the
     member's own node it adds the vote, and prints the form;
  3. the k-th with --submit: it votes, and posts the record.

The token is one of the role admin. The new keys count from the next batch on.`,
		Example: "  akashi rotate https://a.example --token $(cat token) --keys cosigner >form\n" +
			"  akashi rotate --form form\n" +
			"  akashi rotate https://b.example --token $(cat token) --form form >form2\n" +
			"  akashi rotate https://c.example --token $(cat token) --form form2 --submit",
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, where []string) error {
			r := &rotation{roles: roles, submit: submit}
			if (len(roles) > 0) == (form != "") {
				return wrongUse(errors.New("--keys begins a change, --form goes on with one: give one of them"))
			}
			if form != "" {
				var err error
				if r.form, err = readKeysForm(form); err != nil {
					return err
				}
			}
			if len(where) == 0 {
				if form == "" || submit {
					return wrongUse(errors.New("no node was given"), "the URL is that of the member's own node")
				}
				r.show(e.stdout)
				return nil
			}
			if !isURL(where[0]) {
				return wrongUse(fmt.Errorf("%q is no URL", where[0]), "such as http://127.0.0.1:8080")
			}
			c, err := client.New(where[0], client.Options{Token: token})
			if err != nil {
				return wrongUse(err)
			}
			return r.vote(cmd, e, c)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "`TOKEN` of the role admin at that node")
	cmd.Flags().StringSliceVar(&roles, "keys", nil, "begin: the `ROLES` whose keys are replaced, of cosigner, record, approver")
	cmd.Flags().StringVar(&form, "form", "", "the form as the member before printed it: `FILE`")
	cmd.Flags().BoolVar(&submit, "submit", false, "post the record, as the k-th member")
	return cmd
}

// rotation is one member's part in a change of keys.
type rotation struct {
	roles  []string
	form   *keysForm // nil at the beginning
	submit bool
}

func readKeysForm(file string) (*keysForm, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUse(fmt.Errorf("form: %w", err))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	f := new(keysForm)
	if err := d.Decode(f); err != nil || f.Format != formatKeysForm || !record.ValidID(f.Member) || len(f.Keys) == 0 {
		return nil, wrongUse(fmt.Errorf("%s is no form of a change of keys", file), "it is what akashi rotate printed at the member before")
	}
	return f, nil
}

// show says what a form asks for, and who has voted.
func (r *rotation) show(w io.Writer) {
	fmt.Fprintf(w, "keys of %s, at the end of policy epoch %d:\n", r.form.Member, r.form.Epoch)
	for _, k := range r.form.Keys {
		fmt.Fprintf(w, "  %-8s  %s\n", k.Role, base64.StdEncoding.EncodeToString(k.Key))
	}
	var voted []string
	for _, v := range r.form.Votes {
		voted = append(voted, v.Member)
	}
	fmt.Fprintf(w, "votes: %s\n", strings.Join(voted, ", "))
}

// vote sends the form to a member's node, which votes, and prints the form as it
// then stands, or what became of it.
func (r *rotation) vote(cmd *cobra.Command, e *env, c *client.Client) error {
	ask := rest.KeysForm{Roles: r.roles, Submit: r.submit}
	member := ""
	if f := r.form; f != nil {
		member, ask.ID, ask.Epoch, ask.Keys, ask.Votes = f.Member, f.ID, &f.Epoch, f.Keys, f.Votes
	} else {
		st, err := c.Status(cmd.Context())
		if err != nil {
			return refusedBy(c, err)
		}
		member = st.Member
	}
	done, err := c.ReplaceKeys(cmd.Context(), member, ask)
	if err != nil {
		return refusedBy(c, err)
	}
	r.form = &keysForm{formatKeysForm, member, done.ID, done.Epoch, done.Keys, done.Votes}
	if r.submit {
		s := e.screen()
		r.show(e.stdout)
		s.line("%s replaced, in leaf %d; policy epoch %d has begun", s.tick(done.Final), done.Records[0].Index, done.Epoch+1)
		return nil
	}
	r.show(e.stderr)
	b, err := json.MarshalIndent(r.form, "", "  ")
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
