package custody

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Dates is until when what is held of a person lives: content, and what the law
// obliges the member to keep. It opens nothing.
type Dates struct {
	Person  Ref           `json:"person"`
	Content []ContentDate `json:"content"`
	Records []RecordDate  `json:"records"`
	Holds   []HoldView    `json:"holds"`
}

// ContentDate is one content identity. Without Until it lives until the person asks
// for its erasure.
type ContentDate struct {
	Service   string     `json:"service"`
	Holder    string     `json:"holder"`              // the party that holds it
	Dataset   string     `json:"dataset,omitempty"`   // id
	Retention string     `json:"retention,omitempty"` // ISO 8601
	Until     *time.Time `json:"until,omitempty"`     // its deadline
	HeldUntil *time.Time `json:"heldUntil,omitempty"` // where a hold ends later
}

// RecordDate is one record identity: the records of a month that the law obliges
// the member to keep. Each is read until its own deadline, three years after its
// day or after the last hand-over of its bulk record, and the identity dies with the
// month's last.
type RecordDate struct {
	Month     string     `json:"month"`               // 2006-01
	Until     time.Time  `json:"until"`               // the first instant after the last deadline
	HeldUntil *time.Time `json:"heldUntil,omitempty"` // where a hold ends later
}

// Dates returns the dates of a person.
func (d *Desk) Dates(ctx context.Context, ref Ref) (*Dates, error) {
	st, q, release, err := d.forPerson(ref)
	if err != nil {
		return nil, err
	}
	defer release()
	out := &Dates{Person: ref, Content: []ContentDate{}, Records: []RecordDate{}}
	for _, c := range d.contentOf(q, "") {
		v := ContentDate{Until: instant(c.deadlineMs()), HeldUntil: d.heldUntil(c)}
		v.Service, v.Holder = c.of()
		if _, v.Retention = datedParts(c.name); isDataset(c.name) {
			v.Dataset = hex.EncodeToString(c.number[:])
		}
		if v.Holder == "" {
			if v.Holder, err = d.ownerOf(st, v.Service); err != nil {
				return nil, err
			}
		}
		out.Content = append(out.Content, v)
	}
	slices.SortStableFunc(out.Content, func(a, b ContentDate) int { return strings.Compare(a.Service, b.Service) })
	for _, c := range d.classesOf(q, "r/") {
		until, err := d.keepUntil(c)
		if err != nil {
			return nil, err
		}
		out.Records = append(out.Records, RecordDate{Month: c.name[2:], Until: timeOf(until), HeldUntil: d.heldUntil(c)})
	}
	out.Holds, err = d.Holds(ctx, ref)
	return out, err
}

// heldUntil is the end of the last hold on a class that is later than its deadline,
// nil where there is none. A hold that is over does not count.
func (d *Desk) heldUntil(c *class) *time.Time {
	if due := d.dueMs(c); due > d.untilMs(c) && due > d.readingMs() {
		return instant(due)
	}
	return nil
}

// instant is a time in JST, nil for 0.
func instant(ms uint64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := timeOf(ms)
	return &t
}
