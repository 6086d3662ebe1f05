package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Webhook sends codes by posting each Message as JSON to the operator's own
// service, which knows how to reach a telephone or a mailbox. 2xx means taken.
type Webhook struct {
	url, token string
	client     *http.Client
}

// NewWebhook returns a sender to a URL, with an Authorization: Bearer header where
// token is not "". It follows no redirect.
func NewWebhook(to, token string) (*Webhook, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && Loopback(u.Hostname())) {
		return nil, errors.New("the sender of codes needs an https URL, or http on this machine")
	}
	return &Webhook{to, token, &http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Send implements Sender.
func (h *Webhook) Send(ctx context.Context, m Message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(b))
	if err != nil {
		return errors.New("sender of codes: bad request") // not err: it quotes the URL
	}
	r.Header.Set("Content-Type", "application/json")
	if h.token != "" {
		r.Header.Set("Authorization", "Bearer "+h.token)
	}
	res, err := h.client.Do(r)
	if err != nil {
		return errors.New("sender of codes: not reached")
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("sender of codes: answered %d", res.StatusCode)
	}
	return nil
}

// File appends codes to a file of the operator, in clear: for a consortium on one
// machine, and for nothing else.
type File struct {
	Path string
	mu   sync.Mutex
}

// Send implements Sender.
func (f *File) Send(_ context.Context, m Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := os.OpenFile(f.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(out).Encode(m), out.Close())
}

// Loopback reports whether a host is this machine by its name: localhost, a name
// below it, or a loopback address.
func Loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || len(host) > 10 && host[len(host)-10:] == ".localhost"
}
