package record_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/akashi-ledger/akashi/ledger/ledgertest"
	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestPeriodCivilCode: Civil Code Art. 140 and 143, by hand. The first day does
// not count.
func TestPeriodCivilCode(t *testing.T) {
	for _, c := range []struct{ begin, period, last string }{
		{"2027-02-28", "P1Y", "2028-02-29"}, // from 1 March to the day before 1 March
		{"2028-02-29", "P1Y", "2029-02-28"},
		{"2026-12-02", "P1Y", "2027-12-02"},
		{"2026-12-31", "P1Y", "2027-12-31"},
		{"2027-07-31", "P1M", "2027-08-31"},
		{"2027-08-31", "P1M", "2027-09-30"},
		{"2027-01-30", "P1M", "2027-02-28"}, // from 31 January; February has no 31st
		{"2027-01-31", "P1M", "2027-02-28"}, // from 1 February to the day before 1 March
		{"2028-01-30", "P1M", "2028-02-29"},
		{"2027-08-30", "P6M", "2028-02-29"}, // from 31 August; no such day in February
		{"2027-03-15", "P6M", "2027-09-15"},
		{"2027-10-15", "P3M", "2028-01-15"},
		{"2027-11-30", "P24M", "2029-11-30"},
		{"2026-12-02", "P3Y", "2029-12-02"},
		{"2027-01-01", "P1D", "2027-01-02"},
		{"2027-01-01", "P7D", "2027-01-08"},
		{"2027-01-01", "P180D", "2027-06-30"},
		{"2027-02-28", "P1Y1M", "2028-03-31"}, // from 1 March to the day before 1 April
		{"2027-02-28", "P1M1D", "2027-04-01"},
	} {
		p, err := record.ParsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.LastDay(int64(ledgertest.Day(c.begin))), int64(ledgertest.Day(c.last)); got != want {
			t.Errorf("%s + %s ends %s, want %s", c.begin, c.period, time.Unix(got*86400, 0).UTC().Format(time.DateOnly), c.last)
		}
	}
}

func TestParsePeriod(t *testing.T) {
	for s, want := range map[string]record.Period{
		"P1Y": {Years: 1}, "P200Y": {Years: 200}, "P2400M": {Months: 2400}, "P36600D": {Days: 36600}, "P1Y2M3D": {Years: 1, Months: 2, Days: 3},
	} {
		if got, err := record.ParsePeriod(s); err != nil || got != want {
			t.Errorf("%q: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "P", "1Y", "P1", "PY", "P0Y", "P01Y", "P-1Y", "P1y", "P1W", "P1H", "PT1H", "P1D1M", "P1Y1Y",
		"P1.5Y", "P 1Y", "P201Y", "P2401M", "P36601D", "P99999999999999999999D", "P1Y ", "P１Y", "P1Y0M"} {
		if got, err := record.ParsePeriod(s); code(t, err) != record.CodeRecordMalformed {
			t.Errorf("%q: %+v %v", s, got, err)
		}
	}
}

// TestDaysInJST around midnight, with times written by hand.
func TestDaysInJST(t *testing.T) {
	day := int64(ledgertest.Day("2027-12-02"))
	if day != 21154 { // 57 years of 365 days, 14 leap days, 335 days
		t.Errorf("2027-12-02 is day %d", day)
	}
	midnight := uint64(time.Date(2027, 12, 2, 15, 0, 0, 0, time.UTC).UnixMilli()) // 24:00 in Japan
	if got := record.DayEndMs(day); got != midnight {
		t.Errorf("the day ends at %d, want %d", got, midnight)
	}
	for ms, want := range map[uint64]int64{midnight - 1: day, midnight: day + 1, midnight - 86400_000: day, midnight - 86400_001: day - 1, 0: 0,
		15 * 3600_000: 1, 15*3600_000 - 1: 0, record.MaxTimeMs: 2932896 + 1} {
		if got := record.DayOf(ms); got != want {
			t.Errorf("DayOf(%d) = %d, want %d", ms, got, want)
		}
	}
}

// FuzzParsePeriod: an accepted period has one spelling, and ends after it began.
func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"P1Y", "P6M", "P180D", "P1Y2M3D", "P0D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := record.ParsePeriod(s)
		if err != nil {
			return
		}
		again := "P"
		for _, part := range []struct {
			n    int
			unit string
		}{{p.Years, "Y"}, {p.Months, "M"}, {p.Days, "D"}} {
			if part.n > 0 {
				again += fmt.Sprintf("%d%s", part.n, part.unit)
			}
		}
		if again != s {
			t.Fatalf("%q comes back as %q", s, again)
		}
		for _, day := range []int64{0, 20000, 21154} {
			if p.LastDay(day) <= day {
				t.Fatalf("%q ends on day %d after it began on %d", s, p.LastDay(day), day)
			}
		}
	})
}
