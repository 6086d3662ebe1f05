package canon

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

type sample struct {
	A uint64   `cbor:"1,keyasint"`
	B string   `cbor:"2,keyasint,omitempty"`
	C []byte   `cbor:"3,keyasint,omitempty"`
	D []sample `cbor:"4,keyasint,omitempty"`
}

// The vectors are written by hand after RFC 8949 §3 and §4.2.1.
var vectors = []struct {
	name, hex, code string
}{
	{"smallest", "a10100", ""},
	{"two fields", "a2010502617a", ""},
	{"integer longer than needed", "a1011805", CodeNotCanonical},
	{"integer in two bytes", "a101190005", CodeNotCanonical},
	{"key longer than needed", "a1180105", CodeNotCanonical},
	{"keys out of order", "a202617a0105", CodeNotCanonical},
	{"empty optional field present", "a201050260", CodeNotCanonical},
	{"duplicate key", "a201050106", CodeDuplicateKey},
	{"unknown field", "a201050900", CodeMalformed},
	{"indefinite map", "bf0105ff", CodeNotCanonical},
	{"indefinite string", "a20105027f617aff", CodeNotCanonical},
	{"float", "a101f93c00", CodeMalformed},
	{"tag", "a101c105", CodeMalformed},
	{"truncated", "a201", CodeMalformed},
	{"trailing byte", "a1010500", CodeMalformed},
	{"empty input", "", CodeMalformed},
	{"text not UTF-8", "a2010502 61ff", CodeMalformed},
	{"length beyond input", "a2010503 5affffffff", CodeMalformed},
	{"array length beyond limit", "a2010504 9affffffff", CodeOversize},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(v.hex), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		var s sample
		err = Unmarshal(b, &s)
		var e *Error
		switch {
		case v.code == "" && err != nil:
			t.Errorf("%s: %v", v.name, err)
		case v.code != "" && !errors.As(err, &e):
			t.Errorf("%s: got %v, want code %s", v.name, err, v.code)
		case v.code != "" && e.Code != v.code:
			t.Errorf("%s: got %v, want code %s", v.name, err, v.code)
		}
	}
}

func TestDepthAndSize(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0xa2, 0x01, 0x00, 0x04, 0x81}, 20), 0xa1, 0x01, 0x00)
	var e *Error
	if err := Unmarshal(deep, new(sample)); !errors.As(err, &e) || e.Code != CodeDepth {
		t.Errorf("20 levels: got %v, want %s", err, CodeDepth)
	}
	if err := UnmarshalMax(make([]byte, 11), 10, new(sample)); !errors.As(err, &e) || e.Code != CodeOversize {
		t.Errorf("11 bytes of 10: got %v, want %s", err, CodeOversize)
	}
}

func TestFirst(t *testing.T) {
	var s sample
	rest, err := First([]byte{0xa1, 0x01, 0x05, 0, 0}, &s)
	if err != nil || s.A != 5 || len(rest) != 2 {
		t.Errorf("First: %v, A=%d, rest %d", err, s.A, len(rest))
	}
	if _, err := First([]byte{0xa1, 0x01, 0x18, 0x05}, &s); err == nil {
		t.Error("First accepted an integer that is longer than needed")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range vectors {
		b, _ := hex.DecodeString(string(bytes.ReplaceAll([]byte(v.hex), []byte(" "), nil)))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		if Unmarshal(b, &s) != nil {
			return
		}
		if again := Must(&s); !bytes.Equal(again, b) {
			t.Errorf("accepted %x, which encodes as %x", b, again)
		}
	})
}

// TestEmptyListHasOneSpelling: null is not a second spelling of an empty list,
// and an encoder's nil writes the one that is left.
func TestEmptyListHasOneSpelling(t *testing.T) {
	type lists struct {
		A []uint64 `cbor:"1,keyasint"`
		B []byte   `cbor:"2,keyasint"`
	}
	var l lists
	if err := Unmarshal([]byte{0xa2, 1, 0x80, 2, 0x40}, &l); err != nil {
		t.Error(err)
	}
	for _, b := range [][]byte{{0xa2, 1, 0xf6, 2, 0x40}, {0xa2, 1, 0x80, 2, 0xf6}, {0xf6}} {
		var e *Error
		if err := Unmarshal(b, &l); !errors.As(err, &e) || e.Code != CodeNotCanonical {
			t.Errorf("%x: %v, want %s", b, err, CodeNotCanonical)
		}
	}
	if b := Must(&lists{}); !bytes.Equal(b, []byte{0xa2, 1, 0x80, 2, 0x40}) {
		t.Errorf("nil lists become %x", b)
	}
}
