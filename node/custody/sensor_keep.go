package custody

import (
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Readings of sensors are kept as long as the consortium's parameter retention-NAME
// says of each of their values, the shortest counts, and without one for ever. They are
// sealed under an identity of their sensor and its day, or month where nothing says how
// long:
//
//	s/SENSOR/2026-12                      without end
//	s/SENSOR/2026-12-05/PERIOD/DEADLINE   until the last deadline of that day in JST
//
// A reading is opened until its own deadline, counted from when it was taken; the
// identity dies with the day's last, like anything that is due (retire.go). The proof
// that there was a reading stays.

// keepReading returns how long a reading is kept, "" for without end.
func (d *Desk) keepReading(p *ReadingPart) (string, error) {
	st, err := d.state()
	if err != nil {
		return "", err
	}
	var names []string
	for _, v := range p.Values {
		names = append(names, v.Name)
	}
	period, _, err := d.longest(st, "", names, d.nowMs())
	return period, err
}

// sensorClass is what a sensor's readings that come in now are sealed under.
func (d *Desk) sensorClass(sensor, period string) (*class, error) {
	at, err := d.sensorAt(sensor, period)
	if err != nil {
		return nil, err
	}
	defer d.lock(at)()
	if c := d.transient(at); c != nil {
		return c, nil
	}
	_, entry, file, err := d.newClass(at, "", "")
	if err != nil {
		return nil, err
	}
	if err := d.putBeside([]storeKV{file}, entry); err != nil {
		return nil, err
	}
	return d.transient(at), nil
}

func (d *Desk) sensorAt(sensor, period string) (string, error) {
	if period == "" {
		return "s/" + sensor + "/" + d.recordName()[2:], nil
	}
	day := record.DayOf(d.nowMs())
	end, err := periodEnd(period, record.DayEndMs(day))
	return "s/" + sensor + "/" + dayText(day) + "/" + period + "/" + strconv.FormatUint(end, 10), err
}

// pastReading reports whether a reading's own deadline has passed, or that of its
// identity.
func (d *Desk) pastReading(class [16]byte, leaf *ReadingLeaf) (bool, error) {
	c, err := d.people.class(class)
	if err != nil || c == nil {
		return true, err
	}
	parts := strings.Split(c.at, "/")
	if len(parts) != 5 { // without end
		return false, nil
	}
	own, err := periodEnd(parts[3], leaf.TimeMs)
	return d.readingMs() >= min(own, deadlineOf(c.at)), err
}
