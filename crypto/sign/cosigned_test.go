package sign

import (
	"bytes"
	"testing"
)

func TestCosignedNote(t *testing.T) {
	p, c := &Policy{Origin: "test.example/log", Log: NewKey().Public(), K: 2}, Checkpoint{"test.example/log", 7, [32]byte{1}}
	var cosigs []Cosignature
	for _, id := range []string{"c", "a", "b"} {
		k := NewKey()
		p.Members = append(p.Members, PolicyMember{id, "test.example/" + id, k.Public()})
		cosigs = append(cosigs, k.Cosign("test.example/"+id, c, 1700000000))
	}
	note, err := p.FormatCosigned(c, cosigs)
	if err != nil {
		t.Fatal(err)
	}
	open, err := p.OpenCosigned(note)
	if err != nil || open.Checkpoint != c || len(open.Cosigned) != 3 || open.Cosigned[0].Signer != "test.example/a" {
		t.Fatalf("%+v, %v", open, err)
	}
	for i := range note {
		for _, x := range []byte{1, 0x20} {
			bad := bytes.Clone(note)
			bad[i] ^= x
			if _, err := p.OpenCosigned(bad); err == nil {
				t.Errorf("byte %d changed: accepted", i)
			}
		}
	}
	text, lines, _ := bytes.Cut(note, []byte("\n\n"))
	for name, bad := range map[string][]byte{
		"nothing": nil, "no lines": append(bytes.Clone(text), "\n\n"...), "cut": note[:len(note)-1], "more": append(bytes.Clone(note), '\n'),
		"twice": append(bytes.Clone(note), lines...),
	} {
		if _, err := p.OpenCosigned(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := p.FormatCosigned(c, []Cosignature{{Signer: "x"}}); err == nil {
		t.Error("a cosignature of nobody was written")
	}
	other := *p
	other.Members = other.Members[:2]
	if _, err := other.OpenCosigned(note); err == nil {
		t.Error("a line of an unknown key was passed over")
	}
}
