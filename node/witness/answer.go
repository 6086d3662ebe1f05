package witness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is what a witness said.
type answer struct {
	status int
	body   []byte
	wait   time.Duration // Retry-After
}

func (w *Client) post(ctx context.Context, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.Witness.URL, "/")+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("User-Agent", "akashi (https://github.com/akashi-ledger/akashi)")
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	a := &answer{status: resp.StatusCode, body: b}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 20); err == nil {
		a.wait = time.Duration(s) * time.Second
	}
	return a, nil
}

// conflictSize reads the body of a 409: the size in decimal and a newline.
func conflictSize(body []byte) (uint64, error) {
	s, ok := strings.CutSuffix(string(body), "\n")
	size, err := strconv.ParseUint(s, 10, 63)
	if !ok || err != nil || strconv.FormatUint(size, 10) != s {
		return 0, fmt.Errorf("a conflict whose answer is no size: %.40q", body)
	}
	return size, nil
}

// refused says what the status of a refusal means (C2SP tlog-witness).
func (a *answer) refused() error {
	why := map[int]string{
		http.StatusBadRequest:          "it cannot read the request",
		http.StatusForbidden:           "it knows the log, but not the key that signed, or it does not find enough members' cosignatures",
		http.StatusNotFound:            "it does not know this log",
		http.StatusUnprocessableEntity: "the checkpoint does not follow from what it cosigned before",
	}[a.status]
	if why == "" {
		why = "it refuses"
	}
	return fmt.Errorf("%s (%d %s)", why, a.status, http.StatusText(a.status))
}
