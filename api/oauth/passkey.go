package oauth

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/akashi-ledger/akashi/api/session"
	"github.com/akashi-ledger/akashi/node/store"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// Passkeys are discoverable credentials with user verification. What an
// authenticator keeps as user handle is random (WebAuthn Level 3 §14.6.1), drawn with
// the first passkey and kept with the person: whoever has the reference after an erasure
// has another. Handles that an earlier version made from the reference stay while their
// passkeys do. Stored, sealed under the member's key:
//
//	O/u/HANDLE  a person's passkeys
//	O/v/MAC     a person's user handle
//	O/y/HASH    a ceremony under way, by the secret of the browser's cookie
//
// A passkey that was made where more than a code or a paper was not shown just now
// (session.Session.Fresh) counts as strong only after passkeyWait: else whoever reads a
// person's messages once, or finds their paper or a browser that they left open, could
// erase at once.

const (
	ceremonyLife = 5 * time.Minute
	passkeyWait  = 72 * time.Hour
	maxPasskeys  = 16 // of one person
)

// passkeys are one person's.
type passkeys struct {
	Person string    `json:"person"`
	Keys   []passkey `json:"keys"`
	handle []byte
	name   string // of the member, which the authenticator shows
}

type passkey struct {
	webauthn.Credential
	Made   time.Time `json:"made"`
	Strong time.Time `json:"strong"` // from when on it is a strong proof
}

// UnmarshalJSON reads the times, too: the one that Credential has would be promoted
// and drop them, and with them the wait of a passkey that was added with a code.
func (k *passkey) UnmarshalJSON(b []byte) error {
	var times struct {
		Made   time.Time `json:"made"`
		Strong time.Time `json:"strong"`
	}
	if err := json.Unmarshal(b, &times); err != nil {
		return err
	}
	k.Made, k.Strong = times.Made, times.Strong
	return json.Unmarshal(b, &k.Credential)
}

// WebAuthnID implements webauthn.User.
func (p *passkeys) WebAuthnID() []byte { return p.handle }

// WebAuthnName implements webauthn.User: what the authenticator shows. It names the
// member, not the person, whom the authenticator knows.
func (p *passkeys) WebAuthnName() string { return p.name }

// WebAuthnDisplayName implements webauthn.User.
func (p *passkeys) WebAuthnDisplayName() string { return p.name }

// WebAuthnCredentials implements webauthn.User.
func (p *passkeys) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, len(p.Keys))
	for i, k := range p.Keys {
		out[i] = k.Credential
	}
	return out
}

// openPasskeys prepares the relying party; there is none where the issuer is an
// address, which WebAuthn does not know.
func (s *Server) openPasskeys() error {
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil
	}
	s.party, err = webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "あかし " + s.Member, RPOrigins: []string{s.Issuer},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired}})
	return err
}

func passkeysKey(handle []byte) []byte { return []byte(root + "u/" + hex.EncodeToString(handle)) }

// userHandle is a person's, as it is stored.
type userHandle struct {
	Person string `json:"person"`
	Handle []byte `json:"handle"`
}

// handleBytes is what WebAuthn Level 3 §14.6.1 recommends.
const handleBytes = 64

func (s *Server) personMAC(person string) []byte {
	sum := hmacOf(s.Key, "user handle", person)
	return sum[:]
}

func (s *Server) handleKey(person string) []byte {
	return []byte(root + "v/" + hex.EncodeToString(s.personMAC(person)))
}

// handleIn reads a person's user handle from blobs or a transaction of theirs, nil where
// there is none.
func (s *Server) handleIn(b interface {
	Get(key []byte) (value []byte, found bool, err error)
}, person string) ([]byte, error) {
	sealed, ok, err := b.Get(s.handleKey(person))
	if err != nil {
		return nil, err
	}
	if ok {
		var h userHandle
		err := s.storage.opened(sealed, &h)
		return h.Handle, err
	}
	earlier := s.personMAC(person) // was the handle itself
	if _, ok, err := b.Get(passkeysKey(earlier)); err != nil || !ok {
		return nil, err
	}
	return earlier, nil
}

// drawnHandle is handleIn for somebody who is about to get a passkey: it draws what is
// not there.
func (s *Server) drawnHandle(person string) (handle []byte, err error) {
	err = s.Blobs.Update(func(tx *store.BlobTx) error {
		if handle, err = s.handleIn(tx, person); err != nil || handle != nil {
			return err
		}
		handle = make([]byte, handleBytes)
		rand.Read(handle) // never fails
		b, err := s.storage.sealed(&userHandle{person, handle})
		if err != nil {
			return err
		}
		return tx.Put(s.handleKey(person), b)
	})
	return handle, err
}

// forgetPasskeys deletes what a person has of passkeys, with the handle.
func (s *Server) forgetPasskeys(person string) error {
	handle, err := s.handleIn(s.Blobs, person)
	if err != nil || handle == nil {
		return err
	}
	return s.Blobs.Delete(passkeysKey(handle), s.handleKey(person)) // in one write
}

// passkeysFor returns a person's passkeys, goidc.ErrNotFound where there are none.
func (s *Server) passkeysFor(person string) (*passkeys, error) {
	handle, err := s.handleIn(s.Blobs, person)
	if err == nil && handle == nil {
		err = goidc.ErrNotFound
	}
	if err != nil {
		return &passkeys{}, err
	}
	return s.passkeysOf(handle)
}

// passkeysOf is passkeysFor by the user handle.
func (s *Server) passkeysOf(handle []byte) (*passkeys, error) {
	p := &passkeys{handle: handle, name: s.Member}
	if len(handle) > 64 {
		return nil, goidc.ErrNotFound
	}
	return p, s.storage.load(passkeysKey(handle), p)
}

// changePasskeys compares and sets a person's passkeys.
func (s *Server) changePasskeys(person string, change func(p *passkeys) error) error {
	return s.Blobs.Update(func(tx *store.BlobTx) error {
		handle, err := s.handleIn(tx, person)
		if err == nil && handle == nil { // an erasure came between
			err = errCeremony
		}
		if err != nil {
			return err
		}
		p, key := &passkeys{Person: person}, passkeysKey(handle)
		b, ok, err := tx.Get(key)
		if err == nil && ok {
			err = s.storage.opened(b, p)
		}
		if err == nil {
			err = change(p)
		}
		if err == nil {
			b, err = s.storage.sealed(p)
		}
		if err != nil {
			return err
		}
		return tx.Put(key, b)
	})
}

var (
	errCeremony      = errors.New("no such ceremony, or another key")
	errOtherCeremony = errors.New("another ceremony is under way")
)

// saveCeremony keeps a ceremony for the browser with a secret; takeCeremony gives it
// back once.
func (s *Server) saveCeremony(secret string, d any) error {
	b, err := s.storage.sealed(d)
	if err != nil {
		return err
	}
	return s.Blobs.PutMany([]store.KV{{Key: hashed("y", secret), Value: b, TTL: ceremonyLife}})
}

func (s *Server) takeCeremony(secret string, d any) error {
	return s.takeCeremonyThat(secret, d, func() bool { return true })
}

// takeCeremonyThat is takeCeremony for one that is the expected one, as is says when d
// has been read: else it stays, and the error is errOtherCeremony.
func (s *Server) takeCeremonyThat(secret string, d any, is func() bool) error {
	key := hashed("y", secret)
	return s.Blobs.Update(func(tx *store.BlobTx) error {
		b, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		if !ok || secret == "" {
			return errCeremony
		}
		if err := s.storage.opened(b, d); err != nil {
			return err
		}
		if !is() {
			return errOtherCeremony
		}
		return tx.Delete(key)
	})
}

// passkeyBegin answers a browser that wants to sign in (no session) or to add a
// passkey (add=1) with the options of the ceremony.
func (s *Server) passkeyBegin(w http.ResponseWriter, r *http.Request) {
	secret, who, ok := s.ceremony(w, r)
	if !ok {
		return
	}
	var options any
	var d *webauthn.SessionData
	var err error
	if who == nil {
		options, d, err = s.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	} else {
		var p *passkeys
		if p, err = s.registering(who.Person); err != nil {
			s.ceremonyFailed(w, err)
			return
		}
		options, d, err = s.party.BeginRegistration(p, webauthn.WithExclusions(webauthn.Credentials(p.WebAuthnCredentials()).CredentialDescriptors()),
			webauthn.WithConveyancePreference(protocol.PreferNoAttestation), webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()))
	}
	if err == nil {
		err = s.saveCeremony(secret, d)
	}
	if err != nil {
		s.ceremonyFailed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(options)
}

// registering returns the passkeys of somebody who adds one.
func (s *Server) registering(person string) (*passkeys, error) {
	handle, err := s.drawnHandle(person)
	if err != nil {
		return nil, err
	}
	p, err := s.passkeysOf(handle)
	if errors.Is(err, goidc.ErrNotFound) {
		p.Person, err = person, nil
	}
	return p, err
}

// ceremony reads the form that begins or ends a ceremony: of a session where a
// passkey is added, else of a browser that signs in.
func (s *Server) ceremony(w http.ResponseWriter, r *http.Request) (secret string, who *session.Session, ok bool) {
	if s.party == nil {
		http.NotFound(w, r)
		return "", nil, false
	}
	secret = s.cookies.Read(r, session.CookieSignIn)
	if r.PostForm.Get("add") == "1" {
		secret = s.cookies.Read(r, session.CookieSession)
		var err error
		if who, err = s.Sessions.Lookup(secret); err != nil {
			s.ceremonyFailed(w, errCeremony)
			return "", nil, false
		}
	}
	if !session.CheckForm(secret, r.PostForm.Get("form")) {
		s.ceremonyFailed(w, errCeremony)
		return "", nil, false
	}
	return secret, who, true
}

func (s *Server) ceremonyFailed(w http.ResponseWriter, err error) {
	var p *protocol.Error
	if !errors.Is(err, errCeremony) && !errors.As(err, &p) {
		s.Log.Error("passkey", "err", err)
		http.Error(w, "passkey", http.StatusInternalServerError)
		return
	}
	http.Error(w, "passkey", http.StatusForbidden)
}

// passkeyEnd takes what the authenticator signed.
func (s *Server) passkeyEnd(w http.ResponseWriter, r *http.Request) {
	secret, who, ok := s.ceremony(w, r)
	if !ok {
		return
	}
	d := new(webauthn.SessionData)
	err := s.takeCeremony(secret, d)
	said := []byte(r.PostForm.Get("credential"))
	switch {
	case err != nil:
	case who == nil:
		var person string
		var m session.Method
		if person, m, err = s.signedIn(d, said); err == nil {
			err = s.begin(w, r, person, m)
		}
	default:
		var m session.Method
		if m, err = s.added(who, d, said); err == nil {
			err = s.raise(w, secret, m)
		}
	}
	if err != nil {
		s.ceremonyFailed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"next": next(r.PostForm.Get("next"))})
}

// raise adds a proof to the session of a passkey that was added. One that has ended
// meanwhile begins none.
func (s *Server) raise(w http.ResponseWriter, token string, m session.Method) error {
	next, _, err := s.Sessions.AddBy(token, session.Proof{Method: m, At: s.Now()})
	if errors.Is(err, session.ErrUnknown) {
		return errCeremony
	}
	if err == nil {
		s.cookies.Set(w, session.CookieSession, next, session.MaxLife)
	}
	return err
}

// signedIn checks an assertion and returns whose it is, and what it proves.
func (s *Server) signedIn(d *webauthn.SessionData, said []byte) (string, session.Method, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(said)
	if err != nil {
		return "", "", err
	}
	user, key, err := s.party.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		p, err := s.passkeysOf(handle)
		if errors.Is(err, goidc.ErrNotFound) {
			err = errCeremony
		}
		return p, err
	}, *d, parsed)
	if err != nil {
		return "", "", err
	}
	p, ok := user.(*passkeys)
	if !ok {
		return "", "", errCeremony
	}
	strong, err := s.counted(p.Person, key)
	switch {
	case passkeyCode(err) != "": // a copy's counter, or taken away meanwhile
		return "", "", errCeremony
	case err != nil:
		return "", "", err
	case s.Now().Before(strong):
		return p.Person, session.Code, nil
	}
	return p.Person, session.Passkey, nil
}

// added checks a new passkey and keeps it.
func (s *Server) added(who *session.Session, d *webauthn.SessionData, said []byte) (session.Method, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(said)
	if err != nil {
		return "", err
	}
	handle, err := s.handleIn(s.Blobs, who.Person)
	if err != nil {
		return "", err
	}
	key, err := s.party.CreateCredential(&passkeys{Person: who.Person, handle: handle, name: s.Member}, *d, parsed)
	if err != nil {
		return "", err
	}
	now := s.Now()
	k := passkey{Credential: *key, Made: now, Strong: now}
	m := session.Passkey
	if !who.Fresh(now) {
		k.Strong, m = now.Add(passkeyWait), session.Code
	}
	return m, s.changePasskeys(who.Person, func(p *passkeys) error {
		if len(p.Keys) >= maxPasskeys {
			return errCeremony
		}
		p.Keys = append(p.Keys, k)
		return nil
	})
}

// endPasskey takes one of a person's passkeys away.
func (s *Server) endPasskey(w http.ResponseWriter, r *http.Request) {
	who, ok := s.posted(w, r)
	if !ok {
		return
	}
	if !who.BeyondCode() {
		s.problem(w, r, http.StatusForbidden, "error.weak")
		return
	}
	err := s.changePasskeys(who.Person, func(p *passkeys) error {
		p.Keys = slices.DeleteFunc(p.Keys, func(k passkey) bool { return hex.EncodeToString(k.ID) == r.PostForm.Get("id") })
		return nil
	})
	if err != nil && !errors.Is(err, errCeremony) { // which says that there are none
		s.cannot(w, r, err)
		return
	}
	http.Redirect(w, r, "/signin/sessions", http.StatusSeeOther)
}

// shownPasskey is one line of a person's list.
type shownPasskey struct {
	ID     string
	Made   time.Time
	Strong time.Time
	Waits  bool
}

func (s *Server) shownPasskeys(person string) ([]shownPasskey, error) {
	p, err := s.passkeysFor(person)
	if errors.Is(err, goidc.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []shownPasskey
	for _, k := range p.Keys {
		out = append(out, shownPasskey{hex.EncodeToString(k.ID), k.Made, k.Strong, s.Now().Before(k.Strong)})
	}
	return out, nil
}
