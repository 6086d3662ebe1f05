package scenarios

import "slices"

// What a story holds, by id. Load has checked every id of an accepted step; a refused
// step may name what does not exist: then an attribute or a purpose is an empty one, and
// everything else is nil. The pointers lead into the story, which must not be changed.

func find[T any](list []T, is func(*T) bool) *T {
	i := slices.IndexFunc(list, func(x T) bool { return is(&x) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// Attribute finds the attribute of that code.
func (s *Story) Attribute(code string) Attribute {
	if a := find(s.Attributes, func(x *Attribute) bool { return x.Code == code }); a != nil {
		return *a
	}
	return Attribute{}
}

// Purpose finds the purpose of that code.
func (s *Story) Purpose(code string) Purpose {
	if p := find(s.Purposes, func(x *Purpose) bool { return x.Code == code }); p != nil {
		return *p
	}
	return Purpose{}
}

// Service finds the service.
func (s *Story) Service(id string) *Service {
	return find(s.Services, func(x *Service) bool { return x.ID == id })
}

// Version finds one version of the service's terms.
func (v *Service) Version(version string) *Terms {
	return find(v.Terms, func(x *Terms) bool { return x.Version == version })
}

// Contract finds the contract.
func (s *Story) Contract(id string) *Contract {
	return find(s.Contracts, func(x *Contract) bool { return x.ID == id })
}

// Sensor finds the sensor.
func (s *Story) Sensor(id string) *Sensor {
	return find(s.Sensors, func(x *Sensor) bool { return x.ID == id })
}

func (s *Sensor) readingNames() (names []string) {
	for _, r := range s.Readings {
		names = append(names, r.Name)
	}
	return names
}

// Member finds the member.
func (s *Story) Member(id string) *Member {
	return find(s.Members, func(x *Member) bool { return x.ID == id })
}

// StaffMember finds the staff member.
func (s *Story) StaffMember(id string) *Staff {
	return find(s.Staff, func(x *Staff) bool { return x.ID == id })
}

// Person finds one of the explicit people.
func (s *Story) Person(id string) *Person {
	return find(s.People.Explicit, func(x *Person) bool { return x.ID == id })
}
