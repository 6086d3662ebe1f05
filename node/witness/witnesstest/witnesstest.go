// Package witnesstest is a witness for tests (C2SP tlog-witness, add-checkpoint)
// that checks what a witness must check before a policy may require it: the
// log's line and the cosignatures of k members.
//
// It keeps its state in memory, so it is no witness for real logs.
package witnesstest

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/crypto/sign"
)

// A Witness serves add-checkpoint for one log.
type Witness struct {
	Name   string // of its key
	Key    sign.Key
	Policy *sign.Policy // log key, members and k; without witnesses

	mu       sync.Mutex
	size     uint64
	root     [32]byte
	statuses map[int]int
	down     bool
}

// Vkey is the witness's verifier key line.
func (w *Witness) Vkey() string { return sign.CosignerKey(w.Name, w.Key.Public()) }

// SetDown lets the witness answer 503 to everything, or stop doing so.
func (w *Witness) SetDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// SetPolicy tells the witness whose cosignatures count from now on.
func (w *Witness) SetPolicy(p *sign.Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Policy = p
}

// Size is the size of the latest checkpoint that it cosigned.
func (w *Witness) Size() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// Answers counts its answers with a status.
func (w *Witness) Answers(status int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statuses[status]
}

// ServeHTTP implements http.Handler.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	status, body := http.StatusServiceUnavailable, ""
	switch b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)); {
	case w.down:
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint":
		status = http.StatusBadRequest
	default:
		status, body = w.add(string(b))
	}
	if w.statuses == nil {
		w.statuses = map[int]int{}
	}
	w.statuses[status]++
	if status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(status)
	io.WriteString(rw, body)
}

// add does what tlog-witness says, in its order.
func (w *Witness) add(body string) (status int, answer string) {
	head, note, ok := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	digits, isOld := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(digits, 10, 63)
	if !ok || !isOld || err != nil || strconv.FormatUint(old, 10) != digits || len(lines) > 64 {
		return http.StatusBadRequest, ""
	}
	var proof []merkle.Hash
	for _, l := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(l)
		if err != nil || len(h) != merkle.HashSize {
			return http.StatusBadRequest, ""
		}
		proof = append(proof, merkle.Hash(h))
	}
	if origin, _, _ := strings.Cut(note, "\n"); origin != w.Policy.Origin {
		return http.StatusNotFound, ""
	}
	open, err := w.Policy.Open([]byte(note))
	switch {
	case err != nil:
		return http.StatusForbidden, ""
	case old > open.Size:
		return http.StatusBadRequest, ""
	case old != w.size:
		return http.StatusConflict, fmt.Sprintf("%d\n", w.size)
	case old == 0 && len(proof) > 0, old == open.Size && open.Root != w.root && old > 0:
		return http.StatusUnprocessableEntity, ""
	case old > 0 && old < open.Size && merkle.VerifyConsistency(old, open.Size, proof, w.root, open.Root) != nil:
		return http.StatusUnprocessableEntity, ""
	}
	w.size, w.root = open.Size, open.Root
	cs := w.Key.Cosign(w.Name, open.Checkpoint, uint64(time.Now().Unix()))
	return http.StatusOK, sign.NoteLine(cs, w.Key.Public())
}
