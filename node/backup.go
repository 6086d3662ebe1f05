package node

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/escrow"
	"github.com/akashi-ledger/akashi/node/store"
)

// # Backups
//
// A backup is an age file to the member's recipients (Settings.BackupTo); inside is
// a tar of, in this order,
//
//	backup.json        what it is: BackupInfo
//	blobs/NNNNNNNN     sealed data: canonical CBOR {1: [{1: key, 2: value, 3?: seconds to live}]}
//	genesis, config.json, custody.key, evidence/…
//	parties.json       signing keys of the parties that this member hosts
//	end.json           how many entries of blobs there were
//
// What is not in it, and why: slots and blocks of vaults (an erasure must reach every
// copy of a key; custodians are the backup of keys), the member's own signing keys
// and the mark of what they signed (with an old mark they could sign a fork: a
// restored member comes back with new ones), Raft's log and the ledger's state (the
// other members have them, and they come with their proofs), what was asked under an
// Idempotency-Key, and all by which somebody gets in: tokens, sessions, papers, grants of
// apps and passkeys (one that was ended, used or taken away must not come back).

// backupFormat is the format of BackupInfo.
const backupFormat = "akashi-backup/v1"

// backupBatch bounds one file of blobs, in bytes, but for a single larger entry.
const backupBatch = 1 << 20

// BackupInfo says what a backup is of.
type BackupInfo struct {
	Format  string    `json:"format"`
	Member  string    `json:"member"`
	Origin  string    `json:"origin"`
	MadeAt  time.Time `json:"madeAt"` // by the machine's clock
	Height  uint64    `json:"height"` // final, when it was begun
	Size    uint64    `json:"size"`
	Entries uint64    `json:"entries,omitempty"` // of blobs; in end.json

	// What the register says of the member, so that it can ask to come back.
	Name       record.Text `json:"name"`
	Regime     string      `json:"regime"`
	Country    string      `json:"country"`
	Categories []string    `json:"categories,omitempty"`
	Address    string      `json:"address"` // host:port on the network
}

// ErrNoBackupTo says that the settings name nobody who could open a backup.
var ErrNoBackupTo = errors.New("config.json names no recipients of backups (backupTo)")

type backupBlob struct {
	Key     []byte `cbor:"1,keyasint"`
	Value   []byte `cbor:"2,keyasint"`
	Seconds uint64 `cbor:"3,keyasint,omitempty"`
}

type backupBlobs struct {
	Entries []backupBlob `cbor:"1,keyasint"`
}

// maxBackupBlobs is the largest file of blobs that Restore reads.
const maxBackupBlobs = backupBatch + store.MaxSetBytes + 1<<16

// leftOut are the entries of blobs that are in no backup.
func leftOut(key []byte) bool {
	for _, prefix := range []string{vaultPrefix, copiesPrefix, "T/", "S/", "outbox/", "desk/y/"} {
		if strings.HasPrefix(string(key), prefix) {
			return true
		}
	}
	return letsIn(key)
}

// letsIn reports whether an entry is of those by which the authorization server lets
// somebody in, or remembers that it did: all of its own but clients, screens that
// consents were given to, and its signing key. Backups of earlier versions have them.
func letsIn(key []byte) bool {
	rest, is := strings.CutPrefix(string(key), "O/")
	return is && !strings.HasPrefix(rest, "c/") && !strings.HasPrefix(rest, "x/") && rest != "i"
}

// InBackup reports whether backups have the entry of the member's local storage with
// this key.
func InBackup(key []byte) bool { return !leftOut(key) }

// recipients reads the settings' recipients of backups.
func (s *Settings) recipients() ([]age.Recipient, error) {
	if len(s.BackupTo) == 0 {
		return nil, ErrNoBackupTo
	}
	return age.ParseRecipients(strings.NewReader(strings.Join(s.BackupTo, "\n")))
}

// Backup writes a backup of this member while the node runs: of one moment, but for
// what is added to the small files meanwhile. It is whole where Backup returns nil.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	to, err := n.Settings.recipients()
	if err != nil {
		return err
	}
	st := n.FinalState()
	if st == nil {
		return errors.New("nothing is final yet")
	}
	info, err := n.backupInfo(st)
	if err != nil {
		return err
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return fmt.Errorf("encrypt the backup: %w", err)
	}
	b := &backupWriter{tar: tar.NewWriter(sealed), ctx: ctx, at: info.MadeAt}
	b.json("backup.json", info)
	b.blobs(n.blobs)
	for _, name := range []string{GenesisFile, "config.json", escrow.KeyFile} {
		b.copy(filepath.Join(n.Dir, name), name)
	}
	b.folder(n.kept.Dir(), "evidence")
	b.json("parties.json", n.partySeeds())
	info.Entries = b.entries
	b.json("end.json", info)
	return errors.Join(b.err, b.tar.Close(), sealed.Close())
}

func (n *Node) backupInfo(st *store.State) (*BackupInfo, error) {
	p, err := rules.Load[rules.Party](st, rules.KeyParty(n.Settings.Member))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("%s is not in the register", n.Settings.Member)
	}
	i := &BackupInfo{Format: backupFormat, Member: p.ID, Origin: n.Founding.Origin, MadeAt: time.Now().UTC(), Height: st.Height, Size: st.Size,
		Name: p.Name, Regime: p.Regime, Country: p.Country, Categories: p.Categories}
	for _, s := range n.peers.Load().seats {
		if s.Member == p.ID {
			i.Address = s.Address
		}
	}
	return i, nil
}

func (n *Node) partySeeds() map[string]string {
	n.keysMu.RLock()
	defer n.keysMu.RUnlock()
	out := map[string]string{}
	for id, k := range n.keys.Parties {
		out[id] = base64.StdEncoding.EncodeToString(k.Seed())
	}
	return out
}

// backupWriter writes the files of a backup; after an error it does nothing.
type backupWriter struct {
	ctx     context.Context
	tar     *tar.Writer
	at      time.Time
	entries uint64
	batch   backupBlobs
	bytes   int
	files   int
	err     error
}

func (b *backupWriter) file(name string, content []byte) {
	if b.err == nil {
		b.err = b.ctx.Err()
	}
	if b.err != nil {
		return
	}
	if b.err = b.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: b.at}); b.err == nil {
		_, b.err = b.tar.Write(content)
	}
}

func (b *backupWriter) json(name string, v any) {
	content, err := json.MarshalIndent(v, "", " ")
	if err != nil && b.err == nil {
		b.err = err
	}
	b.file(name, append(content, '\n'))
}

func (b *backupWriter) copy(path, name string) {
	if b.err != nil {
		return
	}
	content, err := os.ReadFile(path)
	if err != nil {
		b.err = err
		return
	}
	defer clear(content)
	b.file(name, content)
}

// folder copies the files of a folder, none where there is no folder.
func (b *backupWriter) folder(dir, name string) {
	if b.err != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.err = err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasSuffix(e.Name(), ".new") {
			b.copy(filepath.Join(dir, e.Name()), name+"/"+e.Name())
		}
	}
}

func (b *backupWriter) blobs(blobs *store.Blobs) {
	if b.err != nil {
		return
	}
	err := blobs.Snapshot(leftOut, func(e store.KV) error {
		b.entries++
		b.batch.Entries = append(b.batch.Entries, backupBlob{Key: e.Key, Value: e.Value, Seconds: uint64(e.TTL / time.Second)})
		if b.bytes += len(e.Key) + len(e.Value); b.bytes >= backupBatch {
			b.flush()
		}
		return b.err
	})
	b.flush()
	if b.err == nil {
		b.err = err
	}
}

func (b *backupWriter) flush() {
	if len(b.batch.Entries) == 0 {
		return
	}
	b.file(fmt.Sprintf("blobs/%08d", b.files), canon.Must(&b.batch))
	b.batch, b.bytes, b.files = backupBlobs{}, 0, b.files+1
}
