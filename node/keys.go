package node

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Keys are the signing keys of one member's node. They are in the file "keys"
// (mode 0600) of its data directory.
type Keys struct {
	Record   sign.Key            // signs submissions and headers
	Cosigner sign.Key            // signs checkpoints
	Peer     sign.Key            // identity on the network
	Approver sign.Key            // second approver of exceptions
	Log      sign.Key            // the log's own line, shared by all members; authorises nothing
	Parties  map[string]sign.Key // of parties that this member hosts

	// Spare are keys that were prepared to replace the ones above, oldest first,
	// by role ("cosigner", "record", "approver"). None is ever taken out: which
	// key counts is in the register, and follows from the height.
	Spare map[string][]sign.Key
}

// NewKeys draws keys for a member; the log key is the consortium's.
func NewKeys(log sign.Key) *Keys {
	return &Keys{Record: sign.NewKey(), Cosigner: sign.NewKey(), Peer: sign.NewKey(), Approver: sign.NewKey(),
		Log: log, Parties: map[string]sign.Key{}, Spare: map[string][]sign.Key{}}
}

type keyFile struct {
	Format  string              `json:"format"`
	Keys    map[string]string   `json:"keys"`
	Parties map[string]string   `json:"parties"`
	Spare   map[string][]string `json:"spare,omitempty"`
}

const keyFormat = "akashi-keys/v1"

func (k *Keys) named() map[string]*sign.Key {
	return map[string]*sign.Key{"record": &k.Record, "cosigner": &k.Cosigner, "peer": &k.Peer, "approver": &k.Approver, "log": &k.Log}
}

// Save writes the keys to a data directory: a new file beside the old one,
// synced, then renamed over it.
func (k *Keys) Save(dir string) error {
	f := keyFile{Format: keyFormat, Keys: map[string]string{}, Parties: map[string]string{}, Spare: map[string][]string{}}
	for name, key := range k.named() {
		f.Keys[name] = base64.StdEncoding.EncodeToString(key.Seed())
	}
	for id, key := range k.Parties {
		f.Parties[id] = base64.StdEncoding.EncodeToString(key.Seed())
	}
	for role, keys := range k.Spare {
		for _, key := range keys {
			f.Spare[role] = append(f.Spare[role], base64.StdEncoding.EncodeToString(key.Seed()))
		}
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "keys"), append(b, '\n'), 0o600)
}

// LoadKeys reads the keys of a data directory.
func LoadKeys(dir string) (*Keys, error) {
	path := filepath.Join(dir, "keys")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f keyFile
	if err := json.Unmarshal(b, &f); err != nil || f.Format != keyFormat {
		return nil, fmt.Errorf("%s is not a key file of this program", path)
	}
	k := &Keys{Parties: map[string]sign.Key{}, Spare: map[string][]sign.Key{}}
	for name, key := range k.named() {
		if *key, err = seedKey(f.Keys[name]); err != nil {
			return nil, fmt.Errorf("%s: key %q: %w", path, name, err)
		}
	}
	for id, s := range f.Parties {
		if k.Parties[id], err = seedKey(s); err != nil {
			return nil, fmt.Errorf("%s: key of party %q: %w", path, id, err)
		}
	}
	for role, seeds := range f.Spare {
		for i, s := range seeds {
			key, err := seedKey(s)
			if err != nil {
				return nil, fmt.Errorf("%s: spare %s key %d: %w", path, role, i+1, err)
			}
			k.Spare[role] = append(k.Spare[role], key)
		}
	}
	return k, nil
}

// Of returns every key of the member in a role, the founder's first.
func (k *Keys) Of(role string) []sign.Key {
	first := map[string]sign.Key{record.RoleCosigner: k.Cosigner, record.RoleRecord: k.Record, record.RoleApprover: k.Approver}
	return append([]sign.Key{first[role]}, k.Spare[role]...)
}

func seedKey(s string) (sign.Key, error) {
	seed, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(seed) == 0 {
		return sign.Key{}, errors.New("missing or malformed")
	}
	return sign.KeyFromSeed(seed)
}

// writeFile replaces a file so that a crash leaves the old or the new content.
func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
