package custody

import (
	"bytes"
	"context"
	"errors"
)

// sentCall is a call between members.
type sentCall struct {
	from, to, what string
	request        []byte
}

// network is what connects the members of a world.
type network struct {
	w *world
	m *member
}

func (n *network) Call(ctx context.Context, to, what string, req []byte) ([]byte, error) {
	n.w.mu.Lock()
	var desk *Desk
	if m := n.w.members[to]; m != nil {
		desk = m.Desk
	}
	refuse, change, silent := n.w.refuse, n.w.answer, n.w.silent[to]
	n.w.calls = append(n.w.calls, sentCall{n.m.id, to, what, bytes.Clone(req)})
	n.w.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if refuse != nil {
		if err := refuse(to, what); err != nil {
			return nil, err
		}
	}
	if desk == nil {
		return nil, errors.New("unreachable")
	}
	b, err := desk.Handle(ctx, n.m.id, what, req)
	if change != nil {
		b = change(what, b)
	}
	return b, err
}
