package node

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/store"

	"log/slog"
)

// RestoredFile is in a data directory whose vault is still empty: the next start
// brings the keys back from the custodians before the node serves anybody.
const RestoredFile = "restored.json"

// Bounds of what Restore reads into memory at once.
const (
	maxRestoredFile = 8 << 20
	maxRestored     = 1 << 20 // files beside the blobs
)

// Restore makes a data directory of a backup, of this member where member is not "".
// It has new signing keys: the member comes back as one that joins. dir must not
// exist, or be empty; where Restore fails it is left as it was. Refusals are
// *record.Refusal with a CodeRestore….
func Restore(file io.Reader, dir, member string, identities []age.Identity, log *slog.Logger) (*BackupInfo, error) {
	info, err := restore(file, dir, member, identities, log)
	return info, restoreRefusal(err)
}

func restore(file io.Reader, dir, member string, identities []age.Identity, log *slog.Logger) (*BackupInfo, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 || errors.Is(err, syscall.ENOTDIR) {
		return nil, record.Refuse(CodeRestoreTarget, "%s is no empty directory", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	plain, err := age.Decrypt(file, identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt the backup: %w", err)
	}
	tmp := strings.TrimRight(dir, "/") + ".restoring"
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	r := &restoring{dir: tmp, member: member, tar: tar.NewReader(plain), log: log}
	if err = r.run(); err == nil {
		_, err = io.Copy(io.Discard, plain) // so that a file that was cut is noticed
	}
	if err == nil {
		if err = os.Remove(dir); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restore: %w", err), os.RemoveAll(tmp))
	}
	return &r.info, nil
}

type restoring struct {
	dir     string
	member  string // whose it must be; "": anybody's
	tar     *tar.Reader
	log     *slog.Logger
	info    BackupInfo
	entries uint64
	files   int
	blobs   *store.Blobs
	ended   bool
}

func (r *restoring) run() (err error) {
	if r.blobs, err = store.OpenBlobs(filepath.Join(r.dir, "blobs"), r.log); err != nil {
		return err
	}
	err = r.read()
	if err == nil && !r.ended {
		err = errors.New("the backup is cut")
	}
	if err = errors.Join(err, r.blobs.Close()); err != nil {
		return err
	}
	return r.complete()
}

func (r *restoring) read() error {
	for {
		h, err := r.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.files++; h.Size > maxRestoredFile || h.Typeflag != tar.TypeReg || r.ended {
			return fmt.Errorf("a file of %d bytes, or of another kind, or after the end", h.Size)
		}
		content, err := io.ReadAll(r.tar)
		if err != nil {
			return err
		}
		if err := r.take(h.Name, content); err != nil {
			return fmt.Errorf("file %d: %w", r.files, err)
		}
	}
}

// take takes one file in. The first says what the backup is.
func (r *restoring) take(name string, content []byte) error {
	first := r.info.Format == ""
	if first != (name == "backup.json") {
		return errors.New("the files are out of order")
	}
	folder, _, _ := strings.Cut(name, "/")
	switch {
	case first:
		if err := json.Unmarshal(content, &r.info); err != nil || r.info.Format != backupFormat {
			return errors.New("not a backup of this program's format")
		}
		if r.member != "" && r.info.Member != r.member {
			return record.Refuse(CodeRestoreMember, "the backup is of %s", r.info.Member)
		}
		return nil
	case folder == "blobs":
		return r.takeBlobs(content)
	case folder == "evidence" && filepath.IsLocal(name) && strings.Count(name, "/") == 1 && r.files < maxRestored:
		if err := os.MkdirAll(filepath.Join(r.dir, folder), 0o700); err != nil {
			return err
		}
		return writeFile(filepath.Join(r.dir, name), content, 0o600)
	case name == GenesisFile || name == escrow.KeyFile || name == "config.json":
		return writeFile(filepath.Join(r.dir, name), content, 0o600)
	case name == "parties.json":
		return r.takeParties(content)
	case name == "end.json":
		var end BackupInfo
		if err := json.Unmarshal(content, &end); err != nil || end.Entries != r.entries {
			return fmt.Errorf("%d entries, the backup had %d", r.entries, end.Entries)
		}
		r.ended = true
		return nil
	}
	return errors.New("a file that no backup has")
}

func (r *restoring) takeBlobs(content []byte) error {
	b := new(backupBlobs)
	if err := canon.UnmarshalMax(content, maxBackupBlobs, b); err != nil {
		return err
	}
	for _, e := range b.Entries {
		r.entries++
		if letsIn(e.Key) { // what was ended since would go on
			continue
		}
		if leftOut(e.Key) {
			return errors.New("an entry that no backup has")
		}
		kv := store.KV{Key: e.Key, Value: e.Value, TTL: time.Duration(e.Seconds) * time.Second}
		if err := r.blobs.PutMany([]store.KV{kv}); err != nil {
			return err
		}
	}
	return nil
}

// takeParties makes the key file: new keys for the member, the old ones for the
// parties that it hosts. The log's own key comes with the welcome.
func (r *restoring) takeParties(content []byte) error {
	seeds := map[string]string{}
	if err := json.Unmarshal(content, &seeds); err != nil {
		return errors.New("the keys of parties are not readable")
	}
	keys := NewKeys(sign.NewKey())
	for id, s := range seeds {
		k, err := seedKey(s)
		if err != nil {
			return fmt.Errorf("key of party %q: %w", id, err)
		}
		keys.Parties[id] = k
	}
	return keys.Save(r.dir)
}

// complete checks what a backup must have, and marks the directory.
func (r *restoring) complete() error {
	for _, name := range []string{GenesisFile, escrow.KeyFile, "config.json", "keys"} {
		if _, err := os.Stat(filepath.Join(r.dir, name)); err != nil {
			return fmt.Errorf("the backup lacks a file: %w", err)
		}
	}
	s, err := LoadSettings(r.dir)
	if err != nil {
		return err
	}
	if s.Member != r.info.Member {
		return errors.New("the settings are another member's")
	}
	s.Joined = 0
	if err := s.Save(r.dir); err != nil {
		return err
	}
	b, err := json.MarshalIndent(&r.info, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.dir, RestoredFile), append(b, '\n'), 0o600)
}
