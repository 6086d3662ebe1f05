package sign

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func ranged() *Policy {
	return &Policy{Origin: "o/log", Log: KeyOf(1), K: 1, Members: []PolicyMember{{ID: "a", Signer: "o/a", Key: KeyOf(2)}},
		Range: &Range{Epoch: 3, First: RangeEnd{41, 120, [32]byte{1}}, Closing: RangeEnd{99, 560, [32]byte{2}}}}
}

// KeyOf is a public key that only has to differ from others.
func KeyOf(b byte) PublicKey {
	k, err := KeyFromSeed(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		panic(err)
	}
	return k.Public()
}

func TestRangeOfPolicyFile(t *testing.T) {
	p := ranged()
	text := string(p.FormatRange())
	for name, s := range map[string]string{"closed": text, "open": strings.Replace(text, "height 99, size 560, root "+strings.Repeat("02", 1)+strings.Repeat("00", 31), "open", 1)} {
		got, err := ParsePolicy([]byte(s))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(got.FormatRange()) != s || got.Range.Epoch != 3 || got.Range.First != p.Range.First {
			t.Errorf("%s: read as %+v", name, got.Range)
		}
	}
	for name, change := range map[string][2]string{
		"a line missing":    {"# first: height 41, size 120", "# height 41, size 120"},
		"another log":       {" of o/log", " of o/other"},
		"leading zero":      {"size 120", "size 0120"},
		"empty log":         {"size 120", "size 0"},
		"closes before":     {"size 560", "size 119"},
		"short root":        {"root 01", "root "},
		"upper case":        {"root 02", "root 0A"},
		"trailing words":    {"# closing: ", "# closing: x "},
		"a line twice":      {"# first:", "# first: height 1, size 1, root 00\n# first:"},
		"not a number":      {"epoch 3", "epoch x"},
		"words at the end":  {"o/log\n#", "o/log \n#"},
		"closing by itself": {"# policy epoch 3 of o/log\n", ""},
	} {
		s := strings.Replace(text, change[0], change[1], 1)
		if s == text {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := ParsePolicy([]byte(s)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRangeHolds(t *testing.T) {
	r := ranged().Range
	for _, v := range []struct {
		size uint64
		root byte
		ok   bool
	}{{119, 1, false}, {120, 1, true}, {120, 9, false}, {121, 9, true}, {559, 9, true}, {560, 2, true}, {560, 9, false}, {561, 2, false}} {
		if err := r.Holds(Checkpoint{Size: v.size, Root: [32]byte{v.root}}); (err == nil) != v.ok || err != nil && !errors.Is(err, ErrRange) {
			t.Errorf("size %d, root %d: %v", v.size, v.root, err)
		}
	}
	r.Closing = RangeEnd{}
	if err := r.Holds(Checkpoint{Size: 1 << 40}); err != nil {
		t.Errorf("open epoch: %v", err)
	}
}
