package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
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

// Browser returns the secret of a browser that is about to sign in, made where there
// is none: forms before a session carry its token.
func (c Cookies) Browser(w http.ResponseWriter, r *http.Request) string {
	if v := c.Read(r, CookieSignIn); v != "" {
		return v
	}
	v := newSecret()
	c.Set(w, CookieSignIn, v, CodeLife)
	return v
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

// MaxForm is how many bytes a form may have, and FormTime how long it may take to come.
const (
	MaxForm  = 16 << 10
	FormTime = 20 * time.Second
)

// ReadForm reads all of a request's form, of at most so many bytes. A handler looks up
// whose session it is only after that: else whoever has a session's cookie holds a form
// back, and it counts after the session was ended.
func ReadForm(w http.ResponseWriter, r *http.Request, maxBytes int64) error {
	if r.PostForm != nil { // read already
		return nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBytes)
	conn := http.NewResponseController(w)
	if err := conn.SetReadDeadline(time.Now().Add(FormTime)); err != nil && !errors.Is(err, http.ErrNotSupported) { // no connection: nothing to wait for
		return err
	}
	err := r.ParseForm()
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body) // of what is no form
	}
	if err != nil { // the deadline stays: nothing more is read of this connection
		w.Header().Set("Connection", "close")
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Posted reads a form and reports whether it carries the token of a secret.
func Posted(w http.ResponseWriter, r *http.Request, secret string) bool {
	return ReadForm(w, r, MaxForm) == nil && CheckForm(secret, r.PostForm.Get("form"))
}

// NewSecret returns a secret for a cookie of a browser that nobody has signed in
// with.
func NewSecret() string { return newSecret() }
