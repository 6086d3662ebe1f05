package audit

import (
	"context"
	"fmt"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// tileCheck compares leaves with the log's level-0 hash tiles. What differs is
// a finding only if the tiles themselves lead to the signed root.
type tileCheck struct {
	src   Tiles
	tile  []merkle.Hash // the one at hand
	tree  *merkle.Tree  // over the tiles' hashes
	diffs []difference
	more  int // differences beyond those kept
	last  *difference
}

// difference is a leaf that is not the one that the tile has.
type difference struct {
	index     uint64
	got, want merkle.Hash
	next      merkle.Hash // what the tile has at the next place
}

const maxDifferences = 100

func newTileCheck(src Source) *tileCheck {
	t, ok := src.(Tiles)
	if !ok {
		return &tileCheck{}
	}
	return &tileCheck{src: t, tree: merkle.New()}
}

// leaf compares one leaf; leaves come in order.
func (t *tileCheck) leaf(ctx context.Context, index, size uint64, got merkle.Hash) error {
	if t.src == nil {
		return nil
	}
	if index%merkle.TileWidth == 0 {
		if err := t.load(ctx, index/merkle.TileWidth, size); err != nil {
			return err
		}
	}
	want := t.tile[index%merkle.TileWidth]
	if t.last != nil {
		t.last.next, t.last = want, nil
	}
	if got == want {
		return nil
	}
	if len(t.diffs) == maxDifferences {
		t.more++
		return nil
	}
	t.diffs = append(t.diffs, difference{index: index, got: got, want: want})
	t.last = &t.diffs[len(t.diffs)-1]
	return nil
}

func (t *tileCheck) load(ctx context.Context, tile, size uint64) error {
	width := int(min(size-tile*merkle.TileWidth, merkle.TileWidth))
	b, err := t.src.Tile(ctx, merkle.TileID{Index: tile}, width)
	if err != nil {
		return fmt.Errorf("tile %d: %w", tile, err)
	}
	if len(b) != width*merkle.HashSize {
		return fmt.Errorf("tile %d: %d bytes, want %d", tile, len(b), width*merkle.HashSize)
	}
	t.tile = t.tile[:0]
	for i := range width {
		t.tile = append(t.tile, merkle.Hash(b[i*merkle.HashSize:]))
	}
	t.tree.Append(t.tile...)
	return nil
}

// finish reads the tiles that no leaf asked for, and reports.
func (t *tileCheck) finish(ctx context.Context, a *auditor, c sign.Checkpoint) error {
	if t.src == nil {
		return nil
	}
	if d := t.last; d != nil && d.index+1 < c.Size {
		if (d.index+1)%merkle.TileWidth == 0 {
			if err := t.load(ctx, (d.index+1)/merkle.TileWidth, c.Size); err != nil {
				return err
			}
		}
		d.next = t.tile[(d.index+1)%merkle.TileWidth]
	}
	for t.tree.Size() < c.Size {
		if err := t.load(ctx, t.tree.Size()/merkle.TileWidth, c.Size); err != nil {
			return err
		}
	}
	if t.tree.Root() != merkle.Hash(c.Root) {
		a.breaks(CheckTiles, Finding{Code: "tiles.root", Index: max(c.Size, 1) - 1,
			Detail: text("ハッシュのタイルが、署名された根につながりません", "the hash tiles do not lead to the signed root")})
		return nil
	}
	t.report(a)
	a.holds(CheckTiles, int(c.Size)-len(t.diffs)-t.more)
	return nil
}

// report tells what happened from how leaves are displaced.
func (t *tileCheck) report(a *auditor) {
	for i := 0; i < len(t.diffs); i++ {
		d := &t.diffs[i]
		f := Finding{Code: "leaf.changed", Index: d.index, Detail: text("葉の中身が、署名された台帳と違います", "the leaf is not the one in the signed log")}
		var next *difference
		if i+1 < len(t.diffs) && t.diffs[i+1].index == d.index+1 {
			next = &t.diffs[i+1]
		}
		switch {
		case next != nil && d.got == next.want && next.got == d.want:
			f.Code, f.Detail = "leaf.swapped", text("この葉と次の葉の順が入れ替わっています", "this leaf and the next have changed places")
			i++
		case d.got == d.next && d.next != merkle.Hash{}:
			f.Code, f.Detail = "leaf.dropped", text("ここにあるはずの葉が抜けています。後の葉はずれています", "a leaf is missing here; those after it are displaced")
			a.breaks(CheckTiles, f)
			return
		case next != nil && next.got == d.want:
			f.Code, f.Detail = "leaf.inserted", text("ここに余分な葉があります。後の葉はずれています", "there is a leaf too many here; those after it are displaced")
			a.breaks(CheckTiles, f)
			return
		}
		a.breaks(CheckTiles, f)
	}
	if t.more > 0 {
		a.report.MoreFindings += t.more
	}
}
