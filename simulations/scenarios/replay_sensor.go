package scenarios

import "slices"

// checkSensor refuses a sensor that is not approved, is retired or lacks its sign.
func (m *move) checkSensor(id string) {
	state := m.sensors[id]
	switch {
	case state.retired:
		m.refuse("sensor-retired")
	case !state.approved:
		m.refuse("sensor-not-approved")
	}
	if m.story.Sensor(id).SignRequired && !state.sign {
		m.refuse("signage-missing")
	}
}

func (m *move) sensorApprove(p *SensorApprove) {
	if m.member != m.story.Sensor(p.Sensor).ApprovedBy {
		m.refuse("not-authorised")
		return
	}
	m.sensors[p.Sensor].approved, m.sensors[p.Sensor].retired = true, false
}

func (m *move) postSign(p *PostSign) {
	if p.SaysFaceRecognition != nil && !*p.SaysFaceRecognition {
		m.refuse("signage-incomplete")
		return
	}
	m.sensors[p.Sensor].sign = true
}

func (m *move) sensorCommit(p *SensorCommit) {
	sensor, state := m.story.Sensor(p.Sensor), m.sensors[p.Sensor]
	m.checkSensor(p.Sensor)
	if state.approved && !state.retired && m.member != sensor.Member {
		m.refuse("not-authorised")
	}
	for _, reading := range p.Readings {
		if !slices.ContainsFunc(sensor.readingNames(), func(name string) bool { return name == reading }) {
			m.refuse("reading-out-of-schema")
		}
	}
	if sensor.Personal && !p.NoPerson && m.accepted() {
		if why := m.consentFault(m.consents[p.Consent]); why != "" {
			m.refuse(why)
		}
	}
}

func (m *move) releaseStatistics(p *ReleaseStatistics) {
	if p.MeshMetres < m.parameters.MeshMetres {
		m.refuse("mesh-too-fine")
	}
	for _, n := range p.Cells {
		if 0 < n && n < m.parameters.MinCount { // nobody at all gives nobody away
			m.refuse("below-min-count")
		}
	}
	if m.parameters.StatisticsNeedConsent && p.ConsentFilter == "" {
		m.refuse("no-consent")
	}
	if p.UsesTimeAfterRevocation {
		m.refuse("revoked")
	}
}
