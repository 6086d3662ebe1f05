package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A site is where a party has sensors; it has one commitment tree. The one
// without a name is that of sensors that were approved without a site.
type site struct{ party, name string }

// Blobs below desk/t/PARTY/:
//
//	tree        treeBlob of the site without a name
//	tree/SITE   treeBlob
//	r/HASH      sealed opening of a reading, by the hash of its leaf
//	u/HASH      leaf that is perhaps not committed yet
//
// Order of effects: openings, leaves and the memo of the Idempotency-Key in one
// write; the leaves to the Raft log; u/ is removed. After a crash in between, the
// leaves go to Raft again, which takes each once. What anchors them is
// node/forest's, whatever becomes of this process.
type treeBlob struct {
	ID uint64 `cbor:"1,keyasint"`
}

func treeKey(party, format string, args ...any) []byte {
	return blobKeyOf(kindTree, party+"/"+fmt.Sprintf(format, args...))
}

// key names the blob of the site's tree.
func (s site) key() []byte {
	if s.name == "" {
		return treeKey(s.party, "tree")
	}
	return treeKey(s.party, "tree/%s", s.name)
}

// String names the site in idempotency keys and locks.
func (s site) String() string { return strings.TrimSuffix(s.party+"/"+s.name, "/") }

// treeOf returns the id of a site's tree, which it makes once.
func (d *Desk) treeOf(ctx context.Context, s site) (uint64, error) {
	defer d.lock("t/" + s.String())()
	b, err := loadBlob[treeBlob](d, s.key())
	if err != nil {
		return 0, err
	}
	if b != nil {
		return b.ID, nil
	}
	body := &record.Tree{Name: "sensors", Type: record.TreeSensor}
	if s.name != "" {
		body.Name = s.name
	}
	_, res, err := d.postOwn(ctx, "tree/"+s.String(), &record.Record{Kind: record.KindTree, ID: newID(), Issuer: s.party, Body: body}, false)
	if err != nil {
		return 0, err
	}
	b = &treeBlob{ID: rules.TreeID(res.Outcomes[0].LeafHash)}
	return b.ID, d.Blobs.PutMany([]store.KV{{Key: s.key(), Value: canon.Must(b)}})
}

// siteOf returns the site of the sensor that a leaf is of, which never changes.
func siteOf(st *store.State, party string, leaf []byte) (site, error) {
	var l ReadingLeaf
	if err := canon.Unmarshal(leaf, &l); err != nil {
		return site{}, fmt.Errorf("leaf of a reading: %w", err)
	}
	s, err := rules.Load[rules.Sensor](st, rules.KeySensor(l.Sensor))
	if err != nil || s == nil {
		return site{}, errors.Join(err, errNoState)
	}
	return site{party, s.Site}, nil
}

// commitDue commits leaves that a crash or a lost leader left behind.
func (d *Desk) commitDue(ctx context.Context) {
	if !d.uncommitted.CompareAndSwap(true, false) {
		return
	}
	left, err := d.leftBehind()
	for at, leaves := range left {
		tree, e := d.treeOf(ctx, at)
		if e == nil {
			_, e = d.queueLeaves(ctx, at.party, tree, leaves)
		}
		err = errors.Join(err, e)
		if e == nil && len(leaves) == maxReadings { // there may be more
			d.uncommitted.Store(true)
		}
	}
	if err != nil {
		d.uncommitted.Store(true)
		d.Log.Warn("readings are not committed yet", "err", safe(err))
	}
}

// leftBehind returns the leaves that are perhaps not committed, at most
// maxReadings of a site.
func (d *Desk) leftBehind() (map[site][][]byte, error) {
	left := map[site][][]byte{}
	st, err := d.state()
	if err != nil {
		return nil, err
	}
	err = d.Blobs.Scan(blobPrefix(kindTree), func(key, leaf []byte) error {
		party, rest, _ := strings.Cut(string(key[len(blobPrefix(kindTree)):]), "/")
		if !strings.HasPrefix(rest, "u/") {
			return nil
		}
		at, err := siteOf(st, party, leaf)
		if err != nil { // the other sites' readings do not wait for it
			d.Log.Warn("a reading's site is not known", "party", party, "err", safe(err))
			return nil
		}
		if len(left[at]) < maxReadings {
			left[at] = append(left[at], bytes.Clone(leaf))
		}
		return nil
	})
	return left, err
}
