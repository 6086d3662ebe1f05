package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"time"
)

// Cookie names. All pages of a node share the session's.
const (
	CookieSession = "akashi_session"
	CookieSignIn  = "akashi_signin" // of a sign-in under way
)

// Cookies writes and reads a node's cookies. None has a domain: they stay with
// this host.
type Cookies struct {
	Secure bool // the pages are reached over TLS: cookies are for TLS only
}

func (c Cookies) name(name string) string {
	if c.Secure {
		return "__Host-" + name
	}
	return name
}

// New returns a cookie; an empty value deletes it.
func (c Cookies) New(name, value string, life time.Duration) *http.Cookie {
	// Lax, not Strict: a person comes by a link from their member's own site.
	k := &http.Cookie{Name: c.name(name), Value: value, Path: "/", HttpOnly: true, Secure: c.Secure,
		SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if value == "" {
		k.MaxAge = -1
	}
	return k
}

// Set writes a cookie; an empty value deletes it.
func (c Cookies) Set(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, c.New(name, value, life))
}

// Read returns a cookie's value, "" where there is none or more than one: a
// sibling host may plant a second one of the name.
func (c Cookies) Read(r *http.Request, name string) string {
	found := r.CookiesNamed(c.name(name))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// FormToken is what a form of a session carries: nobody without the cookie can
// make it, and it does not reveal the cookie.
func FormToken(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("akashi form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// CheckForm reports whether a form carries the token of a secret.
func CheckForm(secret, token string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(token), []byte(FormToken(secret))) == 1
}

// MaxForm is how many bytes a form may have.
const MaxForm = 16 << 10

// Posted reads a form and reports whether it carries the token of a secret.
func Posted(w http.ResponseWriter, r *http.Request, secret string) bool {
	r.Body = http.MaxBytesReader(w, r.Body, MaxForm)
	return CheckForm(secret, r.PostFormValue("form"))
}

// NewSecret returns a secret for a cookie of a browser that nobody has signed in
// with.
func NewSecret() string { return newSecret() }
