package receipt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

// A slip is made of a receipt, verifies by itself, fits a QR code, and every
// changed character is noticed.
func TestSlip(t *testing.T) {
	s := newStory(t, ledgertest.Options{})
	policy := s.c.Policy()
	for name, r := range s.recs {
		b, _ := built(t, newest(s.c), r, options(s.c, r))
		text, err := receipt.Slip(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(text) > 2677 { // what version 31-L holds
			t.Errorf("%s: a slip of %d characters", name, len(text))
		}
		v, err := receipt.Verify([]byte(text+"\n"), policy)
		if err != nil || v.Format != receipt.FormatSlip || v.Kind == "" || v.Size == 0 || len(v.Human.Ja) < 2 || len(v.NotChecked) == 0 {
			t.Fatalf("%s: %+v, %v", name, v, err)
		}
		for i := len(receipt.SlipPrefix); i < len(text); i += 7 {
			bad := []byte(text)
			bad[i] = map[bool]byte{true: 'B', false: 'A'}[bad[i] == 'A']
			if _, err := receipt.Verify(bad, policy); err == nil {
				t.Fatalf("%s: character %d was changed unnoticed", name, i)
			} else if e := new(receipt.Error); !errors.As(err, &e) || e.Format != "slip" {
				t.Fatalf("%s: character %d: %v", name, i, err)
			}
		}
		for _, bad := range []string{text[:len(text)-1], text + "0", text + "00", receipt.SlipPrefix, receipt.SlipPrefix + "ab", receipt.SlipPrefix + strings.Repeat("0", 5000)} {
			if _, err := receipt.Verify([]byte(bad), policy); err == nil {
				t.Errorf("%s: %.40s… verifies", name, bad)
			}
		}
	}
	if _, err := receipt.Slip([]byte("{}")); err == nil {
		t.Error("a slip of nothing")
	}
	b, _ := built(t, newest(s.c), s.recs["consent"], options(s.c, s.recs["consent"]))
	text, err := receipt.Slip(b)
	if err != nil {
		t.Fatal(err)
	}
	other := newStory(t, ledgertest.Options{Seed: "other"})
	if _, err := receipt.Verify([]byte(text), other.c.Policy()); !errors.Is(err, receipt.ErrNotFinal) {
		t.Errorf("under another policy: %v", err)
	}
}
