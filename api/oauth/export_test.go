package oauth

import (
	"strings"

	"github.com/akashi-ledger/akashi/api/web"
	"golang.org/x/time/rate"
)

// Narrow lets what strangers begin take so many bytes each, once, before s serves.
func (s *Server) Narrow(bytes int) {
	s.rooms = rooms{rate.NewLimiter(0, bytes), rate.NewLimiter(0, bytes)}
}

// AnswerCall is the call by which an answer of an authorization happens once.
var AnswerCall = answerCall

// PageTitles are the titles of every page that the server can draw, in Japanese, by
// the page's template. A problem's page has the title of its problem.
func PageTitles() map[string][]string {
	titles := map[string][]string{}
	for _, name := range pageNames {
		titles[name] = []string{catalogue.Text(web.Japanese, name+".title")}
	}
	titles["problem"] = nil
	for key := range catalogue {
		if title, ok := strings.CutPrefix(key, "error."); ok && strings.HasSuffix(title, ".title") {
			titles["problem"] = append(titles["problem"], catalogue.Text(web.Japanese, "error.prefix")+catalogue.Text(web.Japanese, key))
		}
	}
	return titles
}
