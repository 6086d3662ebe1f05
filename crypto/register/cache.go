package register

import "sync"

// cache bounds how many entries groups hold, over all trees of one origin. A
// group that is replaced gives up its entries at once; where that is not
// enough, a hand goes round and takes them from whichever group it meets.
// Writes spread evenly over the key space, so recency would tell little more.
type cache struct {
	limit int

	mu   sync.Mutex
	used int     // entries held by the ring
	ring []*node // groups that hold entries; ring[n.slot] == n
	hand int
}

func newCache(opts Options) *cache {
	limit := opts.CacheKeys
	if limit == 0 {
		limit = DefaultCacheKeys
	}
	return &cache{limit: max(limit, 0)}
}

// settle takes the entries from stale groups, and admits the fresh ones that
// are not stale themselves.
func (c *cache) settle(stale, fresh []*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range stale {
		c.drop(n)
	}
	for _, n := range fresh {
		if n.held.Load() != nil {
			c.admit(n)
		}
	}
}

func (c *cache) admit(n *node) {
	need := int(n.leaves)
	if need > c.limit {
		n.held.Store(nil)
		return
	}
	for c.used+need > c.limit {
		c.hand = (c.hand + 1) % len(c.ring)
		c.drop(c.ring[c.hand])
	}
	n.slot = int32(len(c.ring))
	c.ring = append(c.ring, n)
	c.used += need
}

// drop takes a group's entries, and its slot if it has one: the last group of
// the ring moves there.
func (c *cache) drop(n *node) {
	n.held.Store(nil)
	if n.slot == noSlot {
		return
	}
	end := len(c.ring) - 1
	moved := c.ring[end]
	c.ring[n.slot], moved.slot = moved, n.slot
	c.ring[end] = nil
	c.ring = c.ring[:end]
	n.slot = noSlot
	c.used -= int(n.leaves)
}
