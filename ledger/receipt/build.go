package receipt

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// Build makes the receipt of the record at a leaf index, as the source's
// checkpoint shows it. It checks what it derives, but not the checkpoint's
// signatures: verify the file before it is handed out.
func Build(src Source, index uint64, o Options) ([]byte, error) {
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	f, r, err := s.located(index)
	if err != nil {
		return nil, fmt.Errorf("receipt of leaf %d: %w", index, err)
	}
	f.Opening, f.Items, f.Screen = o.Opening, o.Items, o.Screen
	if err := errors.Join(r.openPart(o.Opening), r.openItems(o.Items)); err != nil {
		return nil, fmt.Errorf("receipt of leaf %d: opening: %w", index, err)
	}
	facts, err := s.derive(f, r)
	if err != nil {
		return nil, fmt.Errorf("receipt of leaf %d: %w", index, err)
	}
	if err := s.issuerKey(f, r, facts, o.KeyIndex); err != nil {
		return nil, fmt.Errorf("receipt of leaf %d: %w", index, err)
	}
	f.StoryTime, f.Human, f.Payload = facts.policy.StoryTime, human(r, facts), payload(r, facts)
	if o.Status {
		if f.Status, err = buildStatus(s, r.rec); err != nil {
			return nil, fmt.Errorf("receipt of leaf %d: status: %w", index, err)
		}
	}
	return render(f)
}

// WithStatus returns a receipt with its status replaced by that at the source's
// checkpoint: an old receipt answers for today without being made again.
func WithStatus(b []byte, src Source) ([]byte, error) {
	f := new(file)
	if err := decode("receipt", b, MaxReceiptBytes, f); err != nil {
		return nil, err
	}
	rec, err := record.Parse(f.Leaf)
	if err != nil {
		return nil, err
	}
	s, err := open(src)
	if err != nil {
		return nil, err
	}
	if f.Status, err = buildStatus(s, rec); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return render(f)
}

// located reads leaf, seal and place in the submission.
func (s *sourced) located(index uint64) (*file, *opened, error) {
	p, err := s.proven(index)
	if err != nil {
		return nil, nil, err
	}
	if record.IsSeal(p.Leaf) || index == 0 {
		return nil, nil, ErrNoReceipt
	}
	rec, err := record.Parse(p.Leaf)
	if err != nil {
		return nil, nil, err
	}
	at, err := s.sealAfter(index)
	if err != nil {
		return nil, nil, err
	}
	ps, err := s.proven(at)
	if err != nil {
		return nil, nil, err
	}
	seal, err := record.ParseSeal(ps.Leaf)
	if err != nil {
		return nil, nil, fmt.Errorf("seal at leaf %d: %w", at, err)
	}
	f := &file{Format: FormatReceipt, Kind: rec.Kind.String(), Leaf: p.Leaf, Proof: p.Proof, Seal: *ps}
	if f.Submission, err = s.placed(index, at, seal); err != nil {
		return nil, nil, err
	}
	if at != s.checkpoint.Size-1 {
		if f.State, err = s.proven(s.checkpoint.Size - 1); err != nil {
			return nil, nil, err
		}
	}
	return f, &opened{rec: rec, timeMs: seal.Header.TimeMs}, nil
}

// sealAfter returns the index of the seal that closes a leaf's batch.
func (s *sourced) sealAfter(index uint64) (uint64, error) {
	for i := index + 1; i < s.checkpoint.Size; i++ {
		leaf, err := s.Leaf(i)
		if err != nil {
			return 0, fmt.Errorf("leaf %d: %w", i, err)
		}
		if record.IsSeal(leaf) {
			return i, nil
		}
	}
	return 0, errors.New("the checkpoint does not cover the batch")
}

// placed returns the record's place in its submission, with the path.
func (s *sourced) placed(index, sealIndex uint64, seal *record.Seal) (submission, error) {
	for i := range seal.Submissions {
		for pos := range int(seal.Submissions[i].Count) {
			if at, ok := leafIndex(seal, sealIndex, i, pos); ok && at == index {
				path, err := s.submissionPath(seal, sealIndex, i, pos)
				return submission{i, pos, path}, err
			}
		}
	}
	return submission{}, errors.New("the record is in no submission of its seal")
}

func (s *sourced) submissionPath(seal *record.Seal, sealIndex uint64, sub, pos int) ([][]byte, error) {
	hashes := make([]merkle.Hash, seal.Submissions[sub].Count)
	for j := range hashes {
		if r := refusal(seal, sub, j); r != nil {
			hashes[j] = merkle.Hash(r.Leaf)
			continue
		}
		at, _ := leafIndex(seal, sealIndex, sub, j)
		leaf, err := s.Leaf(at)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", at, err)
		}
		hashes[j] = merkle.LeafHash(leaf)
	}
	path := [][]byte{}
	for _, h := range merkle.PathOf(hashes, pos) {
		path = append(path, append([]byte(nil), h[:]...))
	}
	return path, nil
}

// refusal returns what a seal says of a refused record that it names singly.
func refusal(seal *record.Seal, sub, pos int) *record.Refused {
	for i := range seal.Refusals {
		if r := &seal.Refusals[i]; int(r.Sub) == sub && !r.All && int(r.Pos) == pos {
			return r
		}
	}
	return nil
}

// leafIndex returns where in the log the record at a place in a seal's list
// stands: the accepted records of a batch stand in order before their seal. It
// reports false for a refused record and for a place that there is not.
func leafIndex(seal *record.Seal, sealIndex uint64, sub, pos int) (uint64, bool) {
	if sub < 0 || sub >= len(seal.Submissions) || pos < 0 || pos >= int(seal.Submissions[sub].Count) {
		return 0, false
	}
	var accepted, before uint64 // in the batch; before the place
	for i := range seal.Submissions {
		n := uint64(seal.Submissions[i].Count)
		accepted += n
		if i < sub {
			before += n
		}
	}
	before += uint64(pos)
	for _, r := range seal.Refusals {
		n, upTo := uint64(1), int(r.Sub) < sub || int(r.Sub) == sub && int(r.Pos) < pos
		if r.All {
			n = uint64(seal.Submissions[r.Sub].Count)
		}
		if int(r.Sub) == sub && (r.All || int(r.Pos) == pos) {
			return 0, false
		}
		if accepted -= n; upTo {
			before -= n
		}
	}
	if accepted > sealIndex {
		return 0, false
	}
	return sealIndex - accepted + before, true
}

// derive asks the register for all that the view needs, and reads the screen.
func (s *sourced) derive(f *file, r *opened) (*facts, error) {
	facts, err := newFacts(s.asking(&f.Register))
	if err != nil {
		return nil, err
	}
	if err := facts.of(r); err != nil {
		return nil, err
	}
	return facts, r.readScreen(f.Screen, facts.hash)
}

// issuerKey adds the leaf that gave the issuer the key with which it signed,
// where that is not the key it has now.
func (s *sourced) issuerKey(f *file, r *opened, facts *facts, index *uint64) error {
	seal, err := record.ParseSeal(f.Seal.Leaf)
	if err != nil {
		return err
	}
	sub := &seal.Submissions[f.Submission.Index]
	if signed(sub, facts.issuer.Key, s.checkpoint.Origin) == nil {
		return nil
	}
	if index == nil {
		return ErrKeyChanged
	}
	if f.Key, err = s.proven(*index); err != nil {
		return err
	}
	key, err := keyGiven(f.Key.Leaf, r.rec.Issuer)
	if err != nil {
		return err
	}
	return signed(sub, key, s.checkpoint.Origin)
}

// signed verifies the issuer's signature over its submission.
func signed(s *record.Submission, k sign.PublicKey, origin string) error {
	return sign.Verify(k, sign.DomainSubmission, origin, s.Signed(), s.Sig)
}

// keyGiven returns the signing key that a leaf of the log gave to a party.
func keyGiven(leaf []byte, party string) (sign.PublicKey, error) {
	rec, err := record.Parse(leaf)
	if err != nil {
		return sign.PublicKey{}, err
	}
	switch b := rec.Body.(type) {
	case *record.KeyChange:
		if rec.Issuer == party {
			return b.Key, nil
		}
	case *record.Party:
		if b.ID == party && !b.Leave {
			return b.Key, nil
		}
	case *record.MemberChange:
		if k := b.Key(record.RoleRecord); b.Member == party && k != nil {
			return *k, nil
		}
	case *record.Genesis:
		for _, m := range b.Founding.Members {
			if m.ID == party {
				return m.Key, nil
			}
		}
	}
	return sign.PublicKey{}, fmt.Errorf("the leaf gives %s no key", party)
}
