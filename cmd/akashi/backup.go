package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/token"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/spf13/cobra"
)

func backupCommand(e *env) *cobra.Command {
	var tok string
	cmd := &cobra.Command{
		Use:     "backup URL FILE --token TOKEN",
		Short:   "Copy what a member keeps for people, encrypted",
		GroupID: groupRun,
		Long: `backup asks a running node for a backup of its member and writes it to FILE,
which must not exist. The node encrypts it to the age recipients of its config.json
("backupTo"); the command cannot choose them.

A backup has the sealed data, settings, and the keys of hosted parties. It has no
key of a person and no slot: custodians are the backup of keys. It has no key of the
member's own: who is restored comes back with new ones.`,
		Example: "  akashi backup http://127.0.0.1:8080 2027-05-01.backup --token $(cat admin-token)",
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, where []string) error {
			c, err := memberNode(where[0], tok)
			if err != nil {
				return err
			}
			s := e.screen()
			w := s.wait("backup of " + where[0])
			size, err := backup(cmd.Context(), c, where[1])
			took := w.end()
			if err != nil {
				return err
			}
			s.line("%s %s  %d bytes, %s", s.tick(true), where[1], size, seconds(took))
			return nil
		},
	}
	tokenFlag(cmd, &tok, "`TOKEN` of an admin (or AKASHI_TOKEN)")
	return cmd
}

// backup writes the file under another name, and gives it its own when it is whole
// and synced.
func backup(ctx context.Context, c *client.Client, path string) (int64, error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, wrongUse(fmt.Errorf("%s is there already", path), "a backup never replaces another")
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, wrongUse(err)
	}
	size, err := c.Backup(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err == nil {
		return size, nil
	}
	hints := []string{"what came is in " + part + "; it is of no use"}
	var refused *client.Problem
	if errors.As(err, &refused) { // nothing came
		hints = []string{refused.Hint}
		os.Remove(part)
	}
	return 0, notPossible(fmt.Errorf("no backup was made: %w", err), hints...)
}

func restoreCommand(e *env) *cobra.Command {
	var dir, identities, member string
	cmd := &cobra.Command{
		Use:     "restore FILE --dir DIR --identity FILE",
		Short:   "Make a data directory of a backup",
		GroupID: groupRun,
		Long: `restore makes the data directory of a member whose node was lost. DIR must not
exist, or be empty. The identity file is age's own (age-keygen -pq).

The directory has new signing keys: with the old ones, and without the mark of what
they signed, the member could sign a fork. So the others first vote the old node out
and this one in, as for a member that joins; then akashi join catches up with the
ledger, fetches people's keys from the custodians, leaves out whoever was erased
since, and only then serves.`,
		Example: "  akashi restore 2027-05-01.backup --dir member --identity recovery.key\n  akashi join request --dir member --policy policy\n  akashi join --dir member --genesis member/genesis",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, file []string) error {
			if dir == "" || identities == "" {
				return wrongUse(errors.New("--dir and --identity are required"), "akashi restore --help has an example")
			}
			info, err := restore(e, file[0], filepath.Clean(dir), member, identities)
			if err != nil {
				return err
			}
			s := e.screen()
			s.line("%s %s  of %s, made %s at height %d", s.tick(true), dir, info.Member, info.MadeAt.Format("2006-01-02 15:04:05Z"), info.Height)
			return backAgain(s, dir, info)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data `DIR`ectory to make")
	cmd.Flags().StringVar(&identities, "identity", "", "age identity `FILE` that opens the backup")
	cmd.Flags().StringVar(&member, "member", "", "refuse a backup of another member than `ID`")
	return cmd
}

// backAgain writes what the member needs to ask to come back: the public file of its
// new keys, and a token of its operator.
func backAgain(s *screen, dir string, info *node.BackupInfo) error {
	keys, err := node.LoadKeys(dir)
	if err != nil {
		return err
	}
	k := keys.MemberOf(record.MemberInfo{ID: info.Member}, info.Origin)
	m := memberFile{Format: memberFormat, Member: info.Member, Origin: info.Origin, Name: words{Ja: info.Name.Ja, En: info.Name.En},
		Regime: info.Regime, Country: info.Country, Categories: info.Categories, Address: info.Address}
	m.Keys.Record, m.Keys.Cosigner, m.Keys.Peer, m.Keys.Approver = k.Key[:], k.CosignKey[:], k.Peer[:], k.Approver[:]
	made := new(issued)
	admin, err := token.New(made).Issue(token.Admin, "operator", "")
	if err != nil {
		return err
	}
	public := filepath.Join(dir, info.Member+".member.json")
	if err := errors.Join(made.save(dir), writeJSON(public, m)); err != nil {
		return err
	}
	s.line("  member file  %s, with new keys", public)
	s.line("  admin token  %s", admin)
	s.line("  %s", s.paint(faint, "the token is shown this once; next: the members vote the old node out, akashi join request, then akashi join"))
	return nil
}

// restoreHints say what to do after a refusal of a restore.
var restoreHints = map[record.Code]string{
	node.CodeRestoreTarget:   "name a directory that is not there, or is empty",
	node.CodeRestoreIdentity: "backupTo in the member's config.json names who can open its backups",
	node.CodeRestoreDamaged:  "take another copy of the backup, or an older one",
	node.CodeRestoreMember:   "the member's own backup is another file",
	node.CodeRestoreDisk:     "make room: a restore needs about three times the backup's size, and 512 MB",
}

func restore(e *env, path, dir, member, identityPath string) (*node.BackupInfo, error) {
	b, err := os.Open(identityPath)
	if err != nil {
		return nil, wrongUse(err, "the age identity whose recipient stood in backupTo of config.json")
	}
	defer b.Close()
	ids, err := age.ParseIdentities(io.LimitReader(b, 1<<20))
	if err != nil {
		return nil, wrongUse(fmt.Errorf("%s is no file of age identities", identityPath)) // age's own error may quote it
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, wrongUse(err)
	}
	defer f.Close()
	info, err := node.Restore(f, dir, member, ids, logTo(e.stderr, false))
	if err != nil {
		hints := []string{"nothing was restored; the backup is as it was"}
		var refusal *record.Refusal
		if errors.As(err, &refusal) && restoreHints[refusal.Code] != "" {
			hints = append(hints, restoreHints[refusal.Code])
		}
		return nil, unmet(err, hints...)
	}
	return info, nil
}
