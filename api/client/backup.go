package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Backup copies a backup of the node's member to w, as it comes: encrypted to the
// recipients of that member's settings. What was cut off does not decrypt to its end.
// Nothing is tried again.
func (c *Client) Backup(ctx context.Context, w io.Writer) (sizeBytes int64, err error) {
	const path = "/v1/backup"
	req, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return 0, err
	}
	patient := *c.http
	patient.Timeout = 0 // it is as long as the member's data
	resp, err := patient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON))
		if err != nil {
			return 0, &url.Error{Op: req.Method, URL: req.URL.Redacted(), Err: err}
		}
		return 0, problemOf(resp, b)
	}
	return io.Copy(w, resp.Body)
}
