package custody

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/sign"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
)

// A bulk record (一括記録) is what hand-overs of one person's items to one recipient
// that go on or repeat are kept as: APPI Arts. 29 and 30 with Rules Arts. 19(2) and
// 23(2). Its own deadline is three years after the last of them (Rules Arts. 21, 25),
// for all of it. Each hand-over stands in the ledger by itself; its sealed part names
// the first of the series, so that the recipient knows it too and keeps its
// receiving records as long. A hand-over under an opt-out filing is never part of one:
// those rules want a record of each.
//
// What a series moves is the deadline of its own records, and with it that of the
// months in which they stand. A record that the ledger refused moves nothing: every
// deadline is taken from the records that are there.
//
// Order of effects: what names a record's series is stored in one write with the
// record's openings, before the record is posted.

// CodeSeriesUnknown says that a hand-over continues none of the same person to the
// same recipient whose record may still be read.
const CodeSeriesUnknown record.Code = "series.unknown"

// seriesBlob says that a record belongs to a series of hand-overs.
type seriesBlob struct {
	First      record.ID `cbor:"1,keyasint"`           // the series' first hand-over or its receiving record: what is kept here
	FirstClass [16]byte  `cbor:"2,keyasint"`           // of the month in which that stands
	Class      [16]byte  `cbor:"3,keyasint"`           // of the month in which this record stands
	Began      []byte    `cbor:"4,keyasint,omitempty"` // where First is a receiving record: the hand-over that it is of
}

// bulk is the series in memory: what their deadlines are taken from, and no list of their
// records, which may be many.
type bulk struct {
	mu    sync.Mutex
	all   map[record.ID]*series           // by the first record
	in    map[[16]byte]map[record.ID]bool // class → firsts of series with records in it
	began map[record.ID]record.ID         // hand-over → the receiving record of it that is the first of a series
	left  map[record.ID]bool              // series of which a month is kept no more, or may be
}

type series struct {
	began   record.ID
	classes [][16]byte  // of months with records in it
	endMs   uint64      // the latest own deadline of its records in the ledger
	unseen  []record.ID // not in the ledger yet, as far as was seen
}

func (b *bulk) add(id record.ID, s *seriesBlob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all, b.in = map[record.ID]*series{}, map[[16]byte]map[record.ID]bool{}
		b.began, b.left = map[record.ID]record.ID{}, map[record.ID]bool{}
	}
	if b.all[s.First] == nil {
		b.all[s.First] = &series{}
		b.enter(s.First, s.First, s.FirstClass)
	}
	if len(s.Began) == len(record.ID{}) {
		b.all[s.First].began = record.ID(s.Began)
		b.began[record.ID(s.Began)] = s.First
	}
	b.enter(s.First, id, s.Class)
}

// enter adds a record to a series. b.mu is held.
func (b *bulk) enter(first, id record.ID, class [16]byte) {
	s := b.all[first]
	s.unseen = append(s.unseen, id)
	if !slices.Contains(s.classes, class) { // one for each month of some years
		s.classes = append(s.classes, class)
	}
	if b.in[class] == nil {
		b.in[class] = map[record.ID]bool{}
	}
	b.in[class][first] = true
}

// remove forgets a series.
func (b *bulk) remove(first record.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.all[first]
	for _, class := range s.classes {
		if delete(b.in[class], first); len(b.in[class]) == 0 {
			delete(b.in, class)
		}
	}
	delete(b.began, s.began)
	delete(b.all, first)
}

// gone notes that these classes are kept no more.
func (b *bulk) gone(classes ...[16]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, class := range classes {
		for first := range b.in[class] {
			b.left[first] = true
		}
	}
}

// mayBeOver has a series looked at when over is next asked.
func (b *bulk) mayBeOver(first record.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left[first] = true
}

// over returns the series of which no month is kept any more. It looks at those alone
// that have lost one since it was last asked, and at each once.
func (b *bulk) over(kept func(class [16]byte) bool) map[record.ID]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	firsts := map[record.ID]bool{}
	for first := range b.left {
		if s := b.all[first]; s != nil && !slices.ContainsFunc(s.classes, kept) {
			firsts[first] = true
		}
	}
	clear(b.left)
	return firsts
}

// firstReceived returns the first of the series that a hand-over of others began.
func (b *bulk) firstReceived(handOver record.ID) (first record.ID, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first, known = b.began[handOver]
	return first, known
}

// ends returns the deadline of a series: that of its last record in the ledger, 0 where
// there is no such series. b.mu is held.
func (b *bulk) ends(st *store.State, first record.ID) (endMs uint64, err error) {
	s := b.all[first]
	if s == nil {
		return 0, nil
	}
	var unseen []record.ID
	for _, id := range s.unseen {
		rec, index, err := recordByID(st, id)
		if err != nil {
			return 0, err
		}
		if rec == nil {
			unseen = append(unseen, id)
			continue
		}
		end, err := st.EndWith(index)
		if err != nil {
			return 0, err
		}
		s.endMs = max(s.endMs, ownDeadline(end.TimeMs))
	}
	s.unseen = unseen
	return s.endMs, nil
}

// ownDeadline is until when a record of a time is kept by law.
func ownDeadline(timeMs uint64) uint64 {
	return record.DayEndMs(recordKeep.LastDay(record.DayOf(timeMs)))
}

// recordDeadline is until when a record is kept, by itself or as part of a series.
func (d *Desk) recordDeadline(id record.ID, timeMs uint64) (uint64, error) {
	due := ownDeadline(timeMs)
	first, err := d.seriesOf(id)
	if err != nil {
		return 0, err
	}
	st, err := d.state()
	if err != nil {
		return 0, err
	}
	d.bulk.mu.Lock()
	defer d.bulk.mu.Unlock()
	end, err := d.bulk.ends(st, first)
	return max(due, end), err
}

// seriesOf returns the first of the series that a record belongs to, or the record.
func (d *Desk) seriesOf(id record.ID) (first record.ID, err error) {
	s, err := loadBlob[seriesBlob](d, blobKey(kindSeries, id[:]))
	if err != nil || s == nil {
		return id, err
	}
	return s.First, nil
}

// keepUntil is when a class dies unless it is held: its deadline, or for a month of
// records that of the last series with records in it.
func (d *Desk) keepUntil(c *class) (uint64, error) {
	due := c.deadlineMs()
	d.bulk.mu.Lock()
	defer d.bulk.mu.Unlock()
	if len(d.bulk.in[c.id]) == 0 {
		return due, nil
	}
	st, err := d.state()
	if err != nil {
		return 0, err
	}
	for first := range d.bulk.in[c.id] {
		end, err := d.bulk.ends(st, first)
		if err != nil {
			return 0, err
		}
		due = max(due, end)
	}
	return due, nil
}

// goesOn names in a hand-over's part the series that it continues, nil where it
// continues none.
func (d *Desk) goesOn(st *store.State, h *handOver, part *record.HandOverPart, month *class) (*seriesBlob, error) {
	if h.Continues == "" {
		return nil, nil
	}
	o, first, err := d.firstOf(st, h)
	if err != nil {
		return nil, err
	}
	part.Series = first[:]
	return &seriesBlob{First: first, FirstClass: o.class, Class: month.id}, nil
}

// firstOf finds the hand-over that began the series which a hand-over continues: of
// the same person's items, to the same recipient, by the same party.
func (d *Desk) firstOf(st *store.State, h *handOver) (*openings, record.ID, error) {
	refuse := record.Refuse(CodeSeriesUnknown, "")
	id, err := parseID(h.Continues)
	if err != nil {
		return nil, id, refuse
	}
	rec, index, err := recordByID(st, id)
	if err != nil || rec == nil {
		return nil, id, orElse(err, refuse)
	}
	if _, is, err := inLine(st, rec, h.from, h.To, h.key, h.handle); err != nil || !is {
		return nil, id, orElse(err, refuse)
	}
	o, err := d.openKept(st, id, index)
	if err != nil || o == nil {
		return nil, id, orElse(err, refuse)
	}
	part, err := record.DecodePart(rec.Kind, o.Part.Part)
	if err != nil {
		return nil, id, err
	}
	if first := part.(*record.HandOverPart).Series; len(first) == len(id) {
		id = record.ID(first)
		rec, index, err = recordByID(st, id)
		if err != nil || rec == nil {
			return nil, id, orElse(err, refuse)
		}
		if o, err = d.openKept(st, id, index); err != nil || o == nil {
			return nil, id, orElse(err, refuse)
		}
	}
	return o, id, nil
}

// inLine reports whether a record is a hand-over that one under a handle may go on
// with: by and to the same parties, under that handle or one that moved to it, which
// is returned.
func inLine(st *store.State, rec *record.Record, from, to string, k sign.PublicKey, h *rules.Handle) (under sign.PublicKey, is bool, err error) {
	p, is := rec.Body.(*record.Provision)
	if !is || rec.Issuer != from || p.To != to {
		return under, false, nil
	}
	for n := 0; p.Handle != k; n++ {
		if h == nil || n == maxGenerations || len(h.MovedFrom) != sign.PublicKeySize {
			return under, false, nil
		}
		k = sign.PublicKey(h.MovedFrom)
		if h, err = rules.HandleState(st, k); err != nil {
			return under, false, err
		}
	}
	return k, true, nil
}

// openKept opens a record that may still be read, nil where it may not.
func (d *Desk) openKept(st *store.State, id record.ID, index uint64) (*openings, error) {
	end, err := st.EndWith(index)
	if err != nil {
		return nil, err
	}
	o, err := d.openRecord(id)
	if err != nil || o == nil || d.pastKeep(o, id, end.TimeMs) {
		return nil, err
	}
	return o, nil
}

// inSeries returns what is to be stored with a record that continues a series.
func (d *Desk) inSeries(id record.ID, s *seriesBlob) []store.KV {
	if s == nil {
		return nil
	}
	d.bulk.add(id, s)
	return []store.KV{{Key: blobKey(kindSeries, id[:]), Value: canon.Must(s)}}
}

// continued returns what is to be stored with our receiving record of a hand-over
// that continues a series; nothing where it does not, where the first of the series is not
// kept here, or where it is of others: a provider's word moves nobody else's deadline.
func (d *Desk) continued(ctx context.Context, st *store.State, first []byte, in *rules.Intent, h *rules.Handle, rec *record.Record, month *class) ([]store.KV, error) {
	if len(first) != len(record.ID{}) {
		return nil, nil
	}
	began, _, err := recordByID(st, record.ID(first))
	if err != nil || began == nil {
		return nil, err
	}
	k, is, err := inLine(st, began, in.From, in.To, in.Handle, h)
	if err != nil || !is {
		return nil, err
	}
	was, index, err := d.receivedAs(ctx, st, began.ID, k)
	if err != nil || was == nil {
		return nil, err
	}
	o, err := d.openKept(st, was.ID, index)
	if err != nil || o == nil {
		return nil, err
	}
	return d.inSeries(rec.ID, &seriesBlob{First: was.ID, FirstClass: o.class, Class: month.id, Began: began.ID[:]}), nil
}

// receivedAs finds the record with which we received a hand-over: of one that began a
// series at once, of another by looking through what is under its handle.
func (d *Desk) receivedAs(ctx context.Context, st *store.State, intent record.ID, k sign.PublicKey) (*record.Record, uint64, error) {
	if first, known := d.bulk.firstReceived(intent); known {
		return recordByID(st, first)
	}
	h, err := rules.HandleState(st, k)
	if err != nil || h == nil {
		return nil, 0, err
	}
	for p, err := range under(ctx, st, k, h) {
		if err != nil {
			return nil, 0, err
		}
		if r, is := p.Body.(*record.Received); is && r.Intent == intent && d.mine(p.Issuer) {
			return p.Record, p.index, nil
		}
	}
	return nil, 0, nil
}

// loadSeries reads what an earlier desk stored.
func (d *Desk) loadSeries() error {
	return d.eachSeries(func(_ []byte, id record.ID, s *seriesBlob) error {
		d.bulk.add(id, s)
		d.bulk.mayBeOver(s.First)
		return nil
	})
}

func (d *Desk) eachSeries(fn func(key []byte, id record.ID, s *seriesBlob) error) error {
	return d.Blobs.Scan(blobPrefix(kindSeries), func(key, value []byte) error {
		id, err := idOfKey(kindSeries, key)
		if err != nil {
			return err
		}
		s := new(seriesBlob)
		if err := canon.UnmarshalMax(value, maxBlobBytes, s); err != nil {
			return err
		}
		return fn(key, id, s)
	})
}

// forgetSeries deletes the series of which no month is kept any more. Where it fails
// they are found when the desk starts again.
func (d *Desk) forgetSeries() error {
	over := d.bulk.over(d.people.has)
	if len(over) == 0 {
		return nil
	}
	var keys [][]byte
	err := d.eachSeries(func(key []byte, _ record.ID, s *seriesBlob) error {
		if over[s.First] {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(keys, 4096) {
		if err := d.Blobs.Delete(part...); err != nil {
			return err
		}
	}
	for first := range over {
		d.bulk.remove(first)
	}
	return nil
}
