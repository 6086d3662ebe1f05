package record

import "time"

// A Period is an ISO 8601 duration of whole years, months or days.
type Period struct{ Years, Months, Days int }

// JST is Japan Standard Time, in which days of the ledger begin and end.
var JST = time.FixedZone("JST", 9*60*60)

// ParsePeriod reads P nY nM nD with at least one part, each at most 36600.
func ParsePeriod(s string) (Period, error) {
	var p Period
	bad := refuse(CodeRecordMalformed, "period %q", s)
	if len(s) < 3 || len(s) > MaxIDBytes || s[0] != 'P' {
		return p, bad
	}
	rest, order := s[1:], "YMD"
	for rest != "" {
		n, i := 0, 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			if n = n*10 + int(rest[i]-'0'); n > MaxDurations {
				return p, bad
			}
			i++
		}
		if i == 0 || i == len(rest) || rest[0] == '0' {
			return p, bad
		}
		unit := rest[i]
		j := 0
		for j < len(order) && order[j] != unit {
			j++
		}
		if j == len(order) {
			return p, bad
		}
		order, rest = order[j+1:], rest[i+1:]
		switch unit {
		case 'Y':
			p.Years = n
		case 'M':
			p.Months = n
		case 'D':
			p.Days = n
		}
	}
	if p.Years > 200 || p.Months > 2400 {
		return p, bad
	}
	return p, nil
}

// LastDay returns the last day of a period that began on a day, both as days
// since 1970-01-01 in JST. The first day does not count (Civil Code Art. 140);
// months and years follow the calendar and end with the day before the matching
// day, or with the month's last day where there is none (Art. 143). Days count
// exactly.
func (p Period) LastDay(day int64) int64 {
	if p.Years != 0 || p.Months != 0 {
		first := time.Unix((day+1)*86400, 0).UTC()
		k := first.Year()*12 + int(first.Month()) - 1 + 12*p.Years + p.Months
		y, m := k/12, time.Month(k%12+1)
		monthEnd := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC)
		if first.Day() > monthEnd.Day() {
			day = monthEnd.Unix() / 86400
		} else {
			day = time.Date(y, m, first.Day(), 0, 0, 0, 0, time.UTC).Unix()/86400 - 1
		}
	}
	return day + int64(p.Days)
}

// DayOf returns the day in JST of a time in Unix milliseconds, as days since
// 1970-01-01.
func DayOf(ms uint64) int64 { return (int64(ms) + 9*3600_000) / 86400_000 }

// DayEndMs returns the first instant after a day in JST, in Unix milliseconds:
// its 24:00.
func DayEndMs(day int64) uint64 { return uint64((day+1)*86400_000 - 9*3600_000) }

// EndMs returns the first instant after a period that began at an instant, both
// in Unix milliseconds: days are exact, 24 hours each; where there are years or
// months, it is the 24:00 of LastDay.
func (p Period) EndMs(fromMs uint64) uint64 {
	if p.Years == 0 && p.Months == 0 {
		return fromMs + uint64(p.Days)*86400_000
	}
	return DayEndMs(p.LastDay(DayOf(fromMs)))
}
