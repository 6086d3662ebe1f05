package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"

	"github.com/akashi-ledger/akashi/api/client"
	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/ledger/audit"
	"github.com/akashi-ledger/akashi/ledger/forest"
)

// Leaves of commitment trees are exported in pages: trees/<id>/<page>.json holds
// the leaves from page × treePage on, as GET /v1/trees/{id}/leaves answers them.
const (
	treePage     = 1000
	maxPageBytes = 128 << 20
)

func treeName(id uint64) string { return fmt.Sprintf("%016x", id) }

func treePath(id string, page uint64) string { return fmt.Sprintf("trees/%s/%d.json", id, page) }

// treeFiles are the leaves of commitment trees, of a node or of a directory.
type treeFiles interface {
	// TreeIDs returns the ids of the trees that there are.
	TreeIDs(ctx context.Context) ([]string, error)
	// TreePage returns the leaves of a page, fewer at the end; absent trees are
	// errAbsent.
	TreePage(ctx context.Context, id string, page uint64) ([]rest.TreeLeafView, error)
}

// TreeIDs implements treeFiles. A mirror has no trees.
func (l remoteLog) TreeIDs(ctx context.Context) (ids []string, err error) {
	trees, err := l.c.Trees(ctx)
	if client.Absent(err) {
		return nil, nil
	}
	for i := range trees {
		if n, err := strconv.ParseUint(trees[i].ID, 16, 64); err != nil || treeName(n) != trees[i].ID { // it becomes a file's name
			return nil, notLog(fmt.Errorf("%q is no commitment tree", trees[i].ID))
		}
		ids = append(ids, trees[i].ID)
	}
	return ids, err
}

// TreeIDs implements treeFiles.
func (l dirLog) TreeIDs(context.Context) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(string(l), "trees", "*"))
	for i := range dirs {
		dirs[i] = filepath.Base(dirs[i])
	}
	return dirs, err
}

// TreePage implements treeFiles.
func (l remoteLog) TreePage(ctx context.Context, id string, page uint64) ([]rest.TreeLeafView, error) {
	leaves, err := l.c.TreeLeaves(ctx, id, page*treePage)
	if client.Absent(err) {
		return nil, errAbsent
	}
	return leaves, err
}

// TreePage implements treeFiles.
func (l dirLog) TreePage(ctx context.Context, id string, page uint64) ([]rest.TreeLeafView, error) {
	b, err := l.LogFile(ctx, treePath(id, page), maxPageBytes)
	if err != nil {
		return nil, err
	}
	var p rest.TreeLeaves
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, notLog(fmt.Errorf("%s: %w", treePath(id, page), err))
	}
	return p.Leaves, nil
}

// TreeLeaves implements audit.Trees.
func (s *logSource) TreeLeaves(ctx context.Context, tree, start, end uint64) iter.Seq2[forest.Leaf, error] {
	return func(yield func(forest.Leaf, error) bool) {
		for first := start; start < end; {
			page, err := s.TreePage(ctx, treeName(tree), start/treePage)
			if errors.Is(err, errAbsent) && first == 0 && start == 0 {
				err = audit.ErrNoTree
			}
			if errors.Is(err, errAbsent) {
				return // fewer than asked for: the audit says so
			}
			if err != nil {
				yield(forest.Leaf{}, err)
				return
			}
			for _, l := range page[min(start%treePage, uint64(len(page))):] {
				if !yield(forest.Leaf{Value: l.Value, Extra: l.Extra, Identity: l.Identity}, nil) {
					return
				}
				if start++; start == end {
					return
				}
			}
			if len(page) < treePage {
				return
			}
		}
	}
}

// forest copies the leaves of every commitment tree. Full pages that are there
// stay; the audit compares all of them with the log. A mirror has none.
func (x *export) forest(ctx context.Context) error {
	ids, err := x.log.TreeIDs(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for page := uint64(0); ; page++ {
			n, err := x.treePage(ctx, id, page)
			if err != nil {
				return fmt.Errorf("leaves of commitment tree %s: %w", id, err)
			}
			if n < treePage {
				break
			}
		}
	}
	return nil
}

// treePage copies one page and returns how many leaves it has.
func (x *export) treePage(ctx context.Context, id string, page uint64) (n int, err error) {
	if here, err := dirLog(x.dir).TreePage(ctx, id, page); err == nil && len(here) == treePage && !x.anew {
		return treePage, nil
	}
	leaves, err := x.log.TreePage(ctx, id, page)
	if errors.Is(err, errAbsent) || err == nil && len(leaves) == 0 {
		return 0, nil // before the first advance, or at the end of a full page
	}
	if err != nil {
		return 0, err
	}
	b, err := json.Marshal(rest.TreeLeaves{Leaves: leaves})
	if err != nil {
		return 0, err
	}
	return len(leaves), x.write(treePath(id, page), b)
}
