package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/custody"
	"golang.org/x/mod/sumdb/tlog"
)

// ApproveSensor registers a sensor.
func (c *Client) ApproveSensor(ctx context.Context, s rest.SensorForm) (*Done, error) {
	return write[Done](ctx, c, "/v1/sensors", s)
}

// RetireSensor ends a sensor.
func (c *Client) RetireSensor(ctx context.Context, id string) (*Done, error) {
	return write[Done](ctx, c, "/v1/sensors/"+url.PathEscape(id)+"/retire", rest.RetireForm{})
}

// CommitReadings commits readings of sensors by hash.
func (c *Client) CommitReadings(ctx context.Context, readings []custody.Reading) (*rest.ReadingsDone, error) {
	var f rest.ReadingsForm
	for _, r := range readings {
		f.Readings = append(f.Readings, rest.ReadingForm{Sensor: r.Sensor, TimeMs: r.TimeMs, Values: r.Values})
	}
	return write[rest.ReadingsDone](ctx, c, "/v1/readings", f)
}

// ProvenReading is a reading that was committed before a final checkpoint.
type ProvenReading struct {
	rest.ReadingView
	Reading *custody.Reading // nil where the opening is gone
	TimeMs  uint64
	Sensor  string
}

// Reading returns one reading of the tree of a site of the party that acts, by its
// index there (the empty site is that of sensors without one), after it has checked the whole way: opening → leaf → root of the tree →
// tree.advance record → final checkpoint.
func (c *Client) Reading(ctx context.Context, site string, index uint64) (*ProvenReading, error) {
	query := url.Values{}
	if site != "" {
		query.Set("site", site)
	}
	v, err := read[rest.ReadingView](ctx, c, "/v1/readings/"+strconv.FormatUint(index, 10)+"/proof", query)
	if err != nil {
		return nil, err
	}
	p := &ProvenReading{ReadingView: *v}
	if v.Index != index {
		return nil, fmt.Errorf("the proof is of reading %d", v.Index)
	}
	return p, p.check(c)
}

func (p *ProvenReading) check(c *Client) error {
	var leaf custody.ReadingLeaf
	if err := canon.Unmarshal(p.Leaf, &leaf); err != nil {
		return fmt.Errorf("leaf of the reading: %w", err)
	}
	p.Sensor, p.TimeMs = leaf.Sensor, leaf.TimeMs
	if err := p.open(&leaf); err != nil {
		return err
	}
	path := make([]merkle.Hash, len(p.Path))
	for i, h := range p.Path {
		if len(h) != merkle.HashSize {
			return errors.New("malformed path")
		}
		path[i] = merkle.Hash(h)
	}
	if len(p.Root) != merkle.HashSize {
		return errors.New("malformed root")
	}
	if err := merkle.VerifyInclusion(merkle.LeafHash(p.Leaf), p.Index, p.Size, path, merkle.Hash(p.Root)); err != nil {
		return fmt.Errorf("the reading is not in its tree: %w", err)
	}
	rec, err := record.Parse(p.Record)
	if err != nil {
		return fmt.Errorf("tree.advance: %w", err)
	}
	a, ok := rec.Body.(*record.TreeAdvance)
	if !ok || a.Size != p.Size || a.Root != record.Digest(p.Root) || fmt.Sprintf("%016x", a.Tree) != p.Tree {
		return errors.New("the record does not anchor this tree at this size")
	}
	return c.VerifyProof(p.Record, p.Proof)
}

// open checks the opening, where there is one, and reads the values.
func (p *ProvenReading) open(leaf *custody.ReadingLeaf) error {
	if p.Opening == nil {
		return nil
	}
	var part custody.ReadingPart
	if len(p.Opening.Nonce) != len(seal.Nonce{}) || !seal.CheckOpening(leaf.Commitment, seal.Nonce(p.Opening.Nonce), p.Opening.Part) {
		return errors.New("the values are not those that were committed")
	}
	if err := canon.Unmarshal(p.Opening.Part, &part); err != nil || part.Sensor != leaf.Sensor || part.TimeMs != leaf.TimeMs {
		return errors.New("the values are of another reading")
	}
	p.Reading = &custody.Reading{Sensor: part.Sensor, TimeMs: part.TimeMs, Values: map[string]any{}}
	for _, v := range part.Values {
		var value any
		if err := json.Unmarshal([]byte(v.JSON), &value); err != nil {
			return fmt.Errorf("value %s: %w", v.Name, err)
		}
		p.Reading.Values[v.Name] = value
	}
	return nil
}

// VerifyProof verifies a tlog-proof@v1 of a leaf under the first policy that it
// fits, by torchwood: an implementation that shares nothing with this ledger's
// own verifier.
func (c *Client) VerifyProof(leaf []byte, proof string) error {
	err := errors.New("no policy says whose signatures count")
	for _, p := range c.trust.policies() {
		var policy torchwood.Policy
		if policy, err = torchwood.ParsePolicy(p.Format()); err != nil {
			continue
		}
		if err = torchwood.VerifyProof(policy, tlog.RecordHash(leaf), []byte(proof)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("tlog-proof: %w", errors.New(strings.TrimSpace(err.Error())))
}
