package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Generator is the recipe for a crowd of invented people. The same recipe always
// gives the same people, on every machine and with every version of Go.
type Generator struct {
	Count int    `json:"count"`
	Seed  uint64 `json:"seed"`
	Names struct {
		Family     map[string]float64 `json:"family"` // name → weight
		Given      map[string]float64 `json:"given"`
		Forms      NameForms          `json:"forms"`
		MustAppear []string           `json:"mustAppear"` // as a word of some name or reading
	} `json:"names"`
	BirthDate struct {
		From             Date    `json:"from"`
		To               Date    `json:"to"`
		ShareUnder16     float64 `json:"shareUnder16"`
		ShareBornOnFeb29 float64 `json:"shareBornOnFeb29"`
	} `json:"birthDate"`
	Gender    map[string]float64 `json:"gender"`
	Guardians struct {
		ForUnder          int     `json:"forUnder"`
		FromSameHousehold float64 `json:"fromSameHousehold"`
		OutsideHousehold  float64 `json:"outsideHousehold"`
	} `json:"guardians"`
	Households struct {
		ShareLivingAlone float64            `json:"shareLivingAlone"`
		Sizes            map[string]float64 `json:"sizes"` // size → share of people who live so
		ShareSamePhone   float64            `json:"shareSamePhone"`
		ShareSameEmail   float64            `json:"shareSameEmail"`
	} `json:"households"`
	Attributes map[string]Share `json:"attributes"`
}

// NameForms are shares of people by how their name is written.
type NameForms struct {
	HalfWidthKanaReading     float64 `json:"halfWidthKanaReading"`
	FullWidthKanaReading     float64 `json:"fullWidthKanaReading"`
	NoReading                float64 `json:"noReading"`
	IdeographicSpaceBetween  float64 `json:"ideographicSpaceBetween"`
	NoSpaceBetween           float64 `json:"noSpaceBetween"`
	ASCIISpaceBetween        float64 `json:"asciiSpaceBetween"`
	LongNameOver40Chars      float64 `json:"longNameOver40Chars"`
	SingleCharacterWholeName float64 `json:"singleCharacterWholeName"`
	MiddleDot                float64 `json:"middleDot"`
}

// check returns what is wrong with the recipe.
func (g *Generator) check() (errs []error) {
	for _, names := range []map[string]float64{g.Names.Family, g.Names.Given} {
		for name := range names {
			if readingOf(name) == "" {
				errs = append(errs, fmt.Errorf("no reading known for the name %q", name))
			}
		}
	}
	for what, weights := range map[string]map[string]float64{
		"family names": g.Names.Family, "given names": g.Names.Given, "gender": g.Gender, "household sizes": g.Households.Sizes,
	} {
		if total(weights) <= 0 {
			errs = append(errs, fmt.Errorf("%s: no weights", what))
		}
	}
	for size := range g.Households.Sizes {
		if n, err := strconv.Atoi(size); err != nil || n < 1 || n > 20 {
			errs = append(errs, fmt.Errorf("household size %q", size))
		}
	}
	if g.Count < 0 {
		errs = append(errs, errors.New("count is negative"))
	}
	if g.BirthDate.To.Before(g.BirthDate.From) {
		errs = append(errs, errors.New("birth dates end before they begin"))
	}
	return errs
}

// Crowd generates the story's people beyond the explicit twelve, as its generator
// says, aged as of the first step. Their ids are g00001 and on.
func (s *Story) Crowd() []Person {
	on := s.People.Generator.BirthDate.To
	if len(s.Steps) > 0 {
		on = DateOf(s.Steps[0].When)
	}
	people := s.People.Generator.People(on)
	for i := range people { // an attribute's value is a value, all else a habit
		for _, a := range s.Attributes {
			if value, ok := people[i].Habits[a.Code]; ok {
				people[i].Values[a.Code] = value
				delete(people[i].Habits, a.Code)
			}
		}
	}
	return people
}

// People generates g.Count people with their ages as of the day on, household by
// household. What the recipe says of attributes is in Habits.
func (g *Generator) People(on Date) []Person {
	c := &crowd{
		Generator: g, draw: newDraw(g.Seed), on: on,
		family: newWheel(g.Names.Family), given: newWheel(g.Names.Given), gender: newWheel(g.Gender),
	}
	// A household of size s fills s places: to give a share of people, draw it with share/s.
	byHousehold := map[string]float64{}
	var followers float64 // share of people who are not the first of their household
	for size, share := range g.Households.Sizes {
		n, _ := strconv.Atoi(size)
		byHousehold[size] = share / float64(n)
		followers += share * float64(n-1) / float64(n)
	}
	c.sizes = newWheel(byHousehold)
	if sum := total(g.Households.Sizes); sum > 0 && followers > 0 {
		c.perFollower = sum / followers
	}
	for key := range g.Attributes {
		c.habits = append(c.habits, key)
	}
	slices.Sort(c.habits)

	people := make([]Person, 0, g.Count)
	for home := 1; len(people) < g.Count; home++ {
		size, _ := strconv.Atoi(c.sizes.turn(c.draw))
		size = min(size, g.Count-len(people))
		people = c.household(people, home, size)
	}
	g.mustAppear(people)
	return people
}

// crowd is one run of the generator.
type crowd struct {
	*Generator
	draw                         *draw
	on                           Date
	family, given, gender, sizes *wheel
	perFollower                  float64 // what turns a share of people into a chance per follower
	habits                       []string
}

// household adds size people. The first is an adult; children, shared phones and
// shared addresses are among the others.
func (c *crowd) household(people []Person, home, size int) []Person {
	first := len(people)
	family := c.family.turn(c.draw)
	for i := range size {
		n := len(people) + 1
		p := Person{
			ID:     fmt.Sprintf("g%05d", n),
			Gender: c.gender.turn(c.draw),
			Phone:  fmt.Sprintf("000-%04d-%04d", 1+n/10000, n%10000),
			Email:  fmt.Sprintf("g%05d@example.jp", n),
			Values: map[string]string{},
			Habits: map[string]string{},
			Trait:  Text{JA: "作った人", EN: "generated"},
		}
		p.Name, p.Kana = c.name(family)
		if size > 1 {
			id := fmt.Sprintf("h%05d", home)
			p.Household = &id
		}
		follower := i > 0
		child := follower && c.draw.chance(c.BirthDate.ShareUnder16*c.perFollower)
		p.BirthDate = c.birthDate(child)
		if follower && c.draw.chance(c.Households.ShareSamePhone*c.perFollower) {
			p.Phone = people[first].Phone
		}
		if follower && c.draw.chance(c.Households.ShareSameEmail*c.perFollower) {
			p.Email = people[first].Email
		}
		if AgeOn(p.BirthDate, c.on) < c.Guardians.ForUnder {
			p.Guardian = c.guardian(people, first)
		}
		for _, key := range c.habits {
			p.Habits[key] = c.Attributes[key].pick(c.draw)
		}
		people = append(people, p)
	}
	return people
}

// guardian is the first of the household, or now and then an adult elsewhere.
func (c *crowd) guardian(people []Person, first int) *string {
	if first > 0 && c.draw.chance(c.Guardians.OutsideHousehold) {
		for i := c.draw.below(first); i >= 0; i-- {
			if people[i].Guardian == nil {
				return &people[i].ID
			}
		}
	}
	if first < len(people) {
		return &people[first].ID
	}
	return nil
}

// birthDate draws a day on which the person is under 16 today, or is not.
func (c *crowd) birthDate(child bool) Date {
	turning16 := DateOf(c.on.Start().AddDate(-16, 0, 1)) // born on it or later: 15 or younger today
	from, to := c.BirthDate.From, turning16.AddDays(-1)
	if child {
		from, to = turning16, c.BirthDate.To
		if c.on.Before(to) {
			to = c.on
		}
	}
	if from.Before(c.BirthDate.From) {
		from = c.BirthDate.From
	}
	if c.BirthDate.To.Before(to) {
		to = c.BirthDate.To
	}
	if to.Before(from) {
		from, to = c.BirthDate.From, c.BirthDate.To
	}
	leap := c.draw.chance(c.BirthDate.ShareBornOnFeb29)
	days := int(to.Start().Sub(from.Start()).Hours()/24) + 1
	d := from.AddDays(c.draw.below(days))
	if leap {
		for year := d.year; year >= from.year; year-- {
			if feb29 := (Date{year, 2, 29}); DateOf(feb29.Start()) == feb29 && !feb29.Before(from) && !to.Before(feb29) {
				return feb29
			}
		}
		for year := d.year + 1; year <= to.year; year++ {
			if feb29 := (Date{year, 2, 29}); DateOf(feb29.Start()) == feb29 && !to.Before(feb29) {
				return feb29
			}
		}
	}
	if d.month == 2 && d.day == 29 { // only the share above is born on that day
		d = d.AddDays(-1)
	}
	return d
}

// mustAppear makes every listed word appear as a word of a name or of a reading: where
// chance has left one out, the last people get one word each.
func (g *Generator) mustAppear(people []Person) {
	words := g.Names.MustAppear
	missing := slices.ContainsFunc(words, func(word string) bool {
		return !slices.ContainsFunc(people, func(p Person) bool { return hasWord(p, word) })
	})
	if !missing || len(people) < len(words) {
		return
	}
	for i, word := range words {
		p := &people[len(people)-len(words)+i]
		switch {
		case word != fullWidth(word): // a reading in half-width kana
			p.Kana = word + " " + halfWidth(readingOf("みお"))
		case len([]rune(word)) == 1:
			p.Name, p.Kana = word, readingOf(word)
		default:
			p.Name, p.Kana = word+" みお", readingOf(word)+" "+readingOf("みお")
		}
	}
}

// hasWord reports whether word is the family name, the given name, the whole name or
// one of the words of the reading.
func hasWord(p Person, word string) bool {
	return slices.Contains(strings.FieldsFunc(p.Name, isBetweenNames), word) ||
		slices.Contains(strings.FieldsFunc(p.Kana, isBetweenNames), word)
}

func isBetweenNames(r rune) bool { return r == ' ' || r == '　' || r == '・' }
