package audit

import (
	"errors"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
)

// chain is what the structure of a log needs to know of the batches before.
type chain struct {
	header   record.Digest
	timeMs   uint64
	ends     map[uint64]rules.End // of the last batches
	keys     map[string]sign.PublicKey
	diverged bool
}

func (c *chain) follow(seal *record.Seal, height uint64) {
	if seal.Header != nil {
		c.header, c.timeMs = seal.Header.Hash(), seal.Header.TimeMs
	}
}

func (c *chain) end(height uint64, p rules.Prev) {
	if c.ends == nil {
		c.ends = map[uint64]rules.End{}
	}
	c.ends[height] = rules.End{Height: height, Size: p.Size, Root: record.Digest(p.Root)}
	if len(c.ends) > 4*record.CitedWindow { // heights in a broken log may jump
		for h := range c.ends {
			if h+record.CitedWindow < height || h > height {
				delete(c.ends, h)
			}
		}
	}
}

// key returns the last signing key of a party that is known.
func (a *auditor) key(id string) (sign.PublicKey, bool) {
	if k, ok := a.chain.keys[id]; ok {
		return k, true
	}
	p, err := rules.Load[rules.Party](a, rules.KeyParty(id))
	if err != nil || p == nil {
		return sign.PublicKey{}, false
	}
	return p.Key, true
}

// learn follows keys where the register no longer does.
func (a *auditor) learn(rec *record.Record) {
	if !a.lost {
		return
	}
	if a.chain.keys == nil {
		a.chain.keys = map[string]sign.PublicKey{}
	}
	switch b := rec.Body.(type) {
	case *record.KeyChange:
		a.chain.keys[rec.Issuer] = b.Key
	case *record.Party:
		if !b.Leave {
			a.chain.keys[b.ID] = b.Key
		}
	case *record.MemberChange:
		if k := b.Key(record.RoleRecord); k != nil {
			a.chain.keys[b.Member] = *k
		}
	}
}

// structure checks what of a batch needs no register, or only keys of old: that
// leaves, seal, header, submissions and cited checkpoint fit each other. It
// reports whether it found anything.
func (a *auditor) structure(p *pending, seal *record.Seal, sealAt uint64) (found bool) {
	broken := func(check, code string, index uint64, member, ja, en string) {
		found = true
		a.breaks(check, Finding{Code: code, Index: index, Height: a.height, Member: member, Detail: text(ja, en)})
	}
	jumped := seal.Height != a.height
	if jumped {
		// The batch's own leaves are the last of the run: what stands before them
		// lost its seal.
		if extra := len(p.leaves) - accepted(seal); seal.Height > a.height && extra > 0 {
			broken(CheckSeal, "seal.missing", p.first+uint64(extra), "", "ここにあるはずの封印が抜けています", "the seal that must stand here is missing")
			p = &pending{first: p.first + uint64(extra), leaves: p.leaves[extra:], hashes: p.hashes[extra:]}
		} else {
			broken(CheckSeal, "seal.height", sealAt, "", fmt.Sprintf("封印の高さが%dで、%dではありません", seal.Height, a.height),
				fmt.Sprintf("the seal is of height %d, not %d", seal.Height, a.height))
		}
		a.lose()
		a.height = seal.Height
	}
	h := seal.Header
	if h == nil {
		if len(p.leaves) == 1 {
			if _, err := rules.Found(p.leaves[0]); err != nil {
				broken(CheckRules, "genesis", p.first, "", "創設の記録が正しくありません："+err.Error(), "the genesis does not hold: "+err.Error())
			}
		}
		return found
	}
	if !jumped && h.Prev != a.chain.header {
		broken(CheckHeader, string(record.CodeBatchPrevious), sealAt, h.Leader, "前の束につながっていません", "it does not follow the batch before")
	}
	if h.TimeMs <= a.chain.timeMs {
		broken(CheckHeader, string(record.CodeBatchTime), sealAt, h.Leader, "束の時刻が進んでいません", "the batch time does not increase")
	}
	if record.SubmissionsRoot(seal.Submissions) != h.Submissions {
		broken(CheckHeader, string(record.CodeBatchForm), sealAt, h.Leader, "提出の一覧が、署名された根と違います", "the submissions are not those of the header")
	}
	if k, ok := a.key(h.Leader); !ok || a.origin() == "" {
		a.unchecked(CheckHeader, 1)
	} else if sign.Verify(k, sign.DomainHeader, a.origin(), h.Signed(), h.Sig) != nil {
		broken(CheckHeader, string(record.CodeBatchHeader), sealAt, h.Leader, "束の署名が正しくありません", "the header's signature does not verify")
	} else {
		a.holds(CheckHeader, 1)
	}
	if a.cited(h, sealAt) {
		found = true
	}
	if a.submissions(p, seal, sealAt) {
		found = true
	}
	return found
}

// cited checks the cosignatures that a header cites, and the checkpoint against
// the log as it was read.
func (a *auditor) cited(h *record.Header, sealAt uint64) (found bool) {
	c := &h.Cited
	policy := a.policyAt(c.Height)
	if policy == nil {
		a.unchecked(CheckCosignature, len(c.Sigs))
		return false
	}
	cp := sign.Checkpoint{Origin: a.origin(), Size: c.Size, Root: c.Root}
	good := 0
	for _, s := range c.Sigs {
		ok := false
		for _, m := range policy.Members {
			if m.ID == s.Member {
				var b sign.Batch
				sign.Cosignature{Signer: m.Name, Time: s.Time, Sig: s.Sig}.AddTo(&b, m.Key, cp)
				ok = b.Verify()[0]
			}
		}
		if ok {
			good++
			a.holds(CheckCosignature, 1)
			continue
		}
		found = true
		a.breaks(CheckCosignature, Finding{Code: string(record.CodeBatchCited), Index: sealAt, Height: a.height, Member: s.Member,
			Detail: text("引用された共同署名が正しくありません", "a cited cosignature does not verify")})
	}
	if good < policy.K {
		if !found {
			found = true
			a.breaks(CheckCosignature, Finding{Code: string(record.CodeBatchCited), Index: sealAt, Height: a.height, Member: h.Leader,
				Detail: text("引用されたチェックポイントは確定していません", "the cited checkpoint is not final")})
		}
		return found
	}
	if end, ok := a.chain.ends[c.Height]; ok && (end.Size != c.Size || end.Root != c.Root) && !a.chain.diverged {
		a.chain.diverged, found = true, true
		a.breaks(CheckRoot, Finding{Code: "log.diverged", Index: end.Size - 1, Height: c.Height,
			Detail: text(fmt.Sprintf("高さ%dまでの葉が、加盟企業の署名したものと違います", c.Height),
				fmt.Sprintf("the leaves up to height %d are not those that members cosigned", c.Height))})
	}
	return found
}

// submissions checks that the leaves are those that were signed.
func (a *auditor) submissions(p *pending, seal *record.Seal, sealAt uint64) (found bool) {
	leaves, hashes, index := p.leaves, p.hashes, p.first
	want := accepted(seal)
	if want != len(p.leaves) {
		a.breaks(CheckSubmission, Finding{Code: "batch.leaves", Index: p.first, Height: a.height,
			Detail: text(fmt.Sprintf("束に%d個の葉があるはずが、%d個あります", want, len(p.leaves)),
				fmt.Sprintf("the batch has %d leaves where the seal has %d", len(p.leaves), want))})
		found = true
	}
	for i := range seal.Submissions {
		s := &seal.Submissions[i]
		refused := refusalsOf(seal, i)
		if refused == nil { // whole
			continue
		}
		n := int(s.Count) - len(refused)
		if n < 0 || n > len(leaves) {
			a.unchecked(CheckSubmission, 1)
			return found
		}
		if !a.signedBy(s, index) {
			found = true
		}
		if want == len(p.leaves) && !a.rooted(s, refused, leaves[:n], hashes[:n], index) {
			found = true
		}
		leaves, hashes, index = leaves[n:], hashes[n:], index+uint64(n)
	}
	return found
}

// signedBy checks an issuer's signature.
func (a *auditor) signedBy(s *record.Submission, index uint64) bool {
	k, ok := a.key(s.Issuer)
	if !ok || a.origin() == "" {
		a.unchecked(CheckSubmission, 1)
		return true
	}
	if sign.Verify(k, sign.DomainSubmission, a.origin(), s.Signed(), s.Sig) != nil {
		a.breaks(CheckSubmission, Finding{Code: string(record.CodeSignature), Index: index, Height: a.height, Member: s.Issuer,
			Detail: text("提出の署名が正しくありません", "the submission's signature does not verify")})
		return false
	}
	a.holds(CheckSubmission, 1)
	return true
}

// rooted checks accepted leaves against the root that their issuer signed, and
// reads them. A leaf that is no record is named; else the submission is.
func (a *auditor) rooted(s *record.Submission, refused map[int]*record.Refused, leaves [][]byte, hashes []merkle.Hash, index uint64) bool {
	all := make([]merkle.Hash, 0, s.Count)
	own := hashes
	for j := range int(s.Count) {
		if r := refused[j]; r != nil {
			all = append(all, merkle.Hash(r.Leaf))
		} else {
			all, own = append(all, own[0]), own[1:]
		}
	}
	fits := record.Digest(merkle.RootOf(all)) == s.Root
	for i, leaf := range leaves {
		rec, err := record.Parse(leaf)
		if err == nil && rec.Issuer == s.Issuer {
			if fits {
				a.learn(rec)
			}
			continue
		}
		a.breaks(CheckRules, Finding{Code: "record.malformed", Index: index + uint64(i), Height: a.height, Member: s.Issuer,
			Detail: text("葉が記録の形をしていません", "the leaf is not a record of its issuer")})
		return false
	}
	if !fits {
		a.breaks(CheckSubmission, Finding{Code: string(record.CodeSubmissionRoot), Index: index, Height: a.height, Member: s.Issuer,
			Detail: text(fmt.Sprintf("葉%dから%d個が、発行者の署名したものと違います", index, len(leaves)),
				fmt.Sprintf("the %d leaves from %d on are not those that their issuer signed", len(leaves), index))})
	}
	return fits
}

// refusalsOf returns the refused records of a submission by position, nil where
// it was refused whole.
func refusalsOf(seal *record.Seal, sub int) map[int]*record.Refused {
	out := map[int]*record.Refused{}
	for i := range seal.Refusals {
		if r := &seal.Refusals[i]; int(r.Sub) == sub {
			if r.All {
				return nil
			}
			out[int(r.Pos)] = r
		}
	}
	return out
}

// accepted returns how many leaves a seal says that its batch has.
func accepted(seal *record.Seal) int {
	n := 0
	for i := range seal.Submissions {
		if r := refusalsOf(seal, i); r != nil {
			n += int(seal.Submissions[i].Count) - len(r)
		}
	}
	return n
}

// locate says where a batch breaks a rule: at the record, where it is one, else
// at the seal.
func (a *auditor) locate(p *pending, seal *record.Seal, sealAt uint64, err error) Finding {
	f := Finding{Code: "seal.mismatch", Index: sealAt, Height: a.height, Member: leader(seal),
		Detail: text("束が規則と合いません："+err.Error(), "the batch does not follow from the rules: "+err.Error())}
	var refusal *record.Refusal
	if errors.As(err, &refusal) {
		f.Code = string(refusal.Code)
	}
	var broken *rules.BrokenRule
	if errors.As(err, &broken) {
		f.Index, f.Member = p.first+uint64(broken.Leaf), broken.Issuer
		f.Detail = text("規則に反する記録が入っています："+f.Code, "a record that breaks a rule is in the log: "+f.Code)
	}
	return f
}
