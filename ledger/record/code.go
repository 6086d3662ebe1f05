package record

import "fmt"

// A Code says why something was refused. Codes are stable and shared by the
// rules, the API, the command line and the stories.
type Code string

// Refusals of form.
const (
	CodeRecordMalformed Code = "record.malformed"
	CodeRecordOversize  Code = "record.oversize"
	CodeRecordPadding   Code = "record.padding"
	CodeRecordVersion   Code = "record.version"
	CodeRecordKind      Code = "record.kind"
	CodeRecordDuplicate Code = "record.duplicate"
	CodeSignature       Code = "signature.invalid"
)

// Refusals of whole submissions and void batches.
const (
	CodeSubmissionIssuer   Code = "submission.issuer"   // issuer unknown or gone
	CodeSubmissionReplayed Code = "submission.replayed" // number seen before, or below the window
	CodeSubmissionExpired  Code = "submission.expired"  // batch time past not_after
	CodeSubmissionRoot     Code = "submission.root"     // records are not those that were signed
	CodeSubmissionWindow   Code = "submission.too-late" // not_after too far ahead
	CodeBatchFull          Code = "batch.full"          // refusals would not fit the seal: submit again
	CodeBatchHeader        Code = "batch.header"        // header signature, leader or epoch
	CodeBatchPrevious      Code = "batch.previous"      // does not follow the last batch
	CodeBatchTime          Code = "batch.time"          // not after the last batch, or too far ahead
	CodeBatchCited         Code = "batch.cited"         // bad or too old final checkpoint
	CodeBatchForm          Code = "batch.malformed"     // not canonical, too large, root of submissions wrong
)

// Refusals by rule. Those without a dot are the domain's own words.
const (
	CodeNoConsent           Code = "no-consent"
	CodeRevoked             Code = "revoked"
	CodeExpired             Code = "expired"
	CodeAlreadyRevoked      Code = "already-revoked"
	CodeItemNotConsented    Code = "item-not-consented"
	CodePurposeNotConsented Code = "purpose-not-consented"
	CodeRecipientNotListed  Code = "recipient-not-listed"
	CodeOptedOut            Code = "opted-out"
	CodeItemNotOnScreen     Code = "item-not-on-screen"
	CodePurposeNotOnScreen  Code = "purpose-not-on-screen"
	CodeRequiredItemMissing Code = "required-item-missing"
	CodeTermsNotEffective   Code = "terms-not-effective"
	CodeTermsSuperseded     Code = "terms-superseded"
	CodeClauseMissing       Code = "clause-missing"
	CodeNotAuthorised       Code = "not-authorised"
	CodeMemberNotActive     Code = "member-not-active"
	CodeVotesMissing        Code = "votes-missing"
	CodeOptOutNotFiled      Code = "optout-not-filed"
	CodeOptOutItemNotFiled  Code = "optout-item-not-filed"
	CodeSensorNotApproved   Code = "sensor-not-approved"
	CodeSensorRetired       Code = "sensor-retired"
	CodeReadingOutOfSchema  Code = "reading-out-of-schema"
	CodeReadingSites        Code = "reading.sites"
	CodeReceiveWithout      Code = "receive-without-provision"
	CodeErased              Code = "erased"
	CodeErasureUnknown      Code = "erasure-unknown"
	CodeDuplicate           Code = "duplicate"
	CodeFieldNotInSchema    Code = "field-not-in-schema"
	CodeBracketUnknown      Code = "bracket-unknown"
	CodeFinerThanAllowed    Code = "finer-than-allowed"
	CodeOnwardNotApproved   Code = "onward-not-approved"
	CodeGuardianMissing     Code = "guardian-consent-missing"
	CodeSensitive           Code = "sensitive-without-consent"
	CodeApprover            Code = "approver-not-independent"
	CodeForeignInfo         Code = "foreign-info-missing"
	CodeAcquisition         Code = "acquisition-missing"
	CodeSourceNotSelf       Code = "source-not-self"
	CodeLegalGround         Code = "legal-ground-missing"
	CodeRequestMissing      Code = "request-missing"
	CodeDisclosureFields    Code = "disclosure-fields-missing"
	CodeNecessity           Code = "necessity-missing"
	CodePurposeNotAllowed   Code = "purpose-not-allowed"
	CodeReasonMissing       Code = "reason-missing"
	CodeIdentityNotVerified Code = "identity-not-verified"
	CodeOnHold              Code = "on-hold"
	CodeNotManager          Code = "not-manager"
	CodeManagerAssigned     Code = "manager-already-assigned"
	CodeStaffLeft           Code = "staff-left"
	CodeCredentialOverdue   Code = "credential-overdue"
	CodeSignMissing         Code = "signage-missing"
	CodeSignIncomplete      Code = "signage-incomplete"

	CodeDeclined         Code = "declined" // the person saw the screen and did not agree
	CodeDeferred         Code = "deferred" // the person put the decision off
	CodeTermsUnknown     Code = "terms.unknown"
	CodeTermsExpiry      Code = "terms.expiry"       // expiry missing, past, or longer than the screen said
	CodeScopeRange       Code = "scope.out-of-range" // no such scope in these terms
	CodeServiceUnknown   Code = "service.unknown"
	CodeServiceOwner     Code = "service.owner" // the service belongs to another
	CodePartyUnknown     Code = "party.unknown"
	CodePartyExists      Code = "party.exists"
	CodeHandleUnknown    Code = "handle.unknown"
	CodeHandleExists     Code = "handle.exists"
	CodeHandleClosed     Code = "handle.closed"
	CodeHandleService    Code = "handle.service"    // the handle is for another service
	CodePasskeyForm      Code = "passkey.malformed" // what a passkey signed cannot be read
	CodePasskeyChallenge Code = "passkey.challenge" // it signed other consents than these
	CodePasskeyOrigin    Code = "passkey.origin"    // at another site, or without knowing who was there
	CodePasskeySignature Code = "passkey.signature" // the signature does not verify
	CodePasskeyPerson    Code = "passkey.person"    // it is none of this person's passkeys
	CodePasskeyCounter   Code = "passkey.counter"   // its counter went back: a copy of the passkey, or an old answer
	CodeGrantStale       Code = "grant.stale"       // count or head is not the handle's: an old grant, or one raced
	CodeIntentUnknown    Code = "intent.unknown"
	CodeIntentItems      Code = "intent.items" // receiving record repeats other items
	CodeIntentDeadline   Code = "intent.deadline"
	CodeItemUnknown      Code = "item.unknown" // not in the consortium's vocabulary
	CodeSensorUnknown    Code = "sensor.unknown"
	CodeTreeUnknown      Code = "tree.unknown"
	CodeTreeAdvance      Code = "tree.advance" // does not grow
	CodeTreeIndex        Code = "tree.index"   // pre-ordered: the index is taken, or the leaf stands at another
	CodeTreeGap          Code = "tree.gap"     // pre-ordered: leaves before it are missing
	CodeTreeBusy         Code = "tree.busy"    // too much waits for the next batch: try again
	CodeParameterUnknown Code = "parameter.unknown"
	CodeGovernance       Code = "governance.unsupported" // this rules version cannot carry out the change
	CodePolicyEpoch      Code = "policy.epoch"           // the change is for another policy epoch
	CodeCustodianUnknown Code = "custodian.unknown"      // nobody of this name keeps copies of the member's keys
	CodeCustodianStale   Code = "custodian.stale"        // the custodian's vault is older than the one it attested with
	CodeAttestationEarly Code = "attestation.early"      // the member itself has not attested, so not all numbers are known
	CodeKeyTaken         Code = "key.taken"              // the key stands, or once stood, under another name or in another role
	CodeMemberLast       Code = "member.last"            // a consortium has a member
	CodeKeyMember        Code = "key.member"             // a member's keys are replaced by the votes of k members: kind member
)

// A Refusal is a refused record, submission or batch: the caller may fix it.
type Refusal struct {
	Code   Code
	Detail string // for people; no personal data; not part of any format
	At     string // field of a request that is wrong, where a request is; not part of any format
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Detail
}

func refuse(c Code, format string, args ...any) error {
	return &Refusal{Code: c, Detail: fmt.Sprintf(format, args...)}
}

// Refuse returns a refusal with a detail for people.
func Refuse(c Code, format string, args ...any) error { return refuse(c, format, args...) }

// ValidCode reports whether s has the form of a code: at most 40 of a–z, 0–9,
// hyphen and dot.
func ValidCode(s Code) bool {
	if len(s) == 0 || len(s) > MaxCodeBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && c != '.' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
