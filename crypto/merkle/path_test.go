package merkle

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

var knownPaths = []struct {
	path  string
	id    TileID
	width int
}{
	{"tile/0/000", TileID{0, 0}, 256},
	{"tile/0/000.p/1", TileID{0, 0}, 1},
	{"tile/0/x001/067", TileID{0, 1067}, 256},
	{"tile/1/x001/x234/067.p/255", TileID{1, 1_234_067}, 255},
	{"tile/5/999", TileID{5, 999}, 256},
	{"tile/63/x001/000", TileID{63, 1000}, 256},
	{"tile/0/x018/x446/x744/x073/x709/x551/615", TileID{0, math.MaxUint64}, 256},
}

func TestKnownPaths(t *testing.T) {
	for _, k := range knownPaths {
		if got := TilePath(k.id, k.width); got != k.path {
			t.Errorf("path of %v: %s, want %s", k.id, got, k.path)
		}
		id, width, err := ParseTilePath(k.path)
		if err != nil || id != k.id || width != k.width {
			t.Errorf("parse %s: %v %d %v", k.path, id, width, err)
		}
		if k.id.Level > 0 {
			continue
		}
		entries := strings.Replace(k.path, "tile/0/", "tile/entries/", 1)
		if got := EntriesPath(k.id.Index, k.width); got != entries {
			t.Errorf("entries path: %s, want %s", got, entries)
		}
		index, width, err := ParseEntriesPath(entries)
		if err != nil || index != k.id.Index || width != k.width {
			t.Errorf("parse %s: %d %d %v", entries, index, width, err)
		}
	}
}

func TestMalformedPaths(t *testing.T) {
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile/0//000", "tile/0/0", "tile/0/0000",
		"tile/00/000", "tile/+1/000", "tile/-1/000", "tile/64/000", "tile/x/000", "tile/0/x000/001", "tile/0/001/067",
		"tile/0/x001/x067", "tile/0/x1/067", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/",
		"tile/0/000.p", "tile/0/000.p/1/", "tile/0/000.p/1.p/1", "tile/0/000.P/1", "tile/0/+01", "tile/0/-01", "tile/0/0x1",
		"tile/0/x018/x446/x744/x073/x709/x551/616", "tile/0/" + strings.Repeat("x001/", 1000) + "001", "tile/entries/000",
		"tile/data/000", "tile/0/0\u0660\u0660", "tile/0/000 ", "tile/0/000\n",
	} {
		if _, _, err := ParseTilePath(path); !errors.Is(err, ErrPath) {
			t.Errorf("%q: got %v", path, err)
		}
	}
	for _, path := range []string{"", "tile/entries/", "tile/0/000", "tile/entries/0", "tile/entries/000.p/256", "tile/entries/x000/000"} {
		if _, _, err := ParseEntriesPath(path); !errors.Is(err, ErrPath) {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	for _, k := range knownPaths {
		f.Add(k.path)
	}
	f.Add("tile/0/x000/000.p/00")
	f.Add("tile/100/000") // tlog has no highest level
	f.Fuzz(func(t *testing.T, path string) {
		id, width, err := ParseTilePath(path)
		rest, cut := strings.CutPrefix(path, "tile/")
		theirs, theirErr := tlog.ParseTilePath("tile/8/" + rest)
		if err != nil {
			if cut && theirErr == nil && theirs.L >= 0 && theirs.L <= maxPathLevel {
				t.Fatalf("tlog accepts %q, we do not", path)
			}
			return
		}
		if TilePath(id, width) != path {
			t.Fatalf("%q is not the one spelling", path)
		}
		if id.Index < 1<<62 && (theirErr != nil || theirs.L != int(id.Level) || theirs.N != int64(id.Index) || theirs.W != width) {
			t.Fatalf("%q: tlog reads %v, %v", path, theirs, theirErr)
		}
	})
}

func FuzzParseEntriesPath(f *testing.F) {
	f.Add("tile/entries/x001/067.p/3")
	f.Fuzz(func(t *testing.T, path string) {
		index, width, err := ParseEntriesPath(path)
		if err == nil && EntriesPath(index, width) != path {
			t.Fatalf("%q is not the one spelling", path)
		}
	})
}

func TestBundleRoundTrip(t *testing.T) {
	entries := [][]byte{{}, []byte("a"), bytes.Repeat([]byte{7}, MaxEntrySize), []byte("end")}
	var bundle []byte
	for _, entry := range entries {
		var err error
		if bundle, err = AppendEntry(bundle, entry); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.HasPrefix(bundle, []byte{0, 0, 0, 1, 'a', 0xff, 0xff, 7}) {
		t.Errorf("bundle starts with %x", bundle[:8])
	}
	got, err := SplitBundle(bundle)
	if err != nil || len(got) != len(entries) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for i := range entries {
		if !bytes.Equal(got[i], entries[i]) {
			t.Errorf("entry %d differs", i)
		}
	}
	if _, err := AppendEntry(nil, make([]byte, MaxEntrySize+1)); !errors.Is(err, ErrEntrySize) {
		t.Errorf("long entry: %v", err)
	}
}

func TestMalformedBundles(t *testing.T) {
	for what, bundle := range map[string][]byte{
		"half a length":   {0},
		"cut short":       {0, 2, 'a'},
		"second cut":      {0, 1, 'a', 0, 1},
		"too many":        make([]byte, 2*(TileWidth+1)),
		"trailing byte":   {0, 0, 0},
		"length only":     {0xff, 0xff},
		"256 and a break": make([]byte, 2*TileWidth+1),
	} {
		if _, err := SplitBundle(bundle); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if entries, err := SplitBundle(make([]byte, 2*TileWidth)); err != nil || len(entries) != TileWidth {
		t.Errorf("256 empty entries: %d, %v", len(entries), err)
	}
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0})
	f.Fuzz(func(t *testing.T, bundle []byte) {
		entries, err := SplitBundle(bundle)
		if err != nil {
			return
		}
		var again []byte
		for _, entry := range entries {
			if again, err = AppendEntry(again, entry); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, bundle) {
			t.Fatalf("%x comes back as %x", bundle, again)
		}
	})
}
