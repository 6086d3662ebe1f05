package tiles

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// answer sends b, or 304 to a reader who has it (RFC 9110 §13.1.2). The entity
// tag is the hash of the bytes as they are sent, so that each encoding of a
// resource has its own.
func answer(w http.ResponseWriter, r *http.Request, contentType, caching string, b []byte) {
	h, sum := w.Header(), sha256.Sum256(b)
	tag := fmt.Sprintf(`"%x"`, sum[:16])
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", caching)
	h.Set("ETag", tag)
	if has(r, tag) {
		h.Del("Content-Type")
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(b)
	}
}

// has reports whether If-None-Match names the tag; the comparison is weak. An
// asterisk stands for whatever there is.
func has(r *http.Request, tag string) bool {
	for _, t := range strings.Split(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}

func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3): the weight of gzip, or
// of the asterisk where gzip is not named, must not be zero.
func acceptsGzip(r *http.Request) bool {
	star := false
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q="); ok {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				weight = 0
			}
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return weight > 0
		case "*":
			star = weight > 0
		}
	}
	return star
}

func gzipped(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(b); err != nil {
		return nil, err
	}
	err = z.Close()
	return out.Bytes(), err
}
