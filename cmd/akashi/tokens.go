package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/spf13/cobra"
)

// A member's file "tokens" holds what its node must know of tokens that were
// issued while it did not run: the hash of each and whom it stands for, sealed
// under the token itself (package token). It holds no token. The node takes it
// over at its next start.

// issuedToken is one line of the file.
type issuedToken struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// issued collects tokens in the form in which a node stores them (token.Blobs).
type issued struct{ list []issuedToken }

func (i *issued) Get([]byte) ([]byte, bool, error) { return nil, false, nil }
func (i *issued) Delete(...[]byte) error           { return nil }

func (i *issued) PutTTL(key, value []byte, _ time.Duration) error {
	i.list = append(i.list, issuedToken{bytes.Clone(key), bytes.Clone(value)})
	return nil
}

func (i *issued) Update(func(*store.BlobTx) error) error {
	return errors.New("codes are for a node that runs")
}

// save appends the tokens to the file of a member.
func (i *issued) save(home string) error {
	f, err := os.OpenFile(filepath.Join(home, "tokens"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, t := range i.list {
		err = errors.Join(err, json.NewEncoder(f).Encode(t))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// tokenStorage is the part of a node's storage that takes tokens.
type tokenStorage interface {
	PutTTL(key, value []byte, ttl time.Duration) error
}

// takeTokens takes the file of a member over into its node's storage.
func takeTokens(home string, into tokenStorage) error {
	name := filepath.Join(home, "tokens")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var t issuedToken
		if err := d.Decode(&t); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := into.PutTTL(t.Key, t.Value, 0); err != nil {
			return err
		}
	}
	return os.Remove(name)
}

func tokenCommand(e *env) *cobra.Command {
	var dir, role, name, person, party string
	cmd := &cobra.Command{
		Use:     "token --dir DIR --role ROLE --name NAME [--person REF] [--party ID]",
		Short:   "Issue a token for the API of a member's node",
		GroupID: groupRun,
		Long: `token issues a token and prints it once; nothing keeps it. The node takes it over
at its next start. Roles: admin, app, manager, auditor, and subject for one
person. With --party a token of role app or manager writes in the name of that
hosted party only, and reads what everybody may.`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := needDir(dir); err != nil {
				return err
			}
			if !slices.Contains(token.Roles, token.Role(role)) {
				return wrongUse(fmt.Errorf("role %q", role), fmt.Sprintf("--role is one of %s", strings.Trim(fmt.Sprint(token.Roles), "[]")))
			}
			made := new(issued)
			store := token.New(made)
			t, err := store.Issue(token.Role(role), name, person)
			if party != "" {
				if person != "" || !record.ValidID(party) {
					return wrongUse(fmt.Errorf("--party %q with --person %q", party, person), "--party takes the id of a party, and no person")
				}
				made.list = nil
				t, err = store.IssueTo(party, token.Role(role), name)
			}
			if err != nil {
				return wrongUse(err)
			}
			if err := made.save(dir); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.stdout, t)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory of the member")
	cmd.Flags().StringVar(&role, "role", "", "`ROLE` of the token")
	cmd.Flags().StringVar(&name, "name", "", "`NAME` by which the node tells callers apart")
	cmd.Flags().StringVar(&person, "person", "", "the member's own `REF`erence of the person, for role subject")
	cmd.Flags().StringVar(&party, "party", "", "`ID` of a hosted party for which alone the token acts")
	return cmd
}

// localTokens issues the tokens of a consortium on this machine: one of each
// role and one for each person, the same at every member.
func localTokens(dir string, members int, people []string) (map[string]string, error) {
	made, out := new(issued), map[string]string{}
	s := token.New(made)
	for _, role := range token.Roles {
		if role == token.Subject {
			continue
		}
		t, err := s.Issue(role, string(role), "")
		if err != nil {
			return nil, err
		}
		out[string(role)] = t
	}
	for _, p := range people {
		t, err := s.Issue(token.Subject, "subject", p)
		if err != nil {
			return nil, err
		}
		out["subject:"+p] = t
	}
	for i := range members {
		if err := made.save(memberDir(dir, i)); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(tokensFile(dir), append(b, '\n'), 0o600)
}

// readTokens reads DIR/tokens.json.
func readTokens(dir string) (map[string]string, error) {
	b, err := os.ReadFile(tokensFile(dir))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	return out, json.Unmarshal(b, &out)
}
