package custody

import (
	"container/heap"
	"errors"
	"slices"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/seal"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// dated is what is known, without reading the vault, of the classes with a
// deadline: in which buckets some come to their end, and when. people.mu guards it.
type dated struct {
	months  map[uint64][]uint16 // by end: few ends, many classes
	queue   lookQueue           // datasets, what was received, and whatever is to be looked at again
	leaving map[[16]byte]bool   // classes whose destruction is under way
}

// lookAt says that a class in a bucket may be due at a time.
type lookAt struct {
	ms     uint64
	bucket uint16
}

// lookAgainMs is after how long a class is looked at again that was due and could
// not be taken.
const lookAgainMs = 1000

type lookQueue []lookAt

func (q lookQueue) Len() int           { return len(q) }
func (q lookQueue) Less(i, j int) bool { return q[i].ms < q[j].ms }
func (q lookQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *lookQueue) Push(x any)        { *q = append(*q, x.(lookAt)) }
func (q *lookQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func newDated() dated {
	return dated{months: map[uint64][]uint16{}, leaving: map[[16]byte]bool{}}
}

// add notes a class by its name.
func (x *dated) add(name string, bucket uint16) {
	switch end := deadlineOf(name); {
	case end == 0:
	case isRecords(name):
		x.months[end] = append(x.months[end], bucket)
	default:
		x.look(end, bucket)
	}
}

// look notes that something in a bucket may be due at a time.
func (x *dated) look(ms uint64, bucket uint16) { heap.Push(&x.queue, lookAt{ms, bucket}) }

// next returns when something may be due; false where nothing ever is.
func (x *dated) next() (ms uint64, ok bool) {
	if len(x.queue) > 0 {
		ms, ok = x.queue[0].ms, true
	}
	for end := range x.months {
		if !ok || end < ms {
			ms, ok = end, true
		}
	}
	return ms, ok
}

// pop returns a bucket in which something may be due at a time.
func (x *dated) pop(nowMs uint64) (bucket uint16, ok bool) {
	for end, buckets := range x.months {
		if end > nowMs {
			continue
		}
		slices.Sort(buckets)
		for _, b := range slices.Compact(buckets) {
			x.look(end, b)
		}
		delete(x.months, end)
	}
	if len(x.queue) == 0 || x.queue[0].ms > nowMs {
		return 0, false
	}
	return heap.Pop(&x.queue).(lookAt).bucket, true
}

// takeDue returns about most classes that are due at a time, as holds move their
// deadlines, and marks them as leaving. What belongs to a person whose erasure is
// under way is left to that. Errors: buckets that could not be read, beside what
// others hold.
func (d *Desk) takeDue(nowMs uint64, most int) (out []*class, err error) {
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[uint16]bool{}
	for len(out) < most {
		bucket, ok := p.dated.pop(nowMs)
		if !ok {
			break
		}
		if seen[bucket] {
			continue
		}
		seen[bucket] = true
		found, err2 := d.dueIn(bucket, nowMs)
		if err2 != nil {
			p.dated.look(nowMs+60*lookAgainMs, bucket)
			err = errors.Join(err, err2)
		}
		out = append(out, found...)
	}
	return out, err
}

// dueIn is takeDue for one bucket. people.mu is held.
func (d *Desk) dueIn(bucket uint16, nowMs uint64) (out []*class, err error) {
	p := d.people
	err = p.vault.EachIn(int(bucket), func(at string, value []byte) error {
		end := deadlineOf(nameOf(at))
		if end == 0 || end > nowMs {
			return nil
		}
		c, err := readPersonal(at, value)
		if err != nil || p.dated.leaving[c.id] || p.classes[c.id].orphan != (at[0] == 'z') {
			return err
		}
		if end, err = d.keepUntil(c); err != nil {
			return err
		}
		switch due := d.holds.until(c.number, end); {
		case due > nowMs:
			p.dated.look(due, bucket)
		case p.goesOut(c.ref):
			p.dated.look(nowMs+lookAgainMs, bucket)
		default:
			p.dated.leaving[c.id] = true
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// readPersonal reads a class that is or was a person's, or is a sensor's.
func readPersonal(at string, value []byte) (*class, error) {
	c, err := readClass(at, value)
	if err != nil {
		return nil, err
	}
	if c.name = nameOf(at); at[0] == 'p' {
		ref, _, _ := strings.Cut(at[2:], "/")
		c.ref = Ref(ref)
	}
	return c, nil
}

// goesOut reports whether a person's erasure is under way. p.mu is held; who is
// going out is in memory.
func (p *people) goesOut(ref Ref) bool {
	q := p.byRef[ref]
	return q != nil && q.erasing
}

// leave marks one class as leaving on demand, unless it is held, or is leaving
// already, alone or with its person.
func (d *Desk) leave(c *class, nowMs uint64) error {
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.classes[c.id]; !there || p.dated.leaving[c.id] || p.goesOut(c.ref) {
		return record.Refuse(record.CodeErased, "")
	}
	if d.holds.active(c.number, nowMs) {
		return record.Refuse(record.CodeOnHold, "")
	}
	p.dated.leaving[c.id] = true
	return nil
}

// stay undoes leave and takeDue.
func (d *Desk) stay(classes ...*class) {
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range classes {
		delete(p.dated.leaving, c.id)
		if s, there := p.classes[c.id]; there {
			p.dated.look(c.deadlineMs(), s.bucket)
		} else if p.looseBy[c.id] != nil {
			p.dated.look(c.deadlineMs(), uint16(p.vault.BucketOf(c.at)))
		}
	}
}

// leaves reports whether the destruction of a class is under way.
func (d *Desk) leaves(id [16]byte) bool {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.people.dated.leaving[id]
}

// lookAgain has classes looked at whose hold was lifted, also those of somebody who
// was erased meanwhile.
func (d *Desk) lookAgain(classes [][16]byte, nowMs uint64) {
	p := d.people
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range classes {
		if s, there := p.classes[id]; there {
			p.dated.look(nowMs, s.bucket)
		}
	}
}

// nextDue returns when the next class may be due; false where none has a deadline.
func (d *Desk) nextDue() (uint64, bool) {
	d.people.mu.Lock()
	defer d.people.mu.Unlock()
	return d.people.dated.next()
}

// datasetWith returns the class of a dataset, nil where it is not here.
func (d *Desk) datasetWith(n seal.Number) (*class, error) {
	c, err := d.people.class(n)
	if c != nil && !isDataset(c.name) {
		c = nil
	}
	return c, err
}
