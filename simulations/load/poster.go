package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A poster builds and posts records of one member.
type poster struct {
	Target
	origin  string
	service string
	to      []string // recipients of hand-overs
	terms   record.Digest
	secret  sign.Secret
	next    atomic.Uint64 // handles drawn from the secret so far
	handles []sign.PublicKey
	http    *direct
}

// prepareBatch is how many consents one request brings in beforehand.
const prepareBatch = 500

func newPoster(ctx context.Context, t Target, o Options) (*poster, error) {
	p := &poster{Target: t, origin: o.Origin, secret: sign.NewSecret(), http: newDirect()}
	var suffix [4]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return nil, err
	}
	p.service = fmt.Sprintf("bench-%x", suffix)
	for _, m := range o.Members {
		if m.Member != t.Member {
			p.to = append(p.to, m.Member)
		}
	}
	if len(p.to) == 0 {
		return nil, fmt.Errorf("hand-overs need a second member")
	}
	if err := p.offer(ctx); err != nil {
		return nil, err
	}
	for len(p.handles) < o.Handles {
		var leaves [][]byte
		n := min(prepareBatch, o.Handles-len(p.handles))
		for range n {
			leaf, h, err := p.consent()
			if err != nil {
				return nil, err
			}
			leaves, p.handles = append(leaves, leaf), append(p.handles, h)
		}
		if _, refused, err := p.post(ctx, leaves); err != nil || refused > 0 {
			return nil, fmt.Errorf("%d consents refused: %w", refused, err)
		}
	}
	return p, nil
}

// offer opens a service with one scope that the other members may receive.
func (p *poster) offer(ctx context.Context) error {
	text := record.Text{Ja: "計測用", En: "for measuring"}
	screen := &record.Screen{Service: p.service, Version: "1", Text: text, Withdrawal: text,
		Scopes: []record.Scope{{Purpose: "service", Recipients: p.to}}}
	terms := &record.Terms{Screen: canon.Must(screen)}
	p.terms = terms.Hash()
	for _, r := range []*record.Record{
		{Kind: record.KindService, Body: &record.Service{ID: p.service, Name: text, Contact: text}},
		{Kind: record.KindTerms, Body: terms},
	} {
		leaf, err := p.leaf(r)
		if err != nil {
			return err
		}
		if final, _, err := p.post(ctx, [][]byte{leaf}); err != nil || final != 1 {
			return fmt.Errorf("kind %v was not accepted: %w", r.Kind, err)
		}
	}
	return nil
}

func (p *poster) leaf(r *record.Record) ([]byte, error) {
	r.ID, r.Issuer = newID(), p.Member
	return r.Leaf()
}

// consent builds a first consent of a fresh handle.
func (p *poster) consent() ([]byte, sign.PublicKey, error) {
	key := p.secret.Handle(p.service, p.next.Add(1))
	body := &record.Consent{Handle: key.Public(), Terms: p.terms}
	commitment := random()
	body.Sig = key.Sign(sign.DomainConsent, p.origin, body.Statement(commitment))
	leaf, err := p.leaf(&record.Record{Kind: record.KindConsent, Body: body, Commitment: &commitment})
	return leaf, body.Handle, err
}

func (p *poster) provision() ([]byte, error) {
	deadline := (uint64(time.Now().UnixMilli())/record.HourMs + 25) * record.HourMs
	commitment := random()
	return p.leaf(&record.Record{Kind: record.KindProvision, Commitment: &commitment, Body: &record.Provision{
		Handle: p.handles[mrand.IntN(len(p.handles))], Terms: 1, To: p.to[mrand.IntN(len(p.to))],
		DeadlineMs: deadline, Items: random(),
	}})
}

func random() record.Digest {
	var d record.Digest
	for i := 0; i < len(d); i += 8 { // commitments need not be secret here
		binary.BigEndian.PutUint64(d[i:], mrand.Uint64())
	}
	return d
}

// build makes the leaves of one request.
func (p *poster) build(n, consentsPercent int) ([][]byte, error) {
	leaves := make([][]byte, n)
	var err error
	for i := range leaves {
		if mrand.IntN(100) < consentsPercent {
			leaves[i], _, err = p.consent()
		} else {
			leaves[i], err = p.provision()
		}
		if err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// post sends leaves and waits until they are final.
func (p *poster) post(ctx context.Context, leaves [][]byte) (final, refused int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	body, err := json.Marshal(struct {
		Records [][]byte `json:"records"`
	}{leaves})
	if err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/v1/records", bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.Token)
	res, err := p.http.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, 0, err
	}
	if res.StatusCode/100 != 2 {
		return 0, 0, fmt.Errorf("%s: %.300s", res.Status, b)
	}
	var done struct {
		Final   bool `json:"final"`
		Records []struct {
			Code string `json:"code"`
		} `json:"records"`
	}
	if err := json.Unmarshal(b, &done); err != nil {
		return 0, 0, fmt.Errorf("answer: %w", err)
	}
	if !done.Final || len(done.Records) != len(leaves) {
		return 0, 0, fmt.Errorf("answer: final %v, %d of %d records", done.Final, len(done.Records), len(leaves))
	}
	for _, r := range done.Records {
		if r.Code == "" {
			final++
		} else {
			refused++
		}
	}
	return final, refused, nil
}
