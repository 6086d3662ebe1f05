package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/store"
)

// vaulted is escrowed with recipients of a-sha's backups.
func vaulted(t *testing.T) (*consortium, age.Identity) {
	t.Helper()
	key, err := age.GenerateHybridIdentity()
	must(t, err)
	return escrowedTo(t, key.Recipient().String()), key
}

func (c *consortium) backup(id string) []byte {
	c.t.Helper()
	var b bytes.Buffer
	must(c.t, c.nodes[id].Backup(context.Background(), &b))
	return b.Bytes()
}

// lose stops a node and removes its disk.
func (c *consortium) lose(id string) {
	c.t.Helper()
	c.stop(id)
	must(c.t, os.RemoveAll(c.dirs[id]))
}

// comeBack brings a lost member back from a backup: restored, voted out and in, and
// started.
func (c *consortium) comeBack(id string, backup []byte, key age.Identity) {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "restored")
	genesis, err := os.ReadFile(filepath.Join(c.dirs["b-sha"], node.GenesisFile))
	must(c.t, err)
	info, err := node.Restore(bytes.NewReader(backup), dir, id, []age.Identity{key}, c.log)
	must(c.t, err)
	if info.Member != id || info.Height == 0 {
		c.t.Errorf("restored: %+v", info)
	}
	var others []string
	for other := range c.nodes {
		others = append(others, other)
	}
	c.dirs[id] = dir
	keys, err := node.LoadKeys(dir)
	must(c.t, err)
	s, err := node.LoadSettings(dir)
	must(c.t, err)
	if r := c.change(others[0], c.removal(id, others...)); r.Refused != nil {
		c.t.Fatalf("voted out: %v", r.Refused)
	}
	c.eventually("the member is out", func() error {
		p, err := rules.Load[rules.Party](c.nodes[others[0]].FinalState(), rules.KeyParty(id))
		if err == nil && p.Active() {
			err = errors.New("still in")
		}
		return err
	})
	me := keys.MemberOf(record.MemberInfo{ID: id, Name: record.Text{Ja: id}, Regime: "ch4", Country: "JP", Addr: s.P2P}, "test.example/log")
	if r := c.change(others[0], c.request(me, others...)); r.Refused != nil {
		c.t.Fatalf("voted in: %v", r.Refused)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(c.t, node.Join(ctx, dir, genesis, nil, c.log))
	c.start(id)
	c.eventually(id+" ready", c.nodes[id].Ready)
}

// TestRestore is the drill: a node that writes is backed up and lost; it comes back
// with everybody but those who were erased since.
func TestRestore(t *testing.T) {
	c, key := vaulted(t)
	c.register("hana")
	c.register("taro")
	before, err := os.ReadFile(filepath.Join(c.dirs["a-sha"], "keys"))
	must(t, err)
	old, err := node.LoadKeys(c.dirs["a-sha"])
	must(t, err)

	lets := map[string]bool{"O/c/app": true, "O/x/screen": true, "O/i": true, "O/g/grant": false, "O/k/code": false, "O/r/refresh": false, "O/t/token": false,
		"O/u/passkeys": false, "O/v/handle": false, "O/f": false, "S/r/paper": false, "S/q/paper": false, "S/s/session": false, "T/t/token": false}
	for key := range lets {
		must(t, c.nodes["a-sha"].Blobs().PutMany([]store.KV{{Key: []byte(key), Value: []byte("of before")}}))
	}

	stop, done := make(chan struct{}), make(chan int)
	go func() { // writes while the backup runs
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
				c.register(custody.Ref(fmt.Sprintf("crowd-%d", n)))
			}
		}
	}()
	b := c.backup("a-sha")
	close(stop)
	crowd := <-done
	c.register("later") // after the backup
	erased := c.eraseAt("a-sha", "hana")
	c.copied()
	c.lose("a-sha")

	plain, err := age.Decrypt(bytes.NewReader(b), key)
	must(t, err)
	inside, err := io.ReadAll(plain)
	must(t, err)
	for _, k := range [][]byte{old.Record.Seed(), old.Cosigner.Seed(), old.Peer.Seed(), old.Approver.Seed()} {
		if s := base64.StdEncoding.EncodeToString(k); !bytes.Contains(before, []byte(s)) || bytes.Contains(inside, []byte(s)) || bytes.Contains(inside, k) {
			t.Error("a signing key of the member is in the backup")
		}
	}
	if bytes.Contains(inside, []byte("AKVAULT")) || bytes.Contains(inside, []byte("vault/")) || bytes.Contains(inside, []byte("名前 taro")) {
		t.Error("a slot, a vault's block or somebody's data is in the backup")
	}

	c.comeBack("a-sha", b, key)
	for key, stays := range lets {
		if v, ok, err := c.nodes["a-sha"].Blobs().Get([]byte(key)); err != nil || ok != stays || ok && string(v) != "of before" {
			t.Errorf("%s: there %v, %v", key, ok, err)
		}
	}
	desk := c.nodes["a-sha"].Desk()
	ctx := context.Background()
	if d, err := desk.Disclose(ctx, "taro"); err != nil || len(d.Classes) != 1 || len(d.Classes[0].Items) != 1 || d.Classes[0].Items[0].Value != "名前 taro" ||
		len(d.Lookups) != 1 {
		t.Errorf("taro: %+v, %v", d, err)
	}
	if ref, ok, err := desk.Find(ctx, "phone", "070-taro"); err != nil || !ok || ref != "taro" {
		t.Errorf("taro is not found: %q, %v", ref, err)
	}
	if _, err := desk.Secret(ctx, "later"); err != nil { // the key came back, the items were in no backup
		t.Errorf("later: %v", err)
	}
	var refusal *record.Refusal
	if _, err := desk.Disclose(ctx, "hana"); !errors.As(err, &refusal) || refusal.Code != record.CodeErased {
		t.Errorf("hana, who was erased: %v", err)
	}
	if _, ok, err := desk.Find(ctx, "phone", "070-hana"); err != nil || ok {
		t.Errorf("hana's lookup: %v, %v", ok, err)
	}
	if n := desk.People(ctx); n != crowd+2 {
		t.Errorf("%d people, want %d", n, crowd+2)
	}
	c.eventually("the erasure of before the loss is complete", func() error { return c.attested(erased) })

	now, err := node.LoadKeys(c.dirs["a-sha"])
	must(t, err)
	if now.Cosigner.Public() == old.Cosigner.Public() || now.Peer.Public() == old.Peer.Public() {
		t.Error("an old key is back")
	}
	c.register("new")
	c.copied()
	again := c.eraseAt("a-sha", "taro")
	c.eventually("an erasure after it is complete", func() error { return c.attested(again) })
	c.cosigned("b-sha", 4) // a-sha too, under a new key
	if _, err := os.Stat(filepath.Join(c.dirs["a-sha"], node.RestoredFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark is still there: %v", err)
	}
	c.stop("a-sha")
	c.start("a-sha") // an ordinary start
	if _, err := c.nodes["a-sha"].Desk().Secret(ctx, "later"); err != nil {
		t.Errorf("after another start: %v", err)
	}
}

// attested wants every holder and custodian of an erasure to have attested.
func (c *consortium) attested(id record.ID) error {
	e, err := rules.Load[rules.Erasure](c.nodes["b-sha"].FinalState(), rules.KeyErasure(id))
	if err != nil || e == nil || len(e.Pending) > 0 || len(e.Copies) != 2 {
		return fmt.Errorf("%+v, %v", e, err)
	}
	for _, k := range e.Copies {
		if k.TimeMs == 0 {
			return fmt.Errorf("%s has not attested", k.Custodian)
		}
	}
	return nil
}

// TestRestoreRefuses: a backup that is not whole, of another key, or over something.
func TestRestoreRefuses(t *testing.T) {
	c, key := vaulted(t)
	c.register("hana")
	b := c.backup("a-sha")
	other, err := age.GenerateHybridIdentity()
	must(t, err)
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "file"), nil, 0o600))
	fresh := filepath.Join(t.TempDir(), "fresh")
	for name, bad := range map[string]struct {
		file   []byte
		dir    string
		key    age.Identity
		member string
		want   record.Code
	}{
		"another key":          {b, fresh, other, "", node.CodeRestoreIdentity},
		"cut":                  {b[:len(b)/2], fresh, key, "", node.CodeRestoreDamaged},
		"cut at the end":       {b[:len(b)-20], fresh, key, "", node.CodeRestoreDamaged},
		"cut in the header":    {b[:40], fresh, key, "", node.CodeRestoreDamaged},
		"a byte changed":       {append(append(bytes.Clone(b[:len(b)-200]), b[len(b)-200]^1), b[len(b)-199:]...), fresh, key, "", node.CodeRestoreDamaged},
		"no backup":            {[]byte("not age"), fresh, key, "", node.CodeRestoreDamaged},
		"a directory full":     {b, full, key, "", node.CodeRestoreTarget},
		"a file, no directory": {b, filepath.Join(full, "file"), key, "", node.CodeRestoreTarget},
		"of another member":    {b, fresh, key, "b-sha", node.CodeRestoreMember},
	} {
		_, err := node.Restore(bytes.NewReader(bad.file), bad.dir, bad.member, []age.Identity{bad.key}, c.log)
		if codeOf(err) != bad.want {
			t.Errorf("%s: %v, want %s", name, err, bad.want)
		}
		if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was left behind", name)
		}
	}
	s, err := node.LoadSettings(c.dirs["a-sha"])
	must(t, err)
	s.BackupTo = []string{"age1nonsense"}
	if err := s.Save(c.dirs["a-sha"]); err == nil || !strings.Contains(err.Error(), "backupTo") {
		t.Errorf("recipients that are none: %v", err)
	}
	if err := c.nodes["b-sha"].Backup(context.Background(), io.Discard); !errors.Is(err, node.ErrNoBackupTo) {
		t.Errorf("no recipients: %v", err)
	}
	if _, err := node.Restore(bytes.NewReader(b), fresh, "a-sha", []age.Identity{key}, c.log); err != nil {
		t.Fatal(err)
	}
	// With the old network key gone, and without votes, it is no member.
	if _, err := node.Start(fresh, c.log); err == nil {
		t.Error("a restored node starts without having joined")
	}
}
