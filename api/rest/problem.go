package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/akashi-ledger/akashi/crypto/canon"
	"github.com/akashi-ledger/akashi/crypto/vault"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/node/forest"
	"github.com/akashi-ledger/akashi/node/outbox"
	"github.com/akashi-ledger/akashi/node/store"
)

// ProblemType begins the type of every problem; its code follows.
const ProblemType = "urn:akashi:problem:"

// A Problem is an RFC 9457 problem. Title, detail and hint are in the language
// that the caller asked for, Japanese where none was; messages has both.
type Problem struct {
	Type     string   `json:"type" doc:"urn:akashi:problem: and the code"`
	Code     string   `json:"code" doc:"stable; the same in rules, API and command line"`
	Status   int      `json:"status"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail" doc:"what happened, in the language of the answer"`
	Hint     string   `json:"hint,omitempty" doc:"what to do next"`
	Reason   string   `json:"reason,omitempty" doc:"what exactly, in English; only where the request is public by its nature"`
	Messages Sentence `json:"messages" doc:"the detail in both languages"`
	At       string   `json:"at,omitempty" doc:"the parameter or field that is wrong; body where it is the whole of it, or a field that there is not. request.malformed always has it"`
	Key      string   `json:"idempotencyKey,omitempty" doc:"under which to ask again"`
}

// Sentence is one sentence in Japanese and in English.
type Sentence struct {
	Ja string `json:"ja"`
	En string `json:"en"`
}

func (s Sentence) in(english bool) string {
	if english {
		return s.En
	}
	return s.Ja
}

// An entry is a row of the table of codes.
type entry struct {
	status int
	text   Sentence
	hint   Sentence
}

// retryAfterSeconds is what a caller is told where a later attempt may succeed.
const retryAfterSeconds = 1

// An apiError is an error of this package by its code.
type apiError struct {
	code string
	at   string // a parameter or field of ours, never what a caller sent
	key  string // Idempotency-Key under which to ask again
}

func (e *apiError) Error() string {
	if e.at != "" {
		return e.code + ": " + e.at
	}
	return e.code
}

func fault(code string) error { return &apiError{code: code} }

func faultAt(code, at string) error { return &apiError{code: code, at: at} }

// Codes of this package.
const (
	codeJSON            = "json.malformed"
	codeJSONDuplicate   = "json.duplicate-key"
	codeJSONDepth       = "json.depth"
	codeOversize        = "body.oversize"
	codeBodySlow        = "body.slow"
	codeInvalid         = "request.malformed"
	codeParameter       = "parameter.malformed"
	codeMedia           = "media-type.unsupported"
	codeKey             = "idempotency-key.malformed"
	codeAuth            = "token.missing"
	codeToken           = "token.unknown"
	codeRole            = "not-authorised"
	codeNotFound        = "not-found"
	codeMethod          = "method.not-allowed"
	codeNotFinal        = "not-final-yet"
	codeBusy            = "api.busy"
	codeTooMany         = "api.too-many"
	codeStopping        = "node.stopping"
	codeInternal        = "internal"
	codeStorage         = "storage.damaged"
	codeDiskFull        = "storage.full"
	codeFull            = "vault.full"
	codeTimeout         = "outcome.unknown"
	codeBeyond          = "beyond-final"
	codeRecordUnknown   = "record.unknown"
	codeEvidenceUnknown = "evidence.unknown"
	codeNoReceipt       = "receipt.none"
	codeNoStatus        = "receipt.no-status"
	codeNoHandle        = "handle.none"
	codeRealClock       = "clock.real"
	codeNoClients       = "clients.none"
	codeClockBack       = "clock.backwards"
	codeNotFresh        = "final.stale"
	codeSlow            = "stream.slow"
	codeBackupTo        = "backup.recipients"
)

// codeOf finds an error's code, what it points to, and the key to ask again.
func codeOf(err error) *apiError {
	var (
		api     *apiError
		unknown *outbox.UnknownError
		box     *outbox.Error
		refusal *record.Refusal
		form    *canon.Error
		sealed  *vault.Error
	)
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &unknown):
		return &apiError{code: codeTimeout, key: unknown.Key}
	case errors.As(err, &refusal):
		return &apiError{code: string(refusal.Code), at: refusal.At}
	case errors.Is(err, store.ErrDiskFull), errors.Is(err, vault.ErrDiskFull): // also where the outbox says only that it could not store
		return &apiError{code: codeDiskFull}
	case errors.As(err, &box):
		return &apiError{code: box.Code}
	case errors.As(err, &form):
		return &apiError{code: form.Code}
	case errors.Is(err, forest.ErrBusy):
		return &apiError{code: codeBusy}
	case errors.Is(err, forest.ErrUnknown):
		return &apiError{code: codeTimeout}
	case errors.Is(err, forest.ErrBeyond):
		return &apiError{code: codeBeyond}
	case errors.Is(err, forest.ErrNotReady):
		return &apiError{code: codeNotFinal}
	case errors.Is(err, forest.ErrNoKey):
		return &apiError{code: string(record.CodeNotAuthorised)}
	case errors.Is(err, forest.ErrClosed):
		return &apiError{code: codeStopping}
	case errors.Is(err, vault.ErrFull):
		return &apiError{code: codeFull}
	case errors.Is(err, store.ErrClosed), errors.Is(err, vault.ErrClosed):
		return &apiError{code: codeStopping}
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrStopped), errors.As(err, &sealed):
		return &apiError{code: codeStorage}
	case errors.Is(err, context.DeadlineExceeded): // of the request: another member did not answer in its time
		return &apiError{code: codeTimeout}
	}
	return &apiError{code: codeInternal}
}

// atBody is where a request is malformed that has no such field.
const atBody = "body"

// titles are the words for a status.
var titles = map[int]Sentence{
	http.StatusBadRequest:            {"内容の誤り", "Malformed request"},
	http.StatusUnauthorized:          {"トークンが必要", "Token required"},
	http.StatusForbidden:             {"許可されていない操作", "Not permitted"},
	http.StatusNotFound:              {"見つからない", "Not found"},
	http.StatusMethodNotAllowed:      {"できない操作", "Method not allowed"},
	http.StatusRequestTimeout:        {"時間切れ", "Too slow"},
	http.StatusConflict:              {"いまの状態ではできない", "Not possible as things stand"},
	http.StatusGone:                  {"もうない", "Gone"},
	http.StatusRequestEntityTooLarge: {"大きすぎる", "Too large"},
	http.StatusUnsupportedMediaType:  {"受け取れない種類", "Unsupported media type"},
	http.StatusUnprocessableEntity:   {"決まりに合わない内容", "Content breaks a rule"},
	http.StatusTooManyRequests:       {"多すぎる", "Too many"},
	http.StatusInternalServerError:   {"ノードの誤り", "Error of the node"},
	http.StatusServiceUnavailable:    {"いまはできない", "Not possible now"},
	http.StatusGatewayTimeout:        {"結果を待っている", "Outcome not known yet"},
}

func titleOf(status int) Sentence { return titles[status] }

// problemOf makes the problem of an error. A code that the table does not have
// can only come from a member that runs a newer version: it is passed on.
func problemOf(err error, english bool) *Problem {
	e := codeOf(err)
	row, ok := codes[e.code]
	if !ok {
		row = codes[unknownRefusal]
		if !record.ValidCode(record.Code(e.code)) {
			e, row = &apiError{code: codeInternal}, codes[codeInternal]
		}
	}
	if e.code == codeInvalid && e.at == "" { // no field of ours: what the caller made up is not repeated
		e = &apiError{code: e.code, at: atBody, key: e.key}
	}
	return &Problem{
		Type: ProblemType + e.code, Code: e.code, Status: row.status, Title: titleOf(row.status).in(english),
		Detail: row.text.in(english), Hint: row.hint.in(english), Messages: row.text, At: e.at, Key: e.key,
	}
}

func (p *Problem) write(w http.ResponseWriter, english bool) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Language", map[bool]string{false: "ja", true: "en"}[english])
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Language")
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="akashi"`)
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic("rest: " + err.Error()) // strings and numbers only
	}
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(p.Status)
	w.Write(append(b, '\n'))
}

// wantsEnglish reads Accept-Language: English where it weighs more than
// Japanese, or is there alone.
func wantsEnglish(r *http.Request) bool {
	ja, en := -1.0, -1.0
	for _, part := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil || weight < 0 || weight > 1 {
				continue
			}
		}
		language, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		switch {
		case language == "ja" && weight > ja:
			ja = weight
		case language == "en" && weight > en:
			en = weight
		}
	}
	return en > 0 && en > ja
}

// CodeOf returns the stable code under which an error is answered.
func CodeOf(err error) string { return codeOf(err).code }

// ProblemOf returns what the outside is told of an error, in English.
func ProblemOf(err error) *Problem { return problemOf(err, true) }
