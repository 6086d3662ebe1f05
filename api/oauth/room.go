package oauth

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// What begins a sign-in or an authorization is kept for up to an hour, and anybody may
// begin one: without a bound a loop of requests fills the member's disk. roomBytes is
// what all that strangers begin within an hour may take. An authorization takes some
// 3 kB, so it is room for 80,000 an hour.
const (
	roomBytes = 256 << 20
	// beginBytes is more than what is kept beside what the request brings.
	beginBytes = 2 << 10
)

func newRoom() *rate.Limiter {
	return rate.NewLimiter(roomBytes/rate.Limit(decideLife/time.Second), roomBytes)
}

const pushedPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2

// begins is handle for requests that leave something behind, from whomever. Where the
// room is used up they are told that it is busy, and nothing is kept. What apps have
// pushed (RFC 9126) they have shown who they are for: it goes on.
func (s *Server) begins(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.FormValue("request_uri"), pushedPrefix) {
			handle(w, r)
			return
		}
		size := beginBytes
		for name, values := range r.Form { // page has bounded it
			size += len(name)
			for _, v := range values {
				size += 2 * len(v) // quoted as JSON
			}
		}
		if !s.room.AllowN(time.Now(), size) {
			s.problem(w, r, http.StatusServiceUnavailable, "error.busy")
			return
		}
		handle(w, r)
	}
}
