// Package tiles serves the log as C2SP tlog-tiles does: the signed checkpoint,
// hash tiles, entry bundles and, beside them, the policies.
//
//	/log/checkpoint                     the highest final checkpoint
//	/log/tile/<L>/<N>[.p/<W>]           hash tiles, public
//	/log/tile/entries/<N>[.p/<W>]       entry bundles, for members and auditors
//	/log/policy  /log/policy/<epoch>    who cosigns (C2SP tlog-policy)
//	/log/policy/chain                   what leads from the first policy to the last
//
// # Invariants
//
//   - Nothing above the final checkpoint is served, except an epoch's policy, which
//     k members agreed to: a witness that must cosign before anything is final needs
//     it first. What a path has once answered with 200 never changes, except at
//     /log/checkpoint, at /log/policy, at the policy of the running epoch and of the
//     next, and at the chain.
//   - A partial tile is served exactly where the end of some batch at or below
//     the final checkpoint has it: these are the sizes for which a checkpoint
//     can have been produced. They stay when the tile is full. The log is not
//     pruned, so nothing is ever 410; a path that is spelled in another way, or
//     lies beyond the log, is 404.
//   - The bytes come from the state that the node derived itself; where they do
//     not fit together, the answer is 500 and never a wrong byte.
//
// The package checks nobody's token: its caller says who may read entries.
package tiles

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"filippo.io/torchwood"
	"github.com/akashi-ledger/akashi/crypto/merkle"
	"github.com/akashi-ledger/akashi/ledger/record"
	"github.com/akashi-ledger/akashi/ledger/rules"
	"github.com/akashi-ledger/akashi/node/store"
	"golang.org/x/mod/sumdb/tlog"
)

// A Source is what is final at one node.
type Source interface {
	// Final returns the highest final checkpoint as a signed note, and the
	// ledger at it. Before the first there is none.
	Final() (note []byte, state *store.State, ok bool)
	// Agreed returns the ledger at the highest checkpoint that k members cosigned,
	// which may lack a required witness; nil before the first since start.
	Agreed() *store.State
	// Cited returns the signed note of a checkpoint that a header of the log
	// cites, final under the policy.
	Cited(p *rules.Policy, c *record.Cited) ([]byte, error)
}

// Options of New.
type Options struct {
	// Entries says whether a request may read entry bundles, and if not,
	// whether that is for want of a known token (401) or in spite of one (403).
	// Required.
	Entries func(r *http.Request) Access
	Log     *slog.Logger // required
}

// Access is an answer to who may read entries.
type Access int

// The answers.
const (
	Unknown Access = iota // no token, or none that is known
	Refused               // a token that does not suffice
	Allowed               // for this caller only: shared caches must not keep the answer
	Public                // for everyone
)

type handler struct {
	src Source
	Options
}

// New returns the handler of everything below /log/.
func New(src Source, o Options) http.Handler {
	if src == nil || o.Entries == nil || o.Log == nil {
		panic("tiles: source, Entries and Log are required")
	}
	return &handler{src, o}
}

// Caching of what never changes and of what does.
const (
	immutable = "public, max-age=31536000, immutable"
	private   = "private, max-age=31536000, immutable"
	fresh     = "no-cache"
)

// errAbsent says that there is nothing under a path.
var errAbsent = errors.New("not found")

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store") // of errors
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "only GET and HEAD")
		return
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/log/")
	if !ok {
		fail(w, http.StatusNotFound, "not found")
		return
	}
	note, st, ok := h.src.Final()
	if strings.HasPrefix(path, "policy/") && path != "policy/chain" {
		if agreed := h.src.Agreed(); agreed != nil && (!ok || agreed.Height > st.Height) {
			st, ok = agreed, true
		}
	}
	if !ok {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "no final checkpoint yet")
		return
	}
	err := h.serve(w, r, path, note, st)
	switch {
	case errors.Is(err, errAbsent):
		fail(w, http.StatusNotFound, "not found")
	case err != nil:
		h.Log.Error("a part of the log could not be read", "path", path, "err", err)
		fail(w, http.StatusInternalServerError, "this part of the log could not be read here; ask another member")
	}
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, path string, note []byte, st *store.State) error {
	switch {
	case path == "checkpoint":
		answer(w, r, "text/plain; charset=utf-8", fresh, note)
		return nil
	case path == "policy" || strings.HasPrefix(path, "policy/"):
		return h.policy(w, r, path, st)
	case strings.HasPrefix(path, "tile/"):
		t, err := torchwood.ParseTilePath(path)
		if err != nil || t.L > 63 {
			return errAbsent
		}
		if t.L < 0 {
			return h.entries(w, r, t, st)
		}
		return h.tile(w, r, t, st)
	}
	return errAbsent
}

func (h *handler) tile(w http.ResponseWriter, r *http.Request, t tlog.Tile, st *store.State) error {
	if err := shaped(t, t.L, st); err != nil {
		return err
	}
	b, err := st.Tree().Tile(merkle.TileID{Level: uint8(t.L), Index: uint64(t.N)}, t.W, st)
	if err != nil {
		return err
	}
	answer(w, r, "application/octet-stream", immutable, b)
	return nil
}

// shaped reports errAbsent unless the log has the tile as it was asked for: a
// full one, or a partial one as the end of some batch has it.
func shaped(t tlog.Tile, level int, st *store.State) error {
	shift := uint(merkle.TileHeight * level)
	if shift > 56 { // a node there spans more leaves than an index can count
		return errAbsent
	}
	nodes, last := st.Size>>shift, uint64(t.N)*merkle.TileWidth+uint64(t.W)
	if uint64(t.N) >= 1<<55 || last > nodes {
		return errAbsent
	}
	if t.W == merkle.TileWidth {
		return nil
	}
	end, err := st.EndWith(last<<shift - 1)
	if err != nil {
		return err
	}
	if end.Size>>shift != last {
		return errAbsent
	}
	return nil
}

func (h *handler) entries(w http.ResponseWriter, r *http.Request, t tlog.Tile, st *store.State) error {
	caching := private
	switch h.Entries(r) {
	case Unknown:
		w.Header().Set("WWW-Authenticate", `Bearer realm="akashi"`)
		fail(w, http.StatusUnauthorized, "entries need the token of a member or an auditor")
		return nil
	case Refused:
		fail(w, http.StatusForbidden, "entries need the token of a member or an auditor")
		return nil
	case Public:
		caching = immutable
	}
	if err := shaped(t, 0, st); err != nil {
		return err
	}
	start := uint64(t.N) * merkle.TileWidth
	var bundle []byte
	err := st.Range(start, start+uint64(t.W), func(_ uint64, leaf []byte) (err error) {
		bundle, err = torchwood.AppendTileEntry(bundle, leaf)
		return err
	})
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept-Encoding, Authorization")
	if acceptsGzip(r) {
		if bundle, err = gzipped(bundle); err != nil {
			return err
		}
		w.Header().Set("Content-Encoding", "gzip")
	}
	answer(w, r, "application/octet-stream", caching, bundle)
	return nil
}
