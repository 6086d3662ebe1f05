package register

// cache bounds how many entries groups hold, over all trees of one arena. A
// group that is replaced gives up its entries at once; where that is not
// enough, a hand goes round and takes them from whichever group it meets.
// Writes spread evenly over the key space, so recency would tell little more.
type cache struct {
	limit int
	used  int   // entries held by the ring
	ring  []ref // groups that hold entries; ring[n.slot] is n
	hand  int
}

func newCache(opts Options) cache {
	limit := opts.CacheKeys
	if limit == 0 {
		limit = DefaultCacheKeys
	}
	return cache{limit: max(limit, 0)}
}

// admit lets a fresh group keep its entries, where the cache has room for them.
func (a *arena) admit(r ref) {
	c, n := &a.cache, a.nodes.at(r)
	if n.isBranch() || !n.holds() || n.slot != noSlot {
		return
	}
	need := int(n.leaves)
	if need > c.limit {
		a.forget(n)
		return
	}
	for c.used+need > c.limit {
		c.hand = (c.hand + 1) % len(c.ring)
		a.forget(a.nodes.at(c.ring[c.hand]))
	}
	n.slot = int32(len(c.ring))
	c.ring = append(c.ring, r)
	c.used += need
}

// leave takes a group's slot: the last group of the ring moves there.
func (a *arena) leave(n *node) {
	c := &a.cache
	end := len(c.ring) - 1
	moved := c.ring[end]
	c.ring[n.slot] = moved
	a.nodes.at(moved).slot = n.slot
	c.ring = c.ring[:end]
	n.slot = noSlot
	c.used -= int(n.leaves)
}
