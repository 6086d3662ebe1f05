package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"unsafe"

	"github.com/akashi-ledger/akashi/crypto/memlock"
)

// tree is what an open vault keeps in memory: the refs of all blocks and buckets,
// and what was put since the last rotation or is carried.
type tree struct {
	at      record
	salt    [32]byte // constant once there is a root block
	fold    int      // middle block that the next fold begins with
	carry   ref
	middles []ref   // fan
	under   [][]ref // what each middle block holds: the refs of fan buckets; one of zeros stands for many
	mine    []bool  // which of these no other tree has: wipe zeroes them, and own gives them out

	pending      map[string]held // entries that are in no bucket yet, or replace one there
	puts         uint64          // how often one was set
	values       arena           // where their values lie
	pendingBytes int             // encoded size of these
	pendingIn    map[int]int     // likewise, by bucket

	deltas uint64   // since the last rotation
	chain  [32]byte // what the next delta binds to
}

type held struct {
	value  []byte
	bucket int
	put    uint64 // which of the tree's puts it was
}

// newTree returns an empty tree with an own salt.
func newTree(at record, fan int) *tree {
	t := &tree{at: at, middles: make([]ref, fan), under: make([][]ref, fan), mine: make([]bool, fan),
		pending: map[string]held{}, pendingIn: map[int]int{}, chain: at.root.hash}
	rand.Read(t.salt[:])
	nothing := make([]ref, fan)
	for m := range t.under {
		t.under[m] = nothing
	}
	memlock.Lock(unsafe.Slice(&t.at, 1)) // stays locked: the page may be shared
	memlock.Lock(t.middles)
	return t
}

// successor returns the tree of the next generation, still the same but with nothing
// pending. It shares with t what is under the middle blocks, until own or takeOver.
func (t *tree) successor() *tree {
	next := newTree(t.at, t.fan())
	next.salt, next.fold, next.carry = t.salt, t.fold, t.carry
	next.at.root.generation++
	copy(next.middles, t.middles)
	copy(next.under, t.under)
	return next
}

// own returns the refs under a middle block, to be changed.
func (t *tree) own(m int) []ref {
	if !t.mine[m] {
		t.under[m], t.mine[m] = slices.Clone(t.under[m]), true
		memlock.Lock(t.under[m])
	}
	return t.under[m]
}

// takeOver makes what t shares with the tree that it succeeds its own. The other is
// of no use any more, and is wiped.
func (t *tree) takeOver(was *tree) {
	for m := range t.mine {
		if !t.mine[m] {
			t.mine[m], was.mine[m] = was.mine[m], false
		}
	}
	was.wipe()
}

// wipe zeroes keys and pending values. Ids are strings and stay until collected.
func (t *tree) wipe() {
	clear(t.pending)
	t.values.wipe()
	clear(t.at.root.key[:])
	t.carry = ref{}
	clear(t.middles)
	memlock.Unlock(t.middles)
	for m, mine := range t.mine {
		if mine {
			clear(t.under[m])
			memlock.Unlock(t.under[m])
		}
	}
}

func (t *tree) fan() int { return len(t.middles) }

// count returns the number of buckets.
func (t *tree) count() int { return t.fan() * t.fan() }

// ref returns the ref of a bucket, to be read.
func (t *tree) ref(b int) *ref { return &t.under[b/t.fan()][b%t.fan()] }

// setRef sets the ref of a bucket and returns the key of the blob that it named, if
// it did.
func (t *tree) setRef(b int, r ref) (dead []string) {
	at := &t.own(b / t.fan())[b%t.fan()]
	if at.entries > 0 {
		dead = []string{t.bucket(b).key(at)}
	}
	*at = r
	return dead
}

// group returns the part of an id, or of a prefix of ids, that decides the
// bucket, and whether others share it: of "p/NAME/…" it is "p/NAME/".
func group(id string) (part string, shared bool) {
	if rest, ok := strings.CutPrefix(id, "p/"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return id[:i+3], true
		}
	}
	return id, false
}

// bucketOf returns the number of the bucket that an entry belongs to.
func (t *tree) bucketOf(id string) int { return t.sorter()(id) }

// sorter returns bucketOf for many ids one after the other, quick where those of
// one person follow each other.
func (t *tree) sorter() func(id string) int {
	mac := hmac.New(sha256.New, t.salt[:])
	last, bucket := "", 0
	return func(id string) int {
		part, _ := group(id)
		if part == last {
			return bucket
		}
		mac.Reset()
		io.WriteString(mac, part)
		top := binary.BigEndian.Uint32(mac.Sum(nil))
		last, bucket = part, int(top>>(32-bits.Len(uint(t.count()-1))))
		return bucket
	}
}

func (t *tree) rootPlace() place   { return place{vault: t.at.vault, kind: "root"} }
func (t *tree) carryPlace() place  { return place{vault: t.at.vault, kind: "carry"} }
func (t *tree) middle(m int) place { return place{vault: t.at.vault, kind: "middle", number: m} }
func (t *tree) bucket(b int) place { return place{vault: t.at.vault, kind: "bucket", number: b} }

// openBucket reads a bucket, which the caller wipes. Errors: ErrBlock; else I/O.
func (t *tree) openBucket(blobs Blobs, b int) (*page, error) {
	return t.bucket(b).openPage(blobs, t.ref(b))
}

// entries counts what is held. An entry that was replaced counts twice until it
// is folded.
func (t *tree) entries() int {
	n := len(t.pending)
	for i := range t.middles {
		n += int(t.middles[i].entries)
	}
	return n
}

// set makes a copy of e, which belongs to a bucket, pending.
func (t *tree) set(e Entry, bucket int) {
	t.puts++
	h := held{value: t.values.add(e.Value), bucket: bucket, put: t.puts}
	if old, ok := t.pending[e.ID]; ok {
		size := Entry{ID: e.ID, Value: old.value}.encodedBytes()
		t.pendingBytes -= size
		t.pendingIn[h.bucket] -= size
		clear(old.value)
	}
	t.pending[e.ID] = h
	t.pendingBytes += e.encodedBytes()
	t.pendingIn[h.bucket] += e.encodedBytes()
}

func (t *tree) setAll(entries []Entry) {
	bucketOf := t.sorter()
	for _, e := range entries {
		t.set(e, bucketOf(e.ID))
	}
}

// pendingByBucket returns the pending entries by bucket; values are shared.
func (t *tree) pendingByBucket() map[int][]Entry {
	out := make(map[int][]Entry, len(t.pendingIn))
	for id, h := range t.pending {
		out[h.bucket] = append(out[h.bucket], Entry{ID: id, Value: h.value})
	}
	return out
}

// byBucket returns the ids by the bucket that they belong to, without empty buckets.
func (t *tree) byBucket(ids []string) map[int][]string {
	out, bucketOf := map[int][]string{}, t.sorter()
	for _, id := range ids {
		if b := bucketOf(id); t.ref(b).entries > 0 {
			out[b] = append(out[b], id)
		}
	}
	return out
}

// inBuckets calls fn for each of the ids that is in a bucket, with the bucket and
// the entry, whose value is fn's until it returns. It reads each bucket once.
// Errors: ErrBlock; else I/O.
func (t *tree) inBuckets(blobs Blobs, ids []string, fn func(bucket int, e Entry)) error {
	wanted := t.byBucket(ids)
	for _, b := range slices.Sorted(maps.Keys(wanted)) {
		p, err := t.openBucket(blobs, b)
		if err != nil {
			return err
		}
		for _, id := range wanted[b] {
			if e, ok := p.find(id); ok {
				fn(b, e)
			}
		}
		p.wipe()
	}
	return nil
}

// each calls fn for every entry whose id has this prefix; the value is fn's until
// it returns. Errors: fn's, ErrBlock; else I/O.
func (t *tree) each(blobs Blobs, prefix string, fn func(id string, value []byte) error) error {
	first, last := 0, t.count()-1
	if _, shared := group(prefix); shared {
		first = t.bucketOf(prefix)
		last = first
	}
	for b := first; b <= last; b++ {
		if err := t.eachIn(blobs, b, prefix, fn); err != nil {
			return err
		}
	}
	return nil
}

// eachIn is each for the entries of one bucket, the pending first.
func (t *tree) eachIn(blobs Blobs, b int, prefix string, fn func(id string, value []byte) error) error {
	if t.pendingIn[b] > 0 {
		for id, h := range t.pending {
			if h.bucket != b || !strings.HasPrefix(id, prefix) {
				continue
			}
			if err := fn(id, h.value); err != nil {
				return err
			}
		}
	}
	p, err := t.openBucket(blobs, b)
	if err != nil {
		return err
	}
	defer p.wipe()
	for _, e := range p.entries {
		if _, replaced := t.pending[e.ID]; replaced || !strings.HasPrefix(e.ID, prefix) {
			continue
		}
		if err := fn(e.ID, e.Value); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) samePending(other *tree) bool {
	return maps.EqualFunc(t.pending, other.pending, func(a, b held) bool { return bytes.Equal(a.value, b.value) })
}
