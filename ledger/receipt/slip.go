package receipt

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// A slip (akashi-slip/v1) is what a printed receipt carries in its QR code: the
// leaf, its openings and its tlog-proof, so small that a telephone reads it. It is
//
//	"AKASHI1:" and the base45 (RFC 9285) of canonical CBOR
//	{1: leaf without its padding, 2: blocks of 128 bytes of the padded leaf,
//	 3: nonce, 4: part, 5: nonce of the items, 6: part of the items,
//	 7: index, 8: path (hashes of 32 bytes, one after another), 9: signed note}
//
// with 3 to 6 left out where there is nothing. It has one spelling. What a receipt
// proves beyond that (names and purposes, the issuer's signature, the state) a slip
// does not.
type slip struct {
	Leaf       []byte `cbor:"1,keyasint"`
	Blocks     int    `cbor:"2,keyasint"`
	Nonce      []byte `cbor:"3,keyasint,omitempty"`
	Part       []byte `cbor:"4,keyasint,omitempty"`
	ItemsNonce []byte `cbor:"5,keyasint,omitempty"`
	ItemsPart  []byte `cbor:"6,keyasint,omitempty"`
	Index      uint64 `cbor:"7,keyasint"`
	Path       []byte `cbor:"8,keyasint"`
	Note       []byte `cbor:"9,keyasint"`
}

// SlipPrefix begins a slip, so that a reader of QR codes knows what it has.
const SlipPrefix = "AKASHI1:"

// leafBlock is the size to a multiple of which leaves are padded.
const leafBlock = 128

// maxSlipBytes bounds a slip: more is no QR code.
const maxSlipBytes = 4296

// Slip makes the slip of a receipt. It does not verify it.
func Slip(b []byte) (string, error) {
	f := new(file)
	if err := decode("receipt", b, MaxReceiptBytes, f); err != nil {
		return "", err
	}
	p, err := parseProof(f.Proof)
	if err != nil {
		return "", err
	}
	s := &slip{Leaf: bytes.TrimRight(f.Leaf, "\x00"), Blocks: len(f.Leaf) / leafBlock, Index: p.index, Note: []byte(p.note)}
	for _, h := range p.path {
		s.Path = append(s.Path, h[:]...)
	}
	if f.Opening != nil {
		s.Nonce, s.Part = f.Opening.Nonce, f.Opening.Part
	}
	if f.Items != nil {
		s.ItemsNonce, s.ItemsPart = f.Items.Nonce, f.Items.Part
	}
	return SlipPrefix + encode45(canon.Must(s)), nil
}

// leaf returns the padded leaf.
func (s *slip) leaf() ([]byte, error) {
	if s.Blocks < 1 || s.Blocks*leafBlock > record.MaxLeafBytes || len(s.Leaf) > s.Blocks*leafBlock || bytes.HasSuffix(s.Leaf, []byte{0}) {
		return nil, errors.New("malformed leaf")
	}
	return append(bytes.Clone(s.Leaf), make([]byte, s.Blocks*leafBlock-len(s.Leaf))...), nil
}

func parseSlip(text string) (*slip, error) {
	if len(text) > maxSlipBytes {
		return nil, fmt.Errorf("%d characters, at most %d", len(text), maxSlipBytes)
	}
	b, err := decode45(strings.TrimPrefix(text, SlipPrefix))
	if err != nil {
		return nil, err
	}
	s := new(slip)
	return s, canon.UnmarshalMax(b, maxSlipBytes, s)
}

// verifySlip verifies what a QR code carried. A line break behind it is not part
// of it.
func verifySlip(b []byte, policies []*sign.Policy) (*Verdict, error) {
	c := check{"slip", &Verdict{Format: FormatSlip}}
	var s *slip
	var leaf []byte
	r := new(opened)
	for _, step := range []struct {
		part string
		done record.Text
		f    func() error
	}{
		{"file", text("QR の中身の形が正しい", "the slip's form is right"), func() (err error) {
			s, err = parseSlip(strings.TrimRight(string(b), "\r\n"))
			return err
		}},
		{"leaf", text("記録の形が正しい", "the record's form is right"), func() (err error) {
			if leaf, err = s.leaf(); err == nil {
				r.rec, err = record.Parse(leaf)
			}
			return err
		}},
		{"proof", text("記録は、加盟企業の定足数が署名した台帳にある", "the record is in a log that a quorum of members signed"), func() error {
			return c.slipProof(s, leaf, policies)
		}},
		{"opening", text("封じた部分が記録と合う", "the sealed parts fit the record"), func() error {
			return errors.Join(r.openPart(openingOf(s.Nonce, s.Part)), r.openItems(openingOf(s.ItemsNonce, s.ItemsPart)))
		}},
	} {
		if err := c.step(step.part, step.done, step.f); err != nil {
			return c.v, err
		}
	}
	c.v.Kind, c.v.Human = r.rec.Kind.String(), r.slipWords()
	c.v.NotChecked = []record.Text{
		text("名前と目的、発行者の署名、いまの状態。それらは控えのファイル（.akashi.json）で確かめられます", "names and purposes, the issuer's signature, the present state: the receipt's file (.akashi.json) proves them"),
		text("封じた部分に書いてあることが、事実かどうか", "whether what the sealed part says is true"),
	}
	return c.v, nil
}

func openingOf(nonce, part []byte) *Opening {
	if nonce == nil && part == nil {
		return nil
	}
	return &Opening{Nonce: nonce, Part: part}
}

func (c *check) slipProof(s *slip, leaf []byte, policies []*sign.Policy) error {
	if len(s.Path)%merkle.HashSize != 0 || len(s.Path) > maxPath*merkle.HashSize {
		return errors.New("malformed path")
	}
	p := inclusion{index: s.Index, note: string(s.Note)}
	for i := 0; i < len(s.Path); i += merkle.HashSize {
		p.path = append(p.path, merkle.Hash(s.Path[i:i+merkle.HashSize]))
	}
	at, err := openNote(p.note, policies)
	if err != nil {
		return err
	}
	c.v.Origin, c.v.Size, c.v.FinalMs = at.Origin, at.Size, at.timeMs
	return at.holds(p, leaf)
}

// slipWords are what record and openings say by themselves: codes, not names.
func (r *opened) slipWords() Human {
	l := &lines{}
	k := KindWords(r.rec.Kind)
	l.add(k.Ja+"の控え（QR）", "Receipt (slip): "+k.En)
	l.add("発行者の番号："+r.rec.Issuer, "Issuer: "+r.rec.Issuer)
	items := []string(nil)
	switch p := r.part.(type) {
	case *record.ConsentPart:
		items = p.Items
	case *record.HandOverPart:
		l.add("目的の番号："+p.Purpose, "Purpose: "+p.Purpose)
	}
	if r.items != nil {
		items = r.items.Items
	}
	if len(items) > 0 {
		l.add("項目の番号："+strings.Join(items, "、"), "Items: "+strings.Join(items, ", "))
	}
	return l.Human
}
