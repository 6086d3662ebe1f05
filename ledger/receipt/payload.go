package receipt

import (
	"encoding/hex"
	"time"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// Payload is the record in the words of ISO/IEC TS 27560 and W3C DPV 2.3, with
// an appi: extension for what those lack. Like the human view it is derived
// from proven bytes and compared.
type Payload struct {
	Context      payloadContext `json:"@context"`
	Type         string         `json:"@type"`
	ConformsTo   string         `json:"dct:conformsTo"`
	ID           string         `json:"dct:identifier"`
	Subject      string         `json:"dpv:hasDataSubject,omitempty"` // the handle: pairwise, not the person
	Controller   *payloadParty  `json:"dpv:hasDataController"`
	Service      *payloadParty  `json:"dpv:hasService,omitempty"`
	Purpose      string         `json:"dpv:hasPurpose,omitempty"`
	PersonalData []string       `json:"dpv:hasPersonalData,omitempty"`
	Recipients   []string       `json:"dpv:hasRecipient,omitempty"`
	LegalBasis   string         `json:"dpv:hasLegalBasis,omitempty"`
	APPI         string         `json:"appi:basis,omitempty"`
	Status       string         `json:"dpv:hasConsentStatus,omitempty"`
	Time         string         `json:"dpv:isIndicatedAtTime"`
	Until        string         `json:"dpv:hasDuration,omitempty"` // last valid day, JST
	Retention    string         `json:"dpv:hasStorageCondition,omitempty"`
	Notice       string         `json:"dpv:hasNotice,omitempty"` // SHA-256 of the screen
	Language     string         `json:"dct:language,omitempty"`
	Control      *record.Text   `json:"dpv:hasConsentControl,omitempty"` // how to stop
}

type payloadContext struct {
	DPV  string `json:"dpv"`
	DCT  string `json:"dct"`
	APPI string `json:"appi"`
}

type payloadParty struct {
	ID   string      `json:"dct:identifier"`
	Name record.Text `json:"dpv:hasName"`
}

// payloadWords are type, legal basis, ground of the APPI and status by kind.
var payloadWords = map[record.Kind][4]string{
	record.KindConsent:    {"dpv:ConsentReceipt", "dpv:ExpressedConsent", "appi:A27-1-consent", "dpv:ConsentGiven"},
	record.KindRevocation: {"dpv:ConsentReceipt", "dpv:ExpressedConsent", "appi:A27-1-consent", "dpv:ConsentWithdrawn"},
	record.KindStop:       {"dpv:ConsentReceipt", "", "appi:A35-3-request", "dpv:ConsentRevoked"},
	record.KindProvision:  {"dpv:DataTransferRecord", "dpv:ExpressedConsent", "appi:A29-record", ""},
	record.KindReceived:   {"dpv:DataTransferRecord", "", "appi:A30-record", ""},
	record.KindOptOut:     {"dpv:DataTransferRecord", "", "appi:A27-2-optout", ""},
	record.KindException:  {"dpv:DataTransferRecord", "dpv:LegalObligation", "appi:A29-record", ""},
}

func payload(r *opened, f *facts) *Payload {
	w, ok := payloadWords[r.rec.Kind]
	if !ok {
		w[0] = "dpv:DataProcessingRecord"
	}
	p := &Payload{
		Context: payloadContext{"https://w3id.org/dpv#", "http://purl.org/dc/terms/", "urn:akashi:appi:v1#"},
		Type:    w[0], LegalBasis: w[1], APPI: w[2], Status: w[3],
		ConformsTo: "https://w3id.org/dpv/schema/dpv-27560#receipt", ID: hex.EncodeToString(r.rec.ID[:]),
		Controller:   &payloadParty{r.rec.Issuer, f.names[r.rec.Issuer]},
		PersonalData: r.itemCodes(), Time: time.UnixMilli(int64(r.timeMs)).In(record.JST).Format("2006-01-02T15:04:05.000-07:00"),
	}
	if h, ok := record.HandleOf(r.rec.Body); ok {
		p.Subject = h.String()
	}
	if f.service != nil {
		p.Service = &payloadParty{f.service.ID, f.service.Name}
	}
	if f.hash != nil {
		p.Notice = hex.EncodeToString(f.hash[:])
	}
	if f.scope != nil {
		p.Purpose = f.scope.Purpose
	}
	switch b := r.rec.Body.(type) {
	case *record.Consent:
		p.Recipients = f.scope.Recipients
		if b.Expiry != 0 {
			p.Until = day(b.Expiry).En
		}
	case *record.Provision:
		p.Recipients = []string{b.To}
	case *record.OptOut:
		p.Recipients = []string{b.To}
	}
	switch part := r.part.(type) {
	case *record.ConsentPart:
		p.Language = part.Language
	case *record.HandOverPart:
		p.Purpose = part.Purpose
	}
	if r.screen != nil {
		p.Control, p.Retention = &r.screen.Withdrawal, r.screen.Retention
	}
	return p
}
