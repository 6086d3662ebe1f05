package record

import "fmt"

// A Kind is the kind of a record. The numbers are part of the format.
type Kind uint16

// The kinds of records.
const (
	KindGenesis       Kind = 1  // the founding of the log; leaf 0
	KindSeal          Kind = 2  // closes a batch
	KindMember        Kind = 3  // a member of the consortium changes (by governance)
	KindParty         Kind = 4  // a party joins or leaves through its host member
	KindKey           Kind = 5  // a member's or party's next signing key
	KindService       Kind = 6  // a service opens
	KindTerms         Kind = 7  // one version of what a consent screen says
	KindConsent       Kind = 8  // a subject turns a scope on
	KindRevocation    Kind = 9  // a subject turns a scope off
	KindStop          Kind = 10 // a member turns scopes off for a subject who asked
	KindHandleOpen    Kind = 11 // a member begins to hold data without consent
	KindHandleMove    Kind = 12 // a subject's handle is replaced
	KindHandleClose   Kind = 13 // a handle ends
	KindProvision     Kind = 14 // intent to hand over under consent
	KindReceived      Kind = 15 // the recipient's record
	KindUndelivered   Kind = 16 // the recipient did not take it
	KindOptOut        Kind = 17 // hand-over under an opt-out filing (APPI Art. 27(2))
	KindException     Kind = 18 // hand-over on a legal ground (APPI Art. 27(1), 69)
	KindDenial        Kind = 19 // a node refused to hand out data
	KindErasure       Kind = 20 // keys are to be destroyed by every holder
	KindAttestation   Kind = 21 // a holder destroyed them
	KindSensorApprove Kind = 22
	KindSensorRetire  Kind = 23
	KindTreeAdvance   Kind = 24 // a commitment tree grew
	KindVote          Kind = 25 // members decide a parameter
	KindTick          Kind = 26 // time passes
	KindFiling        Kind = 27 // an opt-out filing with the authority begins or ends
	KindTree          Kind = 28 // a commitment tree is made
	KindCustodian     Kind = 29 // a member keeps copies of another's keys
	KindCustodianLost Kind = 30 // it has them no more, and cannot attest it
)

var kindNames = map[Kind]string{
	KindGenesis: "genesis", KindSeal: "seal", KindMember: "member", KindParty: "party", KindKey: "key",
	KindService: "service", KindTerms: "terms", KindConsent: "consent", KindRevocation: "revocation",
	KindStop: "stop", KindHandleOpen: "handle.open", KindHandleMove: "handle.move", KindHandleClose: "handle.close",
	KindProvision: "provision", KindReceived: "provision.received", KindUndelivered: "provision.undelivered",
	KindOptOut: "provision.optout", KindException: "provision.exception", KindDenial: "denial",
	KindErasure: "erasure", KindAttestation: "erasure.attestation", KindSensorApprove: "sensor.approve",
	KindSensorRetire: "sensor.retire", KindTreeAdvance: "tree.advance", KindVote: "vote", KindTick: "tick",
	KindFiling: "optout.filing", KindTree: "tree", KindCustodian: "custodian", KindCustodianLost: "custodian.lost",
}

// String returns the kind's name in API and documents.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind-%d", uint16(k))
}

// KindNamed returns the kind with a name.
func KindNamed(name string) (Kind, bool) {
	for k, s := range kindNames {
		if s == name {
			return k, true
		}
	}
	return 0, false
}

// newBody returns an empty body of the kind, nil where a leaf of that kind
// cannot be submitted or is not known.
func newBody(k Kind) Body {
	switch k {
	case KindGenesis:
		return new(Genesis)
	case KindMember:
		return new(MemberChange)
	case KindParty:
		return new(Party)
	case KindKey:
		return new(KeyChange)
	case KindService:
		return new(Service)
	case KindTerms:
		return new(Terms)
	case KindConsent:
		return new(Consent)
	case KindRevocation:
		return new(Revocation)
	case KindStop:
		return new(Stop)
	case KindHandleOpen:
		return new(HandleOpen)
	case KindHandleMove:
		return new(HandleMove)
	case KindHandleClose:
		return new(HandleClose)
	case KindProvision:
		return new(Provision)
	case KindReceived:
		return new(Received)
	case KindUndelivered:
		return new(Undelivered)
	case KindOptOut:
		return new(OptOut)
	case KindException:
		return new(Exception)
	case KindDenial:
		return new(Denial)
	case KindErasure:
		return new(Erasure)
	case KindAttestation:
		return new(Attestation)
	case KindSensorApprove:
		return new(SensorApprove)
	case KindSensorRetire:
		return new(SensorRetire)
	case KindTreeAdvance:
		return new(TreeAdvance)
	case KindVote:
		return new(Vote)
	case KindTick:
		return new(Tick)
	case KindFiling:
		return new(Filing)
	case KindTree:
		return new(Tree)
	case KindCustodian:
		return new(Custodian)
	case KindCustodianLost:
		return new(CustodianLost)
	}
	return nil
}

// Whether a kind has a sealed part.
type sealedRule int

const (
	sealedNever sealedRule = iota
	sealedMay
	sealedAlways
)

func (k Kind) sealed() sealedRule {
	switch k {
	case KindConsent, KindProvision, KindReceived, KindOptOut, KindException:
		return sealedAlways
	case KindRevocation, KindStop, KindHandleOpen, KindUndelivered, KindDenial, KindErasure:
		return sealedMay
	}
	return sealedNever
}

// UnderHandle reports whether records of the kind are events of a handle.
func (k Kind) UnderHandle() bool { return k >= KindConsent && k <= KindDenial }
