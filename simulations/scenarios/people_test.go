package scenarios

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func isHalfWidthKana(r rune) bool { return 0xFF61 <= r && r <= 0xFF9F }

func TestCrowdIsDeterministic(t *testing.T) {
	story := loaded(t, "sapporo")
	first, second := story.Crowd(), story.Crowd()
	if !sameValue(first, second) {
		t.Error("two runs differ")
	}
	story.People.Generator.Seed++
	if sameValue(first, story.Crowd()) {
		t.Error("another seed gives the same people")
	}
	again := loaded(t, "sapporo")
	again.People.Generator.Count = 100
	// People are drawn one household after the other: a smaller crowd is a beginning of
	// the greater one, but for the last household and who had to appear.
	if small := again.Crowd(); !sameValue(small[:80], first[:80]) {
		t.Error("a smaller crowd is not the beginning of the greater one")
	}
}

// Shares hold within four standard deviations, and a tenth more where people of one
// household hang together.
func TestCrowdShares(t *testing.T) {
	for _, name := range Names {
		t.Run(name, func(t *testing.T) {
			story := loaded(t, name)
			g := &story.People.Generator
			people := story.Crowd()
			if len(people) != g.Count {
				t.Fatalf("%d people, want %d", len(people), g.Count)
			}
			on := DateOf(story.Steps[0].When)
			byID := map[string]*Person{}
			sizeOf := map[string]int{}
			for i := range people {
				byID[people[i].ID] = &people[i]
				if h := people[i].Household; h != nil {
					sizeOf[*h]++
				}
			}
			near := func(what string, want float64, is func(p *Person) bool) {
				t.Helper()
				n := 0
				for i := range people {
					if is(&people[i]) {
						n++
					}
				}
				got := float64(n) / float64(len(people))
				slack := 4*math.Sqrt(want*(1-want)/float64(len(people))) + want/10
				if math.Abs(got-want) > slack {
					t.Errorf("%s: share %.4f, want %.4f ± %.4f", what, got, want, slack)
				}
			}
			near("under 16", g.BirthDate.ShareUnder16, func(p *Person) bool { return AgeOn(p.BirthDate, on) < 16 })
			near("born on 29 February", g.BirthDate.ShareBornOnFeb29, func(p *Person) bool { return p.BirthDate.String()[5:] == "02-29" })
			near("living alone", g.Households.ShareLivingAlone, func(p *Person) bool { return p.Household == nil })
			near("in pairs", g.Households.Sizes["2"], func(p *Person) bool { return p.Household != nil && sizeOf[*p.Household] == 2 })
			for gender, share := range g.Gender {
				near(gender, share, func(p *Person) bool { return p.Gender == gender })
			}
			phones, emails := map[string]bool{}, map[string]bool{}
			near("same phone", g.Households.ShareSamePhone, func(p *Person) bool {
				seen := phones[p.Phone]
				phones[p.Phone] = true
				return seen
			})
			near("same e-mail", g.Households.ShareSameEmail, func(p *Person) bool {
				seen := emails[p.Email]
				emails[p.Email] = true
				return seen
			})
			forms := g.Names.Forms
			long := func(p *Person) bool { return utf8.RuneCountInString(p.Name) > 40 }
			near("long names", forms.LongNameOver40Chars, long)
			near("one character", forms.SingleCharacterWholeName, func(p *Person) bool { return utf8.RuneCountInString(p.Name) == 1 })
			near("middle dots", forms.MiddleDot, func(p *Person) bool { return strings.ContainsRune(p.Name, '・') && !long(p) })
			near("half-width readings", forms.HalfWidthKanaReading, func(p *Person) bool { return strings.ContainsFunc(p.Kana, isHalfWidthKana) })
			spaced := 1 - forms.LongNameOver40Chars - forms.SingleCharacterWholeName - forms.MiddleDot
			near("ideographic space", forms.IdeographicSpaceBetween*spaced, func(p *Person) bool { return strings.ContainsRune(p.Name, '　') })
			near("ASCII space", forms.ASCIISpaceBetween*spaced, func(p *Person) bool { return strings.ContainsRune(p.Name, ' ') })
			for key, share := range g.Attributes {
				weights := share.Weights
				if weights == nil {
					weights = map[string]float64{"yes": share.Yes, "no": 1 - share.Yes}
				}
				for value, weight := range weights {
					near(key+" "+value, weight/total(weights), func(p *Person) bool { return p.Values[key] == value || p.Habits[key] == value })
				}
			}
			checkGuardians(t, g, people, byID, on)
		})
	}
}

func checkGuardians(t *testing.T, g *Generator, people []Person, byID map[string]*Person, on Date) {
	t.Helper()
	minors, outside := 0, 0
	for _, p := range people {
		if p.BirthDate.Before(g.BirthDate.From) || g.BirthDate.To.Before(p.BirthDate) {
			t.Errorf("%s born %s", p.ID, p.BirthDate)
		}
		if AgeOn(p.BirthDate, on) >= g.Guardians.ForUnder {
			if p.Guardian != nil {
				t.Errorf("%s is grown up and has a guardian", p.ID)
			}
			continue
		}
		minors++
		if p.Guardian == nil {
			t.Errorf("%s is a minor without a guardian", p.ID)
			continue
		}
		guardian := byID[*p.Guardian]
		if AgeOn(guardian.BirthDate, on) < g.Guardians.ForUnder {
			t.Errorf("%s, guardian of %s, is a minor", guardian.ID, p.ID)
		}
		if guardian.Household == nil || p.Household == nil || *guardian.Household != *p.Household {
			outside++
		}
	}
	if share := float64(outside) / float64(minors); math.Abs(share-g.Guardians.OutsideHousehold) > 0.05 {
		t.Errorf("%.3f of guardians are outside the household, want %.3f", share, g.Guardians.OutsideHousehold)
	}
}

func TestCrowdMustAppear(t *testing.T) {
	for _, name := range Names {
		for _, count := range []int{0, 5, 30, 1000} {
			story := loaded(t, name)
			g := &story.People.Generator
			g.Count = count
			people := story.Crowd()
			if count < len(g.Names.MustAppear) {
				continue // only that it does not panic
			}
			for _, word := range g.Names.MustAppear {
				if !slices.ContainsFunc(people, func(p Person) bool { return hasWord(p, word) }) {
					t.Errorf("%s with %d people: %q does not appear", name, count, word)
				}
			}
		}
	}
}

// Every person can be told apart, read aloud, and is plain text in NFC or as the
// glyph variants demand; and survives JSON.
func TestCrowdIsWellFormed(t *testing.T) {
	story := loaded(t, "kddi")
	seen := map[string]bool{}
	for _, p := range story.Crowd() {
		if seen[p.ID] {
			t.Fatalf("%s twice", p.ID)
		}
		seen[p.ID] = true
		if p.Name == "" || p.Kana == "" || !utf8.ValidString(p.Name) {
			t.Errorf("%+v", p)
		}
		if i := strings.IndexFunc(p.Kana, func(r rune) bool {
			return !unicode.In(r, unicode.Katakana) && !strings.ContainsRune(" ー・ｰﾞﾟ･", r)
		}); i >= 0 {
			t.Errorf("%s: reading %q is not katakana from byte %d on", p.ID, p.Kana, i)
		}
		for code, value := range p.Values {
			for _, a := range story.Attributes {
				if a.Code == code && len(a.Brackets) > 0 && !slices.Contains(a.Brackets, value) {
					t.Errorf("%s: %s %q is not in the brackets", p.ID, code, value)
				}
			}
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Person
		if err := strictJSON(b, &back); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWidths(t *testing.T) {
	for full, half := range map[string]string{
		"タナカ": "ﾀﾅｶ", "ヨシダ ハジメ": "ﾖｼﾀﾞ ﾊｼﾞﾒ", "パーヴェル・ッ": "ﾊﾟｰｳﾞｪﾙ･ｯ", "一": "一",
	} {
		if got := halfWidth(full); got != half {
			t.Errorf("half-width %q: %q, want %q", full, got, half)
		}
		if got := fullWidth(half); got != full {
			t.Errorf("full-width %q: %q, want %q", half, got, full)
		}
	}
	if got := readingOf("さくら"); got != "サクラ" {
		t.Errorf("さくら: %q", got)
	}
}
