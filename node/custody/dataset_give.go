package custody

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A dataset that is handed over under a consent dies at the recipient when it dies
// here. Its number and deadline stand in the sealed part of the hand-over, and the
// recipient keeps what it got under an identity of its own, no longer than that:
//
//	c/SERVICE@HOLDER/PERIOD/DEADLINE/NUMBER  content of the dataset NUMBER (hexadecimal)
//
// Who has it, this member notes under the dataset's own class, in the same durable write
// as the intent. Its erasure on demand names them all, and tells them (Dataset of
// erasurePlan). The deadline needs no telling. It goes no further: a recipient hands
// nothing on that it got out of a dataset.

// givenNote says of a hand-over whose dataset it is of, and to whom it went.
type givenNote struct {
	Intent record.ID      `cbor:"1,keyasint"`
	Handle sign.PublicKey `cbor:"2,keyasint"`
	To     string         `cbor:"3,keyasint"`
}

// givenOut returns the dataset whose items a hand-over is of, nil for none: the
// provider's own, of the service whose consent covers it.
func (d *Desk) givenOut(h *handOver) (*class, error) {
	c, err := d.disclosed(h.Dataset, h.Person)
	if err != nil || c == nil {
		return nil, err
	}
	if service, _ := datedParts(c.name); service != h.service.ID || h.from != h.service.Owner {
		return nil, record.Refuse(CodeDatasetUnknown, "not of this service")
	}
	return c, nil
}

// datasetPart is what the recipient is told about a dataset.
func datasetPart(c *class) *record.DatasetPart {
	_, period := datedParts(c.name)
	return &record.DatasetPart{Number: c.number[:], Retention: period, UntilMs: c.deadlineMs()}
}

// noteGiven notes who gets a dataset. Nothing of it can be read without the dataset's
// key, so it need not be deleted with that, and its name says nothing of the hand-over.
func (d *Desk) noteGiven(c *class, g *givenNote) (store.KV, error) {
	id := newID()
	sealed, err := d.sealFor(c.id, sealedGiven, id, canon.Must(g))
	return store.KV{Key: blobKeyOf(kindGiven, hex.EncodeToString(c.id[:])+"/"+hex.EncodeToString(id[:])), Value: sealed}, err
}

// givenTo returns to whom a dataset went. What is not in the log is left out: its
// parcel stays here (deliver), since the dataset is leaving.
func (d *Desk) givenTo(st *store.State, c *class) (tell []holderTold, err error) {
	prefix := blobKeyOf(kindGiven, hex.EncodeToString(c.id[:])+"/")
	err = d.Blobs.Scan(prefix, func(key, value []byte) error {
		id, err := parseID(string(key[len(prefix):]))
		if err != nil {
			return err
		}
		plain, err := d.openFrom(c.id, sealedGiven, id, value)
		if err != nil {
			return err
		}
		g := new(givenNote)
		if err := canon.Unmarshal(plain, g); err != nil {
			return err
		}
		if rec, _, err := recordByID(st, g.Intent); err != nil || rec == nil {
			return err
		}
		i := slices.IndexFunc(tell, func(t holderTold) bool { return t.Holder == g.To })
		if i < 0 {
			i, tell = len(tell), append(tell, holderTold{Holder: g.To})
		}
		if t := &tell[i]; !slices.Contains(t.Handles, g.Handle) {
			t.Handles = append(t.Handles, g.Handle)
		}
		tell[i].Intents = append(tell[i].Intents, g.Intent)
		return nil
	})
	slices.SortFunc(tell, func(a, b holderTold) int { return strings.Compare(a.Holder, b.Holder) })
	return tell, err
}

// receivedDataset names the class of what was received of a dataset: until the earlier
// of the dataset's deadline and what the terms say (0: nothing).
func receivedDataset(base string, ds *record.DatasetPart, period string, untilMs uint64) (string, error) {
	if untilMs == 0 || ds.UntilMs < untilMs {
		period, untilMs = ds.Retention, ds.UntilMs-ds.UntilMs%1000
	}
	if _, err := record.ParsePeriod(period); err != nil || len(ds.Number) != len(seal.Number{}) || untilMs == 0 {
		return "", record.Refuse(record.CodeIntentItems, "the dataset")
	}
	return base + "/" + period + "/" + strconv.FormatUint(untilMs, 10) + "/" + hex.EncodeToString(ds.Number), nil
}

// datasetOf returns the number of the dataset that a received class is of, "" for none.
func datasetOf(name string) string {
	if parts := strings.Split(name, "/"); len(parts) == 5 && parts[0] == "c" {
		return parts[4]
	}
	return ""
}

func isOfDataset(name string, number []byte) bool {
	return len(number) > 0 && datasetOf(name) == hex.EncodeToString(number)
}

// gotHere returns what parties of this node received of a dataset of this node.
func (d *Desk) gotHere(c *class) ([]*class, error) {
	q, release, err := d.use(c.ref)
	if err != nil {
		return nil, err
	}
	defer release()
	return slices.DeleteFunc(d.classesOf(q, "c/"), func(k *class) bool { return !isOfDataset(k.name, c.number[:]) }), nil
}

// tellOfDataset plans who is told that a dataset is erased; nil where nobody elsewhere
// has it.
func (d *Desk) tellOfDataset(id record.ID, c *class, given []holderTold) *erasurePlan {
	p := &erasurePlan{Erasure: id, ByIssuer: true, Dataset: bytes.Clone(c.number[:])}
	for _, t := range given {
		if !d.mine(t.Holder) {
			p.Tell = append(p.Tell, t)
		}
	}
	if len(p.Tell) == 0 {
		return nil
	}
	return p
}

// openFromThem returns those of a caller's hand-overs that are open here.
func (d *Desk) openFromThem(st *store.State, from string, intents []record.ID) (open []record.ID, err error) {
	for _, id := range intents {
		in, err := rules.Load[rules.Intent](st, rules.KeyIntent(id))
		if err != nil {
			return nil, err
		}
		if in == nil || !d.mine(in.To) || slices.Contains(open, id) {
			continue
		}
		if _, ok, err := d.acts(st, from, in.From); err != nil {
			return nil, err
		} else if ok {
			open = append(open, id)
		}
	}
	return open, nil
}
