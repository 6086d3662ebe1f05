package scenarios

import (
	"testing"
	"time"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// Civil Code Arts. 140 and 143, with the examples of time rule 3 and the periods that the
// stories turn on.
func TestEndOf(t *testing.T) {
	for _, c := range []struct{ from, period, end string }{
		// time rule 2: exact
		{"2027-02-01T09:00:30+09:00", "P7D", "2027-02-08T09:00:30+09:00"},
		{"2027-02-06T11:05:00+09:00", "P180D", "2027-08-05T11:05:00+09:00"},
		{"2026-12-31T23:30:00+09:00", "PT1H", "2027-01-01T00:30:00+09:00"},
		{"2026-12-31T23:30:00+09:00", "PT24H1M1S", "2027-01-01T23:31:01+09:00"},
		{"2026-12-31T23:30:00+09:00", "P0D", "2026-12-31T23:30:00+09:00"},
		// time rule 3: its own examples
		{"2027-02-28T00:00:00+09:00", "P1Y", "2028-03-01T00:00:00+09:00"}, // ends with 29 February 2028
		{"2028-02-29T12:00:00+09:00", "P1Y", "2029-03-01T00:00:00+09:00"}, // ends with 28 February 2029
		{"2026-07-31T12:00:00+09:00", "P1M", "2026-09-01T00:00:00+09:00"}, // ends with 31 August
		// the matching day is missing: the last day of the month
		{"2027-01-30T08:00:00+09:00", "P1M", "2027-03-01T00:00:00+09:00"}, // counts from the 31st; ends with 28 February
		{"2027-01-29T08:00:00+09:00", "P1M", "2027-03-01T00:00:00+09:00"}, // counts from the 30th
		{"2027-01-28T08:00:00+09:00", "P1M", "2027-03-01T00:00:00+09:00"}, // counts from the 29th
		{"2027-01-27T08:00:00+09:00", "P1M", "2027-02-28T00:00:00+09:00"}, // counts from the 28th; ends with 27 February
		{"2028-01-28T08:00:00+09:00", "P1M", "2028-02-29T00:00:00+09:00"}, // a leap year has a 29th
		{"2027-02-27T08:00:00+09:00", "P1M", "2027-03-28T00:00:00+09:00"},
		{"2025-07-31T12:00:00+09:00", "P1M", "2025-09-01T00:00:00+09:00"},
		// over the turn of the year, and whole years
		{"2026-11-30T23:59:59+09:00", "P3M", "2027-03-01T00:00:00+09:00"},
		{"2026-12-31T00:00:00+09:00", "P1Y", "2028-01-01T00:00:00+09:00"},
		{"2025-03-20T10:01:00+09:00", "P3Y", "2028-03-21T00:00:00+09:00"},
		{"2025-03-20T10:01:00+09:00", "P1Y6M", "2026-09-21T00:00:00+09:00"},
		{"2025-03-20T10:01:00+09:00", "P18M", "2026-09-21T00:00:00+09:00"},
		// the day is the day in Japan, whatever the zone of the instant
		{"2026-12-31T15:00:00Z", "P1M", "2027-02-02T00:00:00+09:00"},
	} {
		p, err := ParsePeriod(c.period)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := EndOf(at(t, c.from), p); !got.Equal(at(t, c.end)) {
			t.Errorf("%s + %s = %s, want %s", c.from, c.period, got.Format(time.RFC3339), c.end)
		}
	}
}

func TestParsePeriodRefuses(t *testing.T) {
	for _, s := range []string{"", "P", "PT", "7D", "P7", "P1D2M", "P1H", "PT1D", "P-1D", "P1.5D", "P1W", "P1M1D", "P1DT", " P1D", "P1D ", "P12345678D"} {
		if p, err := ParsePeriod(s); err == nil {
			t.Errorf("%q: %v, want an error", s, p)
		}
	}
}

func TestAgeOn(t *testing.T) {
	for _, c := range []struct {
		birth, on string
		age       int
	}{
		{"2009-03-11", "2025-03-10", 15},
		{"2009-03-11", "2025-03-11", 16},
		{"2012-02-29", "2028-02-28", 15},
		{"2012-02-29", "2028-02-29", 16},
		{"2012-02-29", "2027-02-28", 14},
		{"2012-02-29", "2027-03-01", 15}, // born on a leap day: on 1 March of a common year
	} {
		birth, err1 := ParseDate(c.birth)
		on, err2 := ParseDate(c.on)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := AgeOn(birth, on); got != c.age {
			t.Errorf("born %s, on %s: %d, want %d", c.birth, c.on, got, c.age)
		}
	}
}

// Time rule 6.
func TestBusinessDays(t *testing.T) {
	calendar := loaded(t, "sapporo").Calendar
	for _, c := range []struct {
		notice, visit string
		days          int
	}{
		{"2026-12-18", "2027-01-06", 9}, // across the year end
		{"2026-12-18", "2027-01-07", 10},
		{"2026-12-19", "2026-12-21", 0}, // given on a Saturday: arrives on Monday
		{"2026-12-19", "2026-12-22", 1},
		{"2026-12-18", "2026-12-18", 0},
		{"2026-12-18", "2026-12-01", 0},
		{"2026-12-28", "2027-01-04", 1}, // 29 December to 3 January are closed
	} {
		notice, _ := ParseDate(c.notice)
		visit, _ := ParseDate(c.visit)
		if got := calendar.BusinessDays(notice, visit); got != c.days {
			t.Errorf("%s to %s: %d, want %d", c.notice, c.visit, got, c.days)
		}
	}
}

func TestParseDateRefuses(t *testing.T) {
	for _, s := range []string{"", "2027-02-29", "2027-2-1", "2027-02-01T00:00:00+09:00", "27-02-01"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("%q: %v, want an error", s, d)
		}
	}
}
