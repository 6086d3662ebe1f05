package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/akashi-ledger/akashi/api/rest"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/receipt"
)

func treePath(id string) string { return "/v1/trees/" + url.PathEscape(id) }

// CreateTree makes a commitment tree.
func (c *Client) CreateTree(ctx context.Context, f rest.TreeForm) (*rest.TreeView, error) {
	return write[rest.TreeView](ctx, c, "/v1/trees", f)
}

// Trees returns every commitment tree.
func (c *Client) Trees(ctx context.Context) ([]rest.TreeView, error) {
	l, err := read[rest.TreeList](ctx, c, "/v1/trees", nil)
	if err != nil {
		return nil, err
	}
	return l.Trees, nil
}

// Tree returns one commitment tree; the id is 16 hexadecimal digits.
func (c *Client) Tree(ctx context.Context, id string) (*rest.TreeView, error) {
	return read[rest.TreeView](ctx, c, treePath(id), nil)
}

// AppendLeaves commits leaves to a tree. The same leaves may be sent again: a tree
// has one of each identity.
func (c *Client) AppendLeaves(ctx context.Context, id string, f rest.AppendForm) (*rest.Appended, error) {
	return write[rest.Appended](ctx, c, treePath(id)+"/leaves", f)
}

// TreeLeaves returns leaves of a tree from an index on, as many as the node gives.
func (c *Client) TreeLeaves(ctx context.Context, id string, first uint64) ([]rest.TreeLeafView, error) {
	l, err := read[rest.TreeLeaves](ctx, c, treePath(id)+"/leaves", url.Values{"first": {strconv.FormatUint(first, 10)}})
	if err != nil {
		return nil, err
	}
	return l.Leaves, nil
}

// LeafProof returns the verified proof of a leaf.
func (c *Client) LeafProof(ctx context.Context, id string, index uint64) (*File, error) {
	return c.verified(ctx, fmt.Sprintf("%s/leaves/%d/proof", treePath(id), index), nil, func(b []byte, policies []*sign.Policy) (*receipt.Verdict, error) {
		v, err := receipt.Verify(b, policies...)
		if err == nil && (v.Committed == nil || v.Committed.Tree != id || v.Committed.Index != index) {
			err = errors.New("the proof is of another leaf")
		}
		return v, err
	})
}
