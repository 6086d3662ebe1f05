package oauth

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// What begins a sign-in or an authorization is kept for up to an hour, and anybody may
// begin one: without a bound a loop of requests fills the member's disk. Each of the two
// has its room, so that large requests of apps keep nobody from signing in.
type rooms struct{ requests, signIns *rate.Limiter }

const (
	// roomBytes is what each may leave behind within an hour: some 60,000 requests of
	// apps, or 130,000 sign-ins.
	roomBytes = 256 << 20
	// signInBytes is more than any beginning of a sign-in leaves, whatever its form holds.
	signInBytes = 2 << 10
	// maxPlain bounds the parameters of a request that nobody has pushed.
	maxPlain = 16 << 10
)

func newRooms(bytes int) rooms {
	each := func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(bytes)/rate.Limit(decideLife/time.Second), bytes)
	}
	return rooms{each(), each()}
}

const pushedPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2

// beginsRequest is handle for requests of apps. What one has pushed it has shown who it
// is for: it goes on, whatever else is under way.
func (s *Server) beginsRequest(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		size := signInBytes
		for name, values := range form(r) {
			size += len(name)
			for _, v := range values {
				size += len(v)
			}
		}
		switch {
		case strings.HasPrefix(r.Form.Get("request_uri"), pushedPrefix):
			handle(w, r)
		case size > maxPlain:
			s.problem(w, r, http.StatusBadRequest, "error.request")
		case !s.rooms.requests.AllowN(time.Now(), size):
			s.problem(w, r, http.StatusServiceUnavailable, "error.busy")
		default:
			handle(w, r)
		}
	}
}

// form reads a request's parameters: of a POST page has read them.
func form(r *http.Request) map[string][]string {
	if r.ParseForm() != nil {
		return nil // authorize refuses it
	}
	return r.Form
}

// beginsSignIn is handle for what begins a sign-in.
func (s *Server) beginsSignIn(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.rooms.signIns.AllowN(time.Now(), signInBytes) {
			s.problem(w, r, http.StatusServiceUnavailable, "error.busy")
			return
		}
		handle(w, r)
	}
}
