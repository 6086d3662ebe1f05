package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// JST is the only time zone of the stories.
var JST = time.FixedZone("JST", 9*60*60)

// Date is a calendar day in JST. The zero Date is no date.
type Date struct {
	year  int
	month time.Month
	day   int
}

// DateOf returns the day in JST that t falls on.
func DateOf(t time.Time) Date {
	y, m, d := t.In(JST).Date()
	return Date{y, m, d}
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, error) {
	t, err := time.ParseInLocation(time.DateOnly, s, JST)
	if err != nil {
		return Date{}, fmt.Errorf("date %q: want YYYY-MM-DD", s)
	}
	return DateOf(t), nil
}

// Start is 00:00 JST of the day; End is 24:00, the first instant after it.
func (d Date) Start() time.Time { return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, JST) }
func (d Date) End() time.Time   { return d.AddDays(1).Start() }

// AddDays counts n days on.
func (d Date) AddDays(n int) Date {
	return DateOf(time.Date(d.year, d.month, d.day+n, 0, 0, 0, 0, JST))
}

// Before reports whether d is an earlier day than o.
func (d Date) Before(o Date) bool { return d.Start().Before(o.Start()) }

// IsZero reports whether d is no date.
func (d Date) IsZero() bool { return d == Date{} }

// nextYear is the same day of the next year, and 1 March after a 29 February.
func (d Date) nextYear() Date { return DateOf(time.Date(d.year+1, d.month, d.day, 0, 0, 0, 0, JST)) }

// beforeInYear reports whether d comes earlier in its year than o in its own.
func (d Date) beforeInYear(o Date) bool {
	return d.month < o.month || d.month == o.month && d.day < o.day
}

func (d Date) String() string { return d.Start().Format(time.DateOnly) }

// MarshalText and UnmarshalText use YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
func (d *Date) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDate(string(b))
	return err
}

// AgeOn is the age in full years on a day. It changes at 00:00 JST of the birthday
// (time rule 5); a person born on 29 February turns on 1 March of a common year.
func AgeOn(birth, on Date) int {
	age := on.year - birth.year
	if on.beforeInYear(birth) {
		age--
	}
	return age
}

// Period is an ISO 8601 duration: either months and years, which follow the
// calendar, or days, hours, minutes and seconds, which are exact. One period never
// mixes the two kinds, since no rule says which comes first. The zero Period is none.
type Period struct {
	months int
	exact  time.Duration
	text   string
}

var periodForm = regexp.MustCompile(`^P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?$`)

// ParsePeriod reads an ISO 8601 duration such as P7D, PT1H or P1Y6M.
func ParsePeriod(s string) (Period, error) {
	m := periodForm.FindStringSubmatch(s)
	if m == nil || s[len(s)-1] == 'P' || s[len(s)-1] == 'T' {
		return Period{}, fmt.Errorf("period %q: want an ISO 8601 duration such as P7D", s)
	}
	var n [7]int
	for i := 1; i < len(m); i++ {
		if m[i] != "" {
			n[i], _ = strconv.Atoi(m[i]) // at most six digits
		}
	}
	p := Period{months: 12*n[1] + n[2], text: s}
	p.exact = time.Duration(n[3])*24*time.Hour + time.Duration(n[4])*time.Hour +
		time.Duration(n[5])*time.Minute + time.Duration(n[6])*time.Second
	if p.months > 0 && p.exact > 0 {
		return Period{}, fmt.Errorf("period %q: months and years cannot be mixed with days or hours", s)
	}
	return p, nil
}

// mustPeriod is for periods written in this package.
func mustPeriod(s string) Period {
	p, err := ParsePeriod(s)
	if err != nil {
		panic(err)
	}
	return p
}

// IsZero reports whether p is no period at all.
func (p Period) IsZero() bool { return p.text == "" }

func (p Period) String() string { return p.text }

// MarshalText and UnmarshalText use the ISO 8601 form as it was written.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.text), nil }
func (p *Period) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePeriod(string(b))
	return err
}

// EndOf returns the first instant at which a period that began at t is over.
//
// Days and hours are exact: P7D is 168 hours. Months and years follow Civil Code
// Arts. 140 and 143: the first day is not counted, and the period ends with the day
// before the matching day, or with the last day of the month where there is none;
// the end is 24:00 JST. (Art. 140 counts the first day of a period that begins at
// 00:00. The stories' time rules make no such exception.)
func EndOf(t time.Time, p Period) time.Time {
	if p.months == 0 {
		return t.Add(p.exact)
	}
	first := DateOf(t).AddDays(1)
	month := time.Date(first.year, first.month+time.Month(p.months), 1, 0, 0, 0, 0, JST)
	lastDay := month.AddDate(0, 1, -1).Day()
	if first.day > lastDay {
		return Date{month.Year(), month.Month(), lastDay}.End()
	}
	return Date{month.Year(), month.Month(), first.day}.Start() // 24:00 of the day before
}

// Calendar says which days are business days.
type Calendar struct {
	Timezone      string   `json:"timezone"`
	Weekend       []string `json:"weekend"` // mon … sun
	YearEndClosed struct {
		From string `json:"from"` // MM-DD
		To   string `json:"to"`   // MM-DD, of the next year
	} `json:"yearEndClosed"`
	PublicHolidays []Date `json:"publicHolidays"`
}

var weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// IsBusinessDay reports whether d is not a weekend day, a public holiday or closed
// for the year end.
func (c *Calendar) IsBusinessDay(d Date) bool {
	monthDay := d.String()[5:]
	switch {
	case slices.Contains(c.Weekend, weekdayNames[d.Start().Weekday()]):
		return false
	case slices.Contains(c.PublicHolidays, d):
		return false
	}
	return monthDay < c.YearEndClosed.From && monthDay > c.YearEndClosed.To
}

// BusinessDays counts for time rule 6: a notice given on a closed day arrives on the
// next business day, and the business days after arrival count, the day of the visit
// included.
func (c *Calendar) BusinessDays(notice, visit Date) int {
	for !c.IsBusinessDay(notice) {
		notice = notice.AddDays(1)
	}
	n := 0
	for d := notice.AddDays(1); !visit.Before(d); d = d.AddDays(1) {
		if c.IsBusinessDay(d) {
			n++
		}
	}
	return n
}
