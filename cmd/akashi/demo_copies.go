package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/register"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/crypto/vault"
	law "github.com/akashi-ledger/akashi/ledger/forest"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node"
	"github.com/akashi-ledger/akashi/node/custody"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// slotFile is the effaceable root key of a member's vault.
const slotFile = "vault.slot"

// copyTree copies a directory as it is, while its node runs.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went away meanwhile
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		err = copyFile(name, target)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := in.Stat()
	if err == nil {
		err = out.Truncate(info.Size())
	}
	if err == nil {
		err = eachPart(in, func(at int64, part *io.SectionReader) error {
			_, err := io.Copy(io.NewOffsetWriter(out, at), part)
			return err
		})
	}
	return errors.Join(err, out.Close())
}

// eachPart calls do for the parts of a file that are no holes.
func eachPart(f *os.File, do func(at int64, part *io.SectionReader) error) error {
	for at := int64(0); ; {
		begin, end, err := nextData(f, at)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = do(begin, io.NewSectionReader(f, begin, end-begin))
		}
		if err != nil {
			return err
		}
		at = end
	}
}

// copyMember copies a member's directory while its node runs. Vault blocks and
// the slot with their key must be of one moment: where the slot changes
// meanwhile, the copy is made again.
func copyMember(from, to string) error {
	slot := func() ([]byte, error) { return os.ReadFile(filepath.Join(from, slotFile)) }
	for range 20 {
		before, err := slot()
		if err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(to), copyTree(from, to)); err != nil {
			return err
		}
		after, err := slot()
		if err != nil {
			return err
		}
		if bytes.Equal(before, after) {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("%s does not come to rest", from)
}

// isGone reports whether a copy gives nothing of a person because the keys are
// gone: the vault does not open with this slot, or it knows nobody of that name.
func isGone(err error) bool {
	var refusal *record.Refusal
	return errors.Is(err, vault.ErrBlock) || errors.Is(err, vault.ErrStale) ||
		errors.As(err, &refusal) && (refusal.Code == record.CodeErased || refusal.Code == custody.CodePersonUnknown)
}

// contains looks for words in every file of a directory, byte by byte. Holes are
// left out: no word reaches into one.
func contains(dir string, words ...string) (found []string, err error) {
	longest := 0
	for _, w := range words {
		longest = max(longest, len(w))
	}
	buf := make([]byte, 1<<20+longest)
	look := func(_ int64, part *io.SectionReader) error {
		for kept := 0; ; { // the end of one piece is the beginning of the next
			n, err := io.ReadFull(part, buf[kept:])
			piece := buf[:kept+n]
			for _, w := range words {
				if !slices.Contains(found, w) && bytes.Contains(piece, []byte(w)) {
					found = append(found, w)
				}
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
			kept = copy(buf, piece[len(piece)-longest:])
		}
	}
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return eachPart(f, look)
	})
	return found, err
}

// disclose opens the copy of a member's directory with the product's own code, as
// somebody who stole it would, and returns what can be read of a person. An error
// means that nothing can.
func disclose(ctx context.Context, dir string, ref custody.Ref) (items map[string]string, err error) {
	desk, stop, err := openCopy(dir)
	defer stop()
	if err != nil {
		return nil, err
	}
	d, err := desk.Disclose(ctx, ref)
	if err != nil {
		return nil, err
	}
	items = map[string]string{}
	for _, c := range d.Classes {
		for _, it := range c.Items {
			items[it.Code] = it.Value
		}
	}
	if len(items) == 0 {
		err = errors.New("nothing is held")
	}
	return items, err
}

func openCopy(dir string) (desk *custody.Desk, stop func(), err error) {
	var stops []func() error
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	settings, err := node.LoadSettings(dir)
	if err != nil {
		return nil, stop, err
	}
	keys, err := node.LoadKeys(dir)
	if err != nil {
		return nil, stop, err
	}
	genesis, err := os.ReadFile(filepath.Join(dir, node.GenesisFile))
	if err != nil {
		return nil, stop, err
	}
	db, err := store.OpenState(filepath.Join(dir, "state"), quiet)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, db.Close)
	ledger, err := store.OpenLedger(db, genesis, register.Options{}, quiet)
	if err != nil {
		return nil, stop, err
	}
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"), quiet)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, blobs.Close)
	slot, err := vault.OpenFileSlot(filepath.Join(dir, slotFile))
	if err != nil {
		return nil, stop, err
	}
	v, err := vault.Open(slot, node.VaultBlobs(blobs), vault.Options{})
	if err != nil {
		slot.Close()
		return nil, stop, err
	}
	stops = append(stops, v.Close)
	hosted := []string{}
	for id := range keys.Parties {
		hosted = append(hosted, id)
	}
	now := time.UnixMilli(int64(ledger.State().TimeMs))
	desk, err = custody.New(custody.Config{Self: settings.Member, Origin: genesisOrigin(genesis), Hosted: func() []string { return hosted },
		Vault: v, Blobs: blobs, Poster: nobody{}, Network: nobody{}, Trees: nobody{}, State: ledger.State, FreshAt: func() uint64 { return 0 },
		Refresh: func(context.Context) error { return errCopy }, Now: func() time.Time { return now }, Log: quiet,
		Approve:  func([]byte) sign.Signature { return sign.Signature{} },
		SignHold: func([]byte) (sign.Signature, error) { return sign.Signature{}, errCopy }})
	if err == nil {
		stops = append(stops, desk.Close)
	}
	return desk, stop, err
}

func genesisOrigin(leaf []byte) string {
	if rec, err := record.Parse(leaf); err == nil {
		if g, ok := rec.Body.(*record.Genesis); ok {
			return g.Founding.Origin
		}
	}
	return ""
}

var errCopy = errors.New("a copy speaks to nobody")

// nobody is the consortium as a copy sees it.
type nobody struct{}

func (nobody) Call(context.Context, string, string, []byte) ([]byte, error) { return nil, errCopy }
func (nobody) Submit(context.Context, outbox.Request) (*outbox.Result, error) {
	return nil, errCopy
}
func (nobody) SubmitCommitted(context.Context, outbox.Request) (*outbox.Result, error) {
	return nil, errCopy
}
func (nobody) Queue(context.Context, string, uint64, []law.Leaf) ([]law.Outcome, error) {
	return nil, errCopy
}
func (nobody) Settle(context.Context, uint64, uint64) (*forest.Anchor, error) { return nil, errCopy }
func (nobody) Anchor(uint64) (*forest.Anchor, error)                          { return nil, errCopy }
func (nobody) AppliedLeaf(uint64, uint64) (*forest.Stored, error)             { return nil, errCopy }
func (nobody) Inclusion(uint64, uint64, uint64) ([]merkle.Hash, error)        { return nil, errCopy }

// whatIs says what a copy gave, for people.
func whatIs(items map[string]string, err error) string {
	if err != nil {
		return fmt.Sprintf("unreadable (%v)", err)
	}
	return fmt.Sprintf("%d items readable", len(items))
}
